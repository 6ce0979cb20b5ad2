//! `likeness restore`: restores two archives to an empty data directory, without the employees
//! erased since the backup.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use crate::audit::{Action, Actor};
use crate::config::{ArchiveArgs, Config};
use crate::embedding::ModelId;
use crate::seal::{MasterKeys, Sealer};
use crate::store::{Location, Store, StoredTemplate};

/// Restores the archives, after checking that they are intact and that every template in them
/// opens.
///
/// # Errors
/// If there are data already, the master key is missing, or the archives cannot be used; then
/// nothing is restored.
pub async fn run(config: &Config, archives: &ArchiveArgs) -> anyhow::Result<()> {
    let files = super::create_data_directory(config)?;
    let Location::File(database) = &files.location else {
        bail!("restore PostgreSQL with its own tools: see docs/scale.md");
    };
    let _lock = super::lock(&files)?;
    let staged = Staged::in_folder_of(database);
    if staged.is_half_in_place() {
        return staged.put_in_place();
    }
    for path in [&staged.database.0, &staged.keys.0] {
        if path.exists() {
            bail!("{} already exists: restore into an empty data directory", path.display());
        }
    }
    let masters = MasterKeys::open(&files.master_key)?;
    let masters = masters.with_context(|| {
        format!(
            "the master key of the archives is missing: copy it to {}",
            files.master_key.display()
        )
    })?;
    staged.fill(archives)?;
    let store = Store::open(&Location::File(staged.database.1.clone()), &masters).await?;
    let dropped = examine(&store, Sealer::new(masters)).await;
    store.close().await;
    let (dropped, enrolled) = dropped.context("these archives cannot be restored")?;
    staged.put_in_place()?;
    eprintln!("{enrolled} employees restored; {dropped} erased after the backup stay erased");
    Ok(())
}

/// Erases employees without a data key and opens the templates of the others; returns the numbers
/// of erased and remaining employees.
async fn examine(store: &Store, sealer: Sealer) -> anyhow::Result<(usize, u64)> {
    store.check().await?;
    let dropped = store.erase_keyless(&Actor::Operator, super::wall_clock()).await?;
    let mut enrolled = 0;
    for (model, people) in store.models().await? {
        every_template_opens(store, &sealer, model.id).await?;
        enrolled += people;
    }
    store.record(&[super::event(Action::Restore, None)]).await?;
    store.wipe_leftovers().await;
    Ok((dropped.len(), enrolled))
}

async fn every_template_opens(
    store: &Store,
    sealer: &Sealer,
    model: ModelId,
) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let page = store.templates(model, after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.template.key);
        for StoredTemplate { employee, template, key, .. } in page {
            let opened = match key {
                Some(key) => sealer.open(&employee, model, &key, &template).map_err(Into::into),
                None => Err(anyhow!("its data key is missing")),
            };
            opened.with_context(|| format!("the template of employee {}", employee.as_str()))?;
        }
    }
}

/// The final and the staging paths of the two files.
struct Staged {
    folder: PathBuf,
    database: (PathBuf, PathBuf),
    keys: (PathBuf, PathBuf),
}

impl Staged {
    fn in_folder_of(database: &Path) -> Self {
        let data_dir = database.parent().unwrap_or(Path::new("."));
        let folder = data_dir.join("restoring");
        let both = |name: &str| (data_dir.join(name), folder.join(name));
        Self { database: both("likeness.db"), keys: both("data-keys.db"), folder }
    }

    /// Copies the archives to the staging folder; remains of an earlier attempt are overwritten.
    fn fill(&self, archives: &ArchiveArgs) -> anyhow::Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        fs::create_dir(&self.folder)?;
        for (from, to) in [(&archives.data, &self.database.1), (&archives.keys, &self.keys.1)] {
            fs::copy(from, to).with_context(|| format!("reading {}", from.display()))?;
        }
        Ok(())
    }

    /// Returns whether a kill interrupted an earlier attempt between its two renames.
    fn is_half_in_place(&self) -> bool {
        self.keys.0.exists()
            && !self.keys.1.exists()
            && self.database.1.exists()
            && !self.database.0.exists()
    }

    /// Moves the files into place. The keys come first, so that no template is without its key.
    fn put_in_place(&self) -> anyhow::Result<()> {
        for (place, staged) in [&self.keys, &self.database] {
            if staged.exists() {
                fs::File::open(staged)?.sync_all()?;
                fs::rename(staged, place)?;
            }
        }
        fs::remove_dir_all(&self.folder)?;
        let data_dir = self.folder.parent().unwrap_or(Path::new("."));
        Ok(fs::File::open(data_dir)?.sync_all()?)
    }
}
