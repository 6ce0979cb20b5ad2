//! `POST /verify`: verifies that the photo shows the claimed employee.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::answer::{EmployeeId, Face, Model, Reasons, Score, Similarity, Threshold, timed};
use super::form::Form;
use super::guard::Caller;
use super::openapi::Photo;
use super::presentation::{Presentation, PresentationView};
use super::probe::{self, PresentationSession};
use super::problem::{Code, Problem};
use crate::comparison::Decision;
use crate::recognizer;

/// The claimed employee, and a photo or a presentation session.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the schema only")]
struct Claim {
    employee_id: EmployeeId,
    #[schema(value_type = Photo, required = false)]
    photo: Bytes,
    #[schema(required = false)]
    presentation_session: PresentationSession,
}

/// The result of a verification.
#[derive(Serialize, ToSchema)]
struct Verification {
    employee_id: EmployeeId,
    /// Whether the score reaches the threshold and, with `--pad-mode require`, the face is live.
    r#match: bool,
    /// The reference shows no recognizable face, so it matches nobody: the employee has to be re-enrolled. Only for
    /// references from before photos were assessed for that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    reenroll: bool,
    similarity: Similarity,
    score: Score,
    threshold: Threshold,
    model: Model,
    /// The face with the best score, which decides; with `--pad-mode require` of the live faces that match, if any.
    face: Face,
    reasons: Reasons,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    presentation: Option<Presentation>,
    /// Each prominent face of the photo with its score, at most 8 faces, the most prominent first. With several faces
    /// the threshold is stricter, so that `target` holds for the whole answer.
    #[schema(min_items = 1, max_items = 8)]
    faces: Vec<ScoredFace>,
}

/// A face and its comparison with the claimed employee.
#[derive(Serialize, ToSchema)]
struct ScoredFace {
    #[serde(flatten)]
    face: Face,
    score: Score,
}

impl From<&recognizer::ScoredFace> for ScoredFace {
    fn from(scored: &recognizer::ScoredFace) -> Self {
        Self { face: Face::from(&scored.face), score: Score::from(scored.score) }
    }
}

/// Verifies that the photo, or the best frame of a presentation session, shows the claimed employee. Where it shows several people, the best score decides. A
/// non-match is a regular result with status 200.
#[utoipa::path(
    post,
    path = "/verify",
    tag = "Recognition",
    request_body = Claim,
    responses((status = OK, description = "The decision", body = Verification)),
    extensions(("x-problems" = json!([
        Code::NotEnrolled,
        Code::OtherModel,
        Code::PresentationSessionUnknown,
        Code::PresentationSessionsOff,
        Code::TooManyAttacks,
    ]))),
)]
pub(super) async fn verify(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    mut form: Form,
) -> Result<Response, Problem> {
    let (employee, probe) = (form.employee_id()?, probe::take(&mut form)?);
    form.finish()?;
    let recognizer = app.recognizer()?;
    let view = PresentationView::new(recognizer, &caller);
    let call = caller.call(app.now());
    let verification = recognizer.verify(&employee, probe, &call).await?;
    app.metrics.decided("verify", verification.decision, verification.score);
    let presentation = verification.presentation.as_ref();
    app.metrics.presented("verify", presentation);
    let answer = Verification {
        employee_id: EmployeeId::from(&employee),
        r#match: verification.decision == Decision::Match,
        reenroll: verification.reenroll,
        similarity: Similarity::from(verification.score),
        score: Score::from(verification.score),
        threshold: verification.threshold.into(),
        model: Model::from(&verification.model),
        face: Face::from(&verification.face),
        reasons: Reasons::of_decision(&verification.reasons, presentation, verification.withheld),
        presentation: view.of(presentation),
        faces: verification.faces.iter().map(ScoredFace::from).collect(),
    };
    Ok(timed([&verification.timings], answer))
}
