//! `GET /employees/{employee_id}`: returns an enrolled employee.

use axum::Json;
use axum::extract::State;

use super::Named;
use crate::http::AppState;
use crate::http::answer::Employee;
use crate::http::problem::{Code, Problem};

/// Returns an enrolled employee.
#[utoipa::path(
    get,
    path = "/employees/{employee_id}",
    operation_id = "find_employee",
    tag = "Enrollment",
    params(Named),
    responses((status = OK, description = "The employee", body = Employee)),
    extensions(("x-problems" = json!([Code::NotEnrolled]))),
)]
pub(in crate::http) async fn find(
    State(app): State<AppState>,
    Named(employee): Named,
) -> Result<Json<Employee>, Problem> {
    let recognizer = app.recognizer()?;
    Ok(Json(Employee::now(&recognizer.find(&employee).await?, recognizer)))
}
