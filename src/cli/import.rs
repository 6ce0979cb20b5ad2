//! `likeness import`: enrolls a folder or table of photos in parallel. Run again, it resumes.

use std::sync::Arc;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::client::Slot;
use super::staff::{self, Joiner, Refusal, Source, Tried};
use super::target::{NoDataYet, Target};
use crate::config::{Config, ImportArgs};

/// Enrols everyone who is not enrolled yet.
///
/// # Errors
/// Where folder, table or data cannot be read, the service fails, or somebody was refused.
pub async fn run(config: Config, args: &ImportArgs) -> anyhow::Result<()> {
    let source = if args.from.is_dir() {
        staff::folder(&args.from)?
    } else {
        staff::joiners_of_table(&args.from, super::wall_clock())?
    };
    let Source { joiners, mut refused, passed_over } = source;
    let target = Arc::new(Target::open(config, &args.server, NoDataYet::Create).await?);
    if args.dry_run && matches!(*target, Target::Service(_)) {
        eprintln!(
            "a dry run with a service checks face and quality of each photo, but finds no look-alikes"
        );
    }
    let done = enroll_all(&target, joiners, args.dry_run).await;
    target.close().await;
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

/// Enrolls everyone, as many at once as the target takes; a bar on the terminal shows how far it is. A photo whose file
/// can't be read is a refusal like any other.
///
/// # Errors
/// If the service fails; employees enrolled before stay enrolled.
pub(super) async fn enroll_all(
    target: &Arc<Target>,
    joiners: Vec<Joiner>,
    dry_run: bool,
) -> anyhow::Result<Done> {
    let mut progress = Progress::new(joiners.len());
    let mut tasks = JoinSet::new();
    for (row, joiner) in joiners.into_iter().enumerate() {
        let slot = loop {
            tokio::select! {
                slot = target.window().slot() => break slot,
                // So that a failure of the service is noticed at once.
                Some(ended) = tasks.join_next() => progress.count(ended?)?,
            }
        };
        let target = target.clone();
        tasks.spawn(async move {
            let tried = enroll(&target, &joiner, dry_run, &slot).await;
            (row, joiner, tried)
        });
    }
    while let Some(ended) = tasks.join_next().await {
        progress.count(ended?)?;
    }
    Ok(progress.done())
}

async fn enroll(
    target: &Target,
    joiner: &Joiner,
    dry_run: bool,
    slot: &Slot,
) -> anyhow::Result<Tried> {
    match staff::read_photo(&joiner.photo) {
        Ok(photo) => target.enroll(joiner, photo, dry_run, slot).await,
        Err((code, reason)) => Ok(Tried::Refused(code, reason)),
    }
}

/// The enrollments so far.
struct Progress {
    bar: ProgressBar,
    people: usize,
    done: Done,
    /// The refusals, with the row of each.
    refused: Vec<(usize, Refusal)>,
}

impl Progress {
    fn new(people: usize) -> Self {
        let bar = super::bar(people as u64, "people");
        Self { bar, people, done: Done::default(), refused: Vec::new() }
    }

    fn count(
        &mut self,
        (row, joiner, tried): (usize, Joiner, anyhow::Result<Tried>),
    ) -> anyhow::Result<()> {
        match tried {
            Ok(Tried::Enrolled) => self.done.enrolled += 1,
            Ok(Tried::Already) => self.done.already += 1,
            Ok(Tried::Refused(code, reason)) => {
                self.refused.push((row, Refusal::new(&joiner, code, reason)));
            }
            Err(error) => {
                self.bar.finish_and_clear();
                let Done { enrolled, .. } = self.done;
                let employee = joiner.employee.as_str();
                let people = self.people;
                return Err(error).with_context(|| {
                    format!(
                        "enrolling {employee}, after {enrolled} of {people}; run the command again to resume"
                    )
                });
            }
        }
        self.bar.inc(1);
        Ok(())
    }

    fn done(mut self) -> Done {
        self.bar.finish_and_clear();
        self.refused.sort_by_key(|(row, _)| *row);
        self.done.refused = self.refused.into_iter().map(|(_, refusal)| refusal).collect();
        self.done
    }
}
