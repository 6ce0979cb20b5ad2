//! The content of a report: findings, failures, and the pairs to check.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::groups::{Attempt, Grouping, MeasuredGrouping, measured};
use crate::comparison::{Calibration, Threshold};
use crate::employee::ModelName;
use crate::evaluation::{Binned, Compared, DetPoint, Findings, Ranked, Scores, TooFew};

/// Maximum number of pairs listed of each kind.
const NAMED: usize = 20;

/// The report of an evaluation.
#[derive(Debug)]
pub struct Report {
    pub(super) conditions: Conditions,
    pub(super) photos: Photos,
    /// Number of people with a used photo.
    pub(super) people: usize,
    /// Number of genuine comparisons.
    pub(super) genuine: u64,
    /// Number of impostor comparisons.
    pub(super) impostor: u64,
    pub(super) findings: Findings,
    pub(super) binned: Binned,
    /// The pairs of people with the highest impostor scores, highest first.
    pub(super) lookalikes: Vec<NamedPair>,
    /// The people with the lowest genuine scores, lowest first.
    pub(super) strangers: Vec<NamedPair>,
    /// The DET curve of all people.
    pub(super) det: Vec<DetPoint>,
    pub(super) groupings: Vec<MeasuredGrouping>,
}

/// What an evaluation is about: the encoder, its thresholds, the target and the time.
#[derive(Debug)]
pub struct Conditions {
    /// Time of the evaluation.
    pub now: Timestamp,
    /// The encoder.
    pub model: ModelName,
    /// The calibration of the scores.
    pub calibration: Calibration,
    /// The threshold of the service, or the reason why it has none.
    pub present: Result<Threshold, String>,
    /// The FMR to recommend a threshold for.
    pub target: f64,
}

/// The photos of an evaluation.
#[derive(Debug, Default)]
pub struct Photos {
    /// `PERSON/PHOTO` of each photo that gave an embedding.
    pub names: Vec<String>,
    /// The person on each of these photos, numbered from 0.
    pub person_of: Vec<u32>,
    /// The photos that gave none.
    pub failures: Failures,
    /// Paths of files that are not photos.
    pub skipped: Vec<String>,
    /// All photos, used or failed, those of `names` in their order.
    pub attempts: Vec<Attempt>,
    /// Number of used photos for each reason to refuse them as references.
    pub defects: BTreeMap<&'static str, usize>,
    /// Groupings of the people by which error rates are reported.
    pub groupings: Vec<Grouping>,
}

/// Photos that gave no embedding (failure to acquire).
#[derive(Debug, Default)]
pub struct Failures {
    /// Number of photos for each kind of reason.
    pub counts: BTreeMap<&'static str, usize>,
    /// `PERSON/PHOTO` and the reason.
    pub photos: Vec<(String, String)>,
}

/// The worst comparison of two people, or of one person's photos.
#[derive(Debug)]
pub(super) struct NamedPair {
    /// `PERSON/PHOTO` of each.
    pub(super) photos: [String; 2],
    pub(super) score: f64,
    /// Number of their comparisons on the wrong side of the threshold.
    pub(super) errors: u64,
    /// Number of their comparisons.
    pub(super) comparisons: u64,
}

impl Report {
    /// Evaluates all comparisons of the photos; `compare` returns the score of two of them, the
    /// first as the reference.
    ///
    /// # Errors
    /// [`TooFew`] if there is no genuine or no impostor comparison.
    pub fn new(
        conditions: Conditions,
        photos: Photos,
        compare: impl Fn(usize, usize) -> f64 + Sync,
    ) -> Result<Self, TooFew> {
        let scores = Scores::collect(&photos.person_of, &compare)?;
        let present = conditions.present.as_ref().map(|threshold| threshold.score.value()).ok();
        let findings = Findings::of(&scores, conditions.target, present);
        let threshold = findings.recommended.map(|r| r.row.score).or(present);
        let named =
            |ranked: &Ranked, impostors| photos.named(ranked, &scores, threshold, impostors);
        Ok(Self {
            people: scores.people(),
            genuine: scores.genuine().total(),
            impostor: scores.impostor().total(),
            lookalikes: named(scores.impostor(), true),
            strangers: named(scores.genuine(), false),
            binned: scores.binned(None),
            det: scores.det(),
            groupings: measured(
                &photos.groupings,
                &photos.attempts,
                &photos.person_of,
                &scores,
                findings.for_groups(),
                &compare,
            ),
            conditions,
            photos,
            findings,
        })
    }

    /// Returns the minimum Cllr: how well the scores separate genuine from impostor comparisons,
    /// whatever the calibration.
    pub fn min_cllr(&self) -> f64 {
        self.findings.calibration.min_cllr
    }

    /// Returns the points of the DET curves with their grouping and group; both are empty for all
    /// people.
    pub fn det(&self) -> impl Iterator<Item = (&str, &str, DetPoint)> {
        let groups = self.groupings.iter().flat_map(|grouping| {
            let groups = grouping.groups.iter();
            groups.map(|group| (grouping.name.as_str(), group.name.as_str(), &group.det))
        });
        let curves = [("", "", &self.det)].into_iter().chain(groups);
        curves.flat_map(|(grouping, group, points)| {
            points.iter().map(move |point| (grouping, group, *point))
        })
    }
}

impl Photos {
    /// Returns the number of photos, used or failed.
    pub fn found(&self) -> usize {
        self.names.len() + self.failures.photos.len()
    }

    /// Returns the number of photos that would be refused as references.
    pub(super) fn refused(&self) -> usize {
        self.attempts.iter().filter(|attempt| !attempt.is_enrollable).count()
    }

    /// Returns the worst comparisons of one kind, one for each pair of people (impostor) or person
    /// (genuine).
    fn named(
        &self,
        ranked: &Ranked,
        scores: &Scores,
        threshold: Option<f64>,
        impostors: bool,
    ) -> Vec<NamedPair> {
        let mut found: Vec<([u32; 2], Compared, u64)> = Vec::new();
        for (compared, people) in ranked.worst() {
            let wrong = threshold.is_some_and(|t| (f64::from(compared.score) >= t) == impostors);
            let known = found.iter_mut().find(|(pair, _, _)| *pair == people);
            if let Some((_, _, errors)) = known {
                *errors += u64::from(wrong);
            } else if found.len() < NAMED {
                found.push((people, compared, u64::from(wrong)));
            } else if !wrong {
                break;
            }
        }
        let photos_of = |person: u32| scores.photos()[person as usize];
        let named = |([a, b], compared, errors): ([u32; 2], Compared, u64)| NamedPair {
            photos: compared.photos.map(|photo| self.names[photo as usize].clone()),
            score: f64::from(compared.score),
            errors,
            comparisons: if a == b {
                photos_of(a) * (photos_of(a) - 1) / 2
            } else {
                photos_of(a) * photos_of(b)
            },
        };
        found.into_iter().map(named).collect()
    }
}
