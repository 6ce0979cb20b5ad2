//! `likeness import`: enrolls a folder or table of photos in parallel. Run again, it resumes.

use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::Semaphore;

use super::staff::{self, Joiner, Refusal, Source};
use crate::audit::Actor;
use crate::config::{Config, ImportArgs};
use crate::recognizer::{Call, Code, EnrollmentOptions, Error, Recognizer};

/// Enrols everyone who is not enrolled yet.
///
/// # Errors
/// Where folder, table or data cannot be read, or somebody was refused.
pub async fn run(config: Config, args: &ImportArgs) -> anyhow::Result<()> {
    let source = if args.from.is_dir() {
        staff::folder(&args.from)?
    } else {
        staff::joiners_of_table(&args.from, super::wall_clock())?
    };
    let Source { joiners, mut refused, passed_over } = source;
    let _lock = super::lock(&super::create_data_directory(&config)?)?;
    let (store, recognizer) = super::open(config, None).await?;
    let wishes = EnrollmentOptions { rehearsal: args.dry_run, ..EnrollmentOptions::default() };
    let done = enroll_all(&recognizer, joiners, wishes).await;
    recognizer.end().await;
    store.close().await;
    let mut done = done?;
    refused.append(&mut done.refused);
    done.refused = refused;
    for (path, reason) in &passed_over {
        eprintln!("skipped: {} ({reason})", path.display());
    }
    done.passed_over = passed_over.len();
    done.tell(args.dry_run)
}

/// What became of everybody.
#[derive(Default)]
pub(super) struct Done {
    enrolled: usize,
    already: usize,
    pub(super) refused: Vec<Refusal>,
    /// Refusals whose lines were printed with the plan.
    pub(super) told: usize,
    /// Files that are nobody's photo.
    passed_over: usize,
}

impl Done {
    /// Prints a line for each refusal, `employee<TAB>photo<TAB>code<TAB>reason`, and how many there were.
    ///
    /// # Errors
    /// Where there was any.
    #[expect(clippy::print_stdout, reason = "the answer of the command")]
    pub(super) fn tell(&self, rehearsal: bool) -> anyhow::Result<()> {
        for refusal in &self.refused {
            println!("{}", refusal.line());
        }
        let would = if rehearsal { "would be " } else { "" };
        let passed_over = match self.passed_over {
            0 => String::new(),
            files => format!(", {files} skipped"),
        };
        eprintln!(
            "{} {would}enrolled, {} already enrolled, {} {would}refused{passed_over}",
            self.enrolled,
            self.already,
            self.refused.len() + self.told
        );
        nobody_refused(self.refused.len() + self.told)
    }
}

/// # Errors
/// Where anybody was refused.
pub(super) fn nobody_refused(refused: usize) -> anyhow::Result<()> {
    if refused == 0 { Ok(()) } else { bail!("some employees could not be enrolled") }
}

/// Enrolls everyone, so many photos at once; a bar on the terminal shows how far it is. A photo whose file can't be
/// read is a refusal like any other.
///
/// # Errors
/// If the service fails; employees enrolled before stay enrolled.
pub(super) async fn enroll_all(
    recognizer: &Recognizer,
    joiners: Vec<Joiner>,
    wishes: EnrollmentOptions,
) -> anyhow::Result<Done> {
    let places = Arc::new(Semaphore::new(recognizer.at_once()));
    let bar = super::bar(joiners.len() as u64, "people");
    let mut tasks = Vec::with_capacity(joiners.len());
    let mut done = Done::default();
    for joiner in joiners {
        let place = places.clone().acquire_owned().await?;
        let photo = match staff::read_photo(&joiner.photo) {
            Ok(photo) => photo,
            Err((code, reason)) => {
                bar.inc(1);
                done.refused.push(Refusal::new(&joiner, code, reason));
                continue;
            }
        };
        let (recognizer, bar) = (recognizer.clone(), bar.clone());
        let wishes = EnrollmentOptions { expires_at: joiner.expires_at, ..wishes };
        tasks.push(tokio::spawn(async move {
            let call = Call { actor: Actor::Operator, at: super::wall_clock() };
            let enrolled =
                recognizer.enroll(joiner.employee.clone(), photo.into(), wishes, &call).await;
            drop(place);
            bar.inc(1);
            (joiner, enrolled)
        }));
    }
    for task in tasks {
        match task.await? {
            (_, Ok(_)) => done.enrolled += 1,
            (_, Err(Error::AlreadyEnrolled)) => done.already += 1,
            (joiner, Err(error)) if error.code() == Code::Internal => {
                return Err(error)
                    .with_context(|| format!("enrolling {}", joiner.employee.as_str()));
            }
            (joiner, Err(error)) => {
                done.refused.push(Refusal::new(&joiner, error.code(), error.to_string()));
            }
        }
    }
    bar.finish_and_clear();
    Ok(done)
}
