//! `likeness backup`: writes both files to two archives while the service runs.

use anyhow::{Context, bail};

use crate::audit::Action;
use crate::config::{ArchiveArgs, Config};
use crate::store::Location;

/// Writes the two archives.
///
/// # Errors
/// If the data cannot be read, or an archive exists or cannot be written.
pub async fn run(config: &Config, archives: &ArchiveArgs) -> anyhow::Result<()> {
    let files = super::existing_data(config).await?;
    if matches!(files.location, Location::Server { .. }) {
        bail!("back up PostgreSQL with its own tools: see docs/scale.md");
    }
    let store = super::open_store(&files).await?;
    store.record(&[super::event(Action::Backup, None)]).await?;
    let begun = super::wall_clock();
    let ArchiveArgs { data, keys } = archives;
    let written = store.archive(data, keys).await;
    store.close().await;
    written.with_context(|| format!("writing {} and {}", data.display(), keys.display()))?;
    eprintln!(
        "{} can be decrypted only with {} and the master key: store the two archives separately. \
         Destroy every archive of data keys made before {begun}: employees erased since are \
         absent from the newest one only.",
        data.display(),
        keys.display()
    );
    Ok(())
}
