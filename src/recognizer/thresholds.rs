//! The decision thresholds of one encoder's gallery: those of the model's error rates or, where the people enrolled
//! are harder to tell apart, those of the people enrolled.

use std::sync::{PoisonError, RwLock};

use super::Policy;
use crate::comparison::{Basis, ErrorRates, ErrorRatesError, Score, Threshold};
use crate::evaluation::Tail;

/// Whether the people enrolled decide on the thresholds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GalleryThresholds {
    /// Never: the model's error rates do.
    Off,
    /// Where they ask for a stricter threshold than the model's error rates.
    Stricter,
    /// Always, as soon as there are enough of them; the threshold may be looser than the model's.
    Always,
}

/// The thresholds of one encoder's gallery.
#[derive(Debug)]
pub(super) struct Thresholds {
    error_rates: ErrorRates,
    /// The threshold of the error rates for verification.
    table: Threshold,
    policy: Policy,
    /// How much more alike, in score, references of different people are to each other than to probes.
    reference_gap: f64,
    tail: RwLock<Option<Tail>>,
}

impl Thresholds {
    /// # Errors
    /// [`ErrorRatesError`] where the policy asks for a stricter rate than the error rates support.
    pub(super) fn new(
        error_rates: ErrorRates,
        reference_gap: f64,
        policy: Policy,
    ) -> Result<Self, ErrorRatesError> {
        let table = error_rates.for_verification(policy.verify_fmr)?;
        Ok(Self { error_rates, table, policy, reference_gap, tail: RwLock::new(None) })
    }

    /// Returns the verification threshold.
    pub(super) fn verification(&self) -> Threshold {
        self.choose(self.table, self.table.target, self.policy.verify_fmr)
    }

    /// Returns the verification threshold for a photo of which `faces` faces are compared with the reference, and the best
    /// score decides: the FMR is at most `faces` times that of one comparison.
    pub(super) fn verification_among(&self, faces: usize) -> Threshold {
        if faces <= 1 {
            return self.verification();
        }
        let fmr = self.policy.verify_fmr;
        let table = self.error_rates.for_identification(fmr, faces);
        self.choose(table, fmr, fmr / faces as f64)
    }

    /// Returns the identification threshold for `people` references. A probe is compared with each, so the FPIR is at
    /// most `people` times the FMR.
    pub(super) fn identification(&self, people: usize) -> Threshold {
        let fpir = self.policy.identify_fpir;
        let table = self.error_rates.for_identification(fpir, people);
        self.choose(table, fpir, fpir / people.max(1) as f64)
    }

    /// Returns the strictest score of the error rates. Pairs of references that reach it count as relatives or as
    /// one person enrolled twice, not for a sample of the impostors.
    pub(super) fn strictest(&self) -> Score {
        Score::new(self.error_rates.strictest().score)
    }

    /// Whether thresholds depend on the people enrolled.
    pub(super) fn follow_the_gallery(&self) -> bool {
        self.policy.gallery_thresholds != GalleryThresholds::Off
    }

    /// Returns how far the verification threshold of the gallery moves, in score, if `other` replaces the present tail;
    /// infinite if only one of them exists.
    pub(super) fn shift(&self, other: Option<&Tail>) -> f64 {
        let at = |tail: &Tail| tail.score_at(self.policy.verify_fmr);
        match (self.tail().as_ref(), other) {
            (None, None) => 0.0,
            (Some(tail), Some(other)) => (at(other) - at(tail)).abs(),
            _ => f64::INFINITY,
        }
    }

    /// Decides by this tail from now on; by the error rates alone if there is none.
    pub(super) fn adopt(&self, tail: Option<Tail>) {
        *self.tail.write().unwrap_or_else(PoisonError::into_inner) = tail;
    }

    fn tail(&self) -> Option<Tail> {
        *self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chooses between the threshold of the error rates and that of the gallery for a target.
    fn choose(&self, table: Threshold, target: f64, fmr: f64) -> Threshold {
        let Some(tail) = self.tail().filter(|_| self.follow_the_gallery()) else { return table };
        let score = Score::new(tail.score_at(fmr) - self.reference_gap);
        let fitted = Threshold { score, target, basis: Basis::Gallery { people: tail.people } };
        let always = self.policy.gallery_thresholds == GalleryThresholds::Always;
        if always || fitted.score > table.score { fitted } else { table }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::ErrorRate;
    use crate::recognizer::PresentationMode;

    fn thresholds(gallery_thresholds: GalleryThresholds) -> Thresholds {
        let row = ErrorRate::new;
        let rates = ErrorRates::new(vec![row(1e-2, 1.0), row(1e-3, 3.0), row(1e-4, 5.0)]).unwrap();
        let policy = Policy {
            presentation_sessions: false,
            verify_fmr: 1e-3,
            identify_fpir: 1e-2,
            longest_enrollment: None,
            gallery_thresholds,
            presentation: PresentationMode::Off,
        };
        Thresholds::new(rates, 0.5, policy).unwrap()
    }

    /// A tail whose score at an FMR of 1e-3 is this.
    fn tail(score: f64) -> Tail {
        Tail { people: 80, level: score - 3.090_232, slope: 1.0 }
    }

    #[test]
    fn the_stricter_threshold_holds() {
        let thresholds = thresholds(GalleryThresholds::Stricter);
        assert_eq!(thresholds.verification().basis, Basis::Table);
        thresholds.adopt(Some(tail(3.4)));
        assert_eq!(thresholds.verification().score, Score::new(3.0));
        thresholds.adopt(Some(tail(4.0)));
        let fitted = thresholds.verification();
        assert_eq!((fitted.basis, fitted.target), (Basis::Gallery { people: 80 }, 1e-3));
        assert!((fitted.score.value() - 3.5).abs() < 1e-4, "{fitted:?}");
        thresholds.adopt(None);
        assert_eq!(thresholds.verification().basis, Basis::Table);
    }

    #[test]
    fn an_operator_can_have_looser_thresholds_or_the_models_alone() {
        let always = thresholds(GalleryThresholds::Always);
        always.adopt(Some(tail(2.0)));
        assert!((always.verification().score.value() - 1.5).abs() < 1e-4);
        let off = thresholds(GalleryThresholds::Off);
        off.adopt(Some(tail(9.0)));
        assert_eq!(off.verification().basis, Basis::Table);
    }

    #[test]
    fn identification_is_fitted_beyond_the_rows_of_the_table() {
        let thresholds = thresholds(GalleryThresholds::Stricter);
        // The table ends at 1e-4, a thousand people need 1e-5: an FPIR of a tenth is all that it can promise.
        assert!((thresholds.identification(1000).target - 0.1).abs() < 1e-12);
        thresholds.adopt(Some(tail(5.0)));
        let fitted = thresholds.identification(1000);
        assert_eq!((fitted.target, fitted.basis), (1e-2, Basis::Gallery { people: 80 }));
        assert!(fitted.score > thresholds.identification(100).score);
    }

    #[test]
    fn verification_among_several_faces_is_stricter() {
        let thresholds = thresholds(GalleryThresholds::Stricter);
        assert_eq!(thresholds.verification_among(1), thresholds.verification());
        let two = thresholds.verification_among(2);
        assert_eq!((two.score, two.target), (Score::new(5.0), 1e-3));
        // The table ends at 1e-4, twenty faces need 5e-5: an FMR of 2e-3 is all that it can promise.
        let twenty = thresholds.verification_among(20);
        assert_eq!((twenty.score, twenty.target), (Score::new(5.0), 2e-3));
        thresholds.adopt(Some(tail(5.2)));
        let fitted = thresholds.verification_among(20);
        assert_eq!((fitted.target, fitted.basis), (1e-3, Basis::Gallery { people: 80 }));
        assert!(fitted.score > thresholds.verification_among(2).score);
    }

    #[test]
    fn the_shift_is_that_of_the_verification_threshold() {
        let thresholds = thresholds(GalleryThresholds::Stricter);
        assert!(thresholds.shift(None) < 1e-9);
        assert!(thresholds.shift(Some(&tail(4.0))).is_infinite());
        thresholds.adopt(Some(tail(4.0)));
        assert!((thresholds.shift(Some(&tail(3.8))) - 0.2).abs() < 1e-6);
        assert!(thresholds.shift(None).is_infinite());
    }
}
