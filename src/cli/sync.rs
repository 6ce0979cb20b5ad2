//! `likeness sync`: a table of the present staff; joiners are enrolled, leavers erased, the plan shown first.

use std::collections::HashMap;
use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, bail};

use super::import::enroll_all;
use super::staff::{self, Joiner, Row};
use crate::audit::Actor;
use crate::config::{Config, SyncArgs};
use crate::employee::EmployeeId;
use crate::recognizer::{Call, EnrollmentWishes, Recognizer};

/// So many may be erased without being named by `--allow-erase`, unless it is more than this share of all.
const FEW: usize = 10;
const SHARE: f64 = 0.05;

/// Employees that are listed at once.
const PAGE: u32 = 1000;

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    join: Vec<Joiner>,
    leave: Vec<EmployeeId>,
    /// In the table without a photo, and not enrolled.
    without_photo: Vec<EmployeeId>,
}

/// Makes the enrolled those of the table.
///
/// # Errors
/// Where the table is empty or not right, too many would be erased, nobody agrees, or somebody is refused.
pub async fn run(config: Config, args: &SyncArgs) -> anyhow::Result<()> {
    let rows = staff::table(&args.staff)?;
    let _lock = super::lock(&super::existing_data(&config).await?)?;
    let (store, recognizer) = super::open(config).await?;
    let synced = sync(&recognizer, rows, args).await;
    drop(recognizer);
    store.close().await;
    synced
}

async fn sync(recognizer: &Recognizer, rows: Vec<Row>, args: &SyncArgs) -> anyhow::Result<()> {
    let enrolled = everybody(recognizer).await?;
    let (plan, people) = (plan(rows, &enrolled), enrolled.len());
    show(&plan);
    bounded(plan.leave.len(), people, args.allow_erase)?;
    if args.dry_run || (plan.join.is_empty() && plan.leave.is_empty()) {
        return Ok(());
    }
    if !args.yes && !agreed()? {
        bail!("nothing was done (--yes agrees beforehand)");
    }
    // Leavers first: a joiner may have taken over a leaver's face in the table's own eyes, by a new id.
    for employee in plan.leave {
        let call = Call { actor: Actor::Operator, at: super::wall_clock() };
        let name = employee.as_str().to_owned();
        recognizer.forget(employee, &call).await.with_context(|| format!("erasing {name}"))?;
    }
    enroll_all(recognizer, plan.join, EnrollmentWishes::default()).await?.tell(false)
}

async fn everybody(recognizer: &Recognizer) -> anyhow::Result<Vec<EmployeeId>> {
    let mut everybody: Vec<EmployeeId> = Vec::new();
    loop {
        let page = recognizer.list(everybody.last(), PAGE).await?;
        if page.is_empty() {
            return Ok(everybody);
        }
        everybody.extend(page.into_iter().map(|reference| reference.employee));
    }
}

fn plan(rows: Vec<Row>, enrolled: &[EmployeeId]) -> Plan {
    let mut rows: HashMap<_, _> = rows.into_iter().map(|row| (row.employee.clone(), row)).collect();
    let mut plan = Plan::default();
    for employee in enrolled {
        if rows.remove(employee).is_none() {
            plan.leave.push(employee.clone());
        }
    }
    let mut others: Vec<_> = rows.into_values().collect();
    others.sort_by(|a, b| a.employee.cmp(&b.employee));
    for Row { employee, photo, expires_at } in others {
        match photo {
            Some(photo) => plan.join.push(Joiner { employee, photo, expires_at }),
            None => plan.without_photo.push(employee),
        }
    }
    plan
}

/// Whether so many of all may be erased.
fn bounded(leavers: usize, people: usize, allowed: usize) -> anyhow::Result<()> {
    let many = leavers > FEW || leavers as f64 > SHARE * people as f64;
    if many && leavers > allowed {
        bail!(
            "{leavers} of {people} employees would be erased: if that is meant, say --allow-erase {leavers}"
        );
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn show(plan: &Plan) {
    for joiner in &plan.join {
        println!("enrol\t{}\t{}", joiner.employee.as_str(), joiner.photo.display());
    }
    for employee in &plan.leave {
        println!("erase\t{}", employee.as_str());
    }
    for employee in &plan.without_photo {
        println!("no photo\t{}", employee.as_str());
    }
    eprintln!(
        "{} to be enrolled, {} to be erased, {} are not enrolled and have no photo",
        plan.join.len(),
        plan.leave.len(),
        plan.without_photo.len()
    );
}

fn agreed() -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("Do it? [y/N] ");
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn employees(names: &[&str]) -> Vec<EmployeeId> {
        names.iter().map(|name| EmployeeId::parse(name).unwrap()).collect()
    }

    #[test]
    fn joiners_and_leavers_are_told_apart() {
        let row = |employee: EmployeeId, photo: Option<&str>| Row {
            employee,
            photo: photo.map(Into::into),
            expires_at: None,
        };
        let [b, c, d] = employees(&["b", "c", "d"]).try_into().unwrap();
        let rows = vec![row(b, None), row(d.clone(), None), row(c.clone(), Some("c.jpg"))];
        let plan = plan(rows, &employees(&["a", "b"]));
        assert_eq!(plan.leave, employees(&["a"]));
        assert_eq!(plan.without_photo, [d]);
        let joiner = Joiner { employee: c, photo: "c.jpg".into(), expires_at: None };
        assert_eq!(plan.join, [joiner]);
    }

    #[test]
    fn many_are_erased_only_where_so_many_were_allowed() {
        for (leavers, people, allowed, is_allowed) in [
            (0, 0, 0, true),
            (5, 100, 0, true),
            (6, 100, 0, false),
            (6, 100, 5, false),
            (6, 100, 6, true),
            (10, 1000, 0, true),
            (11, 1000, 0, false),
            (1, 3, 0, false),
        ] {
            assert_eq!(
                bounded(leavers, people, allowed).is_ok(),
                is_allowed,
                "{leavers} of {people}"
            );
        }
    }
}
