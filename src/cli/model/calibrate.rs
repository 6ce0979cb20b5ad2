//! `likeness model check FILE --calibrate DIR`: what an encoder's scores mean, measured and written down.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::draft;
use crate::cli::evaluate::outcome::Outcome;
use crate::cli::evaluate::{Photos, recalibration, summary};
use crate::config::Config;
use crate::engine::{Encoder, Engine, Inspection, ModelSource};

/// The rate that the summary recommends a threshold for: the one that verification is decided at by default.
const TARGET_FMR: f64 = 1e-4;

/// Judges the encoder on labelled photos and writes calibration and error rates into its manifest. Where
/// the manifest still guesses how pixels become numbers, every usual way is tried, and the one that tells
/// people apart best is taken: the least Cllr, which no threshold and no calibration goes into.
///
/// # Errors
/// Where the photos cannot be read or support no threshold, or a file cannot be written.
pub(super) async fn run(
    config: &Config,
    file: &Path,
    network: &Inspection,
    dir: &Path,
) -> anyhow::Result<()> {
    let manifest = file.with_extension("toml");
    let mut candidates = candidates(file, &manifest, network)?;
    let encoders: Vec<_> = candidates.iter().map(|(_, _, encoder)| encoder.clone()).collect();
    let mut options = config.engine_options()?;
    options.encoder = ModelSource::read(file)?;
    (options.former_encoder, options.calibration) = (None, None);
    let engine = Engine::load(&options)?;
    let mut photos = Photos::extract(&engine, &encoders, dir).await?;
    let mut best: Option<(f64, String, String, Outcome)> = None;
    while let Some((name, text, encoder)) = candidates.pop() {
        let outcome = photos.judge(&encoder, config.policy(), TARGET_FMR)?;
        let cllr = outcome.findings.calibration.min_cllr;
        say(&format!("min. Cllr     {cllr:.3}  {name}"));
        if best.as_ref().is_none_or(|(least, ..)| cllr <= *least) {
            best = Some((cllr, name, text, outcome));
        }
    }
    let (_, name, text, outcome) = best.context("no manifest to evaluate")?;
    say(&format!("selected      {name}\n"));
    summary::print(&outcome);
    let Some(measured) = recalibration::of(&outcome) else {
        bail!("these photos support no threshold (see above); add people or photos");
    };
    let text = draft::with_calibration(&text, &measured)?;
    fs::write(&manifest, text).with_context(|| format!("writing {}", manifest.display()))?;
    say(&format!("Calibration and error rates were written to {}.", manifest.display()));
    Ok(())
}

/// The manifests to judge: the one that is there, or one for each usual way, with the encoder of each.
fn candidates(
    file: &Path,
    manifest: &Path,
    network: &Inspection,
) -> anyhow::Result<Vec<(String, String, Arc<Encoder>)>> {
    let text = fs::read_to_string(manifest)?;
    let onnx = fs::read(file)?;
    let source =
        |text: &str| ModelSource::new(file.display().to_string(), onnx.clone(), text.to_owned());
    if !draft::is_a_guess(&text) {
        let encoder = Encoder::load(&source(&text))?;
        return Ok(vec![("as the manifest says".to_owned(), text, Arc::new(encoder))]);
    }
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut candidates = Vec::new();
    for convention in draft::conventions(network)? {
        let text = draft::manifest(network, &name, convention)?;
        let text = draft::with_golden(&text, &Encoder::golden_output(&source(&text))?)?;
        let encoder = Encoder::load(&source(&text))?;
        candidates.push((convention.name.to_owned(), text, Arc::new(encoder)));
    }
    Ok(candidates)
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn say(line: &str) {
    println!("{line}");
}
