//! `likeness model check`: describes an encoder file, completes its manifest, and tests it.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use super::draft;
use crate::comparison::{ErrorRate, ErrorRates};
use crate::config::{Config, ModelCheckArgs};
use crate::engine::{Encoder, Inspection, ModelSource, Port, Precision};

/// Number of timed runs.
pub(super) const ROUNDS: usize = 20;

/// Prints the file's description, drafts the manifest or adds its golden output if missing, tests the
/// encoder, and measures its time per face.
///
/// # Errors
/// If the encoder cannot serve, with advice.
pub(super) async fn run(config: &Config, args: &ModelCheckArgs) -> anyhow::Result<()> {
    let onnx = fs::read(&args.file).with_context(|| format!("reading {}", args.file.display()))?;
    let network = Inspection::of(&onnx)?;
    describe(&args.file, onnx.len(), &network);
    if !network.lacking.is_empty() {
        bail!(
            "tract, which runs the networks, does not support {}: export the model without these operators, with a lower opset or other layers",
            network.lacking.join(", ")
        );
    }
    let path = args.file.with_extension("toml");
    complete_manifest(&args.file, &path, onnx, &network)?;
    let source = ModelSource::read(&args.file)?.in_precision(config.precision());
    let encoder = Encoder::load(&source)?;
    let time = encoder.time_a_face(ROUNDS)?;
    let precision = match encoder.precision() {
        Precision::Float => "floats",
        Precision::Bytes => "8 bits",
    };
    say("precision", precision);
    say("self-test", "the golden output is reproduced");
    say(
        "time",
        &format!("{:.1} ms per face (median of {ROUNDS}, one thread)", 1e3 * time.as_secs_f64()),
    );
    if let Some(dir) = &args.calibrate {
        super::calibrate::run(config, &args.file, &network, dir).await?;
        return Ok(());
    }
    match encoder.error_rates() {
        Some(rates) => {
            table("error rates", rates);
            encoder.profile_error_rates().inspect(|rates| table("profiles", rates));
            say("usable", &format!("with --encoder {}", args.file.display()));
        }
        None => {
            say(
                "usable",
                "not yet: its error rates are unknown; measure them with --calibrate DIR",
            );
        }
    }
    Ok(())
}

fn table(what: &str, rates: &ErrorRates) {
    let row = |row: &ErrorRate| {
        let population = row.population.as_ref().map(|name| format!(" ({name})"));
        format!("{:e} at {:.2}{}", row.fmr, row.score, population.unwrap_or_default())
    };
    say(what, &format!("FMR {}", rates.rows().iter().map(row).collect::<Vec<_>>().join(", ")));
}

pub(super) fn describe(file: &Path, bytes: usize, network: &Inspection) {
    let ports = |ports: &[Port]| ports.iter().map(Port::to_string).collect::<Vec<_>>().join("; ");
    let counts = network.operators.iter().map(|(name, n)| format!("{name} {n}"));
    say("file", &format!("{}, {:.1} MB", file.display(), bytes as f64 / 1e6));
    say("SHA-256", &network.digest.to_string());
    say("input", &ports(&network.inputs));
    say("output", &ports(&network.outputs));
    say("operators", &counts.collect::<Vec<_>>().join(", "));
    let lacking = network.lacking.join(", ");
    say("unsupported", if lacking.is_empty() { "none" } else { &lacking });
}

/// Drafts the manifest if there is none; adds the golden output if it is missing.
fn complete_manifest(
    file: &Path,
    path: &Path,
    onnx: Vec<u8>,
    network: &Inspection,
) -> anyhow::Result<()> {
    let is_new = !path.exists();
    let text = if is_new {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let convention = &draft::conventions(network)?[0];
        draft::manifest(network, &name, convention)?
    } else {
        fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?
    };
    let (lacks_floats, lacks_bytes) = (!draft::has_golden(&text), draft::lacks_golden_bytes(&text));
    if !lacks_floats && !lacks_bytes {
        say("manifest", &path.display().to_string());
        return Ok(());
    }
    let source = ModelSource::new(file.display().to_string(), onnx, text.clone());
    let golden = |precision| Encoder::golden_output(&source.clone().in_precision(Some(precision)));
    let text =
        if lacks_floats { draft::with_golden(&text, &golden(Precision::Float)?)? } else { text };
    let text = if draft::lacks_golden_bytes(&text) {
        draft::with_golden_bytes(&text, &golden(Precision::Bytes)?)?
    } else {
        text
    };
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    let what = if is_new { "draft written; review it" } else { "golden output added" };
    say("manifest", &format!("{} ({what})", path.display()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub(super) fn say(what: &str, text: &str) {
    println!("{what:<12}  {text}");
}
