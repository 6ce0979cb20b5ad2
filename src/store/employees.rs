//! The employees and their sealed templates.

use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use super::{Store, StoreError};
use crate::embedding::ModelId;
use crate::employee::{EmployeeId, ModelName, Reference};
use crate::seal::Template;

/// What became of an enrolment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Enrolled {
    /// The employee already had a reference, and replacing it was not asked for.
    Kept,
    /// A new employee.
    New,
    /// The former reference is gone.
    Replaced,
}

#[derive(sqlx::FromRow)]
struct ReferenceRow {
    employee_id: String,
    enrolled_at: i64,
    expires_at: Option<i64>,
    model_id: Vec<u8>,
    name: String,
}

impl Store {
    /// Stores a template as the employee's only reference; durable once it returns.
    ///
    /// # Errors
    /// [`StoreError::Driver`]; then nothing has changed.
    pub async fn enroll(
        &self,
        reference: &Reference,
        template: &Template,
        replace: bool,
    ) -> Result<Enrolled, StoreError> {
        let employee = reference.employee.as_str();
        let mut tx = self.begin().await?;
        let erased = if replace { delete(&mut tx, employee).await? } else { false };
        let inserted = sqlx::query(
            "insert into employee (employee_id, enrolled_at, expires_at) values (?, ?, ?)",
        )
        .bind(employee)
        .bind(reference.enrolled_at.as_millisecond())
        .bind(reference.expires_at.map(Timestamp::as_millisecond))
        .execute(&mut *tx)
        .await;
        if let Err(error) = inserted {
            let taken = error
                .as_database_error()
                .is_some_and(sqlx::error::DatabaseError::is_unique_violation);
            return if taken { Ok(Enrolled::Kept) } else { Err(error.into()) };
        }
        sqlx::query("insert into model (model_id, name) values (?, ?) on conflict do nothing")
            .bind(reference.model.id.as_bytes().as_slice())
            .bind(&*reference.model.name)
            .execute(&mut *tx)
            .await?;
        sqlx::query("insert into template (employee_id, model_id, sealed) values (?, ?, ?)")
            .bind(employee)
            .bind(reference.model.id.as_bytes().as_slice())
            .bind(template.as_bytes())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        if erased {
            self.truncate_wal().await;
        }
        Ok(if erased { Enrolled::Replaced } else { Enrolled::New })
    }

    /// Erases an employee with all templates; `false` where nobody of that name is enrolled.
    ///
    /// # Errors
    /// [`StoreError::Driver`].
    pub async fn erase(&self, employee: &EmployeeId) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let erased = delete(&mut tx, employee.as_str()).await?;
        tx.commit().await?;
        if erased {
            self.truncate_wal().await;
        }
        Ok(erased)
    }

    /// The reference of one employee, of whatever model.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, employee: &EmployeeId) -> Result<Option<Reference>, StoreError> {
        let row: Option<ReferenceRow> = sqlx::query_as(
            "select employee_id, enrolled_at, expires_at, model_id, name
             from employee join template using (employee_id) join model using (model_id)
             where employee_id = ?",
        )
        .bind(employee.as_str())
        .fetch_optional(&self.readers)
        .await?;
        row.map(Reference::try_from).transpose()
    }

    /// The references of at most `limit` employees whose identifiers sort behind `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        after: Option<&EmployeeId>,
        limit: u32,
    ) -> Result<Vec<Reference>, StoreError> {
        let rows: Vec<ReferenceRow> = sqlx::query_as(
            "select employee_id, enrolled_at, expires_at, model_id, name
             from employee join template using (employee_id) join model using (model_id)
             where employee_id > ? order by employee_id limit ?",
        )
        .bind(after.map_or("", EmployeeId::as_str))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(Reference::try_from).collect()
    }

    /// Every template of one model.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn templates(
        &self,
        model: ModelId,
    ) -> Result<Vec<(EmployeeId, Template)>, StoreError> {
        let rows: Vec<(String, Vec<u8>)> =
            sqlx::query_as("select employee_id, sealed from template where model_id = ?")
                .bind(model.as_bytes().as_slice())
                .fetch_all(&self.readers)
                .await?;
        let own = rows.into_iter().map(|(employee, sealed)| {
            Ok((employee_id("template", employee)?, Template::from_bytes(sealed)))
        });
        own.collect()
    }

    /// Every model that somebody is enrolled with, and how many are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn models(&self) -> Result<Vec<(ModelName, u64)>, StoreError> {
        let rows: Vec<(Vec<u8>, String, i64)> = sqlx::query_as(
            "select model_id, name, count(*) from model join template using (model_id)
             group by model_id order by count(*) desc",
        )
        .fetch_all(&self.readers)
        .await?;
        let models = rows.into_iter().map(|(digest, name, enrolled)| {
            let id = model_id(&digest).ok_or_else(|| StoreError::Inconsistent {
                table: "model",
                column: "model_id",
                row: name.clone(),
            })?;
            Ok((ModelName { name: name.into(), id }, enrolled.unsigned_abs()))
        });
        models.collect()
    }
}

async fn delete(tx: &mut Transaction<'_, Sqlite>, employee: &str) -> Result<bool, StoreError> {
    let deleted = sqlx::query("delete from employee where employee_id = ?")
        .bind(employee)
        .execute(&mut **tx)
        .await?;
    Ok(deleted.rows_affected() > 0)
}

impl TryFrom<ReferenceRow> for Reference {
    type Error = StoreError;

    fn try_from(row: ReferenceRow) -> Result<Self, StoreError> {
        let employee = employee_id("employee", row.employee_id)?;
        let inconsistent = |table, column| StoreError::Inconsistent {
            table,
            column,
            row: employee.as_str().to_owned(),
        };
        let time = |column, at| {
            Timestamp::from_millisecond(at).map_err(|_| inconsistent("employee", column))
        };
        let id = model_id(&row.model_id).ok_or_else(|| inconsistent("template", "model_id"))?;
        Ok(Self {
            enrolled_at: time("enrolled_at", row.enrolled_at)?,
            expires_at: row.expires_at.map(|at| time("expires_at", at)).transpose()?,
            model: ModelName { name: row.name.into(), id },
            employee,
        })
    }
}

fn model_id(digest: &[u8]) -> Option<ModelId> {
    digest.try_into().ok().map(ModelId::from_digest)
}

fn employee_id(table: &'static str, text: String) -> Result<EmployeeId, StoreError> {
    EmployeeId::parse(&text).map_err(|_| StoreError::Inconsistent {
        table,
        column: "employee_id",
        row: text,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("likeness.db")).await.unwrap();
        (folder, store)
    }

    fn reference(employee: &str, model: u8) -> Reference {
        Reference {
            employee: EmployeeId::parse(employee).unwrap(),
            enrolled_at: Timestamp::from_millisecond(1_700_000_000_123).unwrap(),
            expires_at: None,
            model: ModelName {
                name: format!("model {model}").into(),
                id: ModelId::from_digest([model; 32]),
            },
        }
    }

    fn template(marker: &str) -> Template {
        Template::from_bytes(marker.repeat(20).into_bytes())
    }

    #[tokio::test]
    async fn a_reference_comes_back_as_it_was_stored() {
        let (_folder, store) = store().await;
        let ada = reference("ada", 1);
        assert_eq!(store.find(&ada.employee).await.unwrap(), None);
        let enrolled = store.enroll(&ada, &template("ada"), false).await.unwrap();
        assert_eq!(enrolled, Enrolled::New);
        assert_eq!(store.find(&ada.employee).await.unwrap(), Some(ada.clone()));
        let own = store.templates(ada.model.id).await.unwrap();
        assert_eq!(own, [(ada.employee, template("ada"))]);
        assert_eq!(store.models().await.unwrap(), [(ada.model, 1)]);
    }

    #[tokio::test]
    async fn a_second_enrolment_changes_nothing_unless_it_replaces() {
        let (_folder, store) = store().await;
        let (first, second) = (reference("ada", 1), reference("ada", 2));
        store.enroll(&first, &template("1"), false).await.unwrap();
        assert_eq!(store.enroll(&second, &template("2"), false).await.unwrap(), Enrolled::Kept);
        assert_eq!(store.find(&first.employee).await.unwrap(), Some(first.clone()));
        assert_eq!(store.enroll(&second, &template("2"), true).await.unwrap(), Enrolled::Replaced);
        assert_eq!(store.templates(first.model.id).await.unwrap(), []);
        assert_eq!(store.models().await.unwrap(), [(second.model, 1)]);
    }

    #[tokio::test]
    async fn employees_are_listed_in_order_page_by_page() {
        let (_folder, store) = store().await;
        for employee in ["c", "a", "B", "b"] {
            store.enroll(&reference(employee, 1), &template("x"), false).await.unwrap();
        }
        let names = |page: Vec<Reference>| {
            page.iter().map(|r| r.employee.as_str().to_owned()).collect::<Vec<_>>()
        };
        let first = store.list(None, 3).await.unwrap();
        let last = first.last().unwrap().employee.clone();
        assert_eq!(names(first), ["B", "a", "b"]);
        assert_eq!(names(store.list(Some(&last), 3).await.unwrap()), ["c"]);
    }

    #[tokio::test]
    async fn an_erased_or_replaced_template_is_in_no_file_any_more() {
        let (folder, store) = store().await;
        let ada = reference("ada", 1);
        store.enroll(&reference("bob", 1), &template("stays-here"), false).await.unwrap();
        store.enroll(&ada, &template("first-photo"), false).await.unwrap();
        store.enroll(&ada, &template("second-photo"), true).await.unwrap();
        assert!(!on_disk(folder.path(), "first-photo"));
        assert!(store.erase(&ada.employee).await.unwrap());
        assert!(!store.erase(&ada.employee).await.unwrap());
        assert!(!on_disk(folder.path(), "second-photo"));
        assert!(on_disk(folder.path(), "stays-here"), "the search itself finds what is there");
    }

    fn on_disk(folder: &Path, marker: &str) -> bool {
        std::fs::read_dir(folder).unwrap().any(|entry| {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
        })
    }

    #[tokio::test]
    async fn a_row_that_cannot_be_ours_names_itself() {
        let (_folder, store) = store().await;
        let ada = reference("ada", 1);
        store.enroll(&ada, &template("x"), false).await.unwrap();
        sqlx::query("update employee set enrolled_at = 9223372036854775807")
            .execute(&store.writer)
            .await
            .unwrap();
        let error = store.find(&ada.employee).await.unwrap_err().to_string();
        assert_eq!(error, "the database is inconsistent: employee.enrolled_at of ada");
    }
}
