//! `/employees`: who is enrolled, and how somebody leaves.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::answer::Employee;
use super::guard::Caller;
use super::problem::{Code, Problem};
use crate::audit::ReceiptId;
use crate::employee::EmployeeId;
use crate::recognizer;

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Repeated {
    /// The `receipt` of an erasure that was answered before.
    receipt: Option<String>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
pub(super) struct Receipt {
    employee_id: String,
    erased_at: Timestamp,
    /// `erased`, or with a 202 `erasing`: nobody will be matched any more, and the last bytes go as soon
    /// as a foreign reader lets go of them.
    status: &'static str,
    /// What the reference was called in the audit trail.
    audit_id: String,
    audit: Head,
    /// What this receipt can be asked for by.
    receipt: String,
    /// Archives of data keys from before then may still hold the key of a copy of the template; not known while
    /// erasing.
    destroy_key_archives_before: Option<Timestamp>,
}

/// Where the audit trail ended with the erasure.
#[derive(Serialize)]
struct Head {
    count: u64,
    head: String,
}

impl Receipt {
    /// `answered` is not before the data key was gone.
    fn new(receipt: &recognizer::Receipt, answered: Timestamp) -> (StatusCode, Json<Self>) {
        let (code, status) = if receipt.wholly {
            (StatusCode::OK, "erased")
        } else {
            (StatusCode::ACCEPTED, "erasing")
        };
        let answer = Self {
            employee_id: receipt.employee.as_str().to_owned(),
            erased_at: receipt.erased_at,
            status,
            audit_id: receipt.audit_id.to_string(),
            audit: Head { count: receipt.head.count, head: receipt.head.to_string() },
            receipt: receipt.id.to_string(),
            destroy_key_archives_before: receipt.wholly.then_some(answered),
        };
        (code, Json(answer))
    }
}

/// An employee named by the path. A name that could not be enrolled is one that is not.
pub(super) struct Named(EmployeeId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let employee = text.ok().and_then(|Path(text)| EmployeeId::parse(&text).ok());
        employee.map(Self).ok_or_else(|| {
            Problem::new(Code::NotEnrolled, recognizer::Error::NotEnrolled.to_string())
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
    Extension(caller): Extension<Caller>,
    Named(employee): Named,
    repeated: Result<Query<Repeated>, QueryRejection>,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let Query(Repeated { receipt }) = repeated.map_err(|e| Problem::malformed(e.body_text()))?;
    let recognizer = app.recognizer()?;
    let receipt = match receipt {
        None => recognizer.forget(employee, &caller.call(app.now())).await?,
        Some(text) => {
            let unreadable = || Problem::malformed("receipt: this is no receipt of ours");
            let id = ReceiptId::parse(&text).ok_or_else(unreadable)?;
            recognizer.receipt(&employee, id).await?
        }
    };
    Ok(Receipt::new(&receipt, app.now()))
}
