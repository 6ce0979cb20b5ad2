//! Changes of an enrollment's expiry.

use jiff::Timestamp;

use super::{Store, StoreError, audit, changes};
use crate::audit::{Action, Actor, Event, Outcome, Subject};
use crate::employee::EmployeeId;

impl Store {
    /// Changes the expiry of an enrollment, in one commit with its event; `None` removes it. Returns
    /// `false` if the employee is not enrolled or the enrollment has expired.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    pub async fn change_expiry(
        &self,
        employee: &EmployeeId,
        expires_at: Option<Timestamp>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.data.begin().await?;
        let Some(audit_id) = audit::audit_id(&mut tx, employee).await? else { return Ok(false) };
        let changed = sqlx::query(
            "update employee set expires_at = $1
             where employee_id = $2 and (expires_at is null or expires_at > $3)",
        )
        .bind(expires_at.map(Timestamp::as_millisecond))
        .bind(employee.as_str())
        .bind(now.as_millisecond())
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        let event = Event {
            at: now,
            actor: actor.clone(),
            action: Action::ChangeExpiry,
            outcome: Outcome::Done,
            subject: Some(Subject::Reference(audit_id)),
        };
        audit::append(&mut tx, &self.audit, &[event]).await?;
        changes::note(&mut tx, self.data.engine, employee).await?;
        tx.commit().await?;
        Ok(true)
    }
}
