//! Enrollment and erasure, each in one commit with its audit event.

use jiff::{SignedDuration, Timestamp};
use sqlx::{Any, Transaction};

use super::database::Engine;
use super::{Store, StoreError, audit, changes, data_keys};
use crate::audit::{Action, Actor, Event, Head, Outcome, ReceiptId, Subject};
use crate::employee::{AuditId, EmployeeId, Reference};
use crate::seal::{Template, WrappedKey};

/// The result of an enrollment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Enrolled {
    /// The change feed has advanced since it was last read; nothing was stored.
    Behind,
    /// The employee already has a reference, and `replace` is not set; nothing was stored.
    Kept,
    /// The employee is new.
    New,
    /// The former reference was replaced.
    Replaced,
}

/// The data of an enrollment, in addition to the reference.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// The data key.
    pub key: &'a WrappedKey,
    /// The template sealed with it.
    pub template: &'a Template,
    /// Whether to replace an existing reference.
    pub replace: bool,
    /// The last change that was read before the decision to enroll; checked if set.
    pub seen: Option<u64>,
}

/// The extent of an erasure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extent {
    /// The live rows and the data key are gone from PostgreSQL. Dead rows stay until VACUUM, its write-ahead log and
    /// base backups until their retention ends; where they hold the data key too, they hold it as long.
    LiveRows,
    /// The employee is no longer matched, but remains are left, because a foreign reader holds a
    /// write-ahead log or a database cannot be written: [`Store::wipe_leftovers`] must be retried.
    Underway,
    /// No byte of the template, sealed or not, is left in any file, and its data key is gone.
    Wholly,
}

/// A receipt: the proof of an erasure.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The receipt's id.
    pub id: ReceiptId,
    /// The erased employee.
    pub employee: EmployeeId,
    /// The reference's id in the audit trail; stored nowhere else after the erasure.
    pub audit_id: AuditId,
    /// The time of the erasure.
    pub erased_at: Timestamp,
    /// The head of the audit trail after the erasure's event.
    pub head: Head,
    /// The extent of the erasure.
    pub extent: Extent,
}

impl Store {
    /// Stores a template as the employee's only reference, and its data key; durable once it returns.
    ///
    /// # Errors
    /// [`StoreError`]; then no reference has changed, unless the connection to PostgreSQL was lost
    /// during the commit.
    pub async fn enroll(
        &self,
        reference: &Reference,
        written: Written<'_>,
        actor: &Actor,
    ) -> Result<Enrolled, StoreError> {
        match self.insert_template(reference, written, actor).await {
            Ok((enrolled, former)) => {
                if !former.is_empty() {
                    self.wipe(&former).await;
                }
                Ok(enrolled)
            }
            Err(error) => {
                self.wipe_unused(&[written.key.id.as_bytes().to_vec()]).await;
                Err(error)
            }
        }
    }

    /// Returns the result, and the data keys of the replaced templates.
    async fn insert_template(
        &self,
        reference: &Reference,
        written: Written<'_>,
        actor: &Actor,
    ) -> Result<(Enrolled, Vec<Vec<u8>>), StoreError> {
        let Written { key, template, replace, seen } = written;
        let employee = reference.employee.as_str();
        let mut tx = self.data.begin().await?;
        if let Some(seen) = seen
            && changes::last(&mut tx).await? != seen
        {
            return Ok((Enrolled::Behind, Vec::new()));
        }
        let former = if replace { delete(&mut tx, &reference.employee).await? } else { None };
        let inserted = sqlx::query(
            "insert into employee (employee_id, audit_id, enrolled_at, expires_at)
             values ($1, $2, $3, $4)",
        )
        .bind(employee)
        .bind(reference.audit_id.as_bytes().as_slice())
        .bind(reference.enrolled_at.as_millisecond())
        .bind(reference.expires_at.map(Timestamp::as_millisecond))
        .execute(&mut *tx)
        .await;
        if let Err(error) = inserted {
            let taken = error
                .as_database_error()
                .is_some_and(sqlx::error::DatabaseError::is_unique_violation);
            return if taken { Ok((Enrolled::Kept, Vec::new())) } else { Err(error.into()) };
        }
        // Within the write lock, so that no cleanup erases the key before its template is committed.
        data_keys::insert_for_template(&self.keys, key).await?;
        sqlx::query("insert into model (model_id, name) values ($1, $2) on conflict do nothing")
            .bind(reference.model.id.as_bytes().as_slice())
            .bind(&*reference.model.name)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "insert into template (employee_id, model_id, key_id, sealed) values ($1, $2, $3, $4)",
        )
        .bind(employee)
        .bind(reference.model.id.as_bytes().as_slice())
        .bind(template.key.as_bytes().as_slice())
        .bind(template.sealed.as_bytes())
        .execute(&mut *tx)
        .await?;
        let at = reference.enrolled_at;
        let erased = former.as_ref().map(|former| event(at, actor, Action::Erase, former.audit_id));
        let enrolled = event(at, actor, Action::Enroll, reference.audit_id);
        let events: Vec<_> = erased.into_iter().chain([enrolled]).collect();
        audit::append(&mut tx, &self.audit, &events).await?;
        changes::note(&mut tx, self.data.engine, &reference.employee).await?;
        tx.commit().await?;
        Ok(match former {
            Some(former) => (Enrolled::Replaced, former.keys),
            None => (Enrolled::New, Vec::new()),
        })
    }

    /// Limits the lifetime of existing enrollments; if any is shortened, writes an event and its changes
    /// to the feed.
    ///
    /// # Errors
    /// [`StoreError::Driver`].
    pub async fn limit_enrollments(
        &self,
        longest: SignedDuration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let longest = longest.as_millis() as i64;
        let mut tx = self.data.begin().await?;
        changes::note_longer(&mut tx, self.data.engine, longest).await?;
        let limited = sqlx::query(
            "update employee set expires_at = enrolled_at + $1
             where expires_at is null or expires_at > enrolled_at + $1",
        )
        .bind(longest)
        .execute(&mut *tx)
        .await?;
        if limited.rows_affected() > 0 {
            let (actor, action) = (Actor::Retention, Action::LimitEnrollments);
            let event = Event { at: now, actor, action, outcome: Outcome::Done, subject: None };
            audit::append(&mut tx, &self.audit, &[event]).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Erases an employee with all templates and their data keys; `None` if the employee is not
    /// enrolled.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    pub async fn erase(
        &self,
        employee: &EmployeeId,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Option<Receipt>, StoreError> {
        let mut tx = self.data.begin().await?;
        let Some(Former { audit_id, keys }) = delete(&mut tx, employee).await? else {
            return Ok(None);
        };
        let erased = event(now, actor, Action::Erase, audit_id);
        let head = audit::append(&mut tx, &self.audit, &[erased]).await?;
        changes::note(&mut tx, self.data.engine, employee).await?;
        tx.commit().await?;
        let extent = self.extent(self.wipe(&keys).await);
        let (id, employee) = (self.audit.receipt(employee, audit_id), employee.clone());
        Ok(Some(Receipt { id, employee, audit_id, erased_at: now, head, extent }))
    }

    /// Returns the receipt of an earlier erasure from the audit trail, and retries to wipe remains;
    /// `None` if there was no such erasure, or its event has been dropped by retention.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn receipt(
        &self,
        employee: &EmployeeId,
        id: ReceiptId,
    ) -> Result<Option<Receipt>, StoreError> {
        if !self.audit.admits(&id, employee) {
            return Ok(None);
        }
        let audit_id = id.audit_id();
        let Some(erased) = self.erasure(audit_id).await? else { return Ok(None) };
        let erased_at = Timestamp::from_millisecond(erased.event.at);
        let erased_at = erased_at
            .map_err(|_| StoreError::inconsistent("audit_event", "at", audit_id.to_string()))?;
        let (employee, extent) = (employee.clone(), self.extent(self.wipe_leftovers().await));
        Ok(Some(Receipt { id, employee, audit_id, erased_at, head: erased.head, extent }))
    }

    fn extent(&self, wiped: bool) -> Extent {
        match (wiped, self.data.engine) {
            (false, _) => Extent::Underway,
            (true, Engine::Postgres) => Extent::LiveRows,
            (true, Engine::Sqlite) => Extent::Wholly,
        }
    }
}

/// A deleted employee.
struct Former {
    audit_id: AuditId,
    /// The data keys of the templates, to be erased.
    keys: Vec<Vec<u8>>,
}

/// Deletes an employee; `None` if the employee is not enrolled.
async fn delete(
    tx: &mut Transaction<'_, Any>,
    employee: &EmployeeId,
) -> Result<Option<Former>, StoreError> {
    let Some(audit_id) = audit::audit_id(tx, employee).await? else { return Ok(None) };
    let keys = sqlx::query_scalar("select key_id from template where employee_id = $1")
        .bind(employee.as_str())
        .fetch_all(&mut **tx)
        .await?;
    sqlx::query("delete from employee where employee_id = $1")
        .bind(employee.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(Some(Former { audit_id, keys }))
}

fn event(at: Timestamp, actor: &Actor, action: Action, reference: AuditId) -> Event {
    let (actor, subject) = (actor.clone(), Some(Subject::Reference(reference)));
    Event { at, actor, action, outcome: Outcome::Done, subject }
}
