//! `likeness score`: every photo of a list against every other, through the pipeline that serves.
//!
//! It is how models are calibrated and judged: only scores leave it, never an embedding.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Semaphore;

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
    let embeddings = embed(&engine, options.workers, &paths).await?;
    write_matrix(&engine, &embeddings, &args.out)
        .with_context(|| format!("writing {}", args.out.display()))
}

/// One embedding a photo, `None` for the refused.
async fn embed(
    engine: &Engine,
    at_once: usize,
    paths: &[&str],
) -> anyhow::Result<Vec<Option<Embedding>>> {
    let places = Arc::new(Semaphore::new(at_once));
    let mut tasks = Vec::with_capacity(paths.len());
    for (done, path) in paths.iter().enumerate() {
        let place = places.clone().acquire_owned().await?;
        let photo = fs::read(path).with_context(|| format!("reading {path}"))?;
        let engine = engine.clone();
        tasks.push(tokio::spawn(async move {
            let encoder = engine.encoder().clone();
            let extraction = engine.extract(photo.into(), vec![encoder]).await;
            drop(place);
            extraction
        }));
        progress(done + 1, paths.len());
    }
    let mut embeddings = Vec::with_capacity(paths.len());
    for (path, task) in paths.iter().zip(tasks) {
        embeddings.push(match task.await? {
            Ok(mut extraction) => extraction.embeddings.pop(),
            Err(error @ (ExtractError::Busy | ExtractError::Engine(_))) => {
                return Err(error).with_context(|| format!("scoring {path}"));
            }
            Err(refusal) => {
                refused(path, &refusal);
                None
            }
        });
    }
    Ok(embeddings)
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

fn progress(done: usize, of: usize) {
    if done.is_multiple_of(50) || done == of {
        eprint!("\r{done} of {of} photos{}", if done == of { "\n" } else { "" });
    }
}
