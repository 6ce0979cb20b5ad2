//! `likeness sync`: synchronizes enrollments with a staff table. Joiners are enrolled, leavers erased,
//! after the plan is shown.

mod changes;
mod plan;

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;

use anyhow::{Context, bail};

use self::plan::{Plan, plan};
use super::import::{enroll_all, nobody_refused};
use super::staff::{self, StaffRow};
use super::target::{NoDataYet, Target};
use crate::config::{Config, SyncArgs};

/// Number of erasures, and share of all employees, that need no `--allow-erase`.
const FEW: usize = 10;
const SHARE: f64 = 0.05;

/// Synchronizes enrollments with the table.
///
/// # Errors
/// If the table is empty or invalid, too many employees would be erased, the plan is not confirmed,
/// a change is not possible, or an employee is refused.
pub async fn run(config: Config, args: &SyncArgs) -> anyhow::Result<()> {
    let rows = staff::read_table(&args.staff, super::wall_clock())?;
    let target = Arc::new(Target::open(config, &args.server, NoDataYet::Refuse).await?);
    let synced = sync(&target, rows, args).await;
    target.close().await;
    synced
}

async fn sync(target: &Arc<Target>, rows: Vec<StaffRow>, args: &SyncArgs) -> anyhow::Result<()> {
    let now = super::wall_clock();
    if !args.dry_run {
        target.erase_expired(now).await?;
    }
    let mut enrolled = target.everybody().await?;
    // An expired enrollment is never extended.
    enrolled.retain(|enrolled| enrolled.expires_at.is_none_or(|end| end > now));
    let expiry_of = |enrolled: &_, asked| target.expiry_of(enrolled, asked);
    let (mut plan, people) = (plan(rows, &enrolled, expiry_of), enrolled.len());
    match &**target {
        Target::Files(files) => {
            plan.changed_photos =
                changes::changed_photos(&files.recognizer, &plan.newer_photos).await?;
        }
        Target::Service(_) => plan.limit_to_http(),
    }
    plan.show();
    bounded(plan.leave.len(), people, args.allow_erase)?;
    let unmet = Unmet { refused: plan.refused.len(), expiries: plan.kept_expiries.len() };
    if args.dry_run || plan.changes_nothing() {
        return unmet.tell();
    }
    if !args.yes && !agreed()? {
        bail!("nothing was changed (pass --yes to skip the confirmation)");
    }
    carry_out(target, plan).await?;
    unmet.tell()
}

/// Numbers of rows that were not carried out.
struct Unmet {
    refused: usize,
    expiries: usize,
}

impl Unmet {
    /// # Errors
    /// If there are any.
    fn tell(&self) -> anyhow::Result<()> {
        nobody_refused(self.refused)?;
        if self.expiries > 0 {
            bail!(
                "some expiries differ from the table, and a service can't change them: run this command without --server while the service is stopped"
            );
        }
        Ok(())
    }
}

async fn carry_out(target: &Arc<Target>, plan: Plan) -> anyhow::Result<()> {
    // Leavers first, so that a person with a new id does not count as a look-alike of the old one.
    for employee in plan.leave {
        let name = employee.as_str().to_owned();
        let erased = target.erase(employee).await;
        erased.with_context(|| format!("erasing {name}"))?;
    }
    for (enrolled, expires_at) in plan.expiries {
        let employee = enrolled.employee;
        let changed = target.change_expiry(&employee, expires_at).await;
        changed.with_context(|| format!("changing expires_at of {}", employee.as_str()))?;
    }
    let mut done = enroll_all(target, plan.join, false).await?;
    done.told = plan.refused.len();
    done.tell(false)
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
