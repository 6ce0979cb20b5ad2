//! `likeness model check FILE --calibrate DIR`: measures an encoder's calibration and error rates, and
//! writes them to its manifest.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::draft;
use crate::cli::evaluate::LabeledPhotos;
use crate::config::Config;
use crate::engine::{Encoder, Engine, Inspection, ModelSource};
use crate::report::Report;

/// FMR to recommend a threshold for; the default of verification.
const TARGET_FMR: f64 = 1e-4;

/// Evaluates the encoder on labeled photos and writes calibration and error rates to its manifest. If
/// the manifest is a draft, each usual pixel convention is tried, and the one with the lowest minimum
/// Cllr is selected, which depends on no threshold and no calibration.
///
/// # Errors
/// If the photos cannot be read or support no threshold, or a file cannot be written.
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
    let mut photos = LabeledPhotos::extract(&engine, &encoders, dir).await?;
    let mut best: Option<(f64, String, String, Report)> = None;
    while let Some((name, text, encoder)) = candidates.pop() {
        let report = photos.report(&encoder, config.policy(), TARGET_FMR)?;
        let cllr = report.min_cllr();
        say(&format!("min. Cllr     {cllr:.3}  {name}"));
        if best.as_ref().is_none_or(|(least, ..)| cllr <= *least) {
            best = Some((cllr, name, text, report));
        }
    }
    let (_, name, text, report) = best.context("no manifest to evaluate")?;
    say(&format!("selected      {name}\n"));
    say(report.summary().trim_end());
    let Some(measured) = report.recalibration() else {
        bail!("these photos support no threshold (see above); add people or photos");
    };
    let text = draft::with_calibration(&text, &measured)?;
    fs::write(&manifest, text).with_context(|| format!("writing {}", manifest.display()))?;
    say(&format!("Calibration and error rates were written to {}.", manifest.display()));
    Ok(())
}

/// Returns the manifests to evaluate, each with its encoder: the existing one, or a draft for each usual
/// convention.
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
