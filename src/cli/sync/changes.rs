//! Detection of changed photos of enrolled employees. No photo is stored, so the embeddings are
//! compared, and only of files modified since the enrollment, since all would take hours.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Semaphore;

use crate::cli::staff::{Joiner, read_photo};
use crate::recognizer::{Code, Error, Recognizer};

/// Returns the photos that differ from the enrolled ones or no longer show a face.
///
/// # Errors
/// If the service fails.
pub(super) async fn changed_photos(
    recognizer: &Recognizer,
    photos: &[Joiner],
) -> anyhow::Result<Vec<Joiner>> {
    let places = Arc::new(Semaphore::new(recognizer.at_once()));
    let bar = crate::cli::bar(photos.len() as u64, "newer photos");
    let mut tasks = Vec::with_capacity(photos.len());
    for photo in photos {
        let place = places.clone().acquire_owned().await?;
        // A file that was removed since cannot be compared.
        let Ok(bytes) = read_photo(&photo.photo) else { continue };
        let (recognizer, bar, photo) = (recognizer.clone(), bar.clone(), photo.clone());
        tasks.push(tokio::spawn(async move {
            let now = crate::cli::wall_clock();
            let same = recognizer.was_made_of(&photo.employee, bytes.into(), now).await;
            drop(place);
            bar.inc(1);
            (photo, same)
        }));
    }
    let mut changed = Vec::new();
    for task in tasks {
        match task.await? {
            // Without the template's encoder, nothing can be compared.
            (_, Ok(true) | Err(Error::NotEnrolled)) => {}
            (photo, Err(error)) if error.code() == Code::Internal => {
                return Err(error).with_context(|| format!("reading {}", photo.photo.display()));
            }
            (photo, Ok(false) | Err(_)) => changed.push(photo),
        }
    }
    bar.finish_and_clear();
    Ok(changed)
}
