//! The audit trail: events and their MACs, in the database of the employees, so that a change and
//! its event are one commit.

use jiff::Timestamp;
use sqlx::{Any, Transaction};

use super::{Store, StoreError};
use crate::audit::{AuditKey, Broken, CanonicalEvent, Entry, Event, Head, Mac, Verification};
use crate::employee::{AuditId, EmployeeId};

/// Events in one page.
const PAGE: i64 = 1000;

/// An attempt of [`Store::record_once`] whose outcome may be unknown.
#[derive(Debug, Default)]
pub struct Attempt {
    /// The head of the trail if the events were written, and their number.
    pub(super) tried: Option<(Head, usize)>,
}

#[derive(sqlx::FromRow)]
struct EventRow {
    number: i64,
    at: i64,
    actor: String,
    action: String,
    outcome: String,
    subject: Option<String>,
    code: Vec<u8>,
}

impl Store {
    /// Writes events; they are durable once this returns.
    ///
    /// # Errors
    /// [`StoreError`]; then no event is written.
    pub async fn record(&self, events: &[Event]) -> Result<(), StoreError> {
        let mut tx = self.data.begin().await?;
        append(&mut tx, &self.audit, events).await?;
        Ok(tx.commit().await?)
    }

    /// Writes events and returns how many of the first are durable: all, or those of an earlier
    /// attempt that was reported as failed or canceled, but was committed.
    ///
    /// # Errors
    /// [`StoreError`]; the next call with this attempt, and events that start with the same ones,
    /// finds out whether they were committed.
    pub async fn record_once(
        &self,
        events: &[Event],
        attempt: &mut Attempt,
    ) -> Result<usize, StoreError> {
        // Waits for statements of the earlier attempt that may still run.
        let mut tx = self.data.begin().await?;
        if let Some((head, count)) = attempt.tried {
            let written = is_written(&mut tx, head).await?;
            attempt.tried = None;
            if written {
                return Ok(count);
            }
        }
        let end = append(&mut tx, &self.audit, events).await?;
        attempt.tried = Some((end, events.len()));
        tx.commit().await?;
        attempt.tried = None;
        Ok(events.len())
    }

    /// Returns a page of events from a number on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self, from: u64) -> Result<Vec<Entry>, StoreError> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "select number, at, actor, action, outcome, subject, code from audit_event
             where number >= $1 order by number limit $2",
        )
        .bind(from.cast_signed())
        .bind(PAGE)
        .fetch_all(&self.data.readers)
        .await?;
        rows.into_iter().map(Entry::try_from).collect()
    }

    /// Returns the events about a reference, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_about(&self, reference: AuditId) -> Result<Vec<Entry>, StoreError> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "select number, at, actor, action, outcome, subject, code from audit_event
             where subject = $1 order by number",
        )
        .bind(reference.to_string())
        .fetch_all(&self.data.readers)
        .await?;
        rows.into_iter().map(Entry::try_from).collect()
    }

    /// Returns the event of a reference's erasure.
    pub(super) async fn erasure(&self, reference: AuditId) -> Result<Option<Entry>, StoreError> {
        let events = self.events_about(reference).await?;
        Ok(events.into_iter().find(|entry| entry.event.is_erasure()))
    }

    /// Verifies the trail from its first event to its last; returns the result of
    /// [`Verification::end`].
    ///
    /// # Errors
    /// The inner error if the trail was altered.
    pub async fn verify_events(
        &self,
        wanted: Option<Head>,
    ) -> Result<Result<(Head, bool), Broken>, StoreError> {
        let start = self.start_of_events().await?;
        let mut next = start.map_or(1, |(head, _)| head.count + 1);
        let mut verification = match Verification::begin(&self.audit, start, wanted) {
            Ok(verification) => verification,
            Err(broken) => return Ok(Err(broken)),
        };
        loop {
            let page = self.events(next).await?;
            let Some(last) = page.last() else { return Ok(verification.end()) };
            next = last.head.count + 1;
            for entry in &page {
                if let Err(broken) = verification.take(entry) {
                    return Ok(Err(broken));
                }
            }
        }
    }

    /// Drops the events older than `before`, keeps the head that the remaining ones are chained to,
    /// and returns the number of dropped events.
    ///
    /// # Errors
    /// [`StoreError`]; then no event is dropped.
    pub async fn drop_events(&self, before: Timestamp) -> Result<u64, StoreError> {
        // Checked without the write lock, since usually nothing is to be dropped.
        let oldest: Option<i64> =
            sqlx::query_scalar("select at from audit_event order by number limit 1")
                .fetch_optional(&self.data.readers)
                .await?;
        if oldest.is_none_or(|at| at >= before.as_millisecond()) {
            return Ok(0);
        }
        let mut tx = self.data.begin().await?;
        let last: Option<(i64, Vec<u8>)> = sqlx::query_as(
            "select number, code from audit_event
             where number < coalesce((select min(number) from audit_event where at >= $1),
                                     9223372036854775807)
             order by number desc limit 1",
        )
        .bind(before.as_millisecond())
        .fetch_optional(&mut *tx)
        .await?;
        let Some((number, code)) = last else { return Ok(0) };
        let head = head(number, &code)?;
        sqlx::query("delete from audit_start").execute(&mut *tx).await?;
        sqlx::query("insert into audit_start (number, code, authenticated) values ($1, $2, $3)")
            .bind(number)
            .bind(code)
            .bind(self.audit.start(&head).as_bytes().as_slice())
            .execute(&mut *tx)
            .await?;
        let dropped = sqlx::query("delete from audit_event where number <= $1")
            .bind(number)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(dropped.rows_affected())
    }

    /// Returns the head before the first event, with its authentication code.
    async fn start_of_events(&self) -> Result<Option<(Head, Mac)>, StoreError> {
        let row: Option<(i64, Vec<u8>, Vec<u8>)> =
            sqlx::query_as("select number, code, authenticated from audit_start")
                .fetch_optional(&self.data.readers)
                .await?;
        let Some((number, last, authenticated)) = row else { return Ok(None) };
        Ok(Some((head(number, &last)?, mac(number, &authenticated)?)))
    }
}

/// Appends events to the trail in a transaction, and returns its new head.
pub(super) async fn append(
    tx: &mut Transaction<'_, Any>,
    key: &AuditKey,
    events: &[Event],
) -> Result<Head, StoreError> {
    let last: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "select number, code from (
             select number, code from audit_event union all select number, code from audit_start
         ) as events order by number desc limit 1",
    )
    .fetch_optional(&mut **tx)
    .await?;
    let mut end = match last {
        Some((number, code)) => head(number, &code)?,
        None => Head::NONE,
    };
    for event in events {
        let event = event.canonical();
        end = key.extend(&end, &event);
        sqlx::query(
            "insert into audit_event (number, at, actor, action, outcome, subject, code)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(end.count.cast_signed())
        .bind(event.at)
        .bind(event.actor)
        .bind(event.action)
        .bind(event.outcome)
        .bind(event.subject)
        .bind(end.mac.as_bytes().as_slice())
        .execute(&mut **tx)
        .await?;
    }
    Ok(end)
}

async fn is_written(tx: &mut Transaction<'_, Any>, head: Head) -> Result<bool, StoreError> {
    let found: Option<i64> =
        sqlx::query_scalar("select number from audit_event where number = $1 and code = $2")
            .bind(head.count.cast_signed())
            .bind(head.mac.as_bytes().as_slice())
            .fetch_optional(&mut **tx)
            .await?;
    Ok(found.is_some())
}

/// Returns the audit id of an employee's reference; `None` if the employee is not enrolled.
pub(super) async fn audit_id(
    tx: &mut Transaction<'_, Any>,
    employee: &EmployeeId,
) -> Result<Option<AuditId>, StoreError> {
    let id: Option<Vec<u8>> =
        sqlx::query_scalar("select audit_id from employee where employee_id = $1")
            .bind(employee.as_str())
            .fetch_optional(&mut **tx)
            .await?;
    let inconsistent = |_| StoreError::inconsistent("employee", "audit_id", employee.as_str());
    id.map(|id| id.try_into().map(AuditId::from_bytes).map_err(inconsistent)).transpose()
}

fn head(number: i64, bytes: &[u8]) -> Result<Head, StoreError> {
    Ok(Head { count: number.unsigned_abs(), mac: mac(number, bytes)? })
}

fn mac(number: i64, bytes: &[u8]) -> Result<Mac, StoreError> {
    let inconsistent = |_| StoreError::inconsistent("audit_event", "code", number.to_string());
    bytes.try_into().map(Mac::from_bytes).map_err(inconsistent)
}

impl TryFrom<EventRow> for Entry {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        let EventRow { number, at, actor, action, outcome, subject, code } = row;
        let event = CanonicalEvent { at, actor, action, outcome, subject };
        Ok(Self { event, head: head(number, &code)? })
    }
}
