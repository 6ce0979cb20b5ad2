//! Everyone who is enrolled with one encoder. Nobody is compared across cohorts.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::searcher::Searcher;
use super::{Policy, StartError};
use crate::comparison::{Decision, ErrorRates, Score, Threshold};
use crate::embedding::Embedding;
use crate::employee::{EmployeeId, ModelName};
use crate::engine::Encoder;
use crate::gallery::{Gallery, Neighbour, Pair, Query};
use crate::seal::{DataKeyId, Sealer, WrappedKey};
use crate::store::Store;

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
    /// Opens every template of the encoder.
    pub(super) async fn load(
        encoder: Arc<Encoder>,
        store: &Store,
        sealer: &Sealer,
        keys: &HashMap<DataKeyId, WrappedKey>,
        policy: Policy,
    ) -> Result<Self, StartError> {
        let unmeasured = || StartError::Unmeasured { model: encoder.model().name.clone() };
        let error_rates = encoder.error_rates().ok_or_else(unmeasured)?.clone();
        let verification = error_rates.for_verification(policy.verify_fmr)?;
        let gallery = Gallery::new(encoder.embedding_length());
        let model = encoder.model().id;
        for (employee, template, expires_at) in store.templates(model).await? {
            let name = || employee.as_str().to_owned();
            let key = keys.get(&template.key);
            let key = key.ok_or_else(|| StartError::DataKey { employee: name() })?;
            let opened = sealer.open(&employee, model, key, &template);
            let reference =
                opened.map_err(|source| StartError::Template { employee: name(), source })?;
            gallery.insert(employee, &reference, expires_at);
        }
        let identify_fpir = policy.identify_fpir;
        let gallery = Arc::new(gallery);
        let searcher = Searcher::start(Arc::clone(&gallery), encoder.comparator().clone())?;
        Ok(Self { encoder, gallery, searcher, verification, error_rates, identify_fpir })
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
