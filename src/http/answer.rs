//! The shapes that several answers share, as the contract writes them.

use std::collections::BTreeSet;

use axum::http::HeaderName;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::openapi::{ArrayBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::schema::one_of;
use crate::comparison;
use crate::employee;
use crate::face;
use crate::presentation;
use crate::quality::Reason;
use crate::recognizer::{self, Recognizer};
use crate::timings::{Stage, Timings};

/// Identifier of an employee, chosen by the organization; case-sensitive.
#[derive(Serialize, ToSchema)]
#[schema(
    min_length = 1,
    max_length = 64,
    pattern = "^\\.*[A-Za-z0-9_@-][A-Za-z0-9._@-]*$",
    examples("e-17")
)]
pub(super) struct EmployeeId(String);

impl From<&employee::EmployeeId> for EmployeeId {
    fn from(employee: &employee::EmployeeId) -> Self {
        Self(employee.as_str().to_owned())
    }
}

/// The face encoder that created the template.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct Model {
    /// Human-readable name.
    name: String,
    /// SHA-256 of the model file. Templates of different digests are never compared.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    digest: String,
}

impl From<&employee::ModelName> for Model {
    fn from(model: &employee::ModelName) -> Self {
        Self { name: model.name.to_string(), digest: model.id.to_string() }
    }
}

/// Similarity from 0 to 1, for display: the sigmoid of the score.
#[derive(Serialize, ToSchema)]
#[schema(minimum = 0, maximum = 1)]
pub(super) struct Similarity(f64);

impl From<comparison::Score> for Similarity {
    fn from(score: comparison::Score) -> Self {
        Self(score.similarity())
    }
}

/// Comparison score: the log-odds that both photos show the same person, at a prior of 0.5. Decisions use the score,
/// since it keeps its precision where the similarity is close to 1.
#[derive(Serialize, ToSchema)]
pub(super) struct Score(f64);

impl From<comparison::Score> for Score {
    fn from(score: comparison::Score) -> Self {
        Self(score.value())
    }
}

/// The face used, in pixels of the upright photo.
#[derive(Serialize, ToSchema)]
pub(super) struct Face {
    #[serde(rename = "box")]
    bounds: Bounds,
    /// Right eye, left eye, nose, right and left corner of the mouth, from the person's point of view.
    #[schema(min_items = 5, max_items = 5)]
    landmarks: [Point; 5],
    /// Confidence of the detector that this is a face.
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
}

/// `[x, y]`
#[derive(Serialize, ToSchema)]
#[schema(min_items = 2, max_items = 2)]
struct Point([f64; 2]);

/// A rectangle, given by its top left corner. It may extend beyond the edge of the photo.
#[derive(Serialize, ToSchema)]
#[schema(as = Box)]
struct Bounds {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl From<&face::Face> for Face {
    fn from(face: &face::Face) -> Self {
        // A tenth of a pixel is finer than any detector sees.
        let tenth = |value: f64| (value * 10.0).round() / 10.0;
        let face::Bounds { x, y, width, height } = *face.bounds();
        Self {
            bounds: Bounds { x: tenth(x), y: tenth(y), width: tenth(width), height: tenth(height) },
            landmarks: face.landmarks().map(|p| Point([tenth(p.x), tenth(p.y)])),
            confidence: (face.confidence() * 1e4).round() / 1e4,
        }
    }
}

/// The decision threshold.
#[derive(Serialize, ToSchema)]
pub(super) struct Threshold {
    similarity: Similarity,
    score: Score,
    /// Target error rate of the threshold: the false match rate (FMR) for `verify` and `compare`, the false positive
    /// identification rate (FPIR) for `identify`.
    #[schema(minimum = 0, maximum = 1)]
    target: f64,
    basis: Basis,
    /// With the basis `gallery`: the number of people compared with each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    people: Option<usize>,
}

/// The impostors that a threshold was measured on: the people of the encoder's table of error rates, or the people
/// enrolled, where these are harder to tell apart.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Basis {
    Gallery,
    Table,
}

impl From<comparison::Threshold> for Threshold {
    fn from(threshold: comparison::Threshold) -> Self {
        let comparison::Threshold { score, target, basis } = threshold;
        let (basis, people) = match basis {
            comparison::Basis::Gallery { people } => (Basis::Gallery, Some(people)),
            comparison::Basis::Table => (Basis::Table, None),
        };
        let similarity = Similarity::from(score);
        Self { similarity, score: Score::from(score), target, basis, people }
    }
}

/// A candidate of an identification. `threshold` and `model` are present only for employees who are still enrolled with
/// the former encoder.
#[derive(Serialize, ToSchema)]
pub(super) struct Candidate {
    employee_id: EmployeeId,
    similarity: Similarity,
    score: Score,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    threshold: Option<Threshold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    model: Option<Model>,
}

impl Candidate {
    pub(super) fn new(candidate: &recognizer::Candidate, present: &employee::ModelName) -> Self {
        let is_former = candidate.model.id != present.id;
        Self {
            employee_id: EmployeeId::from(&candidate.employee),
            similarity: Similarity::from(candidate.score),
            score: Score::from(candidate.score),
            threshold: is_former.then(|| candidate.threshold.into()),
            model: is_former.then(|| Model::from(&candidate.model)),
        }
    }
}

/// An enrolled employee.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
pub(super) struct Employee {
    employee_id: EmployeeId,
    enrolled_at: Timestamp,
    /// Time at which the enrollment expires and is erased; null if it does not expire.
    #[schema(required)]
    expires_at: Option<Timestamp>,
    model: Model,
    /// The reference shows no recognizable face, so it matches nobody: the employee has to be re-enrolled. Only for
    /// references from before photos were assessed for that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    reenroll: bool,
}

impl From<&employee::Reference> for Employee {
    fn from(reference: &employee::Reference) -> Self {
        Self {
            employee_id: EmployeeId::from(&reference.employee),
            enrolled_at: reference.enrolled_at,
            expires_at: reference.expires_at,
            model: Model::from(&reference.model),
            reenroll: false,
        }
    }
}

impl Employee {
    /// An employee as the service knows them now.
    pub(super) fn now(reference: &employee::Reference, recognizer: &Recognizer) -> Self {
        let reenroll = recognizer.needs_reenrollment(&reference.employee);
        Self { reenroll, ..Self::from(reference) }
    }
}

/// Quality defects that make the photo unsuitable as a reference. An enrollment is refused for them; for a probe they
/// may explain a wrong decision.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Reasons(Vec<&'static str>);

impl ToSchema for Reasons {}

impl PartialSchema for Reasons {
    fn schema() -> RefOr<Schema> {
        let about = "Quality defects that make the photo unsuitable as a reference. An enrollment is refused for \
                     them; for a probe they may explain a wrong decision. With `--pad-mode require`, \
                     `presentation_attack` and `presentation_uncertain` say why a match is withheld.";
        let withheld = [WITHHELD_FROM_ATTACK, WITHHELD_AS_UNCERTAIN];
        let reason = one_of(Reason::ALL.iter().map(|reason| reason.code()).chain(withheld));
        ArrayBuilder::new().items(reason).description(Some(about)).into()
    }
}

/// The reasons for which a match is withheld.
const WITHHELD_FROM_ATTACK: &str = "presentation_attack";
const WITHHELD_AS_UNCERTAIN: &str = "presentation_uncertain";

impl Reasons {
    /// Returns the reasons of a decision from which a match may be withheld.
    pub(super) fn of_decision(
        quality: &BTreeSet<Reason>,
        presentation: Option<&presentation::Presentation>,
        withheld: bool,
    ) -> Self {
        let mut reasons = Self::from(quality);
        if withheld {
            let attack =
                presentation.is_some_and(|shown| shown.decision == presentation::Decision::Attack);
            reasons.0.push(if attack { WITHHELD_FROM_ATTACK } else { WITHHELD_AS_UNCERTAIN });
        }
        reasons
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&BTreeSet<Reason>> for Reasons {
    fn from(reasons: &BTreeSet<Reason>) -> Self {
        Self(reasons.iter().map(|reason| reason.code()).collect())
    }
}

/// Unified quality score of the photo (ISO/IEC 29794-5): how much of the person's identity the face shows.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(minimum = 0, maximum = 100)]
pub(super) struct Quality(pub(super) u8);

/// The stages of a response, as an extension of it for the log, metrics and traces.
#[derive(Clone, Debug)]
pub(super) struct Stages(pub(super) Vec<Stage>);

/// An answer with the time of each stage in its `Server-Timing` header.
pub(super) fn timed<'a>(
    timings: impl IntoIterator<Item = &'a Timings>,
    answer: impl Serialize,
) -> Response {
    let stages: Vec<_> = timings.into_iter().flat_map(Timings::stages).copied().collect();
    let written = stages
        .iter()
        .map(|stage| format!("{};dur={:.2}", stage.name, stage.time.as_secs_f64() * 1000.0));
    let header = written.collect::<Vec<_>>().join(", ");
    let header = [(HeaderName::from_static("server-timing"), header)];
    (header, Extension(Stages(stages)), Json(answer)).into_response()
}
