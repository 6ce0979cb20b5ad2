//! PostgreSQL: opens a schema, and listens for changes.

use std::str::FromStr;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgListener;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection};
use tokio::time::timeout;

use super::StoreError;
use super::database::{Begin, Database, Engine, pool};
use super::location::DatabaseUrl;

/// Timeout for acquiring a connection, short so that a disconnected replica reports it soon.
const WAIT_FOR_CONNECTIONS: Duration = Duration::from_secs(3);

/// Timeout of the ping after a connection is released. sqlx has none: if the network drops packets,
/// each abandoned call would remove a connection from the pool for good.
const LONGEST_PING: Duration = Duration::from_secs(3);

/// NOTIFY channel of enrollment changes.
pub(super) const CHANNEL: &str = "likeness_change";

/// A schema of the service.
#[derive(Clone, Copy, Debug)]
pub(super) enum Schema {
    Data,
    Keys,
}

impl Schema {
    fn name(self) -> &'static str {
        match self {
            Self::Data => "likeness",
            Self::Keys => "likeness_keys",
        }
    }

    /// Returns how a write begins. READ COMMITTED takes a snapshot per statement, so that after the
    /// lock is acquired, earlier commits are visible. The lock is keyed by "like" in ASCII and the
    /// schema, and released with the transaction.
    fn begin(self) -> Begin {
        let lock = match self {
            Self::Data => "select pg_advisory_xact_lock(1818848101, 0)",
            Self::Keys => "select pg_advisory_xact_lock(1818848101, 1)",
        };
        Begin { statement: "begin isolation level read committed", lock: Some(lock) }
    }
}

/// Opens a schema; creates and migrates it if necessary.
pub(super) async fn open(
    url: &DatabaseUrl,
    schema: Schema,
    migrations: &Migrator,
) -> Result<Database, StoreError> {
    let url = url.of_postgres().ok_or(StoreError::Url)?;
    let (options, name) = (AnyConnectOptions::from_str(url)?, schema.name());
    // A client that disappears within a transaction would block all writers.
    let prepare = format!(
        "set search_path to {name};
         set idle_in_transaction_session_timeout = '10s';
         set lock_timeout = '5s';
         set client_min_messages = warning"
    );
    let writer = pool(options.clone(), limits(4), prepare.clone(), None).await?;
    make_schema(&writer, schema).await?;
    migrations.run(&writer).await?;
    let readers = pool(options.clone(), limits(4), prepare.clone(), None).await?;
    let feed = pool(options, limits(2), prepare, None).await?;
    Ok(Database { engine: Engine::Postgres, writer, readers, feed, begin: schema.begin() })
}

fn limits(most: u32) -> AnyPoolOptions {
    let limits = AnyPoolOptions::new().max_connections(most).acquire_timeout(WAIT_FOR_CONNECTIONS);
    limits.after_release(|connection, _| {
        Box::pin(async move {
            let silent = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
            timeout(LONGEST_PING, connection.ping()).await.map_err(silent)??;
            Ok(true)
        })
    })
}

/// Returns whether a replica has ever used this database: the first start creates the audit trail's
/// key.
pub(super) async fn holds_data(keys: &DatabaseUrl) -> Result<bool, StoreError> {
    let url = keys.of_postgres().ok_or(StoreError::Url)?;
    let mut connection = AnyConnection::connect(url).await?;
    let there =
        "select 1 from pg_tables where schemaname = 'likeness_keys' and tablename = 'data_key'";
    let there: Option<i32> = sqlx::query_scalar(there).fetch_optional(&mut connection).await?;
    let any: Option<i32> = match there {
        Some(_) => {
            let any = sqlx::query_scalar("select 1 from likeness_keys.data_key limit 1");
            any.fetch_optional(&mut connection).await?
        }
        None => None,
    };
    connection.close().await?;
    Ok(any.is_some())
}

/// Creates the schema if it is missing. Checked first, because the role may lack CREATE.
async fn make_schema(writer: &AnyPool, schema: Schema) -> Result<(), StoreError> {
    let mut tx = schema.begin().on(writer).await?;
    let there: Option<i64> = sqlx::query_scalar("select 1 from pg_namespace where nspname = $1")
        .bind(schema.name())
        .fetch_optional(&mut *tx)
        .await?;
    if there.is_none() {
        let create = AssertSqlSafe(format!("create schema {}", schema.name()));
        sqlx::query(create).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

/// A subscription to committed changes. Notifications may be lost, so readers also poll.
#[derive(Debug)]
pub struct ChangeListener(PgListener);

impl ChangeListener {
    pub(super) async fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let url = url.of_postgres().ok_or(StoreError::Url)?;
        let mut listener = PgListener::connect(url).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self(listener))
    }

    /// Waits for the next notification.
    ///
    /// # Errors
    /// [`StoreError::Driver`] if the connection is lost.
    pub async fn changed(&mut self) -> Result<(), StoreError> {
        self.0.recv().await?;
        Ok(())
    }
}

/// Whether the code means that a lock timed out: `lock_not_available`.
pub(super) fn is_locked(code: &str) -> bool {
    code == "55P03"
}

/// Whether the code means that a row's contents were refused: the classes 22 (`data_exception`), 23
/// (`integrity_constraint_violation`) and P0 (raised by a trigger).
pub(super) fn is_refused(code: &str) -> bool {
    code.len() == 5 && ["22", "23", "P0"].iter().any(|class| code.starts_with(class))
}

/// Whether the code means that the server is unavailable: the classes 08 and 57P, and
/// `too_many_connections`.
pub(super) fn is_away(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("57P") || code == "53300"
}
