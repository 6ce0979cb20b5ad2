//! `likeness score`: compares each photo of a list, as a reference, with each photo as a probe.
//!
//! The photos go through the serving pipeline. Models and quality limits are calibrated on the output,
//! which contains scores and quality measures, but no embedding.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::slice;

use anyhow::Context;

use super::photos::{self, Sides};
use crate::config::{Config, ScoreArgs};
use crate::engine::{Engine, Extraction};
use crate::quality::Quality;
use crate::recognizer;

/// Writes the score matrix, and a line `path<TAB>reason` for each refused photo to standard output.
///
/// # Errors
/// If a file cannot be read or written, or a model fails.
pub async fn run(config: &Config, args: &ScoreArgs) -> anyhow::Result<()> {
    let options = config.engine_options()?;
    let engine = Engine::load(&options)?;
    let list = fs::read_to_string(&args.photos)
        .with_context(|| format!("reading {}", args.photos.display()))?;
    let paths: Vec<&str> = list.lines().filter(|line| !line.is_empty()).collect();
    let found = photos::extract(&engine, slice::from_ref(engine.encoder()), &paths).await?;
    let mut found: Vec<_> =
        found.into_iter().map(|found| found.map_err(recognizer::Error::from)).collect();
    for (path, found) in paths.iter().zip(&found) {
        if let Err(refusal) = found {
            refused(path, refusal);
        }
    }
    if let Some(file) = &args.quality {
        write_quality(&paths, &found, file)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    let sides: Vec<_> = found.iter_mut().map(|found| found.as_mut().ok().map(Sides::pop)).collect();
    write_matrix(&engine, &sides, &args.out)
        .with_context(|| format!("writing {}", args.out.display()))
}

/// Writes one CSV row per photo: path, code of the refusal, measures, reasons.
fn write_quality(
    paths: &[&str],
    found: &[Result<Extraction, recognizer::Error>],
    file: &Path,
) -> csv::Result<()> {
    let mut table = csv::Writer::from_path(file)?;
    let header = ["path", "code"].into_iter().chain(Quality::MEASURES).chain(["reasons"]);
    table.write_record(header)?;
    for (path, found) in paths.iter().zip(found) {
        let (code, measures, reasons) = match found {
            Ok(Extraction { quality, .. }) => {
                let measures = quality.measures().map(|value| format!("{value:.4}"));
                let reasons: Vec<_> = quality.reasons().iter().map(|r| r.code()).collect();
                ("", measures, reasons.join(" "))
            }
            Err(refusal) => {
                let code = refusal.code().as_str();
                (code, Default::default(), String::new())
            }
        };
        let measures = measures.iter().map(String::as_str);
        table.write_record([*path, code].into_iter().chain(measures).chain([&*reasons]))?;
    }
    Ok(table.flush()?)
}

/// Writes the scores as little-endian 32-bit floats, one row per reference, one column per probe; NaN
/// for a refused photo.
fn write_matrix(engine: &Engine, photos: &[Option<Sides>], path: &Path) -> std::io::Result<()> {
    let comparator = engine.encoder().comparator();
    let mut file = BufWriter::new(fs::File::create(path)?);
    for a in photos {
        for b in photos {
            let score = match (a, b) {
                (Some(a), Some(b)) => comparator.compare(&a.reference, &b.probe).value() as f32,
                _ => f32::NAN,
            };
            file.write_all(&score.to_le_bytes())?;
        }
    }
    file.flush()
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn refused(path: &str, refusal: &recognizer::Error) {
    println!("{path}\t{refusal}");
}
