//! `/employees`: who is enrolled, and how somebody leaves.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::answer::Employee;
use super::problem::{Code, Problem};
use crate::employee::EmployeeId;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<u32>,
    after: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Employees {
    employees: Vec<Employee>,
    /// What to ask `after` for, where there may be more.
    next: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Receipt {
    employee_id: String,
    erased_at: Timestamp,
    /// `erased`, or with a 202 `erasing`: nobody will be matched any more, and the last bytes go as soon
    /// as a foreign reader lets go of them.
    status: &'static str,
}

/// An employee named by the path. A name that could not be enrolled is one that is not.
pub(super) struct Named(EmployeeId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let employee = text.ok().and_then(|Path(text)| EmployeeId::parse(&text).ok());
        employee.map(Self).ok_or_else(|| {
            Problem::new(Code::NotEnrolled, crate::recognizer::Error::NotEnrolled.to_string())
        })
    }
}

pub(super) async fn list(
    State(app): State<AppState>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Employees>, Problem> {
    let Query(page) = page.map_err(|e| Problem::malformed(e.body_text()))?;
    let limit = page.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::malformed("limit must be a number from 1 to 1000"));
    }
    let after = page.after.as_deref().map(EmployeeId::parse).transpose();
    let after = after.map_err(|e| Problem::malformed(format!("after: {e}")))?;
    let references = app.recognizer()?.list(after.as_ref(), limit).await?;
    let full = references.len() == limit as usize;
    let last = references.last().filter(|_| full).map(|r| r.employee.as_str().to_owned());
    Ok(Json(Employees { employees: references.iter().map(Employee::from).collect(), next: last }))
}

pub(super) async fn find(
    State(app): State<AppState>,
    Named(employee): Named,
) -> Result<Json<Employee>, Problem> {
    Ok(Json(Employee::from(&app.recognizer()?.find(&employee).await?)))
}

pub(super) async fn forget(
    State(app): State<AppState>,
    Named(employee): Named,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let receipt = app.recognizer()?.forget(employee, app.now()).await?;
    let employee_id = receipt.employee.as_str().to_owned();
    let (code, status) =
        if receipt.wholly { (StatusCode::OK, "erased") } else { (StatusCode::ACCEPTED, "erasing") };
    Ok((code, Json(Receipt { employee_id, erased_at: receipt.erased_at, status })))
}
