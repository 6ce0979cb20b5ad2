//! The data keys, wrapped, in a file of their own.
//!
//! A key is committed before its template and erased after it, so whatever a kill leaves behind is a key
//! without a template, never a template without its key.

use std::collections::{HashMap, HashSet};

use super::database::Database;
use super::{Store, StoreError};
use crate::seal::{DataKeyId, MasterKeyId, Sealed, WrappedKey};

#[derive(sqlx::FromRow)]
struct KeyRow {
    key_id: Vec<u8>,
    master_id: Vec<u8>,
    wrapped: Vec<u8>,
}

impl Store {
    /// Every data key, that of the audit trail among them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn data_keys(&self) -> Result<HashMap<DataKeyId, WrappedKey>, StoreError> {
        let rows: Vec<KeyRow> = sqlx::query_as("select key_id, master_id, wrapped from data_key")
            .fetch_all(&self.keys.readers)
            .await?;
        let keys = rows.into_iter().map(WrappedKey::try_from);
        keys.map(|key| key.map(|key| (key.id, key))).collect()
    }

    /// At most `limit` data keys that this master key has not wrapped.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn data_keys_not_of(
        &self,
        master: MasterKeyId,
        limit: u32,
    ) -> Result<Vec<WrappedKey>, StoreError> {
        let rows: Vec<KeyRow> = sqlx::query_as(
            "select key_id, master_id, wrapped from data_key where master_id <> ? limit ?",
        )
        .bind(master.as_bytes().as_slice())
        .bind(limit)
        .fetch_all(&self.keys.readers)
        .await?;
        rows.into_iter().map(WrappedKey::try_from).collect()
    }

    /// How many data keys there are, that of the audit trail among them.
    ///
    /// # Errors
    /// [`StoreError::Driver`].
    pub async fn count_data_keys(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("select count(*) from data_key")
            .fetch_one(&self.keys.readers)
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Puts data keys in place of themselves, wrapped anew; all of them or, where it fails, none.
    ///
    /// # Errors
    /// [`StoreError::Driver`].
    pub async fn rewrap(&self, keys: &[WrappedKey]) -> Result<(), StoreError> {
        let mut tx = self.keys.begin().await?;
        for key in keys {
            sqlx::query("update data_key set master_id = ?, wrapped = ? where key_id = ?")
                .bind(key.master.as_bytes().as_slice())
                .bind(key.wrapped.as_bytes())
                .bind(key.id.as_bytes().as_slice())
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Erases every data key whose template is not there, which is what a kill between the two commits
    /// of an enrolment or an erasure leaves, and empties the write-ahead logs. `false`, with the reason
    /// in the log, where it has to be tried again. Only while nobody else writes.
    pub async fn wipe_leftovers(&self) -> bool {
        match self.orphans().await {
            Ok(orphans) => self.wipe(&orphans).await,
            Err(error) => {
                tracing::error!(%error, "the data keys could not be looked through");
                false
            }
        }
    }

    async fn orphans(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let used: Vec<Vec<u8>> =
            sqlx::query_scalar("select key_id from template").fetch_all(&self.data.readers).await?;
        let used: HashSet<Vec<u8>> = used.into_iter().collect();
        let held: Vec<Vec<u8>> =
            sqlx::query_scalar("select key_id from data_key").fetch_all(&self.keys.readers).await?;
        let audit = DataKeyId::AUDIT.as_bytes();
        Ok(held.into_iter().filter(|key| !used.contains(key) && key != audit).collect())
    }

    /// After a commit that left templates behind: erases their data keys and empties both write-ahead
    /// logs. `false` where something of them may still be in a file.
    ///
    /// What was committed stays committed whatever happens here, so a failure is logged and not returned:
    /// the caller's gallery has to follow the commit.
    pub(super) async fn wipe(&self, keys: &[Vec<u8>]) -> bool {
        let erased = self.erase_data_keys(keys).await;
        if let Err(error) = &erased {
            tracing::error!(%error, "data keys of erased templates could not be erased yet");
        }
        let (data, keys) = (self.data.truncate_wal().await, self.keys.truncate_wal().await);
        erased.is_ok() && data && keys
    }

    async fn erase_data_keys(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut tx = self.keys.begin().await?;
        for key in keys {
            sqlx::query("delete from data_key where key_id = ?")
                .bind(key)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }
}

/// One data key.
pub(super) async fn find(keys: &Database, id: DataKeyId) -> Result<Option<WrappedKey>, StoreError> {
    let row: Option<KeyRow> =
        sqlx::query_as("select key_id, master_id, wrapped from data_key where key_id = ?")
            .bind(id.as_bytes().as_slice())
            .fetch_optional(&keys.readers)
            .await?;
    row.map(WrappedKey::try_from).transpose()
}

/// Stores a data key; one that is there already stays.
pub(super) async fn insert(keys: &Database, key: &WrappedKey) -> Result<(), StoreError> {
    sqlx::query(
        "insert into data_key (key_id, master_id, wrapped) values (?, ?, ?) on conflict do nothing",
    )
    .bind(key.id.as_bytes().as_slice())
    .bind(key.master.as_bytes().as_slice())
    .bind(key.wrapped.as_bytes())
    .execute(&keys.writer)
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
