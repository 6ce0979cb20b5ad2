//! `likeness score`: every photo of a list against every other, through the pipeline that serves.
//!
//! It is how models are calibrated and judged: only scores leave it, never an embedding.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;

use super::photos;
use crate::config::{Config, ScoreArgs};
use crate::embedding::Embedding;
use crate::engine::{Engine, ExtractError};

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
    let mut embeddings = Vec::with_capacity(paths.len());
    for (path, embedding) in paths.iter().zip(photos::embed(&engine, &options, &paths).await?) {
        embeddings.push(embedding.inspect_err(|refusal| refused(path, refusal)).ok());
    }
    write_matrix(&engine, &embeddings, &args.out)
        .with_context(|| format!("writing {}", args.out.display()))
}

fn write_matrix(
    engine: &Engine,
    embeddings: &[Option<Embedding>],
    path: &Path,
) -> std::io::Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    for a in embeddings {
        for b in embeddings {
            let score = match (a, b) {
                (Some(a), Some(b)) => engine.encoder().comparator().compare(a, b).value() as f32,
                _ => f32::NAN,
            };
            file.write_all(&score.to_le_bytes())?;
        }
    }
    file.flush()
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn refused(path: &str, refusal: &ExtractError) {
    println!("{path}\t{refusal}");
}
