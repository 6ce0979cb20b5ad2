//! `likeness score`: every photo of a list as a reference against every one as a probe, through the pipeline that serves.
//!
//! It is how models and the limits of quality are calibrated and judged: scores and measures leave
//! it, never an embedding.

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

/// Writes the matrix of scores, and for each refused photo a line `path<TAB>reason` to standard output.
///
/// # Errors
/// Where a file cannot be read or written, or a model fails.
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

/// A line a photo, after one of titles: path, code of the refusal, measures, reasons.
fn write_quality(
    paths: &[&str],
    found: &[Result<Extraction, recognizer::Error>],
    file: &Path,
) -> std::io::Result<()> {
    let mut file = BufWriter::new(fs::File::create(file)?);
    writeln!(file, "path,code,{},reasons", Quality::MEASURES.join(","))?;
    for (path, found) in paths.iter().zip(found) {
        let path = format!("\"{}\"", path.replace('"', "\"\""));
        match found {
            Ok(Extraction { quality, .. }) => {
                let measures = quality.measures().map(|value| format!("{value:.4}"));
                let reasons: Vec<_> = quality.reasons().iter().map(|r| r.code()).collect();
                writeln!(file, "{path},,{},{}", measures.join(","), reasons.join(" "))?;
            }
            Err(refusal) => {
                let code = refusal.code().as_str();
                let nothing = ",".repeat(Quality::MEASURES.len());
                writeln!(file, "{path},{code}{nothing},")?;
            }
        }
    }
    file.flush()
}

/// A row a reference, a column a probe.
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
