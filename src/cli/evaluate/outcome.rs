//! All that an evaluation found, before it is put into words and pictures.

use std::collections::BTreeMap;

use anyhow::Context;
use jiff::Timestamp;

use crate::cli::labeled_folder::LabeledFolder;
use crate::cli::photo_files::file_name;
use crate::cli::photos::Sides;
use crate::comparison::{Calibration, ErrorRatesError, Threshold};
use crate::employee::ModelName;
use crate::engine::{Encoder, ExtractError};
use crate::evaluation::{Binned, Compared, Findings, Ranked, Scores};
use crate::recognizer::Policy;

/// Pairs that are named, at most, of each kind.
const NAMED: usize = 20;

/// What an evaluation found.
#[derive(Debug)]
pub(in crate::cli) struct Outcome {
    pub(super) now: Timestamp,
    pub(super) model: ModelName,
    /// What the scores were made with.
    pub(super) calibration: Calibration,
    /// What the service verifies at now, or why it would not start.
    pub(super) present: Result<Threshold, String>,
    pub(super) target: f64,
    pub(super) people: usize,
    pub(super) photos_found: usize,
    pub(super) photos_used: usize,
    pub(super) failures: Failures,
    /// Files that are no photos, by their paths.
    pub(super) skipped: Vec<String>,
    pub(super) genuine: u64,
    pub(super) impostor: u64,
    pub(in crate::cli) findings: Findings,
    pub(super) binned: Binned,
    /// The most similar pairs of different people, the most similar first.
    pub(super) lookalikes: Vec<NamedPair>,
    /// The least similar pairs of photos of one person, the least similar first.
    pub(super) strangers: Vec<NamedPair>,
}

/// Photos that gave no embedding.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// How many for each kind of reason.
    pub(super) counts: BTreeMap<&'static str, usize>,
    /// `PERSON/PHOTO` and the reason.
    pub(super) photos: Vec<(String, String)>,
}

/// The worst comparison of two people, or of one with themselves.
#[derive(Debug)]
pub(super) struct NamedPair {
    /// `PERSON/PHOTO` of each.
    pub(super) photos: [String; 2],
    pub(super) score: f64,
    /// Comparisons of theirs on the wrong side of the threshold.
    pub(super) errors: u64,
    /// Comparisons of theirs.
    pub(super) comparisons: u64,
}

/// The photos that gave an embedding, and whose they are.
#[derive(Default)]
struct Used {
    person_of: Vec<u32>,
    names: Vec<String>,
    sides: Vec<Sides>,
}

impl Outcome {
    /// Compares everything with everything.
    pub(super) fn of(
        encoder: &Encoder,
        folder: &LabeledFolder,
        photos: Vec<Result<Sides, &ExtractError>>,
        policy: Policy,
        target: f64,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let photos_found = folder.photos.len();
        let (used, failures) = sort_out(folder, photos);
        let comparator = encoder.comparator();
        let compare = |a: usize, b: usize| {
            comparator.compare(&used.sides[a].reference, &used.sides[b].probe).value()
        };
        let scores = Scores::collect(&used.person_of, compare).with_context(|| {
            format!("{} of {photos_found} photos gave no embedding", failures.photos.len())
        })?;
        let present = present(encoder, policy);
        let at = present.as_ref().map(|threshold| threshold.score.value()).ok();
        let findings = Findings::of(&scores, target, at);
        let threshold = findings.recommended.map(|r| r.row.score).or(at);
        let named = |ranked: &Ranked, impostors| used.named(ranked, &scores, threshold, impostors);
        Ok(Self {
            now,
            model: encoder.model().clone(),
            calibration: comparator.calibration,
            present,
            target,
            people: scores.people(),
            photos_found,
            photos_used: used.names.len(),
            failures,
            skipped: folder.skipped.iter().map(|path| path.display().to_string()).collect(),
            genuine: scores.genuine().total(),
            impostor: scores.impostor().total(),
            lookalikes: named(scores.impostor(), true),
            strangers: named(scores.genuine(), false),
            binned: scores.binned(None),
            findings,
        })
    }
}

/// What the service verifies at.
fn present(encoder: &Encoder, policy: Policy) -> Result<Threshold, String> {
    let rates = encoder.error_rates().ok_or("the encoder's manifest has no error rates")?;
    rates.for_verification(policy.verify_fmr).map_err(|e: ErrorRatesError| e.to_string())
}

/// Numbers whoever has a usable photo, and keeps the reasons of the rest.
fn sort_out(folder: &LabeledFolder, photos: Vec<Result<Sides, &ExtractError>>) -> (Used, Failures) {
    let (mut used, mut failures) = (Used::default(), Failures::default());
    let (mut last, mut people) = (None, 0);
    for ((person, path), sides) in folder.photos.iter().zip(photos) {
        let photo = format!("{}/{}", folder.people[*person], file_name(path));
        match sides {
            Ok(sides) => {
                if last != Some(person) {
                    people += 1;
                    last = Some(person);
                }
                used.person_of.push(people - 1);
                used.names.push(photo);
                used.sides.push(sides);
            }
            Err(error) => {
                *failures.counts.entry(kind(error)).or_default() += 1;
                failures.photos.push((photo, error.to_string()));
            }
        }
    }
    (used, failures)
}

/// The kind of reason, for counting.
fn kind(error: &ExtractError) -> &'static str {
    use crate::face::NoProminentFace;
    use crate::photo::PhotoError;
    match error {
        ExtractError::Busy | ExtractError::Engine(_) => "model failure",
        ExtractError::Face(NoProminentFace::None) => "no face found",
        ExtractError::Face(NoProminentFace::Several) => "several faces",
        ExtractError::Photo(
            PhotoError::ForeignCoding(_) | PhotoError::ForeignFormat(_) | PhotoError::UnknownFormat,
        ) => "not a JPEG, PNG or WebP",
        ExtractError::Photo(PhotoError::TooManyPixels { .. }) => "too large",
        ExtractError::Photo(PhotoError::TooSmall { .. }) => "too small",
        ExtractError::Photo(PhotoError::Unreadable(_)) => "corrupt",
    }
}

impl Used {
    /// The worst comparisons of one kind, each pair of people (or person) once.
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
