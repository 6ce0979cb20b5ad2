//! The employees and their sealed templates.

use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use super::{Store, StoreError};
use crate::embedding::ModelId;
use crate::employee::{EmployeeId, ModelName, Reference};
use crate::seal::{DataKeyId, Sealed, Template, WrappedKey};

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

/// What became of an erasure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Erased {
    /// Nobody of this name is enrolled.
    Nobody,
    /// No byte of the template, sealed or not, is left in any file, and its data key is gone.
    Wholly,
    /// Nobody will be matched any more, but [`Store::wipe_leftovers`] has to be tried again: a foreign
    /// reader holds a write-ahead log, or a file cannot be written.
    NotYetWholly,
}

/// All that is held on one employee.
#[derive(Clone, Debug)]
pub struct Held {
    /// What is told of the enrolment.
    pub reference: Reference,
    /// The sealed embedding.
    pub template: Template,
    /// The key that opens it, wrapped; it is missing where the file of keys is another one.
    pub key: Option<WrappedKey>,
}

#[derive(sqlx::FromRow)]
struct ReferenceRow {
    employee_id: String,
    enrolled_at: i64,
    expires_at: Option<i64>,
    model_id: Vec<u8>,
    name: String,
}

#[derive(sqlx::FromRow)]
struct TemplateRow {
    employee_id: String,
    key_id: Vec<u8>,
    sealed: Vec<u8>,
    expires_at: Option<i64>,
}

impl Store {
    /// Stores a template as the employee's only reference, and its data key; durable once it returns.
    ///
    /// # Errors
    /// [`StoreError::Driver`]; then nobody's reference has changed.
    pub async fn enroll(
        &self,
        reference: &Reference,
        key: &WrappedKey,
        template: &Template,
        replace: bool,
    ) -> Result<Enrolled, StoreError> {
        self.insert_data_key(key).await?;
        let inserted = self.insert_template(reference, template, replace).await;
        let own = || vec![key.id.as_bytes().to_vec()];
        match inserted {
            Ok((enrolled, former)) => {
                let useless = if enrolled == Enrolled::Kept { own() } else { former };
                if !useless.is_empty() {
                    self.wipe(&useless).await;
                }
                Ok(enrolled)
            }
            Err(error) => {
                self.wipe(&own()).await;
                Err(error)
            }
        }
    }

    /// What became of the enrolment, and the data keys of the templates whose place it took.
    async fn insert_template(
        &self,
        reference: &Reference,
        template: &Template,
        replace: bool,
    ) -> Result<(Enrolled, Vec<Vec<u8>>), StoreError> {
        let employee = reference.employee.as_str();
        let mut tx = self.data.begin().await?;
        let former = if replace { delete(&mut tx, employee).await? } else { None };
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
            return if taken { Ok((Enrolled::Kept, Vec::new())) } else { Err(error.into()) };
        }
        sqlx::query("insert into model (model_id, name) values (?, ?) on conflict do nothing")
            .bind(reference.model.id.as_bytes().as_slice())
            .bind(&*reference.model.name)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "insert into template (employee_id, model_id, key_id, sealed) values (?, ?, ?, ?)",
        )
        .bind(employee)
        .bind(reference.model.id.as_bytes().as_slice())
        .bind(template.key.as_bytes().as_slice())
        .bind(template.sealed.as_bytes())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(match former {
            Some(former) => (Enrolled::Replaced, former),
            None => (Enrolled::New, Vec::new()),
        })
    }

    /// Erases an employee with all templates and their data keys.
    ///
    /// # Errors
    /// [`StoreError::Driver`]; then nothing has changed.
    pub async fn erase(&self, employee: &EmployeeId) -> Result<Erased, StoreError> {
        let mut tx = self.data.begin().await?;
        let former = delete(&mut tx, employee.as_str()).await?;
        tx.commit().await?;
        let Some(former) = former else { return Ok(Erased::Nobody) };
        Ok(if self.wipe(&former).await { Erased::Wholly } else { Erased::NotYetWholly })
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
        .fetch_optional(&self.data.readers)
        .await?;
        row.map(Reference::try_from).transpose()
    }

    /// All that is held on one employee.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn held(&self, employee: &EmployeeId) -> Result<Option<Held>, StoreError> {
        let Some(reference) = self.find(employee).await? else { return Ok(None) };
        let row: Option<TemplateRow> = sqlx::query_as(
            "select employee_id, key_id, sealed, expires_at
             from template join employee using (employee_id) where employee_id = ?",
        )
        .bind(employee.as_str())
        .fetch_optional(&self.data.readers)
        .await?;
        let Some((_, template, _)) = row.map(TemplateRow::read).transpose()? else {
            return Ok(None);
        };
        let key = self.data_key(template.key).await?;
        Ok(Some(Held { reference, template, key }))
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
        .fetch_all(&self.data.readers)
        .await?;
        rows.into_iter().map(Reference::try_from).collect()
    }

    /// Every template of one model, and when it ends, if ever.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn templates(
        &self,
        model: ModelId,
    ) -> Result<Vec<(EmployeeId, Template, Option<Timestamp>)>, StoreError> {
        let rows: Vec<TemplateRow> = sqlx::query_as(
            "select employee_id, key_id, sealed, expires_at
             from template join employee using (employee_id) where model_id = ?",
        )
        .bind(model.as_bytes().as_slice())
        .fetch_all(&self.data.readers)
        .await?;
        rows.into_iter().map(TemplateRow::read).collect()
    }

    /// Everyone whose enrolment has ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn expired(&self, now: Timestamp) -> Result<Vec<EmployeeId>, StoreError> {
        let ended: Vec<String> =
            sqlx::query_scalar("select employee_id from employee where expires_at <= ?")
                .bind(now.as_millisecond())
                .fetch_all(&self.data.readers)
                .await?;
        ended.into_iter().map(|employee| employee_id("employee", employee)).collect()
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
        .fetch_all(&self.data.readers)
        .await?;
        let models = rows.into_iter().map(|(digest, name, enrolled)| {
            let inconsistent = || StoreError::inconsistent("model", "model_id", &name);
            let id = model_id(&digest).ok_or_else(inconsistent)?;
            Ok((ModelName { name: name.into(), id }, enrolled.unsigned_abs()))
        });
        models.collect()
    }
}

/// Deletes an employee; the data keys of their templates, or `None` where nobody is of this name.
async fn delete(
    tx: &mut Transaction<'_, Sqlite>,
    employee: &str,
) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
    let keys: Vec<Vec<u8>> =
        sqlx::query_scalar("select key_id from template where employee_id = ?")
            .bind(employee)
            .fetch_all(&mut **tx)
            .await?;
    let deleted = sqlx::query("delete from employee where employee_id = ?")
        .bind(employee)
        .execute(&mut **tx)
        .await?;
    Ok((deleted.rows_affected() > 0).then_some(keys))
}

impl TryFrom<ReferenceRow> for Reference {
    type Error = StoreError;

    fn try_from(row: ReferenceRow) -> Result<Self, StoreError> {
        let employee = employee_id("employee", row.employee_id)?;
        let inconsistent =
            |table, column| StoreError::inconsistent(table, column, employee.as_str());
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

impl TemplateRow {
    fn read(self) -> Result<(EmployeeId, Template, Option<Timestamp>), StoreError> {
        let employee = employee_id("template", self.employee_id)?;
        let inconsistent =
            |table, column| StoreError::inconsistent(table, column, employee.as_str());
        let key = self.key_id.try_into().map_err(|_| inconsistent("template", "key_id"))?;
        let end = self.expires_at.map(Timestamp::from_millisecond).transpose();
        let end = end.map_err(|_| inconsistent("employee", "expires_at"))?;
        let sealed = Sealed::from_bytes(self.sealed);
        Ok((employee, Template { key: DataKeyId::from_bytes(key), sealed }, end))
    }
}

fn model_id(digest: &[u8]) -> Option<ModelId> {
    digest.try_into().ok().map(ModelId::from_digest)
}

fn employee_id(table: &'static str, text: String) -> Result<EmployeeId, StoreError> {
    EmployeeId::parse(&text).map_err(|_| StoreError::inconsistent(table, "employee_id", text))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use super::*;
    use crate::seal::MasterKeyId;

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

    /// A data key and a template that can be told from others, and found in a file.
    fn sealed(marker: &str) -> (WrappedKey, Template) {
        let mut id = [0; 16];
        id.iter_mut().zip(marker.bytes()).for_each(|(to, from)| *to = from);
        let id = DataKeyId::from_bytes(id);
        let bytes = |text: String| Sealed::from_bytes(text.repeat(20).into_bytes());
        let master = MasterKeyId::from_bytes([0; 8]);
        let key = WrappedKey { id, master, wrapped: bytes(format!("key-of-{marker}")) };
        (key, Template { key: id, sealed: bytes(marker.to_owned()) })
    }

    async fn enroll(store: &Store, reference: &Reference, marker: &str, replace: bool) -> Enrolled {
        let (key, template) = sealed(marker);
        store.enroll(reference, &key, &template, replace).await.unwrap()
    }

    async fn keys_held(store: &Store) -> u64 {
        store.count_data_keys().await.unwrap()
    }

    #[tokio::test]
    async fn a_reference_comes_back_as_it_was_stored() {
        let (_folder, store) = store().await;
        let ada = reference("ada", 1);
        assert_eq!(store.find(&ada.employee).await.unwrap(), None);
        assert_eq!(enroll(&store, &ada, "ada", false).await, Enrolled::New);
        assert_eq!(store.find(&ada.employee).await.unwrap(), Some(ada.clone()));
        let (key, template) = sealed("ada");
        assert_eq!(store.templates(ada.model.id).await.unwrap(), [(ada.employee, template, None)]);
        assert_eq!(store.data_keys().await.unwrap(), HashMap::from([(key.id, key)]));
        assert_eq!(store.models().await.unwrap(), [(ada.model, 1)]);
    }

    #[tokio::test]
    async fn a_second_enrolment_changes_nothing_unless_it_replaces() {
        let (_folder, store) = store().await;
        let (first, second) = (reference("ada", 1), reference("ada", 2));
        enroll(&store, &first, "1", false).await;
        assert_eq!(enroll(&store, &second, "2", false).await, Enrolled::Kept);
        assert_eq!(store.find(&first.employee).await.unwrap(), Some(first.clone()));
        assert_eq!(enroll(&store, &second, "2", true).await, Enrolled::Replaced);
        assert_eq!(store.templates(first.model.id).await.unwrap(), []);
        assert_eq!(store.models().await.unwrap(), [(second.model, 1)]);
        assert_eq!(keys_held(&store).await, 1);
    }

    #[tokio::test]
    async fn employees_are_listed_in_order_page_by_page() {
        let (_folder, store) = store().await;
        for employee in ["c", "a", "B", "b"] {
            enroll(&store, &reference(employee, 1), employee, false).await;
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
        enroll(&store, &reference("bob", 1), "stays-here", false).await;
        enroll(&store, &ada, "first-photo", false).await;
        enroll(&store, &ada, "second-photo", true).await;
        assert!(!on_disk(folder.path(), "first-photo"));
        assert_eq!(store.erase(&ada.employee).await.unwrap(), Erased::Wholly);
        assert_eq!(store.erase(&ada.employee).await.unwrap(), Erased::Nobody);
        assert!(!on_disk(folder.path(), "second-photo"));
        assert!(on_disk(folder.path(), "stays-here"), "the search itself finds what is there");
        assert!(on_disk(folder.path(), "key-of-stays-here"));
    }

    #[tokio::test]
    async fn erasing_waits_for_a_foreign_reader_and_says_so() {
        let (folder, store) = store().await;
        let ada = reference("ada", 1);
        enroll(&store, &ada, "a-photo", false).await;
        let mut reader = store.data.readers.begin().await.unwrap();
        sqlx::query("select * from template").fetch_all(&mut *reader).await.unwrap();
        assert_eq!(store.erase(&ada.employee).await.unwrap(), Erased::NotYetWholly);
        assert_eq!(keys_held(&store).await, 0);
        assert!(
            on_disk(folder.path(), "a-photo"),
            "the reader holds it, sealed, and its key is gone"
        );
        assert!(!on_disk(folder.path(), "key-of-a-photo"));
        assert!(!store.wipe_leftovers().await);
        drop(reader);
        assert!(store.wipe_leftovers().await);
        assert!(!on_disk(folder.path(), "a-photo"));
    }

    #[tokio::test]
    async fn a_key_whose_template_was_never_stored_is_swept() {
        let (folder, store) = store().await;
        enroll(&store, &reference("bob", 1), "stays", false).await;
        let (orphan, _) = sealed("orphan");
        store.insert_data_key(&orphan).await.unwrap();
        assert!(on_disk(folder.path(), "key-of-orphan"));
        assert!(store.wipe_leftovers().await);
        assert!(!on_disk(folder.path(), "key-of-orphan"));
        assert_eq!(keys_held(&store).await, 1);
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
        enroll(&store, &ada, "x", false).await;
        sqlx::query("update employee set enrolled_at = 9223372036854775807")
            .execute(&store.data.writer)
            .await
            .unwrap();
        let error = store.find(&ada.employee).await.unwrap_err().to_string();
        assert_eq!(error, "the database is inconsistent: employee.enrolled_at of ada");
    }
}
