//! The shapes that several answers share, as the contract writes them.

use std::collections::BTreeSet;

use axum::http::HeaderName;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::Serialize;

use super::metrics::Stages;
use crate::comparison;
use crate::employee;
use crate::engine::Timings;
use crate::face;
use crate::quality::Reason;
use crate::recognizer;

/// `model`: the encoder's name and digest.
#[derive(Serialize)]
pub(super) struct Model {
    name: String,
    digest: String,
}

impl From<&employee::ModelName> for Model {
    fn from(model: &employee::ModelName) -> Self {
        Self { name: model.name.to_string(), digest: model.id.to_string() }
    }
}

/// `face`: the one that was used, in pixels of the upright photo.
#[derive(Serialize)]
pub(super) struct Face {
    #[serde(rename = "box")]
    bounds: Bounds,
    landmarks: [[f64; 2]; 5],
    confidence: f64,
}

#[derive(Serialize)]
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
            landmarks: face.landmarks().map(|p| [tenth(p.x), tenth(p.y)]),
            confidence: (face.confidence() * 1e4).round() / 1e4,
        }
    }
}

/// `threshold`: what was decided at, and the error rate that it stands for.
#[derive(Serialize)]
pub(super) struct Threshold {
    similarity: f64,
    score: f64,
    target: f64,
}

impl From<comparison::Threshold> for Threshold {
    fn from(threshold: comparison::Threshold) -> Self {
        let comparison::Threshold { score, target } = threshold;
        Self { similarity: score.similarity(), score: score.value(), target }
    }
}

/// Somebody whom a probe may show. What is decided at and with which encoder stands with those alone
/// who are still enrolled with a former one.
#[derive(Serialize)]
pub(super) struct Candidate {
    employee_id: String,
    similarity: f64,
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<Threshold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Model>,
}

impl Candidate {
    pub(super) fn new(candidate: &recognizer::Candidate, present: &employee::ModelName) -> Self {
        let is_former = candidate.model.id != present.id;
        Self {
            employee_id: candidate.employee.as_str().to_owned(),
            similarity: candidate.score.similarity(),
            score: candidate.score.value(),
            threshold: is_former.then(|| candidate.threshold.into()),
            model: is_former.then(|| Model::from(&candidate.model)),
        }
    }
}

/// An enrolled employee.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
pub(super) struct Employee {
    employee_id: String,
    enrolled_at: Timestamp,
    expires_at: Option<Timestamp>,
    model: Model,
}

impl From<&employee::Reference> for Employee {
    fn from(reference: &employee::Reference) -> Self {
        Self {
            employee_id: reference.employee.as_str().to_owned(),
            enrolled_at: reference.enrolled_at,
            expires_at: reference.expires_at,
            model: Model::from(&reference.model),
        }
    }
}

/// `reasons`: what speaks against the photo as a reference, beside a probe's decision or in the
/// refusal of an enrolment.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Reasons(Vec<&'static str>);

impl Reasons {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&BTreeSet<Reason>> for Reasons {
    fn from(reasons: &BTreeSet<Reason>) -> Self {
        Self(reasons.iter().map(|reason| reason.code()).collect())
    }
}

/// An answer with the time of each stage in its `Server-Timing` header.
pub(super) fn timed<'a>(
    timings: impl IntoIterator<Item = &'a Timings>,
    answer: impl Serialize,
) -> Response {
    let stages: Vec<_> = timings.into_iter().flat_map(Timings::stages).copied().collect();
    let written = stages
        .iter()
        .map(|(stage, time)| format!("{stage};dur={:.2}", time.as_secs_f64() * 1000.0));
    let header = written.collect::<Vec<_>>().join(", ");
    let header = [(HeaderName::from_static("server-timing"), header)];
    (header, Extension(Stages(stages)), Json(answer)).into_response()
}
