//! The store: all SQL statements, over two SQLite files or two schemas of PostgreSQL.
//!
//! The store is authoritative for enrollments. An answered write survives a kill. Deleted data are
//! overwritten in SQLite (WAL with `synchronous=FULL`, `secure_delete=ON`, one writer); in PostgreSQL
//! their data keys are erased. The store sees only sealed templates and wrapped data keys. Each change
//! is committed together with its audit event.
//!
//! Each statement is written once, for both engines; `sqlite` and `postgres` hold the differences.
//! The methods of [`Store`] are in `access_keys`, `archive`, `audit`, `changes`, `copying`,
//! `data_keys`, `employees`, `enrollment`, `expiry` and `presentation_sessions`.

mod access_keys;
mod archive;
mod audit;
mod changes;
mod copying;
mod data_keys;
mod database;
mod employees;
mod enrollment;
mod expiry;
mod impostor_tails;
mod location;
mod postgres;
mod presentation_sessions;
mod sqlite;
#[cfg(test)]
mod tests;

pub use self::audit::Attempt;
pub use self::changes::{Change, Changes, FeedSnapshot};
use self::database::Database;
pub use self::employees::{EmployeeExport, StoredTemplate};
pub use self::enrollment::{Enrolled, Extent, Receipt, Written};
pub use self::impostor_tails::StoredTail;
pub use self::location::{DatabaseUrl, Location};
pub use self::postgres::ChangeListener;
use self::postgres::Schema;
pub use self::presentation_sessions::{NewSession, TakenSession};
use crate::audit::AuditKey;
use crate::seal::{DataKeyId, MasterKeys};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The audit trail's key is missing or cannot be unwrapped, so the trail cannot be continued.
    #[error(
        "the key of the audit trail {0}: the database, the data keys (data-keys.db or --key-database) and the master key do not match; restore the matching ones"
    )]
    AuditKey(&'static str),
    /// A copy differs from its original.
    #[error(
        "the rows of {0} differ: PostgreSQL holds other data, or the original changed during the copy; empty it (drop schema likeness, likeness_keys cascade) and start over"
    )]
    Differs(&'static str),
    /// The target of a copy is already in use.
    #[error("this PostgreSQL database has already served replicas; nothing is copied into it")]
    InService,
    /// A page of a SQLite file is corrupt.
    #[error("the database is corrupt: {0}")]
    Damaged(String),
    /// An archive cannot be written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// An error of SQLite, PostgreSQL or the file system.
    #[error("database error: {0}")]
    Driver(#[from] sqlx::Error),
    /// A row has a value that this program does not write.
    #[error("the database is inconsistent: {table}.{column} of {row}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        row: String,
    },
    /// Another process rotated the master key after this one started.
    #[error("the master key was rotated: restart this replica with the new key")]
    MasterKey,
    /// A database URL is not one of PostgreSQL.
    #[error("expected postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Url,
    /// The schema could not be migrated.
    #[error("database migration failed: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl StoreError {
    /// Returns whether the database is locked, so that a retry may succeed.
    pub fn is_locked(&self) -> bool {
        let Self::Driver(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| sqlite::is_locked(&code) || postgres::is_locked(&code))
    }

    /// Returns whether the database refused a row's contents, so that no retry succeeds.
    pub fn is_refused(&self) -> bool {
        let Self::Driver(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| sqlite::is_refused(&code) || postgres::is_refused(&code))
    }

    /// Returns whether the database is unavailable, so that a later retry may succeed.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Driver(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| postgres::is_away(&code))
            }
            Self::Driver(error) => {
                // sqlx reports a connection closed during its handshake as a protocol error.
                use sqlx::Error::{Io, PoolTimedOut, Protocol, Tls};
                matches!(error, Io(_) | PoolTimedOut | Protocol(_) | Tls(_))
            }
            _ => false,
        }
    }

    /// Returns whether the master key of this process was rotated by another.
    pub fn is_outdated(&self) -> bool {
        matches!(self, Self::MasterKey)
    }

    fn inconsistent(table: &'static str, column: &'static str, row: impl Into<String>) -> Self {
        Self::Inconsistent { table, column, row: row.into() }
    }
}

/// The store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    location: Location,
    data: Database,
    keys: Database,
    audit: AuditKey,
}

impl Store {
    /// Opens both databases; creates and migrates them if necessary. The master keys are used only to
    /// unwrap the audit trail's key.
    ///
    /// # Errors
    /// [`StoreError`] if a database cannot be opened or migrated, or if the databases and the master
    /// key do not match.
    pub async fn open(location: &Location, masters: &MasterKeys) -> Result<Self, StoreError> {
        let (data, keys) = databases(location).await?;
        let audit = audit_key(&data, &keys, masters).await?;
        Ok(Self { location: location.clone(), data, keys, audit })
    }

    /// Returns whether the location contains data; creates nothing.
    ///
    /// # Errors
    /// [`StoreError::Driver`] if PostgreSQL is unavailable.
    pub async fn holds_data(location: &Location) -> Result<bool, StoreError> {
        match location {
            Location::File(file) => Ok(sqlite::holds_data(file)),
            Location::Server { keys, .. } => {
                sqlx::any::install_default_drivers();
                postgres::holds_data(keys).await
            }
        }
    }

    /// Checks that the databases answer.
    ///
    /// # Errors
    /// [`StoreError::Driver`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.data.readers).await?;
        sqlx::query("select 1").execute(&self.keys.readers).await?;
        Ok(())
    }

    /// Closes all connections; SQLite checkpoints the WAL when the last one closes.
    pub async fn close(&self) {
        self.data.close().await;
        self.keys.close().await;
    }
}

async fn databases(location: &Location) -> Result<(Database, Database), StoreError> {
    sqlx::any::install_default_drivers();
    match location {
        Location::File(file) => {
            let keys = sqlite::keys_beside(file);
            let data = sqlite::open(file, &sqlx::migrate!("./migrations")).await?;
            Ok((data, sqlite::open(&keys, &sqlx::migrate!("./migrations/keys")).await?))
        }
        Location::Server { data, keys } => {
            let migrations = sqlx::migrate!("./migrations/postgres");
            let data = postgres::open(data, Schema::Data, &migrations).await?;
            let migrations = sqlx::migrate!("./migrations/postgres/keys");
            Ok((data, postgres::open(keys, Schema::Keys, &migrations).await?))
        }
    }
}

/// Unwraps the audit trail's key; creates it if there is no trail yet.
async fn audit_key(
    data: &Database,
    keys: &Database,
    masters: &MasterKeys,
) -> Result<AuditKey, StoreError> {
    let held = data_keys::find(keys, DataKeyId::AUDIT).await?;
    let wrapped = if let Some(held) = held {
        held
    } else if data.is_empty("employee").await? && data.is_empty("audit_event").await? {
        data_keys::insert(&mut *keys.writer.acquire().await?, &masters.draw_audit_key()).await?;
        let drawn = data_keys::find(keys, DataKeyId::AUDIT).await?;
        drawn.ok_or(StoreError::AuditKey("was not kept"))?
    } else {
        return Err(StoreError::AuditKey("is missing"));
    };
    let key = masters.unwrap(&wrapped).map_err(|_| StoreError::AuditKey("does not open"))?;
    Ok(AuditKey::new(&key))
}
