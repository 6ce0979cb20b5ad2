//! `likeness sync`: synchronizes enrollments with a staff table. Joiners are enrolled, leavers erased,
//! after the plan is shown.

mod changes;
mod plan;

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, bail};

use self::plan::{Plan, plan};
use super::import::{enroll_all, nobody_refused};
use super::staff::{self, StaffRow};
use crate::audit::Actor;
use crate::config::{Config, SyncArgs};
use crate::employee::Reference;
use crate::recognizer::{Call, EnrollmentOptions, Recognizer};

/// Number of erasures, and share of all employees, that need no `--allow-erase`.
const FEW: usize = 10;
const SHARE: f64 = 0.05;

/// Employees in one page.
const PAGE: u32 = 1000;

/// Synchronizes enrollments with the table.
///
/// # Errors
/// If the table is empty or invalid, too many employees would be erased, the plan is not confirmed,
/// or an employee is refused.
pub async fn run(config: Config, args: &SyncArgs) -> anyhow::Result<()> {
    let rows = staff::read_table(&args.staff, super::wall_clock())?;
    let _lock = super::lock(&super::existing_data(&config).await?)?;
    let (store, recognizer) = super::open(config, None).await?;
    let synced = sync(&recognizer, rows, args).await;
    recognizer.end().await;
    store.close().await;
    synced
}

async fn sync(recognizer: &Recognizer, rows: Vec<StaffRow>, args: &SyncArgs) -> anyhow::Result<()> {
    let now = super::wall_clock();
    if !args.dry_run {
        recognizer.erase_expired(now).await?;
    }
    let mut enrolled = everybody(recognizer).await?;
    // An expired enrollment is never extended.
    enrolled.retain(|reference| reference.expires_at.is_none_or(|end| end > now));
    let expiry_of = |reference: &Reference, asked| recognizer.expiry_of(reference, asked);
    let (mut plan, people) = (plan(rows, &enrolled, expiry_of), enrolled.len());
    plan.changed_photos = changes::changed_photos(recognizer, &plan.newer_photos).await?;
    plan.show();
    bounded(plan.leave.len(), people, args.allow_erase)?;
    if args.dry_run || plan.changes_nothing() {
        return nobody_refused(plan.refused.len());
    }
    if !args.yes && !agreed()? {
        bail!("nothing was changed (pass --yes to skip the confirmation)");
    }
    carry_out(recognizer, plan).await
}

async fn carry_out(recognizer: &Recognizer, plan: Plan) -> anyhow::Result<()> {
    let call = || Call { actor: Actor::Operator, at: super::wall_clock() };
    // Leavers first, so that a person with a new id does not count as a look-alike of the old one.
    for employee in plan.leave {
        let name = employee.as_str().to_owned();
        let erased = recognizer.erase(employee, &call()).await;
        erased.with_context(|| format!("erasing {name}"))?;
    }
    for (reference, expires_at) in plan.expiries {
        let employee = reference.employee;
        let changed = recognizer.change_expiry(&employee, expires_at, &call()).await;
        changed.with_context(|| format!("changing expires_at of {}", employee.as_str()))?;
    }
    let mut done = enroll_all(recognizer, plan.join, EnrollmentOptions::default()).await?;
    done.told = plan.refused.len();
    done.tell(false)
}

async fn everybody(recognizer: &Recognizer) -> anyhow::Result<Vec<Reference>> {
    let mut everybody: Vec<Reference> = Vec::new();
    loop {
        let last = everybody.last().map(|reference| &reference.employee);
        let page = recognizer.list(last, PAGE).await?;
        if page.is_empty() {
            return Ok(everybody);
        }
        everybody.extend(page);
    }
}

/// Returns whether this number of erasures is allowed.
fn bounded(leavers: usize, people: usize, allowed: usize) -> anyhow::Result<()> {
    let many = leavers > FEW || leavers as f64 > SHARE * people as f64;
    if many && leavers > allowed {
        bail!(
            "{leavers} of {people} employees would be erased: if this is intended, pass --allow-erase {leavers}"
        );
    }
    Ok(())
}

fn agreed() -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("Apply these changes? [y/N] ");
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
