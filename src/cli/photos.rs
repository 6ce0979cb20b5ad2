//! Extracts embeddings from many photos in parallel, by the serving pipeline.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Semaphore;

use crate::embedding::Embedding;
use crate::engine::{Encoder, Engine, ExtractError, Extraction, Role};

/// The embeddings of a photo as a reference and as a probe.
#[derive(Debug)]
pub(super) struct Sides {
    pub(super) reference: Embedding,
    pub(super) probe: Embedding,
}

impl Sides {
    /// Removes and returns the embeddings of the last remaining encoder.
    pub(super) fn pop(extraction: &mut Extraction) -> Self {
        let mut embedding = || extraction.embeddings.pop().expect("two of each encoder");
        let (probe, reference) = (embedding(), embedding());
        Self { reference, probe }
    }
}

/// Extracts from each photo a reference and a probe for each encoder, or returns why it is refused;
/// shows a progress bar.
///
/// # Errors
/// If a file cannot be read or a model fails.
pub(super) async fn extract(
    engine: &Engine,
    encoders: &[Arc<Encoder>],
    paths: &[impl AsRef<Path>],
) -> anyhow::Result<Vec<Result<Extraction, ExtractError>>> {
    let asked: Vec<_> = encoders
        .iter()
        .flat_map(|e| [(e.clone(), Role::Reference), (e.clone(), Role::Probe)])
        .collect();
    let at_once = Arc::new(Semaphore::new(engine.at_once()));
    let bar = super::bar(paths.len() as u64, "photos");
    let mut tasks = Vec::with_capacity(paths.len());
    for path in paths {
        let path = path.as_ref();
        let turn = at_once.clone().acquire_owned().await?;
        let photo = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let (engine, asked, bar) = (engine.clone(), asked.clone(), bar.clone());
        tasks.push(tokio::spawn(async move {
            let extraction = engine.extract(&engine.permit()?, photo.into(), asked).await;
            drop(turn);
            bar.inc(1);
            extraction
        }));
    }
    let mut found = Vec::with_capacity(paths.len());
    for (path, task) in paths.iter().zip(tasks) {
        found.push(match task.await? {
            Err(error @ (ExtractError::Busy | ExtractError::Engine(_))) => {
                let failed = || format!("encoding {}", path.as_ref().display());
                return Err(error).with_context(failed);
            }
            found => found,
        });
    }
    bar.finish_and_clear();
    Ok(found)
}
