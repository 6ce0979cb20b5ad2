//! `POST /compare`: do two photos show the same person? Nothing is stored.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::AppState;
use super::answer::{Face, Model, Threshold, timed};
use super::form::Form;
use super::guard::Caller;
use super::problem::Problem;
use crate::comparison::Decision;

#[derive(Serialize)]
struct Answer {
    r#match: bool,
    similarity: f64,
    score: f64,
    threshold: Threshold,
    model: Model,
    face_a: Face,
    face_b: Face,
}

pub(super) async fn compare(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    mut form: Form,
) -> Result<Response, Problem> {
    let (photo_a, photo_b) = (form.photo("photo_a")?, form.photo("photo_b")?);
    form.finish()?;
    let recognizer = app.recognizer()?;
    let comparison = recognizer.compare(photo_a, photo_b, &caller.call(app.now())).await?;
    let [face_a, face_b] = &comparison.faces;
    app.metrics.decided("compare", comparison.decision, comparison.score);
    let answer = Answer {
        r#match: comparison.decision == Decision::Match,
        similarity: comparison.score.similarity(),
        score: comparison.score.value(),
        threshold: comparison.threshold.into(),
        model: Model::from(recognizer.model()),
        face_a: Face::from(face_a),
        face_b: Face::from(face_b),
    };
    Ok(timed(&comparison.timings, answer))
}
