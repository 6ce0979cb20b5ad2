//! SQLite: opens a file, and truncates its write-ahead log.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions};

use super::StoreError;
use super::database::{Begin, Database, Engine, pool};

/// Busy timeout for the write lock.
const WAIT_FOR_WRITERS: Duration = Duration::from_secs(5);

/// Busy timeout for readers when the write-ahead log is truncated.
const WAIT_FOR_READERS: Duration = Duration::from_millis(300);

/// Settings of each connection; temporary data stay in memory, never in a file.
const ALL: &str =
    "pragma foreign_keys = on; pragma temp_store = memory; pragma secure_delete = on;";

/// Returns the path of the data key file of a database.
pub(super) fn keys_beside(database: &Path) -> PathBuf {
    database.with_file_name("data-keys.db")
}

/// Returns whether one of a database's two files contains data.
pub(super) fn holds_data(database: &Path) -> bool {
    let written = |file: &Path| file.metadata().is_ok_and(|file| file.len() > 0);
    written(database) || written(&keys_beside(database))
}

/// Opens a file; creates and migrates it if necessary.
pub(super) async fn open(file: &Path, migrations: &Migrator) -> Result<Database, StoreError> {
    // In a URL, a relative path would start with a host, and % starts an escape.
    let path = std::path::absolute(file)?;
    let path = path.to_str().ok_or_else(|| not_unicode(&path))?.replace('%', "%25");
    // SQLite would create a world-readable file; the write-ahead log inherits the mode.
    OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    let named = SqliteConnectOptions::new().filename(path);
    let options = |named: SqliteConnectOptions| AnyConnectOptions::from_url(&named.to_url_lossy());
    let wait = format!("pragma busy_timeout = {};", WAIT_FOR_WRITERS.as_millis());
    let durable = "pragma journal_mode = wal; pragma synchronous = full;";
    let writer = pool(
        options(named.clone().create_if_missing(true))?,
        AnyPoolOptions::new().max_connections(1),
        format!("{wait} {durable} {ALL}"),
        Some(wait.clone()),
    );
    let writer = writer.await?;
    migrations.run(&writer).await?;
    let readers = pool(
        options(named.read_only(true))?,
        AnyPoolOptions::new().max_connections(4),
        format!("{wait} {ALL}"),
        None,
    );
    let readers = readers.await?;
    let begin = Begin { statement: "begin immediate", lock: None };
    Ok(Database { engine: Engine::Sqlite, writer, feed: readers.clone(), readers, begin })
}

/// Returns the error for a path that is not Unicode: sqlx names files in URLs, which are.
fn not_unicode(path: &Path) -> io::Error {
    let why = format!("the path of the database, {}, is not valid UTF-8", path.display());
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

impl Database {
    /// Checkpoints and truncates the WAL, so that no erased page remains in it. Returns `false` and
    /// logs the reason if that fails. In PostgreSQL, does nothing.
    pub(super) async fn truncate_wal(&self) -> bool {
        if self.engine != Engine::Sqlite {
            return true;
        }
        let emptied = self.try_truncate_wal().await;
        match &emptied {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                "a reader holds the write-ahead log; erased pages remain in it for now"
            ),
            Err(error) => tracing::error!(
                %error,
                "the write-ahead log could not be truncated; erased pages remain in it for now"
            ),
        }
        emptied.unwrap_or(false)
    }

    /// Returns whether the WAL was truncated. The short busy timeout covers this service's reads, but
    /// does not let an answer wait for a foreign reader.
    async fn try_truncate_wal(&self) -> Result<bool, sqlx::Error> {
        let mut writer = self.writer.acquire().await?;
        set_busy_timeout(&mut writer, WAIT_FOR_READERS).await?;
        let busy: Result<i64, _> =
            sqlx::query_scalar("pragma wal_checkpoint(truncate)").fetch_one(&mut *writer).await;
        set_busy_timeout(&mut writer, WAIT_FOR_WRITERS).await?;
        Ok(busy? == 0)
    }
}

/// Whether the code is `SQLITE_BUSY` or one of its extended codes; codes of five characters are
/// PostgreSQL's.
pub(super) fn is_locked(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| code & 0xFF == 5)
}

/// Whether the code means that a row's contents were refused: `SQLITE_TOOBIG`, `SQLITE_CONSTRAINT` or
/// `SQLITE_MISMATCH`.
pub(super) fn is_refused(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| matches!(code & 0xFF, 18..=20))
}

async fn set_busy_timeout(writer: &mut AnyConnection, time: Duration) -> Result<(), sqlx::Error> {
    let pragma = format!("pragma busy_timeout = {}", time.as_millis());
    sqlx::query(AssertSqlSafe(pragma)).execute(writer).await?;
    Ok(())
}
