//! `likeness evaluate`: what an organisation's own photos say about the encoder and its threshold.
//!
//! Every photo goes through the pipeline that serves and is compared with every other. Neither an
//! embedding nor a photo leaves the process: only rates, and the names of the pairs that stand out.

mod folder;
mod outcome;
mod page;
mod pictures;
mod recalibration;
mod summary;
mod words;

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use self::folder::Folder;
use self::outcome::Outcome;
use crate::config::{Config, EvaluateArgs};
use crate::engine::{Engine, Extraction};

/// Evaluates the photos of a folder, prints the summary and writes what was asked for.
///
/// # Errors
/// Where the folder holds too little to compare, a file cannot be read or written, a model fails, or
/// the photos support no calibration though one is asked for.
pub async fn run(config: &Config, args: &EvaluateArgs) -> anyhow::Result<()> {
    let folder = Folder::read(&args.dir)?;
    let options = config.engine_options()?;
    let engine = Engine::load(&options)?;
    let paths: Vec<_> = folder.photos.iter().map(|(_, path)| path).collect();
    let encoders = vec![engine.encoder().clone()];
    let found = super::photos::extract(&engine, &options, encoders, &paths).await?;
    let embeddings = found.into_iter().map(|found| found.map(Extraction::into_last)).collect();
    let (policy, now) = (config.policy(), super::wall_clock());
    let outcome = Outcome::of(engine.encoder(), &folder, embeddings, policy, args.target_fmr, now)?;
    summary::print(&outcome);
    if let Some(path) = &args.report {
        write(path, &page::html(&outcome))?;
        say(&format!("The report is {}.", path.display()));
    }
    if let Some(path) = &args.calibration_out {
        let Some(recalibration) = recalibration::of(&outcome) else {
            bail!(
                "no calibration is written: these photos support no threshold, see above; add people or photos"
            );
        };
        write(path, &recalibration.to_toml(&recalibration::comment(&outcome)))?;
        say(&format!("The calibration is {}. To use it:", path.display()));
        say(&format!("  {}", recalibration::command(&outcome, path)));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn say(line: &str) {
    println!("{line}");
}
