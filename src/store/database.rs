//! One database of either engine: its connections, and how a write begins. What else the two differ in stands
//! in [`sqlite`](super::sqlite) and [`postgres`](super::postgres).

use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, AssertSqlSafe, Connection, Transaction};
use tokio::time::timeout;

use super::StoreError;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Engine {
    Postgres,
    Sqlite,
}

#[derive(Clone, Debug)]
pub(super) struct Database {
    pub(super) engine: Engine,
    pub(super) writer: AnyPool,
    pub(super) readers: AnyPool,
    /// Reads of the change feed. In PostgreSQL these connections are its own, so that other reads do not delay it.
    pub(super) feed: AnyPool,
    pub(super) begin: Begin,
}

/// How a transaction that writes begins, and waits for every other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    pub(super) statement: &'static str,
    /// Runs inside the transaction, so that sqlx counts it and rolls it back where the lock times out.
    pub(super) lock: Option<&'static str>,
}

impl Begin {
    pub(super) async fn on(
        self,
        writer: &AnyPool,
    ) -> Result<Transaction<'static, Any>, StoreError> {
        let mut tx = writer.begin_with(self.statement).await?;
        if let Some(lock) = self.lock {
            sqlx::query(lock).execute(&mut *tx).await?;
        }
        Ok(tx)
    }
}

/// How long PostgreSQL may take to say goodbye. SQLite takes its WAL into the database meanwhile, however long.
const LONGEST_GOODBYE: Duration = Duration::from_secs(10);

impl Database {
    /// Ends all connections; the last one takes SQLite's WAL into the database.
    pub(super) async fn close(&self) {
        let close = async {
            self.readers.close().await;
            self.feed.close().await;
            self.writer.close().await;
        };
        match self.engine {
            Engine::Sqlite => close.await,
            // The server notices by itself.
            Engine::Postgres => drop(timeout(LONGEST_GOODBYE, close).await),
        }
    }

    /// Whether a table, one of ours, has no row.
    pub(super) async fn is_empty(&self, table: &'static str) -> Result<bool, StoreError> {
        let any = AssertSqlSafe(format!("select 1 from {table} limit 1"));
        let any: Option<i64> = sqlx::query_scalar(any).fetch_optional(&self.readers).await?;
        Ok(any.is_none())
    }

    /// Begins a write. There is one at a time, whoever writes: what it reads is still so when it commits.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        self.begin.on(&self.writer).await
    }
}

/// Connections on which the statements of `prepare` were run first, and those of `restore` each time that one is used
/// again: a future that was dropped may have left a setting changed.
pub(super) async fn pool(
    options: AnyConnectOptions,
    limits: AnyPoolOptions,
    prepare: String,
    restore: Option<String>,
) -> Result<AnyPool, sqlx::Error> {
    let prepared = limits.after_connect(move |connection, _| {
        let prepare = AssertSqlSafe(prepare.clone());
        Box::pin(async move { sqlx::raw_sql(prepare).execute(connection).await.map(|_| ()) })
    });
    // Where a full disk ended a transaction in SQLite, sqlx still counts it; such a connection is of no use.
    let checked = prepared.before_acquire(move |connection, _| {
        let usable = !connection.is_in_transaction();
        let restore = restore.clone().filter(|_| usable).map(AssertSqlSafe);
        Box::pin(async move {
            if let Some(restore) = restore {
                sqlx::raw_sql(restore).execute(connection).await?;
            }
            Ok(usable)
        })
    });
    checked.connect_with(options).await
}
