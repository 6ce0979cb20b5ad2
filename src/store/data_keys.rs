//! The wrapped data keys, in a file, schema or database of their own.
//!
//! A key is committed before its template and erased after it: a kill can leave a key without a
//! template, never a template without its key.

use std::collections::{HashMap, HashSet};

use sqlx::{AnyConnection, AssertSqlSafe};

use super::database::{Database, Engine};
use super::{Store, StoreError};
use crate::seal::{DataKeyId, MasterKeyId, Sealed, WrappedKey};

#[derive(sqlx::FromRow)]
struct KeyRow {
    key_id: Vec<u8>,
    master_id: Vec<u8>,
    wrapped: Vec<u8>,
}

impl Store {
    /// Returns at most `limit` data keys wrapped by other master keys, the audit trail's first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn data_keys_not_of(
        &self,
        master: MasterKeyId,
        limit: u32,
    ) -> Result<Vec<WrappedKey>, StoreError> {
        let rows: Vec<KeyRow> = sqlx::query_as(
            "select key_id, master_id, wrapped from data_key
             where master_id <> $1 order by key_id limit $2",
        )
        .bind(master.as_bytes().as_slice())
        .bind(i64::from(limit))
        .fetch_all(&self.keys.readers)
        .await?;
        rows.into_iter().map(WrappedKey::try_from).collect()
    }

    /// Returns the number of data keys, including the audit trail's.
    ///
    /// # Errors
    /// [`StoreError::Driver`].
    pub async fn count_data_keys(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("select count(*) from data_key")
            .fetch_one(&self.keys.readers)
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Replaces data keys by their rewrapped form, all or none.
    ///
    /// # Errors
    /// [`StoreError::Driver`].
    pub async fn rewrap(&self, keys: &[WrappedKey]) -> Result<(), StoreError> {
        let mut tx = self.keys.begin().await?;
        for key in keys {
            sqlx::query("update data_key set master_id = $1, wrapped = $2 where key_id = $3")
                .bind(key.master.as_bytes().as_slice())
                .bind(key.wrapped.as_bytes())
                .bind(key.id.as_bytes().as_slice())
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Erases data keys without a template, which a kill between two commits can leave, and truncates
    /// SQLite's write-ahead logs. Returns `false` and logs the reason if it must be retried.
    pub async fn wipe_leftovers(&self) -> bool {
        match self.keys_without_templates().await {
            Ok(keys) => self.wipe_unused(&keys).await,
            Err(error) => {
                tracing::error!(%error, "the data keys could not be scanned");
                false
            }
        }
    }

    /// Returns candidates only: an enrollment may be about to commit the template of one.
    async fn keys_without_templates(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let held: Vec<Vec<u8>> =
            sqlx::query_scalar("select key_id from data_key").fetch_all(&self.keys.readers).await?;
        let used: Vec<Vec<u8>> =
            sqlx::query_scalar("select key_id from template").fetch_all(&self.data.readers).await?;
        let used: HashSet<Vec<u8>> = used.into_iter().collect();
        let audit = DataKeyId::AUDIT.as_bytes();
        Ok(held.into_iter().filter(|key| !used.contains(key) && key != audit).collect())
    }

    /// Erases those of the data keys that have no template, and truncates SQLite's write-ahead logs.
    /// Holds the write lock, since an enrollment commits its key before its template.
    pub(super) async fn wipe_unused(&self, keys: &[Vec<u8>]) -> bool {
        if keys.is_empty() {
            return self.wipe(keys).await;
        }
        match self.erase_unused(keys).await {
            Ok(()) => self.wipe(&[]).await,
            Err(error) => {
                tracing::error!(%error, "data keys without templates could not be erased yet");
                false
            }
        }
    }

    async fn erase_unused(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut tx = self.data.begin().await?;
        let mut unused = Vec::new();
        for key in keys {
            let used: Option<i64> = sqlx::query_scalar("select 1 from template where key_id = $1")
                .bind(key.as_slice())
                .fetch_optional(&mut *tx)
                .await?;
            if used.is_none() {
                unused.push(key.clone());
            }
        }
        self.erase_data_keys(&unused).await?;
        Ok(tx.rollback().await?)
    }

    /// Erases the data keys of deleted templates and truncates SQLite's write-ahead logs. Returns
    /// `false` if remains may be left.
    ///
    /// A failure is logged, not returned: the deletion is committed, and the caller's gallery must
    /// follow it.
    pub(super) async fn wipe(&self, keys: &[Vec<u8>]) -> bool {
        let erased = self.erase_data_keys(keys).await;
        if let Err(error) = &erased {
            tracing::error!(%error, "data keys of erased templates could not be erased yet");
        }
        let (data, keys) = (self.data.truncate_wal().await, self.keys.truncate_wal().await);
        erased.is_ok() && data && keys
    }

    async fn erase_data_keys(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut tx = self.keys.begin().await?;
        for key in keys {
            sqlx::query("delete from data_key where key_id = $1")
                .bind(key.as_slice())
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }
}

/// Returns a data key.
pub(super) async fn find(keys: &Database, id: DataKeyId) -> Result<Option<WrappedKey>, StoreError> {
    let row: Option<KeyRow> =
        sqlx::query_as("select key_id, master_id, wrapped from data_key where key_id = $1")
            .bind(id.as_bytes().as_slice())
            .fetch_optional(&keys.readers)
            .await?;
    row.map(WrappedKey::try_from).transpose()
}

/// Returns those of the data keys that exist; PostgreSQL allows at most 65,535 ids.
pub(super) async fn among(
    keys: &Database,
    ids: &[DataKeyId],
) -> Result<HashMap<DataKeyId, WrappedKey>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let places: Vec<_> = (1..=ids.len()).map(|place| format!("${place}")).collect();
    let select = format!(
        "select key_id, master_id, wrapped from data_key where key_id in ({})",
        places.join(", ")
    );
    let mut query = sqlx::query_as(AssertSqlSafe(select)).persistent(false);
    for id in ids {
        query = query.bind(id.as_bytes().as_slice());
    }
    by_id(query.fetch_all(&keys.feed).await?)
}

/// Returns the data keys that sort after `after`, up to and including `last`.
pub(super) async fn between(
    keys: &Database,
    after: DataKeyId,
    last: DataKeyId,
) -> Result<HashMap<DataKeyId, WrappedKey>, StoreError> {
    let rows: Vec<KeyRow> = sqlx::query_as(
        "select key_id, master_id, wrapped from data_key where key_id > $1 and key_id <= $2",
    )
    .bind(after.as_bytes().as_slice())
    .bind(last.as_bytes().as_slice())
    .fetch_all(&keys.readers)
    .await?;
    by_id(rows)
}

fn by_id(rows: Vec<KeyRow>) -> Result<HashMap<DataKeyId, WrappedKey>, StoreError> {
    let keys = rows.into_iter().map(WrappedKey::try_from);
    keys.map(|key| key.map(|key| (key.id, key))).collect()
}

/// Stores the data key of a template. In PostgreSQL, another process may have rotated the master key,
/// starting with the audit trail's key: a key wrapped by a former master key is refused.
pub(super) async fn insert_for_template(
    keys: &Database,
    key: &WrappedKey,
) -> Result<(), StoreError> {
    let mut tx = keys.begin().await?;
    if keys.engine == Engine::Postgres {
        let present: Option<Vec<u8>> =
            sqlx::query_scalar("select master_id from data_key where key_id = $1")
                .bind(DataKeyId::AUDIT.as_bytes().as_slice())
                .fetch_optional(&mut *tx)
                .await?;
        if present.as_deref() != Some(key.master.as_bytes()) {
            return Err(StoreError::MasterKey);
        }
    }
    insert(&mut tx, key).await?;
    Ok(tx.commit().await?)
}

/// Stores a data key unless it exists.
pub(super) async fn insert(
    connection: &mut AnyConnection,
    key: &WrappedKey,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into data_key (key_id, master_id, wrapped) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(key.id.as_bytes().as_slice())
    .bind(key.master.as_bytes().as_slice())
    .bind(key.wrapped.as_bytes())
    .execute(connection)
    .await?;
    Ok(())
}

impl TryFrom<KeyRow> for WrappedKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        let inconsistent =
            |column| StoreError::inconsistent("data_key", column, format!("{:02x?}", row.key_id));
        let id = row.key_id.as_slice().try_into().map_err(|_| inconsistent("key_id"))?;
        let master = row.master_id.as_slice().try_into().map_err(|_| inconsistent("master_id"))?;
        Ok(Self {
            id: DataKeyId::from_bytes(id),
            master: MasterKeyId::from_bytes(master),
            wrapped: Sealed::from_bytes(row.wrapped),
        })
    }
}
