//! `GET /employees`: lists enrolled employees, page by page.

#![expect(unused_qualifications, reason = "what utoipa makes of `params`")]

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::employee;
use crate::http::AppState;
use crate::http::answer::{Employee, EmployeeId};
use crate::http::problem::{Code, Problem};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Page {
    /// Maximum number of employees to return.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Return employees after this ID, in byte order: the `next` of the previous page.
    #[param(value_type = Option<EmployeeId>)]
    after: Option<String>,
}

/// A page of enrolled employees, in the order of their IDs.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Employees {
    employees: Vec<Employee>,
    /// Value of `after` for the next page; null on the last page.
    #[schema(required, value_type = Option<EmployeeId>)]
    next: Option<String>,
}

/// Lists enrolled employees, page by page.
#[utoipa::path(
    get,
    path = "/employees",
    operation_id = "list_employees",
    tag = "Enrollment",
    params(Page),
    responses((status = OK, description = "A page of employees", body = Employees)),
    extensions(("x-problems" = json!([Code::Malformed]))),
)]
pub(in crate::http) async fn list(
    State(app): State<AppState>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Employees>, Problem> {
    let Query(page) = page.map_err(|e| Problem::malformed(e.body_text()))?;
    let limit = page.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::malformed("limit must be an integer from 1 to 1000"));
    }
    let after = page.after.as_deref().map(employee::EmployeeId::parse).transpose();
    let after = after.map_err(|e| Problem::malformed(format!("after: {e}")))?;
    let recognizer = app.recognizer()?;
    let references = recognizer.list(after.as_ref(), limit).await?;
    let full = references.len() == limit as usize;
    let last = references.last().filter(|_| full).map(|r| r.employee.as_str().to_owned());
    let employees = references.iter().map(|reference| Employee::now(reference, recognizer));
    Ok(Json(Employees { employees: employees.collect(), next: last }))
}
