//! `/employees`: the enrolled employees, one file for each route.

pub(super) mod erase;
pub(super) mod find;
pub(super) mod list;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use utoipa::IntoParams;

use super::answer::EmployeeId;
use super::problem::{Code, Problem};
use crate::employee;
use crate::recognizer;

/// The employee in the path. An invalid ID counts as not enrolled.
#[derive(IntoParams)]
#[into_params(names("employee_id"), parameter_in = Path)]
pub(super) struct Named(#[param(value_type = EmployeeId)] employee::EmployeeId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let employee = text.ok().and_then(|Path(text)| employee::EmployeeId::parse(&text).ok());
        employee.map(Self).ok_or_else(|| {
            Problem::new(Code::NotEnrolled, recognizer::Error::NotEnrolled.to_string())
        })
    }
}
