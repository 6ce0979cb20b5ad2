//! Many photos through the pipeline that serves, as fast as the cores allow.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Semaphore;

use crate::embedding::Embedding;
use crate::engine::{Encoder, Engine, ExtractError, Extraction, Role};

/// A photo on either side of a comparison.
#[derive(Debug)]
pub(super) struct Sides {
    pub(super) reference: Embedding,
    pub(super) probe: Embedding,
}

impl Sides {
    /// What the last encoder that is still there made of a photo; takes it out.
    pub(super) fn pop(extraction: &mut Extraction) -> Self {
        let mut embedding = || extraction.embeddings.pop().expect("two of each encoder");
        let (probe, reference) = (embedding(), embedding());
        Self { reference, probe }
    }
}

/// What was found in each photo, with a reference and a probe by each of the encoders, or why it is refused; a
/// bar on the terminal shows how far it is.
///
/// # Errors
/// Where a file cannot be read or a model fails.
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
