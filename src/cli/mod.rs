//! The subcommands, one file each, and the one way in which they open the service's data.

pub mod audit;
pub mod backup;
pub mod doctor;
pub mod evaluate;
pub mod export;
pub mod health;
pub mod import;
pub mod keys;
pub mod lookalikes;
pub mod migrate_store;
pub mod model;
mod photos;
pub mod restore;
pub mod score;
pub mod serve;
mod staff;
pub mod sync;

use std::fs::{File, TryLockError};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use crate::audit::{Action, Actor, Event, Outcome, Subject};
use crate::config::{Config, Files};
use crate::engine::Engine;
use crate::recognizer::Recognizer;
use crate::seal::{MasterKeys, Sealer};
use crate::store::{Location, Store};

/// Opens key, database and models, and loads the gallery.
async fn open(config: Config) -> anyhow::Result<(Store, Recognizer)> {
    let files = config.files()?;
    let masters = MasterKeys::open_or_create(&files.master_key)?;
    if masters.next().is_some() {
        tracing::warn!(
            "a replacement of the master key was begun and not ended: run `likeness keys rotate-master`"
        );
    }
    if files.key_beside_data {
        tracing::warn!(
            "the master key lies beside the data it seals ({}); in earnest use keep it elsewhere (--master-key-file)",
            files.master_key.display()
        );
    }
    let store = Store::open(&files.location, &masters).await?;
    let sealer = Sealer::new(masters);
    let policy = config.policy();
    #[expect(clippy::disallowed_methods, reason = "loading, before any photo comes")]
    let engine =
        tokio::task::spawn_blocking(move || anyhow::Ok(Engine::load(&config.engine_options()?)?));
    let engine = engine.await??;
    let recognizer = Recognizer::start(engine, store.clone(), sealer, policy, wall_clock()).await?;
    let model = recognizer.model();
    tracing::info!(
        enrolled = recognizer.gallery_size(),
        "{} enrolled, encoder {} ({})",
        recognizer.gallery_size(),
        model.name,
        model.id
    );
    let bound = recognizer.identification().target;
    if bound > policy.identify_fpir {
        tracing::warn!(
            bound,
            "among so many people a stranger is taken for somebody in about {bound} of all identifications, not {}: the encoder's data support nothing stricter",
            policy.identify_fpir
        );
    } else {
        tracing::info!(
            bound,
            "a stranger is taken for somebody in at most about {bound} of all identifications"
        );
    }
    Ok((store, recognizer))
}

/// Opens key and database, for a subcommand that needs no models.
async fn open_store(files: &Files) -> anyhow::Result<Store> {
    let masters = MasterKeys::open_or_create(&files.master_key)?;
    Ok(Store::open(&files.location, &masters).await?)
}

/// Keeps every other process that writes out of the data folder, for as long as what it returns lives. Where
/// PostgreSQL holds the data, nothing in the folder is written.
fn lock(files: &Files) -> anyhow::Result<Option<File>> {
    if matches!(files.location, Location::Server { .. }) {
        return Ok(None);
    }
    let path = &files.lock;
    let lock = File::options().create(true).truncate(false).write(true).open(path);
    let lock = lock.with_context(|| format!("opening {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => bail!(
            "another likeness is at work in {}; stop it first",
            path.parent().unwrap_or(path).display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("locking {}", path.display()))
        }
    }
}

/// A bar on standard error, where that is a terminal.
fn bar(length: u64, what: &str) -> ProgressBar {
    let template =
        format!("{{bar:32}} {{human_pos}} of {{human_len}} {what}, {{per_sec:.0}}, {{eta}} left");
    let style = ProgressStyle::with_template(&template);
    ProgressBar::new(length).with_style(style.expect("the template is right"))
}

/// Something that was done by a subcommand.
fn event(action: Action, subject: Option<Subject>) -> Event {
    Event { at: wall_clock(), actor: Actor::Operator, action, outcome: Outcome::Done, subject }
}

/// The time in whole milliseconds, which is what the store keeps.
#[expect(clippy::disallowed_methods, reason = "the one clock; everything else is told the time")]
fn wall_clock() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
