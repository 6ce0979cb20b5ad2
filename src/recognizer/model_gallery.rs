//! The gallery of one encoder. Templates of different encoders are never compared.

use std::sync::Arc;

use jiff::Timestamp;

use super::searcher::{Change, SearchEnded, Searcher};
use super::thresholds::Thresholds;
use super::{Policy, StartError};
use crate::comparison::Decision;
use crate::embedding::Embedding;
use crate::employee::{EmployeeId, ModelName};
use crate::engine::Encoder;
use crate::gallery::{Compared, Enrolled, Gallery, Neighbour, Pair, Query};
use crate::seal::{DoesNotOpen, Sealer};
use crate::store::{Store, StoreError, StoredTemplate};

/// Why the templates of a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A template's data key is not there: the file of keys is not the one that belongs to the database.
    #[error(
        "the data key of employee {employee} is missing: data-keys.db does not match likeness.db; restore the matching one"
    )]
    DataKey {
        /// Whose it is.
        employee: String,
    },
    /// The gallery cannot be changed any more.
    #[error(transparent)]
    Search(#[from] SearchEnded),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of ours panicked.
    #[error("reading was interrupted: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A template does not open: most likely it is the wrong key.
    #[error("the template of employee {employee}: {source}")]
    Template {
        /// Whose it is.
        employee: String,
        /// What is wrong.
        source: DoesNotOpen,
    },
}

/// The gallery of one encoder with its thresholds and its search thread.
#[derive(Debug)]
pub(super) struct ModelGallery {
    pub(super) encoder: Arc<Encoder>,
    /// Searched and changed by the searcher's thread.
    pub(super) references: Arc<Gallery>,
    searcher: Searcher,
    pub(super) thresholds: Thresholds,
}

impl ModelGallery {
    /// Creates an empty gallery.
    ///
    /// # Errors
    /// [`StartError::Unmeasured`], [`StartError::Policy`], [`StartError::Thread`].
    pub(super) fn new(encoder: Arc<Encoder>, policy: Policy) -> Result<Self, StartError> {
        let unmeasured = || StartError::Unmeasured { model: encoder.model().name.clone() };
        let error_rates = encoder.error_rates().ok_or_else(unmeasured)?.clone();
        let thresholds = Thresholds::new(error_rates, encoder.reference_gap(), policy)?;
        let references = Arc::new(Gallery::new(encoder.embedding_length()));
        let searcher = Searcher::start(Arc::clone(&references), encoder.comparator().clone())?;
        Ok(Self { encoder, references, searcher, thresholds })
    }

    /// Opens every template of the encoder into a new gallery, which then replaces the present one. If others write to
    /// the store, a template without a data key may be about to be erased; the change feed reports that later.
    ///
    /// # Errors
    /// [`LoadError`].
    pub(super) async fn load(
        &self,
        store: &Store,
        sealer: &Sealer,
        others_write: bool,
    ) -> Result<(), LoadError> {
        let read = |after| {
            let (store, model) = (store.clone(), self.model().id);
            tokio::spawn(async move { store.templates(model, after).await })
        };
        let gallery = Gallery::new(self.encoder.embedding_length());
        let mut next = read(None);
        loop {
            let page = next.await??;
            let Some(last) = page.last() else {
                return Ok(self.searcher.change(Change::Replace(gallery)).await?);
            };
            // The next page is read while this one is opened.
            next = read(Some(last.template.key));
            for kept in page {
                let employee = kept.employee.clone();
                let name = || employee.as_str().to_owned();
                if kept.key.is_none() && !others_write {
                    return Err(LoadError::DataKey { employee: name() });
                }
                let opened = self.open(sealer, kept);
                let opened =
                    opened.map_err(|source| LoadError::Template { employee: name(), source })?;
                if let Some((enrolled, reference)) = opened {
                    gallery.insert(enrolled, &reference);
                }
            }
        }
    }

    /// Opens a template; returns `None` if its data key is missing.
    pub(super) fn open(
        &self,
        sealer: &Sealer,
        kept: StoredTemplate,
    ) -> Result<Option<(Enrolled, Embedding)>, DoesNotOpen> {
        let StoredTemplate { employee, audit_id, template, key, expires_at } = kept;
        let Some(key) = key else { return Ok(None) };
        let reference = sealer.open(&employee, self.model().id, &key, &template)?;
        let recognizable = self.encoder.accepts_reference(&reference);
        let key = template.key;
        Ok(Some((Enrolled { employee, audit_id, expires_at, recognizable, key }, reference)))
    }

    /// Inserts a reference and replaces the employee's former one, if any.
    pub(super) async fn insert(
        &self,
        enrolled: Enrolled,
        reference: Embedding,
    ) -> Result<(), SearchEnded> {
        self.searcher.change(Change::Insert(enrolled, reference)).await
    }

    /// Removes an employee, if present.
    pub(super) async fn remove(&self, employee: &EmployeeId) -> Result<(), SearchEnded> {
        self.searcher.change(Change::Remove(employee.clone())).await
    }

    /// Changes the expiry of an employee's reference, if present.
    pub(super) async fn set_expiry(
        &self,
        employee: &EmployeeId,
        expires_at: Option<Timestamp>,
    ) -> Result<(), SearchEnded> {
        self.searcher.change(Change::SetExpiry(employee.clone(), expires_at)).await
    }

    /// Checks that the gallery can be searched.
    pub(super) fn is_alive(&self) -> Result<(), SearchEnded> {
        self.searcher.is_alive()
    }

    pub(super) fn model(&self) -> &ModelName {
        self.encoder.model()
    }

    /// Compares a probe with one employee's reference, if it is in this gallery.
    pub(super) fn compare(
        &self,
        employee: &EmployeeId,
        probe: &Embedding,
        now: Timestamp,
    ) -> Option<Compared> {
        self.references.compare(employee, probe, self.encoder.comparator(), now)
    }

    /// Returns the `top` references nearest to a probe, nearest first.
    pub(super) async fn search(
        &self,
        probe: &Embedding,
        top: usize,
        now: Timestamp,
    ) -> Result<Vec<Neighbour>, SearchEnded> {
        self.searcher.search(Query { probe: probe.clone(), top, now }).await
    }

    /// Returns the `top` closest pairs, closest first.
    pub(super) fn closest_pairs(&self, top: usize) -> Vec<Pair> {
        self.references.closest_pairs(top, self.encoder.comparator())
    }

    /// Returns the other employee whom a photo of this employee would match, if any.
    pub(super) async fn lookalike(
        &self,
        employee: &EmployeeId,
        probe: &Embedding,
        people: usize,
        now: Timestamp,
    ) -> Result<Option<Neighbour>, SearchEnded> {
        // The employee's own former reference may be the nearest, so two are asked for.
        let nearest = self.search(probe, 2, now).await?;
        let threshold = self.thresholds.identification(people);
        let other = nearest.into_iter().find(|near| near.employee != *employee);
        Ok(other.filter(|other| threshold.decide(other.score) == Decision::Match))
    }
}

/// The galleries of the loaded encoders.
#[derive(Debug)]
pub(super) struct ModelGalleries {
    /// The gallery of new enrollments.
    pub(super) present: ModelGallery,
    /// The gallery of employees pending re-enrollment.
    pub(super) former: Option<ModelGallery>,
}

impl ModelGalleries {
    /// Returns all galleries, the former first: a re-enrolled employee enters the present one before leaving it, so a
    /// search in this order misses nobody.
    pub(super) fn all(&self) -> impl Iterator<Item = &ModelGallery> {
        self.former.iter().chain([&self.present])
    }

    /// Returns the gallery that holds an employee.
    pub(super) fn of(&self, employee: &EmployeeId) -> Option<&ModelGallery> {
        self.all().find(|gallery| gallery.references.contains(employee))
    }

    /// Returns the number of employees in all galleries.
    pub(super) fn people(&self) -> usize {
        self.all().map(|gallery| gallery.references.len()).sum()
    }
}
