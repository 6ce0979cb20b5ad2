//! `likeness model check FILE --calibrate DIR`: measures an encoder's ranges, calibration and error rates, and
//! writes them to its manifest.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::draft;
use crate::cli::evaluate::LabeledPhotos;
use crate::config::Config;
use crate::engine::{Encoder, Engine, Inspection, ModelSource, Precision};
use crate::report::Report;

/// FMR to recommend a threshold for; the default of verification.
const TARGET_FMR: f64 = 1e-4;

/// The median of the cosines between an encoder's embeddings in floats and in 8 bits below which the ranges are not
/// written.
const LEAST_COSINE: f32 = 0.95;

/// Evaluates the encoder on labeled photos and writes calibration and error rates to its manifest. If
/// the manifest is a draft, each usual pixel convention is tried, and the one with the lowest minimum
/// Cllr is selected, which depends on no threshold and no calibration. If the manifest has no ranges of
/// the maps, they are measured too, and the encoder is evaluated in both precisions.
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
    let text = fs::read_to_string(&manifest)?;
    let calibration = Calibration { config, file, dir, engine: engine(config, file)? };
    let Measured { text, report } = match config.precision() {
        Some(Precision::Float) => calibration.select(network, &text).await?.in_floats(),
        _ if draft::has_ranges(&text) => calibration.in_both(&text).await?,
        _ => {
            let selected = calibration.select(network, &text).await?;
            calibration.in_bytes_if_close(selected).await?
        }
    };
    say(report.summary().trim_end());
    let measured = report.recalibration();
    let text = match &measured {
        Some(measured) => draft::with_calibration(&text, measured)?,
        None => text,
    };
    fs::write(&manifest, text).with_context(|| format!("writing {}", manifest.display()))?;
    if measured.is_none() {
        bail!("these photos support no threshold (see above); add people or photos");
    }
    say(&format!("Calibration and error rates were written to {}.", manifest.display()));
    Ok(())
}

/// A manifest, and the report on its encoder.
struct Measured {
    text: String,
    report: Report,
}

/// A manifest with its encoder in floats, and the report on it.
struct Selected {
    text: String,
    encoder: Arc<Encoder>,
    report: Report,
}

impl Selected {
    fn in_floats(self) -> Measured {
        Measured { text: self.text, report: self.report }
    }
}

/// What an encoder is evaluated with.
struct Calibration<'a> {
    config: &'a Config,
    file: &'a Path,
    dir: &'a Path,
    engine: Engine,
}

impl Calibration<'_> {
    /// Evaluates the manifest, or the drafts for each usual convention, in floats, and selects the best.
    async fn select(&self, network: &Inspection, text: &str) -> anyhow::Result<Selected> {
        let mut candidates = self.candidates(network, text)?;
        let encoders: Vec<_> = candidates.iter().map(|(_, _, encoder)| encoder.clone()).collect();
        let mut photos = LabeledPhotos::extract(&self.engine, &encoders, self.dir).await?;
        let mut best: Option<(f64, String, Selected)> = None;
        while let Some((name, text, encoder)) = candidates.pop() {
            let report = photos.report(&encoder, self.config.policy(), TARGET_FMR)?;
            let cllr = report.min_cllr();
            say(&format!("min. Cllr     {cllr:.3}  {name}"));
            if best.as_ref().is_none_or(|(least, ..)| cllr <= *least) {
                best = Some((cllr, name, Selected { text, encoder, report }));
            }
        }
        let (_, name, selected) = best.context("no manifest to evaluate")?;
        say(&format!("selected      {name}\n"));
        Ok(selected)
    }

    /// Returns the manifests to evaluate, each with its encoder, which measures the ranges of its maps: the
    /// existing one, or a draft for each usual convention.
    fn candidates(
        &self,
        network: &Inspection,
        text: &str,
    ) -> anyhow::Result<Vec<(String, String, Arc<Encoder>)>> {
        if !draft::is_a_guess(text) {
            let encoder = Encoder::measuring(&self.source(text)?)?;
            return Ok(vec![(
                "as the manifest says".to_owned(),
                text.to_owned(),
                Arc::new(encoder),
            )]);
        }
        let name = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let mut candidates = Vec::new();
        for convention in draft::conventions(network)? {
            let text = draft::manifest(network, &name, convention)?;
            let text = draft::with_golden(&text, &Encoder::golden_output(&self.source(&text)?)?)?;
            let encoder = Encoder::measuring(&self.source(&text)?)?;
            candidates.push((convention.name.to_owned(), text, Arc::new(encoder)));
        }
        Ok(candidates)
    }

    /// Adds the measured ranges to the selected manifest and evaluates it in 8 bits; leaves it in floats if the
    /// network has no maps, or if the embeddings would differ too much.
    async fn in_bytes_if_close(&self, selected: Selected) -> anyhow::Result<Measured> {
        let ranges = selected.encoder.measured_ranges();
        if ranges.is_empty() {
            return Ok(selected.in_floats());
        }
        let text = draft::with_ranges(&selected.text, &ranges)?;
        match self.in_both(&text).await {
            Ok(measured) => Ok(measured),
            Err(error) if error.is::<TooFar>() => {
                say(&format!("{error}: no ranges are written\n"));
                Ok(selected.in_floats())
            }
            Err(error) => Err(error),
        }
    }

    /// Evaluates a manifest with ranges in both precisions; returns it with the golden output in 8 bits, and the
    /// report in 8 bits.
    async fn in_both(&self, text: &str) -> anyhow::Result<Measured> {
        let in_bytes =
            |text: &str| anyhow::Ok(self.source(text)?.in_precision(Some(Precision::Bytes)));
        let text = draft::with_golden_bytes(text, &Encoder::golden_output(&in_bytes(text)?)?)?;
        let floats = self.source(&text)?.in_precision(Some(Precision::Float));
        let encoders = [Encoder::load(&floats)?, Encoder::load(&in_bytes(&text)?)?].map(Arc::new);
        let mut photos = LabeledPhotos::extract(&self.engine, &encoders, self.dir).await?;
        let mut cosines = photos.cosines();
        cosines.sort_by(f32::total_cmp);
        let of_rank = |share: f64| cosines[(share * (cosines.len() - 1) as f64) as usize];
        say("cosine of the embeddings of a photo in floats and in 8 bits:");
        say(&format!(
            "  median {:.4}, 1st percentile {:.4}, least {:.4}, {} photos\n",
            of_rank(0.5),
            of_rank(0.01),
            of_rank(0.0),
            cosines.len()
        ));
        if of_rank(0.5) < LEAST_COSINE {
            return Err(TooFar.into());
        }
        let mut report = |encoder| photos.report(encoder, self.config.policy(), TARGET_FMR);
        let (bytes, floats) = (report(&encoders[1])?, report(&encoders[0])?);
        say("in floats:");
        say(floats.summary().trim_end());
        say("\nin 8 bits:");
        Ok(Measured { text, report: bytes })
    }

    fn source(&self, text: &str) -> anyhow::Result<ModelSource> {
        Ok(ModelSource::new(self.file.display().to_string(), fs::read(self.file)?, text.to_owned()))
    }
}

/// The embeddings of both precisions are too far apart.
#[derive(Debug, thiserror::Error)]
#[error("8 bits change the embeddings of this network too much")]
struct TooFar;

/// Returns the engine that extracts the photos.
fn engine(config: &Config, file: &Path) -> anyhow::Result<Engine> {
    let mut options = config.engine_options()?;
    options.encoder = ModelSource::read(file)?.in_precision(Some(Precision::Float));
    (options.former_encoder, options.calibration) = (None, None);
    Ok(Engine::load(&options)?)
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn say(line: &str) {
    println!("{line}");
}
