//! The use cases that read: API keys, enrolled employees, look-alikes.

use super::Recognizer;
use super::error::Error;
use crate::access::ApiKey;
use crate::comparison::Threshold;
use crate::employee::{EmployeeId, Reference};
use crate::gallery::Pair;

impl Recognizer {
    /// Returns whether an employee has to be re-enrolled: the reference, from before photos were assessed by the quality
    /// network, shows no recognizable face and matches nobody.
    pub fn needs_reenrollment(&self, employee: &EmployeeId) -> bool {
        self.galleries
            .of(employee)
            .is_some_and(|gallery| gallery.references.is_unrecognizable(employee))
    }

    /// Returns all employees who have to be re-enrolled for that reason.
    pub fn unrecognizable(&self) -> Vec<EmployeeId> {
        self.galleries.all().flat_map(|gallery| gallery.references.unrecognizable()).collect()
    }

    /// Returns all valid API keys.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, Error> {
        Ok(self.store.api_keys().await?)
    }

    /// Returns whether an API key was ever added, revoked ones included.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn ever_had_api_key(&self) -> Result<bool, Error> {
        Ok(self.store.ever_had_api_key().await?)
    }

    /// Returns the references of at most `limit` employees, in the order of their IDs, after the ID `after`.
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

    /// Returns the reference of one employee.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`].
    pub async fn find(&self, employee: &EmployeeId) -> Result<Reference, Error> {
        self.store.find(employee).await?.ok_or(Error::NotEnrolled)
    }

    /// Returns the `top` closest pairs in the present encoder's gallery, closest first, and the identification threshold.
    pub fn lookalikes(&self, top: usize) -> (Vec<Pair>, Threshold) {
        (self.galleries.present.closest_pairs(top), self.identification())
    }
}
