//! `/employees`: lists, finds and erases enrolled employees.

#![expect(unused_qualifications, reason = "what utoipa makes of `params`")]

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AppState;
use super::answer::{Employee, EmployeeId};
use super::guard::Caller;
use super::problem::{Code, Problem};
use crate::audit::ReceiptId;
use crate::employee;
use crate::recognizer::{self, Extent};

/// What outlasts an erasure in SQLite.
const NOTHING: &[&str] = &[];

/// What outlasts an erasure in PostgreSQL: of the rows of both databases, and of the employee's id in the change feed.
const IN_POSTGRES: &[&str] = &[
    "dead rows in the database, until VACUUM",
    "the write-ahead log of the database, until its retention ends",
    "base backups of the database, until their retention ends",
    "the employee_id in the change feed, for one minute",
];

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Maximum number of employees to return.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Return employees after this ID, in byte order: the `next` of the previous page.
    #[param(value_type = Option<EmployeeId>)]
    after: Option<String>,
}

/// A page of enrolled employees, in the order of their IDs.
#[derive(Serialize, ToSchema)]
pub(super) struct Employees {
    employees: Vec<Employee>,
    /// Value of `after` for the next page; null on the last page.
    #[schema(required, value_type = Option<EmployeeId>)]
    next: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Repeated {
    /// The `receipt` of an earlier erasure: returns that receipt again and erases nothing.
    #[param(pattern = "^[A-Za-z0-9_-]{64}$")]
    receipt: Option<String>,
}

/// Proof of an erasure.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
pub(super) struct Receipt {
    employee_id: EmployeeId,
    erased_at: Timestamp,
    status: Erasure,
    /// Where a copy of the encrypted template persists, and for how long.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false, value_type = [String])]
    outlasting: &'static [&'static str],
    /// Pseudonym of the reference in the audit trail.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    audit_id: String,
    audit: Head,
    /// Identifier with which this receipt can be retrieved again.
    #[schema(pattern = "^[A-Za-z0-9_-]{64}$")]
    receipt: String,
    /// Archives of data keys made before this time may still contain the key of the template; null while erasing.
    #[schema(required)]
    destroy_key_archives_before: Option<Timestamp>,
}

/// `erased`, or `erasing` with status 202: the employee is no longer matched, and the remaining bytes are erased once
/// another process releases the database.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Erasure {
    Erased,
    Erasing,
}

/// Head of the audit trail after the erasure.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditHead)]
struct Head {
    /// Number of events.
    count: u64,
    /// The count and the MAC of the last event, as accepted by `likeness audit verify --head`.
    head: String,
}

impl Receipt {
    /// `answered` is not before the data key was gone.
    fn new(receipt: &recognizer::Receipt, answered: Timestamp) -> (StatusCode, Json<Self>) {
        let (code, status, outlasting) = match receipt.extent {
            Extent::LiveRows => (StatusCode::OK, Erasure::Erased, IN_POSTGRES),
            Extent::Underway => (StatusCode::ACCEPTED, Erasure::Erasing, NOTHING),
            Extent::Wholly => (StatusCode::OK, Erasure::Erased, NOTHING),
        };
        let answer = Self {
            employee_id: EmployeeId::from(&receipt.employee),
            erased_at: receipt.erased_at,
            status,
            outlasting,
            audit_id: receipt.audit_id.to_string(),
            audit: Head { count: receipt.head.count, head: receipt.head.to_string() },
            receipt: receipt.id.to_string(),
            destroy_key_archives_before: (code == StatusCode::OK).then_some(answered),
        };
        (code, Json(answer))
    }
}

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
pub(super) async fn list(
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
    let references = app.recognizer()?.list(after.as_ref(), limit).await?;
    let full = references.len() == limit as usize;
    let last = references.last().filter(|_| full).map(|r| r.employee.as_str().to_owned());
    Ok(Json(Employees { employees: references.iter().map(Employee::from).collect(), next: last }))
}

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
pub(super) async fn find(
    State(app): State<AppState>,
    Named(employee): Named,
) -> Result<Json<Employee>, Problem> {
    Ok(Json(Employee::from(&app.recognizer()?.find(&employee).await?)))
}

/// Erases an employee and returns a receipt.
#[utoipa::path(
    delete,
    path = "/employees/{employee_id}",
    operation_id = "erase_employee",
    tag = "Enrollment",
    params(Named, Repeated),
    responses(
        (status = OK, description = "The template is erased", body = Receipt),
        (status = ACCEPTED, description = "The employee is no longer matched, but another process still holds the database",
            body = Receipt),
    ),
    extensions(("x-problems" = json!([Code::Malformed, Code::NotEnrolled]))),
)]
pub(super) async fn forget(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    Named(employee): Named,
    repeated: Result<Query<Repeated>, QueryRejection>,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let Query(Repeated { receipt }) = repeated.map_err(|e| Problem::malformed(e.body_text()))?;
    let recognizer = app.recognizer()?;
    let receipt = match receipt {
        None => recognizer.forget(employee, &caller.call(app.now())).await?,
        Some(text) => {
            let unreadable = || Problem::malformed("receipt: not a valid receipt");
            let id = ReceiptId::parse(&text).ok_or_else(unreadable)?;
            recognizer.receipt(&employee, id).await?
        }
    };
    Ok(Receipt::new(&receipt, app.now()))
}
