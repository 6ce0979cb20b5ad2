//! The use cases of operators and of the service's own upkeep.

use jiff::Timestamp;

use super::model_gallery::ModelGallery;
use super::{Backlog, Error, Recognizer};

impl Recognizer {
    /// Checks that the store responds, and that the galleries are current and can be searched.
    ///
    /// # Errors
    /// [`Error::OutOfStep`], [`Error::Search`], [`Error::Store`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.in_step()?;
        self.galleries.all().try_for_each(ModelGallery::is_alive)?;
        Ok(self.store.ping().await?)
    }

    /// Returns the number of photos in flight.
    pub fn photos_at_work(&self) -> usize {
        self.engine.photos_at_work()
    }

    /// Returns how often a caller has made five presentation attacks within three minutes.
    pub fn repeated_attacks(&self) -> u64 {
        self.attacks.repeated()
    }

    /// Returns how many photos a bulk client should send at once.
    pub fn at_once(&self) -> usize {
        self.engine.at_once()
    }

    /// Drops the events of the audit trail that are older than `before`, and returns their number.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn drop_events(&self, before: Timestamp) -> Result<u64, Error> {
        Ok(self.store.drop_events(before).await?)
    }

    /// Drops entries of the change feed that no replica needs.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn drop_changes(&self) -> Result<(), Error> {
        Ok(self.store.drop_changes().await?)
    }

    /// Refuses further decisions and waits until all events are in the audit trail, or in the log if the database stays
    /// unavailable.
    pub async fn end(&self) {
        self.journal.end().await;
    }

    /// Returns the number of events that are not in the audit trail.
    pub fn backlog(&self) -> Backlog {
        self.journal.backlog()
    }
}
