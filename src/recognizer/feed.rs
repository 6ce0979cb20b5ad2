//! Keeps the galleries current with a store that others write to, by its change feed.
//!
//! Every change of a gallery arrives by the feed, this process's own changes too, so that the galleries pass through the
//! states of the store in their order. A gallery that has not heard from the feed for a second is stale, and requests
//! get an error until it has caught up and its digest matches that of the store.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::error::Error;
use super::model_gallery::{LoadError, ModelGalleries, ModelGallery};
use super::searcher::SearchEnded;
use crate::seal::{DoesNotOpen, Sealer};
use crate::store::{Change, ChangeListener, Changes, FeedSnapshot, Store, StoreError};

/// Maximum age of a confirmed gallery.
const IN_STEP: Duration = Duration::from_secs(1);

/// Poll interval when no NOTIFY arrives.
const ROUND: Duration = Duration::from_millis(200);

/// Time limit for a page of the feed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time limit for digesting or loading all templates.
const LONG_PATIENCE: Duration = Duration::from_mins(10);

/// Delay before LISTEN is re-established.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// Proof that the galleries matched a state of the store of less than a second ago.
#[derive(Clone, Debug)]
pub(super) struct InStep(Option<(Feed, Confirmed)>);

impl InStep {
    /// For a store that only this process writes to.
    pub(super) const ALWAYS: Self = Self(None);

    /// Checks that the state is still as recent, and that the galleries have been current since.
    ///
    /// # Errors
    /// [`Error::OutOfStep`].
    pub(super) fn holds(&self) -> Result<(), Error> {
        let Some((feed, proven)) = &self.0 else { return Ok(()) };
        let present = *feed.inner.confirmed();
        if proven.holds(present) { Ok(()) } else { Err(Error::OutOfStep) }
    }
}

/// When the galleries were last confirmed to be current.
#[derive(Clone, Copy, Debug, Default)]
struct Confirmed {
    /// Time of the query whose result they match; `None` while they are stale.
    at: Option<Instant>,
    /// Number of times that they became stale.
    generation: u64,
}

impl Confirmed {
    fn is_young(&self) -> bool {
        self.at.is_some_and(|at| at.elapsed() <= IN_STEP)
    }

    /// Returns whether an earlier confirmation is still valid.
    fn holds(self, present: Self) -> bool {
        self.is_young() && self.generation == present.generation
    }

    fn lapse(&mut self) {
        self.at = None;
        self.generation += 1;
    }
}

/// Why the change feed cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// After a reload the galleries do not match the store.
    #[error("the gallery does not match the database: a data key is missing")]
    Differs,
    /// The database does not respond.
    #[error("the database does not respond")]
    Silent,
    /// The reload failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The search thread of a gallery has failed.
    #[error(transparent)]
    Search(#[from] SearchEnded),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A template cannot be decrypted.
    #[error(transparent)]
    Template(#[from] DoesNotOpen),
}

/// Follows the change feed; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    sealer: Sealer,
    galleries: Arc<ModelGalleries>,
    /// How far the feed has been read. Held while a gallery changes.
    read: Mutex<u64>,
    confirmed: std::sync::Mutex<Confirmed>,
}

impl Feed {
    /// Follows the feed after the number `read`, from before the galleries were loaded, until the last clone is dropped.
    ///
    /// # Errors
    /// [`FollowError`].
    pub(super) async fn start(
        store: Store,
        sealer: Sealer,
        galleries: Arc<ModelGalleries>,
        read: u64,
    ) -> Result<Self, FollowError> {
        let (read, confirmed) = (Mutex::new(read), std::sync::Mutex::default());
        let inner = Arc::new(Inner { store, sealer, galleries, read, confirmed });
        inner.follow().await?;
        tokio::spawn(keep_following(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// Returns proof that the galleries are current.
    ///
    /// # Errors
    /// [`Error::OutOfStep`].
    pub(super) fn in_step(&self) -> Result<InStep, Error> {
        let confirmed = *self.inner.confirmed();
        if !confirmed.is_young() {
            return Err(Error::OutOfStep);
        }
        Ok(InStep(Some((self.clone(), confirmed))))
    }

    /// Returns how far the feed has been read.
    pub(super) async fn read(&self) -> u64 {
        *self.inner.read.lock().await
    }

    /// Applies this process's own change to the galleries; if that fails, they are stale.
    pub(super) async fn follow(&self) {
        if let Err(error) = self.inner.follow().await {
            tracing::warn!(%error, "an acknowledged change is not in the gallery yet: recognition is suspended");
            self.inner.lapse();
        }
    }
}

impl Inner {
    fn confirmed(&self) -> MutexGuard<'_, Confirmed> {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Voids all proofs.
    fn lapse(&self) {
        self.confirmed().lapse();
    }

    /// Brings the galleries to the present state of the store.
    async fn follow(&self) -> Result<(), FollowError> {
        let mut read = self.read.lock().await;
        let is_young = self.confirmed().is_young();
        if !is_young {
            self.prove(&mut read).await?;
        }
        loop {
            let asked = Instant::now();
            match patient(PATIENCE, self.store.changes(*read)).await? {
                Changes::Gap => self.prove(&mut read).await?,
                Changes::Next { changes, more } => {
                    self.apply(changes, &mut read).await?;
                    if !more {
                        self.confirmed().at = Some(asked);
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Catches up and compares the digests; reloads everything if they differ.
    async fn prove(&self, read: &mut u64) -> Result<(), FollowError> {
        if self.is_proven(read).await? {
            return Ok(());
        }
        tracing::warn!("the gallery is too far behind the database: reloading it");
        self.lapse();
        *read = patient(PATIENCE, self.store.last_change()).await?;
        for gallery in self.galleries.all() {
            let load = gallery.load(&self.store, &self.sealer, true);
            timeout(LONG_PATIENCE, load).await.map_err(|_| FollowError::Silent)??;
        }
        if self.is_proven(read).await? { Ok(()) } else { Err(FollowError::Differs) }
    }

    async fn is_proven(&self, read: &mut u64) -> Result<bool, FollowError> {
        let FeedSnapshot { changes, digests } =
            patient(LONG_PATIENCE, self.store.feed_snapshot(*read)).await?;
        let Changes::Next { changes, .. } = changes else { return Ok(false) };
        self.apply(changes, read).await?;
        let is_whole = |gallery: &ModelGallery| {
            gallery.references.digest()
                == digests.get(&gallery.model().id).copied().unwrap_or_default()
        };
        Ok(self.galleries.all().all(is_whole))
    }

    async fn apply(&self, changes: Vec<Change>, read: &mut u64) -> Result<(), FollowError> {
        for Change { number, employee, present } in changes {
            let model = present.as_ref().map(|(model, _)| *model);
            let of_model = |gallery: &&ModelGallery| Some(gallery.model().id) == model;
            // Inserted first, then removed: an employee re-enrolled with another encoder is always in one.
            if let Some((_, kept)) = present
                && let Some(gallery) = self.galleries.all().find(of_model)
                && let Some((enrolled, reference)) = gallery.open(&self.sealer, kept)?
            {
                gallery.insert(enrolled, reference).await?;
            }
            for gallery in self.galleries.all().filter(|gallery| !of_model(gallery)) {
                gallery.remove(&employee).await?;
            }
            *read = number;
        }
        Ok(())
    }
}

async fn patient<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, FollowError> {
    Ok(timeout(patience, asked).await.map_err(|_| FollowError::Silent)??)
}

async fn keep_following(inner: std::sync::Weak<Inner>) {
    let mut lost = false;
    let mut listener = None;
    let mut listener_tried = None::<Instant>;
    while let Some(inner) = inner.upgrade() {
        match (inner.follow().await, lost) {
            (Ok(()), true) => {
                tracing::info!("the gallery is current again");
                lost = false;
            }
            (Err(error), false) => {
                tracing::warn!(%error, "the change feed is lost: recognition is suspended until it is restored");
                lost = true;
            }
            _ => {}
        }
        if listener.is_none() && listener_tried.is_none_or(|at| at.elapsed() > LISTEN_AGAIN) {
            listener_tried = Some(Instant::now());
            listener = connect_listener(&inner.store).await;
        }
        drop(inner);
        if !wait(&mut listener).await {
            listener = None;
        }
    }
}

/// Without a listener the feed is polled.
async fn connect_listener(store: &Store) -> Option<ChangeListener> {
    match timeout(ROUND, store.listener()).await {
        Ok(Ok(listener)) => listener,
        Ok(Err(_)) | Err(_) => None,
    }
}

/// Waits for the next poll, or until a notification arrives; returns `false` if the listener is lost.
async fn wait(listener: &mut Option<ChangeListener>) -> bool {
    let Some(listener) = listener else {
        tokio::time::sleep(ROUND).await;
        return true;
    };
    match timeout(ROUND, listener.changed()).await {
        Ok(rung) => rung.is_ok(),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proof_is_void_after_the_gallery_became_stale() {
        let mut present = Confirmed { at: Some(Instant::now()), generation: 0 };
        let proof = present;
        present.at = Some(Instant::now());
        assert!(proof.holds(present), "confirmed again, it still holds");
        present.lapse();
        assert!(!proof.holds(present));
        present.at = Some(Instant::now());
        assert!(!proof.holds(present), "current again, but perhaps with another gallery");
        assert!(present.holds(present));
    }

    #[test]
    fn proof_expires() {
        let Some(long_ago) = Instant::now().checked_sub(2 * IN_STEP) else { return };
        let old = Confirmed { at: Some(long_ago), generation: 0 };
        assert!(!old.holds(old));
    }
}
