//! Everyone who is enrolled with one encoder. Nobody is compared across cohorts.

use std::sync::Arc;

use jiff::Timestamp;

use super::error::LoadError;
use super::searcher::Searcher;
use super::{Policy, StartError};
use crate::comparison::{Decision, ErrorRates, Score, Threshold};
use crate::embedding::Embedding;
use crate::employee::{EmployeeId, ModelName};
use crate::engine::Encoder;
use crate::gallery::{Gallery, Neighbour, Pair, Query};
use crate::seal::{DoesNotOpen, Sealer};
use crate::store::{Kept, Store};

/// The people of one encoder and how they are told apart.
#[derive(Debug)]
pub(super) struct Cohort {
    pub(super) encoder: Arc<Encoder>,
    pub(super) gallery: Arc<Gallery>,
    searcher: Searcher,
    pub(super) verification: Threshold,
    error_rates: ErrorRates,
    identify_fpir: f64,
}

impl Cohort {
    /// Nobody yet.
    pub(super) fn new(encoder: Arc<Encoder>, policy: Policy) -> Result<Self, StartError> {
        let unmeasured = || StartError::Unmeasured { model: encoder.model().name.clone() };
        let error_rates = encoder.error_rates().ok_or_else(unmeasured)?.clone();
        let verification = error_rates.for_verification(policy.verify_fmr)?;
        let gallery = Arc::new(Gallery::new(encoder.embedding_length()));
        let identify_fpir = policy.identify_fpir;
        let searcher = Searcher::start(Arc::clone(&gallery), encoder.comparator().clone())?;
        Ok(Self { encoder, gallery, searcher, verification, error_rates, identify_fpir })
    }

    /// Opens every template of the encoder. Where others write to the store, whoever's data key is missing may just
    /// be being erased, and the change feed says so later.
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
        let mut next = read(None);
        loop {
            let page = next.await??;
            let Some(last) = page.last() else { return Ok(()) };
            // The next page is read while this one is opened.
            next = read(Some(last.template.key));
            for kept in page {
                let employee = kept.employee.clone();
                let name = || employee.as_str().to_owned();
                if kept.key.is_none() && !others_write {
                    return Err(LoadError::DataKey { employee: name() });
                }
                let taken = self.take(sealer, kept);
                taken.map_err(|source| LoadError::Template { employee: name(), source })?;
            }
        }
    }

    /// Opens a template and puts it in place of the employee's former one; nothing where its data key is missing.
    pub(super) fn take(&self, sealer: &Sealer, kept: Kept) -> Result<(), DoesNotOpen> {
        let Kept { employee, template, key, expires_at } = kept;
        let Some(key) = key else { return Ok(()) };
        let reference = sealer.open(&employee, self.model().id, &key, &template)?;
        self.gallery.insert(employee, &reference, expires_at, template.key);
        Ok(())
    }

    pub(super) fn model(&self) -> &ModelName {
        self.encoder.model()
    }

    /// Compares a probe with one employee's reference, if it is of this cohort.
    pub(super) fn compare(
        &self,
        employee: &EmployeeId,
        probe: &Embedding,
        now: Timestamp,
    ) -> Option<Score> {
        self.gallery.compare(employee, probe, self.encoder.comparator(), now)
    }

    /// The `top` nearest to a probe, nearest first.
    pub(super) async fn search(
        &self,
        probe: &Embedding,
        top: usize,
        now: Timestamp,
    ) -> Vec<Neighbour> {
        self.searcher.search(Query { probe: probe.clone(), top, now }).await
    }

    /// The `top` closest pairs, closest first.
    pub(super) fn closest_pairs(&self, top: usize) -> Vec<Pair> {
        self.gallery.closest_pairs(top, self.encoder.comparator())
    }

    /// What identification is decided at among `people`, those of other cohorts included.
    pub(super) fn identification(&self, people: usize) -> Threshold {
        self.error_rates.for_identification(self.identify_fpir, people)
    }

    /// Whoever else a photo of this employee would be identified as.
    pub(super) async fn lookalike(
        &self,
        employee: &EmployeeId,
        probe: &Embedding,
        people: usize,
        now: Timestamp,
    ) -> Option<EmployeeId> {
        // The employee's own former reference may be the nearest, so two are asked for.
        let nearest = self.search(probe, 2, now).await;
        let other = nearest.into_iter().find(|near| near.employee != *employee)?;
        let confused = self.identification(people).decide(other.score) == Decision::Match;
        confused.then_some(other.employee)
    }
}
