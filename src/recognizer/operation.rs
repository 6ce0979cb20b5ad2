//! What an operator asks of a running service, and has it do.

use jiff::Timestamp;

use super::model_gallery::ModelGallery;
use super::{Backlog, Error, Recognizer};

impl Recognizer {
    /// Whether the store still answers, and the galleries are in step with it and can be searched.
    ///
    /// # Errors
    /// [`Error::OutOfStep`], [`Error::Search`], [`Error::Store`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.in_step()?;
        self.galleries.all().try_for_each(ModelGallery::is_alive)?;
        Ok(self.store.ping().await?)
    }

    /// How many photos are worked on, or wait for it.
    pub fn photos_at_work(&self) -> usize {
        self.engine.photos_at_work()
    }

    /// How many photos to send at once, for whoever has many.
    pub fn at_once(&self) -> usize {
        self.engine.at_once()
    }

    /// Drops the events of the audit trail that are older than `before`; how many.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn drop_events(&self, before: Timestamp) -> Result<u64, Error> {
        Ok(self.store.drop_events(before).await?)
    }

    /// Drops what the change feed need not tell any more.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn drop_changes(&self) -> Result<(), Error> {
        Ok(self.store.drop_changes().await?)
    }

    /// Decides nothing more, and waits until every decision's event is in the audit trail; where the database stays
    /// locked or away for so long that they are given up, the log holds them.
    pub async fn end(&self) {
        self.journal.end().await;
    }

    /// How many events are not in the audit trail.
    pub fn backlog(&self) -> Backlog {
        self.journal.backlog()
    }
}
