//! `POST /enroll`: enrolls an employee from one photo.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::answer::{Employee, EmployeeId, Face, Quality, Reasons, timed};
use super::form::Form;
use super::guard::Caller;
use super::openapi::Photo;
use super::presentation::{Presentation, PresentationView};
use super::problem::{Code, Problem};
use crate::employee;
use crate::recognizer::EnrollmentOptions;

/// The employee to enroll, and the photo.
#[derive(ToSchema)]
struct Applicant {
    #[schema(value_type = EmployeeId)]
    employee_id: employee::EmployeeId,
    #[schema(value_type = Photo)]
    photo: Bytes,
    /// Replace an existing enrollment.
    #[schema(required = false, default = false)]
    replace: bool,
    /// Enroll although the photo matches another enrolled employee.
    #[schema(required = false, default = false)]
    confirm_lookalike: bool,
    /// Time at which the enrollment expires and is erased, at most 100 years ahead. A date without a time means the end
    /// of that day in UTC.
    #[schema(nullable = false)]
    expires_at: Option<Timestamp>,
}

/// The new enrollment.
#[derive(Serialize, ToSchema)]
struct Enrollment {
    #[serde(flatten)]
    employee: Employee,
    face: Face,
    quality: Quality,
    /// Always empty: a photo with quality defects is refused.
    reasons: Reasons,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    presentation: Option<Presentation>,
}

/// Enrolls an employee from one photo. The photo is not stored.
#[utoipa::path(
    post,
    path = "/enroll",
    tag = "Enrollment",
    request_body = Applicant,
    responses(
        (status = OK, description = "The existing enrollment was replaced", body = Enrollment),
        (status = CREATED, description = "The employee is enrolled", body = Enrollment,
            headers(("Location" = String, description = "Path of the employee"))),
    ),
    extensions(("x-problems" = json!([Code::AlreadyEnrolled, Code::LooksLikeAnother, Code::PoorPhoto, Code::SeveralFaces]))),
)]
pub(super) async fn enroll(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    mut form: Form,
) -> Result<Response, Problem> {
    let applicant = Applicant {
        employee_id: form.employee_id()?,
        photo: form.photo("photo")?,
        replace: form.flag("replace")?,
        confirm_lookalike: form.flag("confirm_lookalike")?,
        expires_at: form.later("expires_at", app.now())?,
    };
    form.finish()?;
    let options = EnrollmentOptions {
        replace: applicant.replace,
        confirm_lookalike: applicant.confirm_lookalike,
        expires_at: applicant.expires_at,
        rehearsal: false,
    };
    let recognizer = app.recognizer()?;
    let view = PresentationView::new(recognizer, &caller);
    let call = caller.call(app.now());
    let enrollment =
        recognizer.enroll(applicant.employee_id, applicant.photo, options, &call).await?;
    let presentation = enrollment.presentation.as_ref();
    app.metrics.presented("enroll", presentation);
    let answer = Enrollment {
        employee: Employee::from(&enrollment.reference),
        face: Face::from(&enrollment.face),
        quality: Quality(enrollment.quality),
        reasons: Reasons::default(),
        presentation: view.of(presentation),
    };
    let response = timed([&enrollment.timings], answer);
    if enrollment.replaced {
        return Ok(response);
    }
    // Relative to the request (RFC 9110, 10.2.2), which a proxy may have forwarded from under a prefix.
    let location = format!("employees/{}", enrollment.reference.employee.as_str());
    Ok((StatusCode::CREATED, [(LOCATION, location)], response).into_response())
}
