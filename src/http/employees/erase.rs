//! `DELETE /employees/{employee_id}`: erases an employee, or returns the receipt of an earlier
//! erasure.

#![expect(unused_qualifications, reason = "what utoipa makes of `params`")]

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Named;
use crate::audit::ReceiptId;
use crate::http::AppState;
use crate::http::answer::EmployeeId;
use crate::http::guard::Caller;
use crate::http::problem::{Code, Problem};
use crate::recognizer::{self, Extent};

/// The remains of an erasure in SQLite.
const NOTHING: &[&str] = &[];

/// The remains of an erasure in PostgreSQL: of the rows in both databases, and of the employee's id
/// in the change feed.
const IN_POSTGRES: &[&str] = &[
    "dead rows in the database, until VACUUM",
    "the write-ahead log of the database, until its retention ends",
    "base backups of the database, until their retention ends",
    "the employee_id in the change feed, for one minute",
];

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Repeated {
    /// The `receipt` of an earlier erasure: returns that receipt again and erases nothing.
    #[param(pattern = "^[A-Za-z0-9_-]{64}$")]
    receipt: Option<String>,
}

/// Proof of an erasure.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
pub(in crate::http) struct Receipt {
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
    /// Archives of data keys made before this time may still contain the key of the template; null
    /// while erasing.
    #[schema(required)]
    destroy_key_archives_before: Option<Timestamp>,
}

/// `erased`, or `erasing` with status 202: the employee is no longer matched, and the remaining
/// bytes are erased once another process releases the database.
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
    /// Creates the receipt. `answered` must not be earlier than the erasure of the data key.
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
pub(in crate::http) async fn erase(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    Named(employee): Named,
    repeated: Result<Query<Repeated>, QueryRejection>,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let Query(Repeated { receipt }) = repeated.map_err(|e| Problem::malformed(e.body_text()))?;
    let recognizer = app.recognizer()?;
    let receipt = match receipt {
        None => recognizer.erase(employee, &caller.call(app.now())).await?,
        Some(text) => {
            let unreadable = || Problem::malformed("receipt: not a valid receipt");
            let id = ReceiptId::parse(&text).ok_or_else(unreadable)?;
            recognizer.receipt(&employee, id).await?
        }
    };
    Ok(Receipt::new(&receipt, app.now()))
}
