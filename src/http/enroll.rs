//! `POST /enroll`: an employee and the photo to know them by.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::AppState;
use super::answer::{Employee, Face, Reasons, timed};
use super::form::Form;
use super::guard::Caller;
use super::problem::Problem;
use crate::recognizer::EnrollmentWishes;

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    employee: Employee,
    face: Face,
    reasons: Reasons,
}

pub(super) async fn enroll(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    mut form: Form,
) -> Result<Response, Problem> {
    let (employee, photo) = (form.employee_id()?, form.photo("photo")?);
    let wishes = EnrollmentWishes {
        replace: form.flag("replace")?,
        confirm_lookalike: form.flag("confirm_lookalike")?,
        expires_at: form.later("expires_at", app.now())?,
        rehearsal: false,
    };
    form.finish()?;
    let enrollment =
        app.recognizer()?.enroll(employee, photo, wishes, &caller.call(app.now())).await?;
    let answer = Answer {
        employee: Employee::from(&enrollment.reference),
        face: Face::from(&enrollment.face),
        // A photo with a reason was refused.
        reasons: Reasons::default(),
    };
    let response = timed([&enrollment.timings], answer);
    if enrollment.replaced {
        return Ok(response);
    }
    let location = format!("/employees/{}", enrollment.reference.employee.as_str());
    Ok((StatusCode::CREATED, [(LOCATION, location)], response).into_response())
}
