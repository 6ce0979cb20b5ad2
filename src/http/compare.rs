//! `POST /compare`: decides whether two photos show the same person. Nothing is stored.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::answer::{Face, Model, Reasons, Score, Similarity, Threshold, timed};
use super::form::Form;
use super::guard::Caller;
use super::openapi::Photo;
use super::problem::{Code, Problem};
use crate::comparison::Decision;

/// Two photos to compare.
#[derive(ToSchema)]
struct Pair {
    #[schema(value_type = Photo)]
    photo_a: Bytes,
    #[schema(value_type = Photo)]
    photo_b: Bytes,
}

/// The result of a comparison.
#[derive(Serialize, ToSchema)]
struct Comparison {
    /// Whether the score reaches the threshold, and `photo_a` shows enough of a face to be a reference.
    r#match: bool,
    similarity: Similarity,
    score: Score,
    threshold: Threshold,
    model: Model,
    face_a: Face,
    face_b: Face,
    reasons_a: Reasons,
    reasons_b: Reasons,
}

/// Decides whether two photos show the same person, as if `photo_a` were enrolled and `photo_b` verified. Nothing is
/// stored.
#[utoipa::path(
    post,
    path = "/compare",
    tag = "Enrollment",
    request_body = Pair,
    responses((status = OK, description = "The decision", body = Comparison)),
    extensions(("x-problems" = json!([Code::SeveralFaces]))),
)]
pub(super) async fn compare(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    mut form: Form,
) -> Result<Response, Problem> {
    let pair = Pair { photo_a: form.photo("photo_a")?, photo_b: form.photo("photo_b")? };
    form.finish()?;
    let recognizer = app.recognizer()?;
    let call = caller.call(app.now());
    let comparison = recognizer.compare(pair.photo_a, pair.photo_b, &call).await?;
    let [face_a, face_b] = &comparison.faces;
    let [reasons_a, reasons_b] = &comparison.reasons;
    app.metrics.decided("compare", comparison.decision, comparison.score);
    let answer = Comparison {
        r#match: comparison.decision == Decision::Match,
        similarity: Similarity::from(comparison.score),
        score: Score::from(comparison.score),
        threshold: comparison.threshold.into(),
        model: Model::from(recognizer.model()),
        face_a: Face::from(face_a),
        face_b: Face::from(face_b),
        reasons_a: Reasons::from(reasons_a),
        reasons_b: Reasons::from(reasons_b),
    };
    Ok(timed(&comparison.timings, answer))
}
