//! The subcommands, one file each, and how they open the service's data.

mod announcement;
pub mod audit;
pub mod backup;
mod client;
pub mod doctor;
pub mod evaluate;
pub mod export;
mod groups;
pub mod health;
pub mod import;
pub mod keys;
mod labeled_folder;
pub mod lookalikes;
pub mod migrate_store;
pub mod model;
mod photo_files;
mod photos;
mod presentations;
pub mod restore;
pub mod score;
pub mod serve;
mod staff;
pub mod sync;
mod target;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use self::announcement::Announcement;
use crate::audit::{Action, Actor, Event, Outcome, Subject};
use crate::config::{Config, Files};
use crate::engine::{Engine, EngineOptions, PadOptions};
use crate::recognizer::Recognizer;
use crate::seal::{MasterKeys, Sealer};
use crate::store::{Location, Store};

/// The error if the location of the data contains none; the process exits with code 2.
#[derive(Debug, thiserror::Error)]
pub enum NoData {
    /// Neither SQLite file exists.
    #[error(
        "no likeness data in {}: set the data directory of the service (--data-dir or \
         LIKENESS_DATA_DIR), or create a new one with `likeness serve`, `import`, `restore` or \
         `keys add --first`", .0.display()
    )]
    InFolder(PathBuf),
    /// PostgreSQL contains no data keys.
    #[error(
        "no likeness data keys in this PostgreSQL database: set the databases of the service \
         (--database and, if it has one, --key-database)"
    )]
    InPostgres,
}

/// The error if another process holds the lock of the data directory.
#[derive(Debug, thiserror::Error)]
#[error("another likeness process is using {}; stop it first", .0.display())]
struct InUse(PathBuf);

/// Creates the data directory if it is missing, accessible by its owner only.
fn create_data_directory(config: &Config) -> anyhow::Result<Files> {
    let folder = &config.data_dir;
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.with_context(|| format!("creating the data directory {}", folder.display()))?;
    config.files()
}

/// Returns the location of existing data.
///
/// # Errors
/// [`NoData`] if there is none, so that a mistyped path is reported.
async fn existing_data(config: &Config) -> anyhow::Result<Files> {
    let files = config.files()?;
    if Store::holds_data(&files.location).await? {
        return Ok(files);
    }
    Err(match &files.location {
        Location::File(_) => NoData::InFolder(config.data_dir.clone()).into(),
        Location::Server { .. } => NoData::InPostgres.into(),
    })
}

/// Opens the master key; creates it only if there is no data, which a new key could not decrypt.
async fn master_keys(files: &Files) -> anyhow::Result<MasterKeys> {
    let path = &files.master_key;
    if !path.exists() && Store::holds_data(&files.location).await? {
        bail!(
            "the master key file {} is missing; without it, the existing data cannot be decrypted: restore its copy, or set its path with --master-key-file",
            path.display()
        );
    }
    Ok(MasterKeys::open_or_create(path)?)
}

/// Opens master key, database and models, and loads the gallery. Presentations are judged only by an engine with `pad`.
async fn open(config: Config, pad: Option<PadOptions>) -> anyhow::Result<(Store, Recognizer)> {
    let files = config.files()?;
    let masters = master_keys(&files).await?;
    if masters.next().is_some() {
        tracing::warn!(
            "a rotation of the master key is incomplete: run `likeness keys rotate-master`"
        );
    }
    if files.key_beside_data {
        tracing::warn!(
            "the master key is stored with the data that it encrypts ({}); in production, keep it elsewhere (--master-key-file)",
            files.master_key.display()
        );
    }
    let store = Store::open(&files.location, &masters).await?;
    let sealer = Sealer::new(masters);
    let policy = config.policy();
    #[expect(clippy::disallowed_methods, reason = "loading, before any photo comes")]
    let engine = tokio::task::spawn_blocking(move || {
        anyhow::Ok(Engine::load(&EngineOptions { pad, ..config.engine_options()? })?)
    });
    let engine = engine.await??;
    if let Some(detector) = engine.attack_detector() {
        let names: Vec<_> = detector.models().map(|model| &*model.name).collect();
        tracing::info!("presentation attack detection: {}", names.join(", "));
    }
    let recognizer = Recognizer::start(engine, store.clone(), sealer, policy, wall_clock()).await?;
    recognizer.fit_thresholds(wall_clock).await?;
    let model = recognizer.model();
    tracing::info!(
        enrolled = recognizer.gallery_size(),
        "{} employees enrolled, encoder {} ({})",
        recognizer.gallery_size(),
        model.name,
        model.id
    );
    let bound = recognizer.identification().target;
    if bound > policy.identify_fpir {
        tracing::warn!(
            bound,
            "with a gallery of this size, the false positive identification rate is about {bound}, not {}: the encoder's error rates support no stricter threshold",
            policy.identify_fpir
        );
    } else {
        tracing::info!(bound, "false positive identification rate: at most about {bound}");
    }
    Ok((store, recognizer))
}

/// Opens master key and database, for subcommands that need no models.
async fn open_store(files: &Files) -> anyhow::Result<Store> {
    let masters = master_keys(files).await?;
    Ok(Store::open(&files.location, &masters).await?)
}

/// Locks the data directory against other writing processes while the returned file is open. With
/// PostgreSQL, nothing in the directory is written, and no lock is taken.
///
/// # Errors
/// [`InUse`] if another process holds the lock.
fn lock(files: &Files) -> anyhow::Result<Option<File>> {
    if matches!(files.location, Location::Server { .. }) {
        return Ok(None);
    }
    let path = &files.lock;
    let options = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).clone();
    let lock = options.open(path);
    let lock = lock.with_context(|| format!("opening {}", path.display()))?;
    let folder = path.parent().unwrap_or(path);
    match lock.try_lock() {
        Ok(()) => {
            Announcement::clear(folder).context("deleting the address of an earlier service")?;
            Ok(Some(lock))
        }
        Err(TryLockError::WouldBlock) => Err(InUse(folder.to_owned()).into()),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("locking {}", path.display()))
        }
    }
}

/// Returns a progress bar on standard error, shown on terminals only.
fn bar(length: u64, what: &str) -> ProgressBar {
    let template =
        format!("{{bar:32}} {{human_pos}} of {{human_len}} {what}, {{per_sec:.0}}, {{eta}} left");
    let style = ProgressStyle::with_template(&template);
    ProgressBar::new(length).with_style(style.expect("the template is right"))
}

/// Returns the audit event of a subcommand.
fn event(action: Action, subject: Option<Subject>) -> Event {
    Event { at: wall_clock(), actor: Actor::Operator, action, outcome: Outcome::Done, subject }
}

/// Returns the current time in whole milliseconds, the resolution of the store.
#[expect(clippy::disallowed_methods, reason = "the one clock; everything else is told the time")]
fn wall_clock() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
