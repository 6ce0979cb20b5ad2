//! The store: every SQL statement of the service, over two SQLite files or two schemas of PostgreSQL.
//!
//! It is the truth about who is enrolled. An answered write survives a kill. In SQLite what is deleted is
//! overwritten: WAL with `synchronous=FULL`, `secure_delete=ON`, one writer; in PostgreSQL its data key is gone. It
//! sees sealed templates only, and the keys that open them wrapped only; what it changes it writes down in the audit
//! trail, in the same commit.
//!
//! Each statement is written once, for both engines; how they differ stands in `sqlite` and `postgres`.

mod access_keys;
mod archive;
mod audit;
mod changes;
mod copying;
mod data_keys;
mod database;
mod employees;
mod enrolment;
mod expiry;
mod location;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

pub use self::audit::Attempt;
pub use self::changes::{Census, Change, Changes};
use self::database::Database;
pub use self::employees::{EmployeeExport, StoredTemplate};
pub use self::enrolment::{Enrolled, Extent, Receipt, Written};
pub use self::location::{DatabaseUrl, Location};
pub use self::postgres::ChangeListener;
use self::postgres::Schema;
use crate::audit::AuditKey;
use crate::seal::{DataKeyId, MasterKeys};

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The key of the audit trail is not there or does not open, so nobody could go on with the trail.
    #[error(
        "the key of the audit trail {0}: the database, the data keys (data-keys.db or --key-database) and the master key do not match; restore the matching ones"
    )]
    AuditKey(&'static str),
    /// A copy is not like its original.
    #[error(
        "the rows of {0} differ: PostgreSQL holds other data, or the original changed during the copy; empty it (drop schema likeness, likeness_keys cascade) and start over"
    )]
    Differs(&'static str),
    /// A copy is used already.
    #[error("this PostgreSQL database has already served replicas; nothing is copied into it")]
    InService,
    /// A page of a file is not what SQLite wrote.
    #[error("the database is corrupt: {0}")]
    Damaged(String),
    /// An archive cannot be written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// SQLite, PostgreSQL or the file system says no.
    #[error("database error: {0}")]
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
    /// Another process has replaced the master key since this one started.
    #[error("the master key was rotated: restart this replica with the new key")]
    MasterKey,
    /// The URL of a database is none of PostgreSQL's.
    #[error("expected postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Url,
    /// The schema could not be brought up to date.
    #[error("database migration failed: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl StoreError {
    /// Whether another program holds the database, so that the same may succeed in a moment.
    pub fn is_locked(&self) -> bool {
        let Self::Driver(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| sqlite::is_locked(&code) || postgres::is_locked(&code))
    }

    /// Whether the database refused a row for what is in it, so that the same never succeeds.
    pub fn is_refused(&self) -> bool {
        let Self::Driver(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| sqlite::is_refused(&code) || postgres::is_refused(&code))
    }

    /// Whether the database cannot be reached, so that the same may succeed once it can.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Driver(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| postgres::is_away(&code))
            }
            Self::Driver(error) => {
                // A connection that is closed while it is made is a breach of the protocol to sqlx.
                use sqlx::Error::{Io, PoolTimedOut, Protocol, Tls};
                matches!(error, Io(_) | PoolTimedOut | Protocol(_) | Tls(_))
            }
            _ => false,
        }
    }

    /// Whether this process holds a master key that another has replaced.
    pub fn is_outdated(&self) -> bool {
        matches!(self, Self::MasterKey)
    }

    fn inconsistent(table: &'static str, column: &'static str, row: impl Into<String>) -> Self {
        Self::Inconsistent { table, column, row: row.into() }
    }
}

/// The databases; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    location: Location,
    data: Database,
    keys: Database,
    audit: AuditKey,
}

impl Store {
    /// Opens the employees and their data keys, making and migrating both databases as needed. The master keys open
    /// the key of the audit trail, and nothing else here.
    ///
    /// # Errors
    /// [`StoreError`] where one cannot be opened or brought up to date, or they do not belong together.
    pub async fn open(location: &Location, masters: &MasterKeys) -> Result<Self, StoreError> {
        let (data, keys) = databases(location).await?;
        let audit = audit_key(&data, &keys, masters).await?;
        Ok(Self { location: location.clone(), data, keys, audit })
    }

    /// Whether there is data in this place, so that it is not a new one; creates nothing.
    ///
    /// # Errors
    /// [`StoreError::Driver`] where PostgreSQL does not answer.
    pub async fn holds_data(location: &Location) -> Result<bool, StoreError> {
        match location {
            Location::File(file) => Ok(sqlite::holds_data(file)),
            Location::Server { keys, .. } => {
                sqlx::any::install_default_drivers();
                postgres::holds_data(keys).await
            }
        }
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

    /// Ends all connections; SQLite's last one takes each WAL into its database.
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
        data_keys::insert(&mut *keys.writer.acquire().await?, &masters.draw_audit_key()).await?;
        let drawn = data_keys::find(keys, DataKeyId::AUDIT).await?;
        drawn.ok_or(StoreError::AuditKey("was not kept"))?
    } else {
        return Err(StoreError::AuditKey("is missing"));
    };
    let key = masters.unwrap(&wrapped).map_err(|_| StoreError::AuditKey("does not open"))?;
    Ok(AuditKey::new(&key))
}
