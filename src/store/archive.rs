//! Archives: whole copies of the two files, and what has to be true of them before they serve again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::database::{Database, Engine};
use super::{Store, StoreError};
use crate::audit::Actor;
use crate::employee::EmployeeId;

impl Store {
    /// Writes copies of both SQLite files as they are now, readable by their owner alone. Nobody writes meanwhile: a
    /// template that took another's place between the two copies would be in neither, though its employee is enrolled.
    ///
    /// # Errors
    /// [`StoreError`]; a file that is there already is not overwritten.
    pub async fn archive(&self, data: &Path, keys: &Path) -> Result<(), StoreError> {
        let alone = self.data.begin().await?;
        self.data.copy_to(data).await?;
        self.keys.copy_to(keys).await?;
        Ok(alone.rollback().await?)
    }

    /// Whether every page of both SQLite files is as it was left. Of its own pages PostgreSQL takes care.
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

    /// Erases everyone whose data key is gone: they were erased after the copy of the employees was made.
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
        let partial = with_ending(path, ".partial");
        let _ = fs::remove_file(&partial);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        // As bytes, for a path need not be Unicode; and absolute, for SQLite reads "file:" as a URI.
        sqlx::query("vacuum into cast($1 as text)")
            .bind(std::path::absolute(&partial)?.into_os_string().into_vec())
            .execute(&self.readers)
            .await?;
        File::open(&partial)?.sync_all()?;
        fs::rename(&partial, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Ok(File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?)
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
