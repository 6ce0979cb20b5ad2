//! How answers state whether a face is live.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;

use super::answer::{Model, Reasons};
use super::guard::Caller;
use super::schema::one_of;
use crate::presentation::{self, LiveScore};
use crate::recognizer::Recognizer;

/// Whether the face is live (ISO/IEC 30107-3): a person before the camera, and not a photo, screen or mask. Only if the
/// service judges presentations (`--pad-mode`).
#[derive(Serialize, ToSchema)]
pub(super) struct Presentation {
    /// `live`, `attack`, or `uncertain` if the photo does not permit a judgment.
    #[schema(schema_with = presentation_decision)]
    decision: &'static str,
    /// Quality defects for which it is uncertain.
    reasons: Reasons,
    /// Log-odds that the face is live, before calibration. Only for keys with the role `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    score: Option<f64>,
    /// Lowest score of a live face. Only for keys with the role `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    threshold: Option<f64>,
    /// The networks that judge. Only for keys with the role `admin`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    models: Vec<Model>,
}

fn presentation_decision() -> ObjectBuilder {
    one_of(presentation::Decision::ALL.map(presentation::Decision::code))
}

/// What a caller may see of presentations: the scores, and the networks that judge, or neither.
pub(super) struct PresentationView<'a>(Option<&'a Recognizer>);

impl<'a> PresentationView<'a> {
    pub(super) fn new(recognizer: &'a Recognizer, caller: &Caller) -> Self {
        Self(caller.sees_live_scores().then_some(recognizer))
    }

    /// Returns what this caller sees of a presentation.
    pub(super) fn of(&self, judged: Option<&presentation::Presentation>) -> Option<Presentation> {
        let &Self(recognizer) = self;
        judged.map(|judged| Presentation {
            decision: judged.decision.code(),
            reasons: Reasons::from(&judged.reasons),
            score: recognizer.map(|_| judged.score.value()),
            threshold: recognizer.and_then(Recognizer::live_threshold).map(LiveScore::value),
            models: recognizer
                .into_iter()
                .flat_map(Recognizer::pad_models)
                .map(Model::from)
                .collect(),
        })
    }
}
