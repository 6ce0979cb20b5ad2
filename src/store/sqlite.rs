//! A SQLite file: how it is opened, and emptied of what was erased.

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

/// How long a write waits for another process's write.
const WAIT_FOR_WRITERS: Duration = Duration::from_secs(5);

/// How long emptying the write-ahead log waits for readers.
const WAIT_FOR_READERS: Duration = Duration::from_millis(300);

/// What SQLite sorts or copies in passing never lies in a file of its own.
const ALL: &str =
    "pragma foreign_keys = on; pragma temp_store = memory; pragma secure_delete = on;";

/// The file of the data keys of a database.
pub(super) fn keys_beside(database: &Path) -> PathBuf {
    database.with_file_name("data-keys.db")
}

/// Whether SQLite has ever written to one of a database's two files.
pub(super) fn holds_data(database: &Path) -> bool {
    let written = |file: &Path| file.metadata().is_ok_and(|file| file.len() > 0);
    written(database) || written(&keys_beside(database))
}

/// Opens the file, making and migrating it as needed.
pub(super) async fn open(file: &Path, migrations: &Migrator) -> Result<Database, StoreError> {
    // In a URL a relative path would begin with a host, and whatever follows a % is decoded.
    let path = std::path::absolute(file)?;
    let path = path.to_str().ok_or_else(|| not_unicode(&path))?.replace('%', "%25");
    // SQLite would create it readable by everybody; its write-ahead log gets the same mode.
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

/// sqlx names files in URLs, which hold Unicode alone: any other name would be another file's.
fn not_unicode(path: &Path) -> io::Error {
    let why = format!("the path of the database, {}, is not valid UTF-8", path.display());
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

impl Database {
    /// Takes the WAL into the database and empties it, so that no former page stays behind; `false`,
    /// with the reason in the log, where that did not succeed. PostgreSQL's is out of reach.
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

/// `SQLITE_BUSY`, and its extended codes in the higher bits; codes of five characters are PostgreSQL's.
pub(super) fn is_locked(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| code & 0xFF == 5)
}

/// Whether a row was refused for what is in it: `SQLITE_TOOBIG`, `SQLITE_CONSTRAINT` and `SQLITE_MISMATCH`.
pub(super) fn is_refused(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| matches!(code & 0xFF, 18..=20))
}

async fn set_busy_timeout(writer: &mut AnyConnection, time: Duration) -> Result<(), sqlx::Error> {
    let pragma = format!("pragma busy_timeout = {}", time.as_millis());
    sqlx::query(AssertSqlSafe(pragma)).execute(writer).await?;
    Ok(())
}
