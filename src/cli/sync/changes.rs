//! Photos of the enrolled that are others than those that were enrolled. No photo is kept, so what is compared is
//! what the encoder makes of it; and only of files that were written since the enrollment, since all would take hours.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Semaphore;

use crate::cli::staff::{Joiner, read_photo};
use crate::recognizer::{Code, Error, Recognizer};

/// Of some photos those that are not the enrolled ones, or show nobody any more; so many at once.
///
/// # Errors
/// Where the service's own side fails.
pub(super) async fn changed_photos(
    recognizer: &Recognizer,
    photos: &[Joiner],
) -> anyhow::Result<Vec<Joiner>> {
    let places = Arc::new(Semaphore::new(recognizer.at_once()));
    let bar = crate::cli::bar(photos.len() as u64, "newer photos");
    let mut tasks = Vec::with_capacity(photos.len());
    for photo in photos {
        let place = places.clone().acquire_owned().await?;
        // A file that has gone since is none that could be compared.
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
            // With an encoder that does not run nothing can be compared.
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
