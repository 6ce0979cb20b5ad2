//! The store: every SQL statement of the service, over one SQLite file.
//!
//! It is the truth about who is enrolled. An answered write survives a kill, and what is deleted
//! is overwritten: WAL with `synchronous=FULL`, `secure_delete=ON`, one writer. It sees sealed
//! templates only.

mod employees;
mod keys;

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

pub use self::employees::Enrolled;

/// How often a checkpoint is tried against readers before the next write takes it along.
const CHECKPOINT_TRIES: u32 = 20;

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

/// The database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Store {
    /// Opens the database file, making and migrating it as needed.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be opened or brought up to date.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .pragma("secure_delete", "ON");
        let writer =
            SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        sqlx::migrate!().run(&writer).await?;
        let readers = SqlitePoolOptions::new().max_connections(4);
        let readers = readers.connect_with(options.read_only(true)).await?;
        Ok(Self { writer, readers })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Driver`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.readers).await?;
        Ok(())
    }

    /// Ends all connections; the last one takes the WAL into the database.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn begin(&self) -> Result<Transaction<'_, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("begin immediate").await?)
    }

    /// Takes the WAL into the database and empties it, so that no former page stays behind.
    ///
    /// What was committed before stays committed whatever happens here, so a failure is logged and
    /// not returned: the caller's gallery has to follow the commit.
    async fn truncate_wal(&self) {
        match self.try_truncate_wal().await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                "a reader holds the write-ahead log; erased pages stay in it for now"
            ),
            Err(error) => tracing::error!(
                %error,
                "the write-ahead log could not be emptied; erased pages stay in it for now"
            ),
        }
    }

    /// Whether the WAL is empty now. SQLite answers "busy" while a reader still looks at a former
    /// state; ours are short, so a few tries are enough, and the next write tries again.
    async fn try_truncate_wal(&self) -> Result<bool, sqlx::Error> {
        for _ in 0..CHECKPOINT_TRIES {
            let busy: i64 = sqlx::query_scalar("pragma wal_checkpoint(truncate)")
                .fetch_one(&self.writer)
                .await?;
            if busy == 0 {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        Ok(false)
    }
}
