//! `likeness model check --pad`: describes a network for presentation attack detection, completes its manifest, and
//! tests it.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use toml_edit::{Array, DocumentMut, value};

use super::check::{ROUNDS, describe, say};
use super::draft::{
    has_golden, has_ranges, name_model, section, with_golden, with_golden_bytes, with_ranges,
};
use crate::cli::presentations;
use crate::config::{Config, ModelCheckArgs};
use crate::engine::{
    AttackNetwork, Engine, EngineOptions, Inspection, ModelSource, PadOptions, Precision,
};

/// Sizes of the crops that are guessed, for a network with so many.
const SIZES: [f64; 4] = [2.7, 4.0, 1.5, 6.0];

/// The correlation between the scores in floats and in 8 bits below which the ranges are not written.
const LEAST_CORRELATION: f64 = 0.98;

/// Prints the file's description, drafts the manifest or adds its golden output if missing, measures the ranges of its
/// maps if asked to, tests the network, and measures its time per face.
///
/// # Errors
/// If the network cannot judge presentations, with advice.
pub(super) async fn run(config: &Config, args: &ModelCheckArgs) -> anyhow::Result<()> {
    let file = &args.file;
    complete_manifest(file)?;
    if let Some(dir) = &args.calibrate {
        measure_ranges(config, file, dir).await?;
    }
    let network = AttackNetwork::load(&ModelSource::read(file)?)?;
    let text = fs::read_to_string(file.with_extension("toml"))?;
    say("precision", if has_ranges(&text) { "8 bits, by the ranges" } else { "as in the file" });
    say("self-test", "the golden output is reproduced");
    let time = 1e3 * network.time_a_face(ROUNDS)?.as_secs_f64();
    say("time", &format!("{time:.1} ms per face (median of {ROUNDS}, one thread)"));
    let usable = match network.thresholds() {
        Some(table) => {
            let rows = table.rows().iter();
            let rows = rows.map(|row| format!("{} at {:.2}", row.bpcer, row.score.value()));
            say("thresholds", &format!("BPCER {}", rows.collect::<Vec<_>>().join(", ")));
            format!("with --pad {}", file.display())
        }
        None => format!(
            "not yet: it has no thresholds; measure them with `likeness evaluate --pad DIR --pad-networks {} \
             --calibration-out FILE`",
            file.display()
        ),
    };
    say("usable", &usable);
    Ok(())
}

/// Describes the file, and drafts the manifest if there is none; adds the golden output if it is missing.
fn complete_manifest(file: &Path) -> anyhow::Result<()> {
    let onnx = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let inspection = Inspection::of(&onnx)?;
    describe(file, onnx.len(), &inspection);
    if !inspection.lacking.is_empty() {
        bail!("tract, which runs the networks, does not support {}", inspection.lacking.join(", "));
    }
    let path = file.with_extension("toml");
    let is_new = !path.exists();
    let text = if is_new {
        draft(&inspection, &file.file_stem().unwrap_or_default().to_string_lossy())?
    } else {
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?
    };
    if has_golden(&text) {
        say("manifest", &path.display().to_string());
        return Ok(());
    }
    let source = ModelSource::new(file.display().to_string(), onnx, text.clone());
    let text = with_golden(&text, &AttackNetwork::golden_output(&source)?)?;
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    let what = if is_new { "draft written; review it" } else { "golden output added" };
    say("manifest", &format!("{} ({what})", path.display()));
    Ok(())
}

/// Measures the ranges of the network's maps on photos, and writes them to the manifest if the network judges alike in
/// 8 bits.
async fn measure_ranges(config: &Config, file: &Path, dir: &Path) -> anyhow::Result<()> {
    let manifest = file.with_extension("toml");
    let text = fs::read_to_string(&manifest)?;
    let source = |text: &str| {
        anyhow::Ok(ModelSource::new(file.display().to_string(), fs::read(file)?, text.to_owned()))
    };
    let engine = |network, measures_ranges| {
        let pad =
            PadOptions { networks: vec![network], calibration: None, bpcer: None, measures_ranges };
        anyhow::Ok(Engine::load(&EngineOptions { pad: Some(pad), ..config.engine_options()? })?)
    };
    let in_floats = engine(source(&text)?, true)?;
    let floats = presentations::scores(&in_floats, dir).await?;
    let ranges = in_floats.attack_detector().map(|detector| detector.measured_ranges());
    let ranges = ranges.filter(|ranges| !ranges.is_empty());
    let ranges = ranges.context("this network has no maps in floats that could run in 8 bits")?;
    let text = with_ranges(&text, &ranges)?;
    let golden = source(&text)?.in_precision(Some(Precision::Bytes));
    let text = with_golden_bytes(&text, &AttackNetwork::golden_output(&golden)?)?;
    let bytes = presentations::scores(&engine(source(&text)?, false)?, dir).await?;
    let correlation = correlation(&floats, &bytes);
    let photos = floats.len();
    say("8 bits", &format!("correlation with floats {correlation:.4}, {photos} judged photos"));
    if correlation.is_nan() || correlation < LEAST_CORRELATION {
        bail!("8 bits change the scores of this network too much: no ranges are written");
    }
    fs::write(&manifest, text).with_context(|| format!("writing {}", manifest.display()))
}

/// Returns Pearson's correlation of pairs of scores; NaN if there are none, or if all are equal.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let product = |f: &dyn Fn(f64, f64) -> f64| {
        a.iter().zip(b).map(|(a, b)| f(a - mean_a, b - mean_b)).sum::<f64>()
    };
    product(&|a, b| a * b) / (product(&|a, _| a * a) * product(&|_, b| b * b)).sqrt()
}

/// Returns a manifest for a network, by the description in its file and usual conventions, without golden output and
/// thresholds.
///
/// # Errors
/// If its input is not one or several square crops of a photo in color, or its output not one vector.
fn draft(network: &Inspection, name: &str) -> anyhow::Result<String> {
    let [input] = network.inputs.as_slice() else {
        bail!("it has {} inputs, not one", network.inputs.len());
    };
    let (layout, side, channels) = match *input.shape.as_slice() {
        [_, Some(channels @ (3 | 6 | 9 | 12)), side, other] if side == other => {
            ("nchw", side, channels)
        }
        [_, side, other, Some(3)] if side == other => ("nhwc", side, 3),
        _ => bail!("its input is not one to four square crops of a photo in color: {input}"),
    };
    let [output] = network.outputs.as_slice() else {
        bail!("it has {} outputs, not one vector", network.outputs.len());
    };
    let classes = output.shape.iter().skip(1).copied().try_fold(1, |all, n| Some(all * n?));
    let classes =
        classes.with_context(|| format!("the length of its output is not known: {output}"))?;
    let mut document = DocumentMut::new();
    name_model(&mut document, network, name);
    let about = "\n# Pixels become (pixel - mean) * scale. What stands here, in [crop] and in [output] is a guess: compare\n\
                 # it with the training of the network, and if you change it, delete [golden].\n";
    let input = section(&mut document, "input", about);
    input["side"] = value(side.unwrap_or(80) as i64);
    input["channels"] = value(3);
    input["layout"] = value(layout);
    input["colour"] = value("rgb");
    input["mean"] = value([0.0; 3].into_iter().collect::<Array>());
    input["scale"] = value(1.0 / 255.0);
    let about = "\n# The size of each crop as a multiple of the face's box; shape: \"rectangle\" or \"square\"; border: \"inside\"\n\
                 # or \"mirror\"; antialiased: false for a network that was trained with OpenCV's resize.\n";
    let crop = section(&mut document, "crop", about);
    crop["sizes"] = value(SIZES.into_iter().take(channels / 3).collect::<Array>());
    crop["shape"] = value("square");
    crop["border"] = value("inside");
    crop["antialiased"] = value(true);
    let about =
        "\n# form: \"logits\" or \"probabilities\"; live: the index of the class of live faces.\n";
    let output = section(&mut document, "output", about);
    output["form"] = value("logits");
    output["live"] = value(i64::from(classes > 1));
    Ok(document.to_string())
}
