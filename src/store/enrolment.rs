//! Enrolment and erasure: what changes who is enrolled, each in one commit with its event.

use jiff::{SignedDuration, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::{Store, StoreError, audit, data_keys};
use crate::audit::{Action, Actor, Event, Head, Outcome, ReceiptId, Subject};
use crate::employee::{AuditId, EmployeeId, Reference};
use crate::seal::{Template, WrappedKey};

/// What became of an enrolment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Enrolled {
    /// The employee already had a reference, and replacing it was not asked for.
    Kept,
    /// A new employee.
    New,
    /// The former reference is gone.
    Replaced,
}

/// The proof that an employee was erased.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// What it is asked for by.
    pub id: ReceiptId,
    /// Who was erased.
    pub employee: EmployeeId,
    /// What the reference was called in the audit trail; nothing else tells any more.
    pub audit_id: AuditId,
    /// When.
    pub erased_at: Timestamp,
    /// Where the audit trail ended with the erasure.
    pub head: Head,
    /// Whether no byte of the template, sealed or not, is left in any file, and its data key is gone. Where
    /// not, nobody will be matched any more, but a foreign reader holds a write-ahead log, or a file
    /// cannot be written: [`Store::wipe_leftovers`] has to be tried again.
    pub wholly: bool,
}

impl Store {
    /// Stores a template as the employee's only reference, and its data key; durable once it returns.
    ///
    /// # Errors
    /// [`StoreError::Driver`]; then nobody's reference has changed.
    pub async fn enroll(
        &self,
        reference: &Reference,
        key: &WrappedKey,
        template: &Template,
        replace: bool,
        actor: &Actor,
    ) -> Result<Enrolled, StoreError> {
        data_keys::insert(&self.keys, key).await?;
        let inserted = self.insert_template(reference, template, replace, actor).await;
        let own = || vec![key.id.as_bytes().to_vec()];
        match inserted {
            Ok((enrolled, former)) => {
                let useless = if enrolled == Enrolled::Kept { own() } else { former };
                if !useless.is_empty() {
                    self.wipe(&useless).await;
                }
                Ok(enrolled)
            }
            Err(error) => {
                self.wipe(&own()).await;
                Err(error)
            }
        }
    }

    /// What became of the enrolment, and the data keys of the templates whose place it took.
    async fn insert_template(
        &self,
        reference: &Reference,
        template: &Template,
        replace: bool,
        actor: &Actor,
    ) -> Result<(Enrolled, Vec<Vec<u8>>), StoreError> {
        let employee = reference.employee.as_str();
        let mut tx = self.data.begin().await?;
        let former = if replace { delete(&mut tx, &reference.employee).await? } else { None };
        let inserted = sqlx::query(
            "insert into employee (employee_id, audit_id, enrolled_at, expires_at)
             values (?, ?, ?, ?)",
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
        sqlx::query("insert into model (model_id, name) values (?, ?) on conflict do nothing")
            .bind(reference.model.id.as_bytes().as_slice())
            .bind(&*reference.model.name)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "insert into template (employee_id, model_id, key_id, sealed) values (?, ?, ?, ?)",
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
        tx.commit().await?;
        Ok(match former {
            Some(former) => (Enrolled::Replaced, former.keys),
            None => (Enrolled::New, Vec::new()),
        })
    }

    /// Lets no enrolment end later than so long after it was made.
    ///
    /// # Errors
    /// [`StoreError::Driver`].
    pub async fn limit_enrolments(&self, longest: SignedDuration) -> Result<(), StoreError> {
        sqlx::query(
            "update employee set expires_at = enrolled_at + ?1
             where expires_at is null or expires_at > enrolled_at + ?1",
        )
        .bind(longest.as_millis() as i64)
        .execute(&self.data.writer)
        .await?;
        Ok(())
    }

    /// Erases an employee with all templates and their data keys; `None` where nobody of this name is
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
        tx.commit().await?;
        let wholly = self.wipe(&keys).await;
        let (id, employee) = (self.audit.receipt(employee, audit_id), employee.clone());
        Ok(Some(Receipt { id, employee, audit_id, erased_at: now, head, wholly }))
    }

    /// The receipt of an earlier erasure, from the audit trail; `None` where there was no such erasure, or its
    /// event has been dropped on time. Tries anew to wipe what is left; only while nobody else writes.
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
        let erased_at = Timestamp::from_millisecond(erased.words.at);
        let erased_at = erased_at
            .map_err(|_| StoreError::inconsistent("audit_event", "at", audit_id.to_string()))?;
        let (employee, wholly) = (employee.clone(), self.wipe_leftovers().await);
        Ok(Some(Receipt { id, employee, audit_id, erased_at, head: erased.head, wholly }))
    }
}

/// Who was just deleted.
struct Former {
    audit_id: AuditId,
    /// The data keys of the templates, still to be erased.
    keys: Vec<Vec<u8>>,
}

/// Deletes an employee; `None` where nobody is of this name.
async fn delete(
    tx: &mut Transaction<'_, Sqlite>,
    employee: &EmployeeId,
) -> Result<Option<Former>, StoreError> {
    let Some(audit_id) = audit::audit_id(tx, employee).await? else { return Ok(None) };
    let keys = sqlx::query_scalar("select key_id from template where employee_id = ?")
        .bind(employee.as_str())
        .fetch_all(&mut **tx)
        .await?;
    sqlx::query("delete from employee where employee_id = ?")
        .bind(employee.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(Some(Former { audit_id, keys }))
}

fn event(at: Timestamp, actor: &Actor, action: Action, reference: AuditId) -> Event {
    let (actor, subject) = (actor.clone(), Some(Subject::Reference(reference)));
    Event { at, actor, action, outcome: Outcome::Done, subject }
}
