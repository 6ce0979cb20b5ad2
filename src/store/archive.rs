//! Archives: copies of both SQLite files, and the checks before a restored copy serves.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use jiff::Timestamp;
use tempfile::NamedTempFile;

use super::database::{Database, Engine};
use super::{Store, StoreError};
use crate::audit::Actor;
use crate::employee::EmployeeId;

impl Store {
    /// Writes copies of both SQLite files, readable by their owner only. The write lock is held: if a
    /// template were replaced between the two copies, neither template could be opened.
    ///
    /// # Errors
    /// [`StoreError`]; an existing file is not overwritten.
    pub async fn archive(&self, data: &Path, keys: &Path) -> Result<(), StoreError> {
        let alone = self.data.begin().await?;
        self.data.copy_to(data).await?;
        self.keys.copy_to(keys).await?;
        Ok(alone.rollback().await?)
    }

    /// Checks the integrity of both SQLite files. In PostgreSQL, does nothing.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub async fn check(&self) -> Result<(), StoreError> {
        if self.data.engine == Engine::Postgres {
            return Ok(());
        }
        for database in [&self.data, &self.keys] {
            let found: String = sqlx::query_scalar("pragma integrity_check(1)")
                .fetch_one(&database.readers)
                .await?;
            if found != "ok" {
                return Err(StoreError::Damaged(found));
            }
        }
        Ok(())
    }

    /// Erases the employees whose data key is missing: they were erased after the data were copied.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn erase_keyless(
        &self,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Vec<EmployeeId>, StoreError> {
        let mut keyless = Vec::new();
        for (model, _) in self.models().await? {
            let mut after = None;
            loop {
                let page = self.templates(model.id, after).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.template.key);
                let lost = page.into_iter().filter(|stored| stored.key.is_none());
                keyless.extend(lost.map(|stored| stored.employee));
            }
        }
        for employee in &keyless {
            self.erase(employee, actor, now).await?;
        }
        Ok(keyless)
    }
}

impl Database {
    async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        if path.exists() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // Created with mode 0600, and deleted if the copy fails.
        let partial = NamedTempFile::new_in(folder)?;
        // As bytes, since a path may not be Unicode; absolute, since SQLite takes "file:" for a URI.
        sqlx::query("vacuum into cast($1 as text)")
            .bind(std::path::absolute(&partial)?.into_os_string().into_vec())
            .execute(&self.readers)
            .await?;
        partial.as_file().sync_all()?;
        partial.persist_noclobber(path).map_err(io::Error::from)?;
        Ok(File::open(folder)?.sync_all()?)
    }
}
