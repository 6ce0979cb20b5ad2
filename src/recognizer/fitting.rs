//! Keeps the thresholds fitted to the people enrolled.
//!
//! One task compares a sample of the people with each other whenever the gallery has changed. The store holds the tail
//! in use, so that every replica decides by the same one and a restart changes nothing. A new fit takes its place only
//! where the threshold moves by more than [`LEAST_SHIFT`]; the change is logged and written to the audit trail.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::model_gallery::{ModelGalleries, ModelGallery};
use crate::evaluation::Tail;
use crate::gallery::GalleryDigest;
use crate::store::{Store, StoreError};

/// How often the galleries and the store are looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// The most people that are compared with each other: 499,500 pairs, some 50 ms of one core.
const MOST_PEOPLE: usize = 1000;

/// The least shift of the verification threshold, in score, that replaces the tail in use: a fifth of the FMR.
const LEAST_SHIFT: f64 = 0.1;

/// Adopts the stored tails, fits those that are out of date and starts the task that goes on doing so until the
/// galleries are dropped.
///
/// # Errors
/// [`StoreError`] where the store cannot be read.
pub(super) async fn start(
    galleries: &Arc<ModelGalleries>,
    store: &Store,
    now: fn() -> Timestamp,
) -> Result<(), StoreError> {
    let mut seen = Seen::default();
    follow(galleries, store, &mut seen, now).await?;
    tokio::spawn(run(Arc::downgrade(galleries), store.clone(), seen, now));
    Ok(())
}

/// The digests of the galleries as last fitted, the former first.
#[derive(Default)]
struct Seen(Vec<Option<GalleryDigest>>);

async fn run(
    galleries: Weak<ModelGalleries>,
    store: Store,
    mut seen: Seen,
    now: fn() -> Timestamp,
) {
    let mut failed = false;
    loop {
        sleep(PERIOD).await;
        let Some(galleries) = galleries.upgrade() else { return };
        let outcome = follow(&galleries, &store, &mut seen, now).await;
        // A store that stays unavailable is reported once.
        if let Err(error) = outcome.as_ref()
            && !failed
        {
            tracing::warn!(%error, "the thresholds could not be fitted to the gallery: {error}");
        }
        failed = outcome.is_err();
    }
}

async fn follow(
    galleries: &ModelGalleries,
    store: &Store,
    seen: &mut Seen,
    now: fn() -> Timestamp,
) -> Result<(), StoreError> {
    seen.0.resize(galleries.all().count(), None);
    for (gallery, seen) in galleries.all().zip(&mut seen.0) {
        if gallery.thresholds.follow_the_gallery() {
            refit(gallery, store, seen, now).await?;
        }
    }
    Ok(())
}

/// Adopts the stored tail and replaces it if the gallery has changed and the threshold moves.
async fn refit(
    gallery: &ModelGallery,
    store: &Store,
    seen: &mut Option<GalleryDigest>,
    now: fn() -> Timestamp,
) -> Result<(), StoreError> {
    let stored = store.impostor_tail(gallery.model().id).await?;
    let tail = stored.and_then(|stored| stored.tail);
    if gallery.thresholds.shift(tail.as_ref()) > 0.0 {
        adopt(gallery, tail);
    }
    let digest = gallery.references.digest();
    if *seen == Some(digest) {
        return Ok(());
    }
    let fitted = fit(gallery).await;
    if gallery.thresholds.shift(fitted.as_ref()) > LEAST_SHIFT {
        let number = stored.map(|stored| stored.number);
        // Another replica may have been faster; its tail is adopted at the next look.
        if !store.replace_impostor_tail(gallery.model().id, number, fitted, now()).await? {
            return Ok(());
        }
        adopt(gallery, fitted);
    }
    *seen = Some(digest);
    Ok(())
}

fn adopt(gallery: &ModelGallery, tail: Option<Tail>) {
    let before = gallery.thresholds.verification();
    gallery.thresholds.adopt(tail);
    let after = gallery.thresholds.verification();
    tracing::info!(
        model = %gallery.model().id,
        people = tail.map(|tail| tail.people),
        "verification threshold {:.2}, was {:.2} (basis: {:?})",
        after.score.value(),
        before.score.value(),
        after.basis,
    );
}

/// Fits the tail of the gallery on a thread of its own; `None` where too few people are enrolled.
async fn fit(gallery: &ModelGallery) -> Option<Tail> {
    let (references, encoder) = (gallery.references.clone(), gallery.encoder.clone());
    let strictest = gallery.thresholds.strictest().value() as f32;
    #[expect(clippy::disallowed_methods, reason = "one at a time")]
    let work = tokio::task::spawn_blocking(move || {
        let (people, mut scores) = references.impostor_scores(MOST_PEOPLE, encoder.comparator());
        scores.retain(|one| one.score < strictest);
        Tail::fit(people, &mut scores)
    });
    work.await.ok().flatten()
}
