//! `POST /verify`: is this employee in the photo? A non-match is an answer like a match.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::AppState;
use super::answer::{Face, Model, Reasons, Threshold, timed};
use super::form::Form;
use super::guard::Caller;
use super::problem::Problem;
use crate::comparison::Decision;

#[derive(Serialize)]
struct Answer {
    employee_id: String,
    r#match: bool,
    similarity: f64,
    score: f64,
    threshold: Threshold,
    model: Model,
    face: Face,
    reasons: Reasons,
}

pub(super) async fn verify(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    mut form: Form,
) -> Result<Response, Problem> {
    let (employee, photo) = (form.employee_id()?, form.photo("photo")?);
    form.finish()?;
    let verification = app.recognizer()?.verify(&employee, photo, &caller.call(app.now())).await?;
    app.metrics.decided("verify", verification.decision, verification.score);
    let answer = Answer {
        employee_id: employee.as_str().to_owned(),
        r#match: verification.decision == Decision::Match,
        similarity: verification.score.similarity(),
        score: verification.score.value(),
        threshold: verification.threshold.into(),
        model: Model::from(&verification.model),
        face: Face::from(&verification.face),
        reasons: Reasons::from(&verification.reasons),
    };
    Ok(timed([&verification.timings], answer))
}
