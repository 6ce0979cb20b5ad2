//! `likeness evaluate`: what an organisation's own photos say about the encoder and its threshold.
//!
//! Every photo goes through the pipeline that serves and is compared with every other, the first of two as the
//! reference. Neither an
//! embedding nor a photo leaves the process: only rates, and the names of the pairs that stand out.

pub(super) mod outcome;
mod page;
mod pictures;
pub(super) mod recalibration;
pub(super) mod summary;
mod words;

use std::fs;
use std::path::Path;
use std::slice;
use std::sync::Arc;

use anyhow::{Context, bail};

use self::outcome::Outcome;
use super::labeled_folder::LabeledFolder;
use super::photos::Sides;
use crate::config::{Config, EvaluateArgs};
use crate::engine::{Encoder, Engine, ExtractError, Extraction};
use crate::recognizer::Policy;

/// Evaluates the photos of a folder, prints the summary and writes what was asked for.
///
/// # Errors
/// Where the folder holds too little to compare, a file cannot be read or written, a model fails, or
/// the photos support no calibration though one is asked for.
pub async fn run(config: &Config, args: &EvaluateArgs) -> anyhow::Result<()> {
    let options = config.engine_options()?;
    let engine = Engine::load(&options)?;
    let encoder = engine.encoder();
    let mut photos = Photos::extract(&engine, slice::from_ref(encoder), &args.dir).await?;
    let outcome = photos.judge(encoder, config.policy(), args.target_fmr)?;
    summary::print(&outcome);
    if let Some(path) = &args.report {
        write(path, &page::html(&outcome))?;
        say(&format!("Report written to {}.", path.display()));
    }
    if let Some(path) = &args.calibration_out {
        let Some(recalibration) = recalibration::of(&outcome) else {
            bail!(
                "no calibration was written: these photos support no threshold (see above); add people or photos"
            );
        };
        write(path, &recalibration.to_toml(&recalibration::comment(&outcome)))?;
        say(&format!("Calibration written to {}. To use it:", path.display()));
        say(&format!("  {}", recalibration::command(&outcome, path)));
    }
    Ok(())
}

/// The photos of a folder, and what was found in each.
pub(super) struct Photos {
    folder: LabeledFolder,
    found: Vec<Result<Extraction, ExtractError>>,
}

impl Photos {
    /// Lets every encoder encode every photo.
    pub(super) async fn extract(
        engine: &Engine,
        encoders: &[Arc<Encoder>],
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let folder = LabeledFolder::read(dir)?;
        let paths: Vec<_> = folder.photos.iter().map(|(_, path)| path).collect();
        let found = super::photos::extract(engine, encoders, &paths).await?;
        Ok(Self { folder, found })
    }

    /// What the embeddings of the last encoder that is still there say of it; takes them out.
    pub(super) fn judge(
        &mut self,
        encoder: &Encoder,
        policy: Policy,
        target_fmr: f64,
    ) -> anyhow::Result<Outcome> {
        let sides = self.found.iter_mut().map(|found| match found {
            Ok(extraction) => Ok(Sides::pop(extraction)),
            Err(refusal) => Err(&*refusal),
        });
        let sides = sides.collect();
        Outcome::of(encoder, &self.folder, sides, policy, target_fmr, super::wall_clock())
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn say(line: &str) {
    println!("{line}");
}
