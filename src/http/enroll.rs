//! `POST /enroll`: an employee and the photo to know them by.

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
use super::answer::{Employee, EmployeeId, Face, Reasons, timed};
use super::form::Form;
use super::guard::Caller;
use super::openapi::Photo;
use super::problem::{Code, Problem};
use crate::employee;
use crate::recognizer::EnrollmentWishes;

/// Who is to be known, and by which photo.
#[derive(ToSchema)]
struct Applicant {
    #[schema(value_type = EmployeeId)]
    employee_id: employee::EmployeeId,
    #[schema(value_type = Photo)]
    photo: Bytes,
    /// Whether the photo may take the place of a former one.
    #[schema(required = false, default = false)]
    replace: bool,
    /// Says that the photo is of this employee although it looks like somebody else who is enrolled.
    #[schema(required = false, default = false)]
    confirm_lookalike: bool,
    /// When the enrolment ends by itself and is erased: within the next 100 years. A date without a time counts until
    /// its end in UTC.
    #[schema(nullable = false)]
    expires_at: Option<Timestamp>,
}

/// Who is known from now on.
#[derive(Serialize, ToSchema)]
struct Enrollment {
    #[serde(flatten)]
    employee: Employee,
    face: Face,
    /// Empty: a photo with a reason is refused.
    reasons: Reasons,
}

/// Enrols an employee from one photo, which is not kept.
#[utoipa::path(
    post,
    path = "/enroll",
    tag = "Enrolment",
    request_body = Applicant,
    responses(
        (status = OK, description = "The former enrolment was replaced", body = Enrollment),
        (status = CREATED, description = "The employee is enrolled", body = Enrollment,
            headers(("Location" = String, description = "The path of the employee"))),
    ),
    extensions(("x-problems" = json!([Code::AlreadyEnrolled, Code::LooksLikeAnother, Code::PoorPhoto]))),
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
    let wishes = EnrollmentWishes {
        replace: applicant.replace,
        confirm_lookalike: applicant.confirm_lookalike,
        expires_at: applicant.expires_at,
        rehearsal: false,
    };
    let call = caller.call(app.now());
    let recognizer = app.recognizer()?;
    let enrollment =
        recognizer.enroll(applicant.employee_id, applicant.photo, wishes, &call).await?;
    let answer = Enrollment {
        employee: Employee::from(&enrollment.reference),
        face: Face::from(&enrollment.face),
        reasons: Reasons::default(),
    };
    let response = timed([&enrollment.timings], answer);
    if enrollment.replaced {
        return Ok(response);
    }
    // Relative to the request (RFC 9110, 10.2.2), which a proxy may have forwarded from under a prefix.
    let location = format!("employees/{}", enrollment.reference.employee.as_str());
    Ok((StatusCode::CREATED, [(LOCATION, location)], response).into_response())
}
