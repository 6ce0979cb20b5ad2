//! Use cases for synchronization with a staff list: expiry, and whether a reference was created from a photo.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::{Call, Error, Recognizer, last};
use crate::employee::EmployeeId;
use crate::engine::{Extraction, Role};

/// Tolerance of two scores of one photo: their last digits depend on the processor.
const SAME_PHOTO: f64 = 0.01;

/// Returns the expiry that a requested one becomes, bounded by the longest enrollment.
pub fn bounded_expiry(
    enrolled_at: Timestamp,
    asked: Option<Timestamp>,
    longest: Option<SignedDuration>,
) -> Option<Timestamp> {
    let latest = longest.and_then(|time| enrolled_at.checked_add(time).ok());
    asked.into_iter().chain(latest).min()
}

impl Recognizer {
    /// Returns the maximum duration of an enrollment.
    pub fn longest_enrollment(&self) -> Option<SignedDuration> {
        self.longest_enrollment
    }

    /// Changes or removes the expiry of an enrollment.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`]; those of the store.
    pub async fn change_expiry(
        &self,
        employee: &EmployeeId,
        expires_at: Option<Timestamp>,
        call: &Call,
    ) -> Result<(), Error> {
        let (this, employee, call) = (self.clone(), employee.clone(), call.clone());
        let changed = tokio::spawn(async move {
            let _writing = this.writing.lock().await;
            let write = this.store.change_expiry(&employee, expires_at, &call.actor, call.at);
            let changed = this.patiently(write).await?;
            if let Some(feed) = &this.feed {
                feed.follow().await;
            } else {
                for gallery in this.galleries.all() {
                    gallery.set_expiry(&employee, expires_at).await?;
                }
            }
            Ok::<_, Error>(changed)
        });
        if changed.await?? { Ok(()) } else { Err(Error::NotEnrolled) }
    }

    /// Returns whether an employee's reference was created from this photo.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`]; those of [`Engine::extract`](crate::engine::Engine::extract).
    pub async fn was_made_of(
        &self,
        employee: &EmployeeId,
        photo: Bytes,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let gallery = self.galleries.of(employee).ok_or(Error::NotEnrolled)?;
        let permit = self.engine.permit()?;
        let Extraction { embeddings, .. } =
            self.extract(&permit, photo, &[(gallery, Role::Reference)]).await?;
        let embedding = last(&embeddings);
        let own = gallery.encoder.comparator().compare(embedding, embedding);
        let compared = gallery.compare(employee, embedding, now).ok_or(Error::NotEnrolled)?;
        Ok((own.value() - compared.score.value()).abs() < SAME_PHOTO)
    }
}
