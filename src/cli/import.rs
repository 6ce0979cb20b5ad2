//! `likeness import`: a folder or table of photos, as fast as the cores allow. Given again it goes on where it stopped.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::Semaphore;

use super::staff::{self, Joiner};
use crate::audit::Actor;
use crate::config::{Config, ImportArgs};
use crate::http::Code;
use crate::recognizer::{Call, EnrollmentWishes, Error, Recognizer};

/// Enrols everyone who is not enrolled yet.
///
/// # Errors
/// Where folder, table or data cannot be read, or somebody was refused.
pub async fn run(config: Config, args: &ImportArgs) -> anyhow::Result<()> {
    let joiners =
        if args.from.is_dir() { staff::folder(&args.from)? } else { from_table(&args.from)? };
    let _lock = super::lock(&super::create_data_folder(&config)?)?;
    let (store, recognizer) = super::open(config).await?;
    let wishes = EnrollmentWishes { rehearsal: args.dry_run, ..EnrollmentWishes::default() };
    let done = enroll_all(&recognizer, joiners, wishes).await;
    drop(recognizer);
    store.close().await;
    done?.tell(args.dry_run)
}

fn from_table(file: &Path) -> anyhow::Result<Vec<Joiner>> {
    let rows = staff::table(file)?;
    let joiners = rows.into_iter().map(|row| {
        let missing = || format!("{} has no photo in {}", row.employee.as_str(), file.display());
        let photo = row.photo.clone().with_context(missing)?;
        Ok(Joiner { employee: row.employee, photo, expires_at: row.expires_at })
    });
    joiners.collect()
}

/// What became of everybody.
#[derive(Default)]
pub(super) struct Done {
    enrolled: usize,
    already: usize,
    /// Whoever was refused, and why.
    refused: Vec<(Joiner, Error)>,
}

impl Done {
    /// Prints a line for each refusal, `employee<TAB>photo<TAB>code<TAB>reason`, and how many there were.
    ///
    /// # Errors
    /// Where there was any.
    #[expect(clippy::print_stdout, reason = "the answer of the command")]
    pub(super) fn tell(&self, rehearsal: bool) -> anyhow::Result<()> {
        for (joiner, error) in &self.refused {
            let (_, code, _) = Code::from(error).row();
            println!("{}\t{}\t{code}\t{error}", joiner.employee.as_str(), joiner.photo.display());
        }
        let would = if rehearsal { "would be " } else { "" };
        eprintln!(
            "{} {would}enrolled, {} were already, {} {would}refused",
            self.enrolled,
            self.already,
            self.refused.len()
        );
        if self.refused.is_empty() { Ok(()) } else { bail!("not everybody could be enrolled") }
    }
}

/// Enrols everyone, so many photos at once; a bar on the terminal shows how far it is.
///
/// # Errors
/// Where a photo's file cannot be read or the service's own side fails; whoever came before stays enrolled.
pub(super) async fn enroll_all(
    recognizer: &Recognizer,
    joiners: Vec<Joiner>,
    wishes: EnrollmentWishes,
) -> anyhow::Result<Done> {
    let places = Arc::new(Semaphore::new(recognizer.at_once()));
    let bar = super::bar(joiners.len() as u64, "people");
    let mut tasks = Vec::with_capacity(joiners.len());
    for joiner in joiners {
        let place = places.clone().acquire_owned().await?;
        let photo = std::fs::read(&joiner.photo);
        let photo = photo.with_context(|| format!("reading {}", joiner.photo.display()))?;
        let (recognizer, bar) = (recognizer.clone(), bar.clone());
        let wishes = EnrollmentWishes { expires_at: joiner.expires_at, ..wishes };
        tasks.push(tokio::spawn(async move {
            let call = Call { actor: Actor::Operator, at: super::wall_clock() };
            let enrolled =
                recognizer.enroll(joiner.employee.clone(), photo.into(), wishes, &call).await;
            drop(place);
            bar.inc(1);
            (joiner, enrolled)
        }));
    }
    let mut done = Done::default();
    for task in tasks {
        match task.await? {
            (_, Ok(_)) => done.enrolled += 1,
            (_, Err(Error::AlreadyEnrolled)) => done.already += 1,
            (joiner, Err(error)) if Code::from(&error) == Code::Internal => {
                return Err(error)
                    .with_context(|| format!("enrolling {}", joiner.employee.as_str()));
            }
            (joiner, Err(error)) => done.refused.push((joiner, error)),
        }
    }
    bar.finish_and_clear();
    Ok(done)
}
