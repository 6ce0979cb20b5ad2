//! API keys, stored as digests.

use jiff::Timestamp;

use super::{Store, StoreError, audit};
use crate::access::{ApiKey, KeyDigest, KeyName, Role};
use crate::audit::{Action, Actor, Event, Outcome, Subject};
use crate::random::random;

#[derive(sqlx::FromRow)]
struct ApiKeyRow {
    name: String,
    role: String,
    digest: Vec<u8>,
    created_at: i64,
}

impl Store {
    /// Returns the valid API keys, sorted by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<ApiKeyRow> = sqlx::query_as(
            "select name, role, digest, created_at from access_key
             where revoked_at is null order by name",
        )
        .fetch_all(&self.data.readers)
        .await?;
        rows.into_iter().map(ApiKey::try_from).collect()
    }

    /// Returns whether an API key was ever added, even if it is revoked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ever_had_api_key(&self) -> Result<bool, StoreError> {
        Ok(!self.data.is_empty("access_key").await?)
    }

    /// Stores a new API key; `false` if the name is or was in use.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    pub async fn add_api_key(&self, api_key: &ApiKey, actor: Actor) -> Result<bool, StoreError> {
        let mut tx = self.data.begin().await?;
        let inserted = sqlx::query(
            "insert into access_key (name, role, digest, created_at) values ($1, $2, $3, $4)
             on conflict (name) do nothing",
        )
        .bind(api_key.name.as_str())
        .bind(api_key.role.as_str())
        .bind(api_key.digest.as_bytes().as_slice())
        .bind(api_key.created_at.as_millisecond())
        .execute(&mut *tx)
        .await?;
        if inserted.rows_affected() == 0 {
            return Ok(false);
        }
        let event = event(api_key.created_at, actor, Action::AddKey, &api_key.name);
        audit::append(&mut tx, &self.audit, &[event]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Revokes an API key; `false` if no valid key has this name.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    pub async fn revoke(
        &self,
        name: &KeyName,
        actor: Actor,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.data.begin().await?;
        let revoked = sqlx::query(
            "update access_key set revoked_at = $2, digest = $3
             where name = $1 and revoked_at is null",
        )
        .bind(name.as_str())
        .bind(now.as_millisecond())
        // Replicas of an earlier version ignore `revoked_at`: a random digest matches no key.
        .bind(random::<32>().as_slice())
        .execute(&mut *tx)
        .await?;
        if revoked.rows_affected() == 0 {
            return Ok(false);
        }
        let event = event(now, actor, Action::RevokeKey, name);
        audit::append(&mut tx, &self.audit, &[event]).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn event(at: Timestamp, actor: Actor, action: Action, key: &KeyName) -> Event {
    let subject = Some(Subject::Key(key.clone()));
    Event { at, actor, action, outcome: Outcome::Done, subject }
}

impl TryFrom<ApiKeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: ApiKeyRow) -> Result<Self, StoreError> {
        let inconsistent = |column| StoreError::inconsistent("access_key", column, &row.name);
        let digest = row.digest.as_slice().try_into().map_err(|_| inconsistent("digest"))?;
        let created_at = Timestamp::from_millisecond(row.created_at);
        Ok(Self {
            name: KeyName::parse(&row.name).map_err(|_| inconsistent("name"))?,
            role: Role::parse(&row.role).ok_or_else(|| inconsistent("role"))?,
            digest: KeyDigest::from_bytes(digest),
            created_at: created_at.map_err(|_| inconsistent("created_at"))?,
        })
    }
}
