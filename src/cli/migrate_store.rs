//! `likeness migrate-store`: copies the SQLite files to PostgreSQL. Run again, it resumes.

use std::cell::Cell;

use anyhow::{Context, bail};

use crate::audit::Action;
use crate::config::{Config, MigrateStoreArgs};
use crate::seal::MasterKeys;
use crate::store::{Location, Store};

/// Copies data, data keys and audit trail, and compares every row with its copy.
///
/// # Errors
/// If a service still runs on the files, there is no master key, PostgreSQL contains other data or
/// is in service already, or a row differs.
pub async fn run(config: &Config, args: &MigrateStoreArgs) -> anyhow::Result<()> {
    if !args.from.exists() {
        bail!("{} does not exist", args.from.display());
    }
    let files = config.files_at(&args.from)?;
    let _lock = super::lock(&files)?;
    let masters = MasterKeys::open(&files.master_key)?.with_context(|| {
        format!(
            "{} is missing: set the path of the master key with --master-key-file",
            files.master_key.display()
        )
    })?;
    let store = Store::open(&files.location, &masters).await?;
    let to = Location::Server {
        data: args.to.clone(),
        keys: config.key_database().unwrap_or(&args.to).clone(),
    };
    let moved = migrate(&store, &to, &masters).await;
    store.close().await;
    moved
}

async fn migrate(store: &Store, to: &Location, masters: &MasterKeys) -> anyhow::Result<()> {
    store.record(&[super::event(Action::Migrate, None)]).await?;
    let rows = store.count_rows().await?;
    let (bar, copied) = (super::bar(rows, "rows"), Cell::new(0));
    let progress = |more: u64| {
        copied.set(copied.get() + more);
        bar.inc(more);
    };
    store.copy_to(to, progress).await?;
    bar.finish_and_clear();
    let (head, _) = store.verify_events(None).await??;
    let copy = Store::open(to, masters).await?;
    let verified = copy.verify_events(Some(head)).await?;
    copy.close().await;
    let (copied_head, _) = verified.context("verifying the audit trail of the copy")?;
    eprintln!(
        "{} rows copied to PostgreSQL and verified; the audit trail is intact up to event {}: {copied_head}. \
         Start the replicas with --database and the same master key, and destroy the SQLite files once they are ready.",
        copied.get(),
        copied_head.count
    );
    Ok(())
}
