//! `POST /check`: could this photo be a reference? Guidance for a camera page; nothing is stored, compared or
//! written into the audit trail.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::answer::{Face, Reasons, timed};
use super::form::Form;
use super::openapi::Photo;
use super::problem::Problem;

/// What is to be looked at.
#[derive(ToSchema)]
struct Snapshot {
    #[schema(value_type = Photo)]
    photo: Bytes,
}

/// What was seen.
#[derive(Serialize, ToSchema)]
struct Assessment {
    face: Face,
    /// What an enrolment would be refused for.
    reasons: Reasons,
}

/// Could this photo be a reference? Guidance for a camera page: nothing is stored, compared or written into the
/// audit trail.
#[utoipa::path(
    post,
    path = "/check",
    tag = "Enrolment",
    request_body = Snapshot,
    responses((status = OK, description = "The face, and what speaks against the photo", body = Assessment)),
)]
pub(super) async fn check(
    State(app): State<AppState>,
    mut form: Form,
) -> Result<Response, Problem> {
    let snapshot = Snapshot { photo: form.photo("photo")? };
    form.finish()?;
    let assessment = app.recognizer()?.check(snapshot.photo).await?;
    let (face, reasons) = (Face::from(&assessment.face), Reasons::from(&assessment.reasons));
    Ok(timed([&assessment.timings], Assessment { face, reasons }))
}
