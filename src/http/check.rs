//! `POST /check`: checks whether a photo is suitable as a reference. Nothing is stored, compared or written to the
//! audit trail.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::answer::{Face, Quality, Reasons, timed};
use super::form::Form;
use super::openapi::Photo;
use super::problem::{Code, Problem};

/// The photo to check.
#[derive(ToSchema)]
struct Snapshot {
    #[schema(value_type = Photo)]
    photo: Bytes,
}

/// The result of a quality check.
#[derive(Serialize, ToSchema)]
struct Assessment {
    face: Face,
    quality: Quality,
    /// Quality defects for which an enrollment would be refused.
    reasons: Reasons,
}

/// Checks whether a photo is suitable as a reference, as guidance in front of a camera. Nothing is stored, compared or
/// written to the audit trail.
#[utoipa::path(
    post,
    path = "/check",
    tag = "Enrollment",
    request_body = Snapshot,
    responses((status = OK, description = "The face and the quality defects of the photo", body = Assessment)),
    extensions(("x-problems" = json!([Code::SeveralFaces]))),
)]
pub(super) async fn check(
    State(app): State<AppState>,
    mut form: Form,
) -> Result<Response, Problem> {
    let snapshot = Snapshot { photo: form.photo("photo")? };
    form.finish()?;
    let assessment = app.recognizer()?.check(snapshot.photo).await?;
    let (face, reasons) = (Face::from(&assessment.face), Reasons::from(&assessment.reasons));
    let quality = Quality(assessment.quality);
    Ok(timed([&assessment.timings], Assessment { face, quality, reasons }))
}
