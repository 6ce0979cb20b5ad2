//! `POST /check`: checks whether a photo is suitable as a reference. Nothing is stored, compared or written to the
//! audit trail.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::answer::{Face, Quality, Reasons, timed};
use super::form::Form;
use super::guard::Caller;
use super::openapi::Photo;
use super::presentation::{Presentation, PresentationView};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    presentation: Option<Presentation>,
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
    Extension(caller): Extension<Caller>,
    mut form: Form,
) -> Result<Response, Problem> {
    let snapshot = Snapshot { photo: form.photo("photo")? };
    form.finish()?;
    let recognizer = app.recognizer()?;
    let assessment = recognizer.check(snapshot.photo).await?;
    let presentation = assessment.presentation.as_ref();
    app.metrics.presented("check", presentation);
    let answer = Assessment {
        face: Face::from(&assessment.face),
        quality: Quality(assessment.quality),
        reasons: Reasons::from(&assessment.reasons),
        presentation: PresentationView::new(recognizer, &caller).of(presentation),
    };
    Ok(timed([&assessment.timings], answer))
}
