//! Presentation sessions. Each passes through its states by one statement, so that of several replicas one takes it.

use jiff::{SignedDuration, Timestamp};

use super::{Store, StoreError};
use crate::audit::Actor;
use crate::employee::EmployeeId;
use crate::presentation::Steps;
use crate::seal::{Sealed, SessionDigest};

/// A presentation session as it is opened.
#[derive(Clone, Debug)]
pub struct NewSession<'a> {
    /// The digest of its token.
    pub digest: SessionDigest,
    /// The caller, who alone may use it.
    pub caller: &'a Actor,
    /// Whom it may verify; `None` for anybody.
    pub employee: Option<&'a EmployeeId>,
    /// The steps.
    pub steps: Steps,
    /// Time of the opening.
    pub opened_at: Timestamp,
    /// How long it lives.
    pub lifetime: SignedDuration,
}

/// A presentation session whose frames are judged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TakenSession {
    /// Whom it may verify; `None` for anybody.
    pub employee: Option<EmployeeId>,
    /// The steps.
    pub steps: Steps,
    /// Time of the opening.
    pub opened_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    employee_id: Option<String>,
    steps: String,
    opened_at: i64,
}

impl Store {
    /// Opens a session.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_presentation_session(
        &self,
        session: &NewSession<'_>,
    ) -> Result<(), StoreError> {
        let mut tx = self.data.begin().await?;
        sqlx::query(
            "insert into presentation_session
                (digest, caller, employee_id, steps, opened_at, expires_at, state)
             values ($1, $2, $3, $4, $5, $6, 'open')",
        )
        .bind(session.digest.as_bytes().as_slice())
        .bind(session.caller.to_string())
        .bind(session.employee.map(EmployeeId::as_str))
        .bind(session.steps.to_string())
        .bind(session.opened_at.as_millisecond())
        .bind(session.opened_at.as_millisecond() + session.lifetime.as_millis() as i64)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Takes an open session to judge its frames; `None` if this caller has none with this token.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_presentation_session(
        &self,
        digest: SessionDigest,
        caller: &Actor,
        now: Timestamp,
    ) -> Result<Option<TakenSession>, StoreError> {
        let mut tx = self.data.begin().await?;
        let row: Option<SessionRow> = sqlx::query_as(
            "update presentation_session set state = 'judged'
             where digest = $1 and caller = $2 and expires_at > $3 and state = 'open'
             returning employee_id, steps, opened_at",
        )
        .bind(digest.as_bytes().as_slice())
        .bind(caller.to_string())
        .bind(now.as_millisecond())
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(|row| row.read(digest)).transpose()
    }

    /// Keeps the sealed probe of a session that was judged live; `false` if it has expired meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_presentation_probe(
        &self,
        digest: SessionDigest,
        probe: &Sealed,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.data.begin().await?;
        let kept = sqlx::query(
            "update presentation_session set state = 'live', probe = $2
             where digest = $1 and expires_at > $3 and state = 'judged'",
        )
        .bind(digest.as_bytes().as_slice())
        .bind(probe.as_bytes())
        .bind(now.as_millisecond())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(kept.rows_affected() == 1)
    }

    /// Takes the sealed probe of a live session, which ends it; `None` if this caller has none with this token for this
    /// employee or, without one, for an identification.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_presentation_probe(
        &self,
        digest: SessionDigest,
        caller: &Actor,
        employee: Option<&EmployeeId>,
        now: Timestamp,
    ) -> Result<Option<Sealed>, StoreError> {
        let mut tx = self.data.begin().await?;
        let probe: Option<Vec<u8>> = sqlx::query_scalar(
            "delete from presentation_session
             where digest = $1 and caller = $2 and expires_at > $3 and state = 'live'
             and (employee_id is null or employee_id = $4)
             returning probe",
        )
        .bind(digest.as_bytes().as_slice())
        .bind(caller.to_string())
        .bind(now.as_millisecond())
        .bind(employee.map(EmployeeId::as_str))
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(probe.map(Sealed::from_bytes))
    }

    /// Deletes a session whose frames were judged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_presentation_session(
        &self,
        digest: SessionDigest,
    ) -> Result<(), StoreError> {
        let mut tx = self.data.begin().await?;
        sqlx::query("delete from presentation_session where digest = $1")
            .bind(digest.as_bytes().as_slice())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Deletes expired sessions, and returns their number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drop_presentation_sessions(&self, now: Timestamp) -> Result<u64, StoreError> {
        // Checked without the write lock, since usually there is none.
        let expired: Option<i64> = sqlx::query_scalar(
            "select expires_at from presentation_session where expires_at <= $1 limit 1",
        )
        .bind(now.as_millisecond())
        .fetch_optional(&self.data.readers)
        .await?;
        if expired.is_none() {
            return Ok(0);
        }
        let mut tx = self.data.begin().await?;
        let dropped = sqlx::query("delete from presentation_session where expires_at <= $1")
            .bind(now.as_millisecond())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(dropped.rows_affected())
    }
}

impl SessionRow {
    fn read(self, digest: SessionDigest) -> Result<TakenSession, StoreError> {
        let column = |column| {
            let row = digest.as_bytes().iter().map(|byte| format!("{byte:02x}"));
            StoreError::inconsistent("presentation_session", column, row.collect::<String>())
        };
        let employee = self.employee_id.map(|id| EmployeeId::parse(&id)).transpose();
        let opened_at = Timestamp::from_millisecond(self.opened_at);
        Ok(TakenSession {
            employee: employee.map_err(|_| column("employee_id"))?,
            steps: Steps::parse(&self.steps).map_err(|_| column("steps"))?,
            opened_at: opened_at.map_err(|_| column("opened_at"))?,
        })
    }
}
