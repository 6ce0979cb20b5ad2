//! The store: every SQL statement of the service, over two SQLite files.
//!
//! It is the truth about who is enrolled. An answered write survives a kill, and what is deleted
//! is overwritten: WAL with `synchronous=FULL`, `secure_delete=ON`, one writer. It sees sealed
//! templates only, and the keys that open them wrapped only; what it changes it writes down in the audit
//! trail, in the same commit.

mod access_keys;
mod archive;
mod audit;
mod data_keys;
mod database;
mod employees;
mod enrolment;
#[cfg(test)]
mod tests;

use std::path::Path;

use self::database::Database;
pub use self::employees::Held;
pub use self::enrolment::{Enrolled, Receipt};
use crate::audit::AuditKey;
use crate::seal::{DataKeyId, MasterKeys};

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The key of the audit trail is not there or does not open, so nobody could go on with the trail.
    #[error(
        "the key of the audit trail {0}: likeness.db, data-keys.db and the master key do not belong together; put the right ones back"
    )]
    AuditKey(&'static str),
    /// A page of a file is not what SQLite wrote.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// An archive cannot be written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// SQLite or the file system says no.
    #[error("the database: {0}")]
    Driver(#[from] sqlx::Error),
    /// A row that this program did not write.
    #[error("the database is inconsistent: {table}.{column} of {row}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Which row.
        row: String,
    },
    /// The schema could not be brought up to date.
    #[error("the database's migrations: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl StoreError {
    /// Whether another program holds the database, so that the same may succeed in a moment.
    pub fn is_locked(&self) -> bool {
        let Self::Driver(sqlx::Error::Database(error)) = self else { return false };
        // SQLITE_BUSY, and its extended codes in the higher bits.
        error.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xFF == 5)
    }

    fn inconsistent(table: &'static str, column: &'static str, row: impl Into<String>) -> Self {
        Self::Inconsistent { table, column, row: row.into() }
    }
}

/// The databases; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    data: Database,
    keys: Database,
    audit: AuditKey,
}

impl Store {
    /// Opens the database file and, beside it, the file of data keys, making and migrating them as
    /// needed. The master keys open the key of the audit trail, and nothing else here.
    ///
    /// # Errors
    /// [`StoreError`] where one cannot be opened or brought up to date, or they do not belong together.
    pub async fn open(file: &Path, masters: &MasterKeys) -> Result<Self, StoreError> {
        let keys = file.with_file_name("data-keys.db");
        let data = Database::open(file, &sqlx::migrate!("./migrations")).await?;
        let keys = Database::open(&keys, &sqlx::migrate!("./migrations/keys")).await?;
        let audit = audit_key(&data, &keys, masters).await?;
        Ok(Self { data, keys, audit })
    }

    /// Whether the databases answer.
    ///
    /// # Errors
    /// [`StoreError::Driver`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.data.readers).await?;
        sqlx::query("select 1").execute(&self.keys.readers).await?;
        Ok(())
    }

    /// Ends all connections; the last one takes each WAL into its database.
    pub async fn close(&self) {
        self.data.close().await;
        self.keys.close().await;
    }
}

/// Opens the key of the audit trail, or makes it where there is no trail yet.
async fn audit_key(
    data: &Database,
    keys: &Database,
    masters: &MasterKeys,
) -> Result<AuditKey, StoreError> {
    let held = data_keys::find(keys, DataKeyId::AUDIT).await?;
    let wrapped = if let Some(held) = held {
        held
    } else if data.is_empty("employee").await? && data.is_empty("audit_event").await? {
        data_keys::insert(keys, &masters.draw_audit_key()).await?;
        let drawn = data_keys::find(keys, DataKeyId::AUDIT).await?;
        drawn.ok_or(StoreError::AuditKey("was not kept"))?
    } else {
        return Err(StoreError::AuditKey("is missing"));
    };
    let key = masters.unwrap(&wrapped).map_err(|_| StoreError::AuditKey("does not open"))?;
    Ok(AuditKey::new(&key))
}
