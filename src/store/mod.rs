//! The store: every SQL statement of the service, over two SQLite files.
//!
//! It is the truth about who is enrolled. An answered write survives a kill, and what is deleted
//! is overwritten: WAL with `synchronous=FULL`, `secure_delete=ON`, one writer. It sees sealed
//! templates only, and the keys that open them wrapped only.

mod access_keys;
mod data_keys;
mod database;
mod employees;

use std::path::Path;

use self::database::Database;
pub use self::employees::{Enrolled, Erased, Held};

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
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
    fn inconsistent(table: &'static str, column: &'static str, row: impl Into<String>) -> Self {
        Self::Inconsistent { table, column, row: row.into() }
    }
}

/// The databases; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    data: Database,
    keys: Database,
}

impl Store {
    /// Opens the database file and, beside it, the file of data keys, making and migrating them as
    /// needed.
    ///
    /// # Errors
    /// [`StoreError`] where one cannot be opened or brought up to date.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        let keys = file.with_file_name("data-keys.db");
        Ok(Self {
            data: Database::open(file, &sqlx::migrate!("./migrations")).await?,
            keys: Database::open(&keys, &sqlx::migrate!("./migrations/keys")).await?,
        })
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
