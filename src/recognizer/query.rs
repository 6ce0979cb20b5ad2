//! The use cases that read: API keys, enrolled employees, look-alikes.

use super::Recognizer;
use super::error::Error;
use crate::access::Grant;
use crate::comparison::Threshold;
use crate::employee::{EmployeeId, Reference};
use crate::gallery::Pair;

impl Recognizer {
    /// Every valid access key.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn grants(&self) -> Result<Vec<Grant>, Error> {
        Ok(self.store.grants().await?)
    }

    /// Whether an access key was ever added, revoked ones included.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn ever_granted(&self) -> Result<bool, Error> {
        Ok(self.store.ever_granted().await?)
    }

    /// The references of at most `limit` employees whose identifiers sort behind `after`.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(
        &self,
        after: Option<&EmployeeId>,
        limit: u32,
    ) -> Result<Vec<Reference>, Error> {
        Ok(self.store.list(after, limit).await?)
    }

    /// The reference of one employee.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`].
    pub async fn find(&self, employee: &EmployeeId) -> Result<Reference, Error> {
        self.store.find(employee).await?.ok_or(Error::NotEnrolled)
    }

    /// The `top` closest pairs among those who are enrolled with the present encoder, closest
    /// first, and the identification threshold.
    pub fn lookalikes(&self, top: usize) -> (Vec<Pair>, Threshold) {
        (self.galleries.present.closest_pairs(top), self.identification())
    }
}
