//! Copies a store to PostgreSQL: table by table in key order, so that an interrupted copy resumes after
//! its last row.

use sha2::{Digest, Sha256};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row};

use super::database::Database;
use super::{Location, Store, StoreError, databases};

/// Rows of one transaction.
const PAGE: i64 = 1000;

struct Table {
    name: &'static str,
    /// The first column is the sort key.
    columns: &'static [(&'static str, Kind)],
}

#[derive(Clone, Copy)]
enum Kind {
    Bytes,
    Number,
    Text,
}

#[derive(Clone)]
enum Value {
    Bytes(Vec<u8>),
    Number(Option<i64>),
    Text(Option<String>),
}

use Kind::{Bytes, Number, Text};

const KEYS: &[Table] = &[Table {
    name: "data_key",
    columns: &[("key_id", Bytes), ("master_id", Bytes), ("wrapped", Bytes)],
}];

/// Sorted so that each table follows those that it references.
const DATA: &[Table] = &[
    Table { name: "model", columns: &[("model_id", Bytes), ("name", Text)] },
    Table {
        name: "employee",
        columns: &[
            ("employee_id", Text),
            ("audit_id", Bytes),
            ("enrolled_at", Number),
            ("expires_at", Number),
        ],
    },
    Table {
        name: "template",
        columns: &[
            ("key_id", Bytes),
            ("employee_id", Text),
            ("model_id", Bytes),
            ("sealed", Bytes),
        ],
    },
    Table {
        name: "access_key",
        columns: &[
            ("name", Text),
            ("role", Text),
            ("digest", Bytes),
            ("created_at", Number),
            ("revoked_at", Number),
        ],
    },
    Table {
        name: "audit_start",
        columns: &[("number", Number), ("code", Bytes), ("authenticated", Bytes)],
    },
    Table {
        name: "audit_event",
        columns: &[
            ("number", Number),
            ("at", Number),
            ("actor", Text),
            ("action", Text),
            ("outcome", Text),
            ("subject", Text),
            ("code", Bytes),
        ],
    },
];

impl Store {
    /// Returns the number of rows to copy.
    ///
    /// # Errors
    /// [`StoreError::Driver`].
    pub async fn count_rows(&self) -> Result<u64, StoreError> {
        let mut rows = 0;
        for (database, tables) in [(&self.keys, KEYS), (&self.data, DATA)] {
            for table in tables {
                rows += table.count(database).await?;
            }
        }
        Ok(rows)
    }

    /// Copies all rows to a PostgreSQL database that is empty or contains the start of this copy, data
    /// keys first, and compares the result. `copied` is called with numbers of rows that existed or
    /// were copied. Neither database may be written by others meanwhile.
    ///
    /// # Errors
    /// [`StoreError::InService`], [`StoreError::Differs`]; the driver's.
    pub async fn copy_to(
        &self,
        location: &Location,
        mut copied: impl FnMut(u64),
    ) -> Result<(), StoreError> {
        let (data, keys) = databases(location).await?;
        if !data.is_empty("change").await? {
            return Err(StoreError::InService);
        }
        let both = [(&self.keys, &keys, KEYS), (&self.data, &data, DATA)];
        for (from, to, tables) in both {
            for table in tables {
                table.copy(from, to, &mut copied).await?;
            }
        }
        for (from, to, tables) in both {
            for table in tables {
                if table.digest(from).await? != table.digest(to).await? {
                    return Err(StoreError::Differs(table.name));
                }
            }
        }
        data.close().await;
        keys.close().await;
        Ok(())
    }
}

impl Table {
    async fn count(&self, database: &Database) -> Result<u64, StoreError> {
        let count = AssertSqlSafe(format!("select count(*) from {}", self.name));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&database.readers).await?;
        Ok(count.unsigned_abs())
    }

    async fn copy(
        &self,
        from: &Database,
        to: &Database,
        copied: &mut impl FnMut(u64),
    ) -> Result<(), StoreError> {
        copied(self.count(to).await?);
        let insert = self.insert();
        let mut last = self.last(to).await?;
        loop {
            let rows = self.page(from, last.as_ref()).await?;
            let Some(end) = rows.last() else { return Ok(()) };
            last = Some(end[0].clone());
            let mut tx = to.begin().await?;
            for row in &rows {
                let mut query = sqlx::query(AssertSqlSafe(insert.clone()));
                for value in row {
                    query = value.clone().bind(query);
                }
                query.execute(&mut *tx).await?;
            }
            tx.commit().await?;
            copied(rows.len() as u64);
        }
    }

    /// Returns a digest of all rows in order.
    async fn digest(&self, database: &Database) -> Result<[u8; 32], StoreError> {
        let mut digest = Sha256::new();
        let mut last = None;
        loop {
            let rows = self.page(database, last.as_ref()).await?;
            let Some(end) = rows.last() else { return Ok(digest.finalize().into()) };
            last = Some(end[0].clone());
            rows.iter().flatten().for_each(|value| value.feed(&mut digest));
        }
    }

    /// Returns the next rows after a key.
    async fn page(
        &self,
        database: &Database,
        after: Option<&Value>,
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        let (name, key) = (self.name, self.columns[0].0);
        let behind = if after.is_some() { format!("where {key} > $1") } else { String::new() };
        let columns = self.names();
        let select = format!("select {columns} from {name} {behind} order by {key} limit {PAGE}");
        let query = sqlx::query(AssertSqlSafe(select));
        let query = match after.cloned() {
            Some(key) => key.bind(query),
            None => query,
        };
        let rows = query.fetch_all(&database.readers).await?;
        rows.iter().map(|row| self.values(row)).collect()
    }

    /// Returns the key of the last row.
    async fn last(&self, database: &Database) -> Result<Option<Value>, StoreError> {
        let (name, key) = (self.name, self.columns[0].0);
        let columns = self.names();
        let select = format!("select {columns} from {name} order by {key} desc limit 1");
        let row = sqlx::query(AssertSqlSafe(select)).fetch_optional(&database.readers).await?;
        let values = row.map(|row| self.values(&row)).transpose()?;
        Ok(values.map(|mut values| values.swap_remove(0)))
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    fn insert(&self) -> String {
        let places: Vec<_> = (1..=self.columns.len()).map(|place| format!("${place}")).collect();
        let (name, columns, places) = (self.name, self.names(), places.join(", "));
        format!("insert into {name} ({columns}) values ({places})")
    }

    fn values(&self, row: &AnyRow) -> Result<Vec<Value>, StoreError> {
        let columns = self.columns.iter().enumerate();
        let values = columns.map(|(place, (_, kind))| {
            Ok(match kind {
                Bytes => Value::Bytes(row.try_get(place)?),
                Number => Value::Number(row.try_get(place)?),
                Text => Value::Text(row.try_get(place)?),
            })
        });
        values.collect()
    }
}

impl Value {
    fn bind(self, query: Query<'_, Any, AnyArguments>) -> Query<'_, Any, AnyArguments> {
        match self {
            Self::Bytes(bytes) => query.bind(bytes),
            Self::Number(number) => query.bind(number),
            Self::Text(text) => query.bind(text),
        }
    }

    /// Lengths first, so that no two rows are fed alike.
    fn feed(&self, digest: &mut Sha256) {
        let bytes = match self {
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::Number(number) => number.map(|number| number.to_le_bytes().to_vec()),
            Self::Text(text) => text.clone().map(String::into_bytes),
        };
        match bytes {
            Some(bytes) => {
                digest.update((bytes.len() as u64).to_le_bytes());
                digest.update(&bytes);
            }
            None => digest.update(u64::MAX.to_le_bytes()),
        }
    }
}
