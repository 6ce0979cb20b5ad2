//! A database of either engine: its connection pools, and how a write begins. Other differences are in
//! [`sqlite`](super::sqlite) and [`postgres`](super::postgres).

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
    /// Connections of the change feed; separate in PostgreSQL, so that other reads do not delay it.
    pub(super) feed: AnyPool,
    pub(super) begin: Begin,
}

/// How a write transaction begins and waits for other writers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    pub(super) statement: &'static str,
    /// A statement within the transaction, so that sqlx rolls back if the lock times out.
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

/// Timeout for closing PostgreSQL connections. SQLite has none, since closing checkpoints its WAL.
const LONGEST_GOODBYE: Duration = Duration::from_secs(10);

impl Database {
    /// Closes all connections; SQLite checkpoints the WAL when the last one closes.
    pub(super) async fn close(&self) {
        let close = async {
            self.readers.close().await;
            self.feed.close().await;
            self.writer.close().await;
        };
        match self.engine {
            Engine::Sqlite => close.await,
            // The server detects abandoned connections itself.
            Engine::Postgres => drop(timeout(LONGEST_GOODBYE, close).await),
        }
    }

    /// Returns whether a table is empty.
    pub(super) async fn is_empty(&self, table: &'static str) -> Result<bool, StoreError> {
        let any = AssertSqlSafe(format!("select 1 from {table} limit 1"));
        let any: Option<i64> = sqlx::query_scalar(any).fetch_optional(&self.readers).await?;
        Ok(any.is_none())
    }

    /// Begins a write transaction. Only one runs at a time, in all processes, so that what it reads is
    /// still current when it commits.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        self.begin.on(&self.writer).await
    }
}

/// Returns a pool that runs `prepare` on each new connection, and `restore` before each reuse, since a
/// canceled future may have left a setting changed.
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
    // When a full disk ends a transaction in SQLite, sqlx still counts it: discard the connection.
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
