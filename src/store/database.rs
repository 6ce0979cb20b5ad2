//! One SQLite file: how it is opened, written and emptied of what was erased.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Connection, Sqlite, SqliteConnection, Transaction};

use super::StoreError;

/// How long a write waits for another process's write.
const WAIT_FOR_WRITERS: Duration = Duration::from_secs(5);

/// How long emptying the write-ahead log waits for readers.
const WAIT_FOR_READERS: Duration = Duration::from_millis(300);

#[derive(Clone, Debug)]
pub(super) struct Database {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
}

impl Database {
    /// Opens the file, making and migrating it as needed.
    pub(super) async fn open(file: &Path, migrations: &Migrator) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(WAIT_FOR_WRITERS)
            // What SQLite sorts or copies in passing never lies in a file of its own.
            .pragma("temp_store", "MEMORY")
            .pragma("secure_delete", "ON");
        // Where a full disk ended a transaction in SQLite, sqlx still counts it; such a connection is of no use.
        let writer = SqlitePoolOptions::new().max_connections(1).before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        });
        let writer = writer.connect_with(options.clone()).await?;
        migrations.run(&writer).await?;
        let readers = SqlitePoolOptions::new().max_connections(4);
        let readers = readers.connect_with(options.read_only(true)).await?;
        Ok(Self { writer, readers })
    }

    /// Ends all connections; the last one takes the WAL into the database.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Whether a table, one of ours, has no row.
    pub(super) async fn is_empty(&self, table: &'static str) -> Result<bool, StoreError> {
        let any = AssertSqlSafe(format!("select exists (select 1 from {table})"));
        let any: bool = sqlx::query_scalar(any).fetch_one(&self.readers).await?;
        Ok(!any)
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'_, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("begin immediate").await?)
    }

    /// Takes the WAL into the database and empties it, so that no former page stays behind; `false`,
    /// with the reason in the log, where that did not succeed.
    pub(super) async fn truncate_wal(&self) -> bool {
        let emptied = self.try_truncate_wal().await;
        match &emptied {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                "a reader holds the write-ahead log; erased pages stay in it for now"
            ),
            Err(error) => tracing::error!(
                %error,
                "the write-ahead log could not be emptied; erased pages stay in it for now"
            ),
        }
        emptied.unwrap_or(false)
    }

    /// Whether the WAL is empty now. SQLite waits for readers that still look at a former state; ours
    /// are short, and nobody's answer is to wait long for somebody else's.
    async fn try_truncate_wal(&self) -> Result<bool, sqlx::Error> {
        let mut writer = self.writer.acquire().await?;
        set_busy_timeout(&mut writer, WAIT_FOR_READERS).await?;
        let busy: Result<i64, _> =
            sqlx::query_scalar("pragma wal_checkpoint(truncate)").fetch_one(&mut *writer).await;
        set_busy_timeout(&mut writer, WAIT_FOR_WRITERS).await?;
        Ok(busy? == 0)
    }
}

async fn set_busy_timeout(
    writer: &mut SqliteConnection,
    time: Duration,
) -> Result<(), sqlx::Error> {
    let pragma = format!("pragma busy_timeout = {}", time.as_millis());
    sqlx::query(AssertSqlSafe(pragma)).execute(writer).await?;
    Ok(())
}
