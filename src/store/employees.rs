//! Queries of employees, references and templates.

use jiff::Timestamp;

use super::{Store, StoreError, data_keys};
use crate::audit::Entry;
use crate::embedding::ModelId;
use crate::employee::{AuditId, EmployeeId, ModelName, Reference};
use crate::seal::{DataKeyId, Sealed, Template, WrappedKey};

/// Templates in one page.
const PAGE: i64 = 10_000;

/// A template with its reference's identity and its data key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredTemplate {
    /// The employee.
    pub employee: EmployeeId,
    /// The reference's id in the audit trail.
    pub audit_id: AuditId,
    /// The sealed embedding.
    pub template: Template,
    /// The wrapped data key; `None` while the template is being erased, or if the data keys belong to
    /// another database.
    pub key: Option<WrappedKey>,
    /// The end of the enrollment.
    pub expires_at: Option<Timestamp>,
}

/// All data stored about one employee.
#[derive(Clone, Debug)]
pub struct EmployeeExport {
    /// The reference.
    pub reference: Reference,
    /// The sealed embedding.
    pub template: Template,
    /// The wrapped data key; `None` if the data keys belong to another database.
    pub key: Option<WrappedKey>,
    /// The audit events about the reference.
    pub events: Vec<Entry>,
}

#[derive(sqlx::FromRow)]
struct ReferenceRow {
    employee_id: String,
    audit_id: Vec<u8>,
    enrolled_at: i64,
    expires_at: Option<i64>,
    model_id: Vec<u8>,
    name: String,
}

#[derive(sqlx::FromRow)]
pub(super) struct TemplateRow {
    pub(super) employee_id: String,
    pub(super) audit_id: Vec<u8>,
    pub(super) key_id: Vec<u8>,
    pub(super) sealed: Vec<u8>,
    pub(super) expires_at: Option<i64>,
}

impl Store {
    /// Returns the reference of an employee, of any model.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, employee: &EmployeeId) -> Result<Option<Reference>, StoreError> {
        let row: Option<ReferenceRow> = sqlx::query_as(
            "select employee_id, audit_id, enrolled_at, expires_at, model_id, name
             from employee join template using (employee_id) join model using (model_id)
             where employee_id = $1",
        )
        .bind(employee.as_str())
        .fetch_optional(&self.data.readers)
        .await?;
        row.map(Reference::try_from).transpose()
    }

    /// Returns all data stored about an employee.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn export(
        &self,
        employee: &EmployeeId,
    ) -> Result<Option<EmployeeExport>, StoreError> {
        let Some(reference) = self.find(employee).await? else { return Ok(None) };
        let row: Option<TemplateRow> = sqlx::query_as(
            "select employee_id, audit_id, key_id, sealed, expires_at
             from template join employee using (employee_id) where employee_id = $1",
        )
        .bind(employee.as_str())
        .fetch_optional(&self.data.readers)
        .await?;
        let Some(StoredTemplate { template, .. }) = row.map(TemplateRow::read).transpose()? else {
            return Ok(None);
        };
        let key = data_keys::find(&self.keys, template.key).await?;
        let events = self.events_about(reference.audit_id).await?;
        Ok(Some(EmployeeExport { reference, template, key, events }))
    }

    /// Returns the references of at most `limit` employees whose ids sort after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        after: Option<&EmployeeId>,
        limit: u32,
    ) -> Result<Vec<Reference>, StoreError> {
        let rows: Vec<ReferenceRow> = sqlx::query_as(
            "select employee_id, audit_id, enrolled_at, expires_at, model_id, name
             from employee join template using (employee_id) join model using (model_id)
             where employee_id > $1 order by employee_id limit $2",
        )
        .bind(after.map_or("", EmployeeId::as_str))
        .bind(i64::from(limit))
        .fetch_all(&self.data.readers)
        .await?;
        rows.into_iter().map(Reference::try_from).collect()
    }

    /// Returns the next page of a model's templates, sorted by data key, after `after`; an empty page
    /// if there are no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn templates(
        &self,
        model: ModelId,
        after: Option<DataKeyId>,
    ) -> Result<Vec<StoredTemplate>, StoreError> {
        let after = after.unwrap_or(DataKeyId::AUDIT);
        let rows: Vec<TemplateRow> = sqlx::query_as(
            "select employee_id, audit_id, key_id, sealed, expires_at from (
                 select employee_id, key_id, sealed from template
                 where model_id = $1 and key_id > $2 order by key_id limit $3
             ) as page join employee using (employee_id) order by key_id",
        )
        .bind(model.as_bytes().as_slice())
        .bind(after.as_bytes().as_slice())
        .bind(PAGE)
        .fetch_all(&self.data.readers)
        .await?;
        let mut page = rows.into_iter().map(TemplateRow::read).collect::<Result<Vec<_>, _>>()?;
        if let Some(last) = page.last() {
            let mut keys = data_keys::between(&self.keys, after, last.template.key).await?;
            for stored in &mut page {
                stored.key = keys.remove(&stored.template.key);
            }
        }
        Ok(page)
    }

    /// Returns the employees whose enrollment has expired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn expired(&self, now: Timestamp) -> Result<Vec<EmployeeId>, StoreError> {
        let ended: Vec<String> =
            sqlx::query_scalar("select employee_id from employee where expires_at <= $1")
                .bind(now.as_millisecond())
                .fetch_all(&self.data.readers)
                .await?;
        ended.into_iter().map(|employee| employee_id("employee", employee)).collect()
    }

    /// Returns each model with its number of references, most used first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn models(&self) -> Result<Vec<(ModelName, u64)>, StoreError> {
        let rows: Vec<(Vec<u8>, String, i64)> = sqlx::query_as(
            "select model_id, name, count(*) from model join template using (model_id)
             group by model_id, name order by count(*) desc",
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
        let audit_id = row.audit_id.try_into().map_err(|_| inconsistent("employee", "audit_id"))?;
        Ok(Self {
            audit_id: AuditId::from_bytes(audit_id),
            enrolled_at: time("enrolled_at", row.enrolled_at)?,
            expires_at: row.expires_at.map(|at| time("expires_at", at)).transpose()?,
            model: ModelName { name: row.name.into(), id },
            employee,
        })
    }
}

impl TemplateRow {
    /// Parses the row; the data key is read separately.
    pub(super) fn read(self) -> Result<StoredTemplate, StoreError> {
        let employee = employee_id("template", self.employee_id)?;
        let inconsistent =
            |table, column| StoreError::inconsistent(table, column, employee.as_str());
        let audit_id =
            self.audit_id.try_into().map_err(|_| inconsistent("employee", "audit_id"))?;
        let key = self.key_id.try_into().map_err(|_| inconsistent("template", "key_id"))?;
        let end = self.expires_at.map(Timestamp::from_millisecond).transpose();
        let end = end.map_err(|_| inconsistent("employee", "expires_at"))?;
        let sealed = Sealed::from_bytes(self.sealed);
        let template = Template { key: DataKeyId::from_bytes(key), sealed };
        let audit_id = AuditId::from_bytes(audit_id);
        Ok(StoredTemplate { employee, audit_id, template, key: None, expires_at: end })
    }
}

pub(super) fn model_id(digest: &[u8]) -> Option<ModelId> {
    digest.try_into().ok().map(ModelId::from_digest)
}

pub(super) fn employee_id(table: &'static str, text: String) -> Result<EmployeeId, StoreError> {
    EmployeeId::parse(&text).map_err(|_| StoreError::inconsistent(table, "employee_id", text))
}
