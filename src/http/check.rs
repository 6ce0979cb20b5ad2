//! `POST /check`: could this photo be a reference? Guidance for a camera page; nothing is stored, compared or
//! written into the audit trail.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::AppState;
use super::answer::{Face, Reasons, timed};
use super::form::Form;
use super::problem::Problem;

#[derive(Serialize)]
struct Answer {
    face: Face,
    /// What an enrolment would be refused for.
    reasons: Reasons,
}

pub(super) async fn check(
    State(app): State<AppState>,
    mut form: Form,
) -> Result<Response, Problem> {
    let photo = form.photo("photo")?;
    form.finish()?;
    let assessment = app.recognizer()?.check(photo).await?;
    let (face, reasons) = (Face::from(&assessment.face), Reasons::from(&assessment.reasons));
    Ok(timed([&assessment.timings], Answer { face, reasons }))
}
