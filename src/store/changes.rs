//! The change feed, by which each replica's gallery follows the store. Only PostgreSQL has one,
//! since a SQLite file has a single process.
//!
//! A row names the employee whose enrollment changed, and is committed with the change. Writes are
//! serial, so that numbers are in commit order: a reader that has read up to a number has missed no
//! earlier change. The current reference is read with the row; it may be newer than the row, never
//! older.

use std::collections::HashMap;

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Transaction};

use super::database::Engine;
use super::employees::{TemplateRow, employee_id, model_id};
use super::postgres::{self, ChangeListener};
use super::{Location, Store, StoreError, StoredTemplate, data_keys};
use crate::embedding::ModelId;
use crate::employee::EmployeeId;
use crate::gallery::GalleryDigest;
use crate::seal::DataKeyId;

/// Rows in one page.
const PAGE: i64 = 1000;

/// Templates digested in one page.
const COUNTED: i64 = 10_000;

/// Retention of rows, in milliseconds. Rows name erased employees, so it is short; a replica that
/// lags behind by more reloads its gallery. The server determines ages, since clocks of replicas
/// differ.
const KEPT: i64 = 60_000;

/// A change of an employee's enrollment.
#[derive(Clone, Debug)]
pub struct Change {
    /// The change's number in the feed.
    pub number: u64,
    /// The employee.
    pub employee: EmployeeId,
    /// The current template with its model; `None` if the employee is not enrolled or is being
    /// erased.
    pub present: Option<(ModelId, StoredTemplate)>,
}

/// The changes after a number.
#[derive(Debug)]
pub enum Changes {
    /// Rows are missing: the gallery must be reloaded.
    Gap,
    /// At most a page, in order.
    Next {
        /// The changes.
        changes: Vec<Change>,
        /// Whether there may be another page.
        more: bool,
    },
}

/// A consistent snapshot of the feed and the gallery digests.
#[derive(Debug)]
pub struct FeedSnapshot {
    /// The changes.
    pub changes: Changes,
    /// The gallery digest of each model.
    pub digests: HashMap<ModelId, GalleryDigest>,
}

#[derive(sqlx::FromRow)]
struct ChangeRow {
    number: i64,
    changed: String,
    audit_id: Option<Vec<u8>>,
    model_id: Option<Vec<u8>>,
    key_id: Option<Vec<u8>>,
    sealed: Option<Vec<u8>>,
    expires_at: Option<i64>,
}

impl Store {
    /// Returns whether there is a feed: whether other processes may change enrollments.
    pub fn has_feed(&self) -> bool {
        self.data.engine == Engine::Postgres
    }

    /// Returns the number of the last change.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_change(&self) -> Result<u64, StoreError> {
        last(&mut *self.data.feed.acquire().await?).await
    }

    /// Returns the changes after a number, at most one page.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn changes(&self, after: u64) -> Result<Changes, StoreError> {
        let rows = page(&mut *self.data.feed.acquire().await?, after).await?;
        self.read(rows, after).await
    }

    /// Returns a consistent snapshot: the changes after a number, and the gallery digests.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn feed_snapshot(&self, after: u64) -> Result<FeedSnapshot, StoreError> {
        let snapshot = "begin isolation level repeatable read, read only";
        let mut tx = self.data.feed.begin_with(snapshot).await?;
        let mut rows = Vec::new();
        let mut from = after;
        loop {
            let next = page(&mut tx, from).await?;
            let Some(last) = next.last() else { break };
            from = last.number.unsigned_abs() + 1;
            rows.extend(next);
        }
        let digests = digests(&mut tx).await?;
        tx.rollback().await?;
        Ok(FeedSnapshot { changes: self.read(rows, after).await?, digests })
    }

    /// Deletes expired rows, except the newest row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drop_changes(&self) -> Result<(), StoreError> {
        if !self.has_feed() {
            return Ok(());
        }
        // Checked without the write lock, since usually nothing has expired.
        let old: Option<i64> = sqlx::query_scalar(
            "select number from change
             where at < (extract(epoch from clock_timestamp()) * 1000)::bigint - $1
             and number < (select max(number) from change) limit 1",
        )
        .bind(KEPT)
        .fetch_optional(&self.data.feed)
        .await?;
        if old.is_none() {
            return Ok(());
        }
        let mut tx = self.data.begin().await?;
        sqlx::query(
            "delete from change
             where at < (extract(epoch from clock_timestamp()) * 1000)::bigint - $1
             and number < (select max(number) from change)",
        )
        .bind(KEPT)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Subscribes to notifications of changes; `None` if there is no feed.
    ///
    /// # Errors
    /// [`StoreError::Driver`].
    pub async fn listener(&self) -> Result<Option<ChangeListener>, StoreError> {
        match &self.location {
            Location::File(_) => Ok(None),
            Location::Server { data, .. } => Ok(Some(ChangeListener::connect(data).await?)),
        }
    }

    /// Parses rows from `after` on, and reads the data keys of their templates.
    async fn read(&self, rows: Vec<ChangeRow>, after: u64) -> Result<Changes, StoreError> {
        let first = rows.first().map_or(0, |row| row.number.unsigned_abs());
        // Without a gap, the first row is `after` itself or its successor; a new feed is empty.
        if first > after + 1 || (rows.is_empty() && after > 0) {
            return Ok(Changes::Gap);
        }
        let more = rows.len() as i64 == PAGE;
        let unread = rows.into_iter().filter(|row| row.number.unsigned_abs() > after);
        let mut changes = unread.map(ChangeRow::change).collect::<Result<Vec<_>, _>>()?;
        for changes in changes.chunks_mut(PAGE as usize) {
            let present = changes.iter().filter_map(|change| change.present.as_ref());
            let ids: Vec<_> = present.map(|(_, stored)| stored.template.key).collect();
            let keys = data_keys::among(&self.keys, &ids).await?;
            for change in changes {
                // A template without its key is being erased; a later row reports the erasure.
                change.present = change.present.take().and_then(|(model, stored)| {
                    let key = keys.get(&stored.template.key)?.clone();
                    Some((model, StoredTemplate { key: Some(key), ..stored }))
                });
            }
        }
        Ok(Changes::Next { changes, more })
    }
}

impl ChangeRow {
    /// Parses the row; the data key is read separately.
    fn change(self) -> Result<Change, StoreError> {
        let employee = employee_id("change", self.changed.clone())?;
        Ok(Change { number: self.number.unsigned_abs(), employee, present: self.present()? })
    }

    fn present(self) -> Result<Option<(ModelId, StoredTemplate)>, StoreError> {
        let (Some(audit_id), Some(model), Some(key_id), Some(sealed)) =
            (self.audit_id, self.model_id, self.key_id, self.sealed)
        else {
            return Ok(None);
        };
        let inconsistent = || StoreError::inconsistent("template", "model_id", &self.changed);
        let model = model_id(&model).ok_or_else(inconsistent)?;
        let expires_at = self.expires_at;
        let row = TemplateRow { employee_id: self.changed, audit_id, key_id, sealed, expires_at };
        Ok(Some((model, row.read()?)))
    }
}

/// Adds a row to the feed of a transaction.
pub(super) async fn note(
    tx: &mut Transaction<'_, Any>,
    engine: Engine,
    employee: &EmployeeId,
) -> Result<(), StoreError> {
    let row = sqlx::query(
        "insert into change (number, at, employee_id)
         select coalesce(max(number), 0) + 1,
                (extract(epoch from clock_timestamp()) * 1000)::bigint, $1 from change",
    );
    add(tx, engine, row.bind(employee.as_str())).await
}

/// Adds a row for each employee whose enrollment lasts longer than `longest` milliseconds.
pub(super) async fn note_longer(
    tx: &mut Transaction<'_, Any>,
    engine: Engine,
    longest: i64,
) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "insert into change (number, at, employee_id)
         select (select coalesce(max(number), 0) from change) + row_number() over (),
                (extract(epoch from clock_timestamp()) * 1000)::bigint, employee_id
         from employee where expires_at is null or expires_at > enrolled_at + $1",
    );
    add(tx, engine, rows.bind(longest)).await
}

/// Adds rows and notifies listeners, if there is a feed.
async fn add(
    tx: &mut Transaction<'_, Any>,
    engine: Engine,
    rows: Query<'_, Any, AnyArguments>,
) -> Result<(), StoreError> {
    if engine != Engine::Postgres {
        return Ok(());
    }
    rows.execute(&mut **tx).await?;
    sqlx::query("select pg_notify($1, '')").bind(postgres::CHANNEL).execute(&mut **tx).await?;
    Ok(())
}

/// Returns the number of the last change.
pub(super) async fn last(connection: &mut AnyConnection) -> Result<u64, StoreError> {
    let last: i64 = sqlx::query_scalar("select coalesce(max(number), 0) from change")
        .fetch_one(connection)
        .await?;
    Ok(last.unsigned_abs())
}

async fn page(connection: &mut AnyConnection, from: u64) -> Result<Vec<ChangeRow>, StoreError> {
    let rows = sqlx::query_as(
        "select number, change.employee_id as changed, audit_id, model_id, key_id, sealed, expires_at
         from change
         left join employee on employee.employee_id = change.employee_id
         left join template on template.employee_id = change.employee_id
         where number >= $1 order by number limit $2",
    )
    .bind(from.cast_signed())
    .bind(PAGE)
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

async fn digests(
    connection: &mut AnyConnection,
) -> Result<HashMap<ModelId, GalleryDigest>, StoreError> {
    let mut digests: HashMap<ModelId, GalleryDigest> = HashMap::new();
    let mut after = DataKeyId::AUDIT.as_bytes().to_vec();
    loop {
        let rows: Vec<(Vec<u8>, String, Vec<u8>)> = sqlx::query_as(
            "select model_id, employee_id, key_id from template
             where key_id > $1 order by key_id limit $2",
        )
        .bind(after.as_slice())
        .bind(COUNTED)
        .fetch_all(&mut *connection)
        .await?;
        let Some((.., last)) = rows.last() else { return Ok(digests) };
        after.clone_from(last);
        for (model, employee, key) in rows {
            let inconsistent = |column| StoreError::inconsistent("template", column, &employee);
            let model = model_id(&model).ok_or_else(|| inconsistent("model_id"))?;
            let key = key.try_into().map_err(|_| inconsistent("key_id"))?;
            let employee = EmployeeId::parse(&employee).map_err(|_| inconsistent("employee_id"))?;
            let digest = digests.entry(model).or_default();
            *digest += GalleryDigest::of(&employee, DataKeyId::from_bytes(key));
        }
    }
}
