//! One database of either engine: its connections, and how a write begins. What else the two differ in stands
//! in [`sqlite`](super::sqlite) and [`postgres`](super::postgres).

use sqlx::AnyPool;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AssertSqlSafe, Connection, Transaction};

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
    /// What opens a transaction that writes, and makes it wait for every other.
    pub(super) begin: &'static str,
}

impl Database {
    /// Ends all connections; the last one takes SQLite's WAL into the database.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Whether a table, one of ours, has no row.
    pub(super) async fn is_empty(&self, table: &'static str) -> Result<bool, StoreError> {
        let any = AssertSqlSafe(format!("select 1 from {table} limit 1"));
        let any: Option<i64> = sqlx::query_scalar(any).fetch_optional(&self.readers).await?;
        Ok(any.is_none())
    }

    /// Begins a write. There is one at a time, whoever writes: what it reads is still so when it commits.
    pub(super) async fn begin(&self) -> Result<Transaction<'_, Any>, StoreError> {
        Ok(self.writer.begin_with(self.begin).await?)
    }
}

/// Connections on which every one of these statements was run first.
pub(super) async fn pool(
    options: AnyConnectOptions,
    limits: AnyPoolOptions,
    prepare: String,
) -> Result<AnyPool, sqlx::Error> {
    let prepared = limits.after_connect(move |connection, _| {
        let prepare = AssertSqlSafe(prepare.clone());
        Box::pin(async move { sqlx::raw_sql(prepare).execute(connection).await.map(|_| ()) })
    });
    // Where a full disk ended a transaction in SQLite, sqlx still counts it; such a connection is of no use.
    let checked = prepared.before_acquire(|connection, _| {
        let usable = !connection.is_in_transaction();
        Box::pin(async move { Ok(usable) })
    });
    checked.connect_with(options).await
}
