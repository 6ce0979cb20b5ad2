//! `likeness doctor`: checks everything that the service needs, and suggests a fix for each fault.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use self::Mark::{Fail, Pass, Warn};
use crate::access::Role;
use crate::comparison::ErrorRate;
use crate::config::{Config, Files};
use crate::employee::EmployeeId;
use crate::engine::{Engine, EngineOptions};
use crate::http::Certificate;
use crate::recognizer::{Policy, PresentationMode, Recognizer};
use crate::seal::{MasterKeys, Sealer};
use crate::store::{Location, Store};

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Pass,
    /// Works, but could be safer.
    Warn,
    Fail,
}

/// The checks so far; each is printed at once.
#[derive(Default)]
struct Checks {
    faults: usize,
}

impl Checks {
    #[expect(clippy::print_stdout, reason = "the answer of the command")]
    fn say(&mut self, mark: Mark, what: &str) {
        let word = match mark {
            Pass => "ok",
            Warn => "warn",
            Fail => "FAIL",
        };
        println!("{word:<4}  {what}");
        self.faults += usize::from(mark == Fail);
    }

    /// Reports a check, and returns its value if it passed.
    fn of<T>(&mut self, tried: anyhow::Result<T>, good: impl FnOnce(&T) -> String) -> Option<T> {
        match tried {
            Ok(found) => {
                self.say(Pass, &good(&found));
                Some(found)
            }
            Err(error) => {
                self.say(Fail, &format!("{error:#}"));
                None
            }
        }
    }
}

/// Checks configuration, models, keys, data and audit trail. The service may run meanwhile. Nothing is
/// changed, except that the database of an older version is migrated.
///
/// # Errors
/// If a check fails.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    let mut checks = Checks::default();
    let models = checks.of(models(config), |(engine, _)| {
        let model = engine.encoder().model();
        format!("models load and pass their self-test: {} ({})", model.name, model.id)
    });
    let engine = models.map(|(engine, row)| {
        checks.say(Pass, &reach(&row));
        presentations(config, &engine, &mut checks);
        engine
    });
    certificate(config, &mut checks).await;
    let files = super::existing_data(config).await?;
    data(config, &files, engine, &mut checks).await;
    match checks.faults {
        0 => Ok(()),
        1 => bail!("1 check failed"),
        faults => bail!("{faults} checks failed"),
    }
}

/// Formats a count with its noun.
fn counted(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Loads the models; returns them with the row of the encoder's error rates that verification uses.
fn models(config: &Config) -> anyhow::Result<(Engine, ErrorRate)> {
    let pad = config.pad_options()?;
    let engine = Engine::load(&EngineOptions { pad, ..config.engine_options()? })?;
    let rates = engine.encoder().error_rates();
    let rates = rates.context(
        "the encoder's manifest has no error rates: measure them with `likeness model check --calibrate`",
    )?;
    let row = rates.row(config.policy().verify_fmr)?.clone();
    Ok((engine, row))
}

/// Says what the service does about presentation attacks.
fn presentations(config: &Config, engine: &Engine, checks: &mut Checks) {
    let Some((detector, row)) = engine.attack_detector().and_then(|d| Some((d, d.threshold()?)))
    else {
        let off = "presentation attacks are not detected: a printed photo or a screen passes (--pad-mode)";
        checks.say(Warn, off);
        return;
    };
    let names: Vec<_> = detector.models().map(|model| &*model.name).collect();
    let consequence = match config.pad.pad_mode {
        PresentationMode::Require => "only live faces match",
        PresentationMode::Off | PresentationMode::Report => {
            "presentation attacks are reported and not refused"
        }
    };
    let judged = format!(
        "{consequence}: {}, at a BPCER of {:.1} % by its table",
        names.join(", "),
        100.0 * row.bpcer
    );
    checks.say(Pass, &judged);
}

/// Describes what the encoder reaches, as far as its manifest tells.
fn reach(row: &ErrorRate) -> String {
    let missed = row.fnmr.map_or_else(
        || "its FNMR is unknown".to_owned(),
        |fnmr| format!("it misses {:.1} % of genuine pairs", 100.0 * fnmr),
    );
    let population = row.population.as_ref().map(|name| format!(" (measured on {name})"));
    format!("at an FMR of {:e}{}, {missed}", row.fmr, population.unwrap_or_default())
}

async fn certificate(config: &Config, checks: &mut Checks) {
    let local = config.listen.ip().is_loopback();
    match config.tls() {
        Some([chain, key]) => {
            let read = Certificate::read(chain, key)
                .await
                .context("the TLS certificate or its key is invalid");
            checks.of(read, |_| "the TLS certificate matches its private key".to_owned());
        }
        None if local => checks.say(Pass, "the service listens on loopback only, without TLS"),
        None => checks.say(
            Warn,
            "the service listens on the network without TLS: photos and keys are sent unencrypted \
             unless a proxy terminates TLS (--tls-cert, --tls-key)",
        ),
    }
}

async fn data(config: &Config, files: &Files, engine: Option<Engine>, checks: &mut Checks) {
    let masters =
        MasterKeys::open(&files.master_key).map_err(anyhow::Error::from).and_then(|key| {
            let path = files.master_key.display();
            key.with_context(|| {
            format!(
                "the master key {path} is missing: restore its copy; without it, stored data cannot \
                 be decrypted"
            )
        })
        });
    let Some(masters) =
        checks.of(masters, |_| "the master key is readable by its owner only".to_owned())
    else {
        return;
    };
    private(&config.data_dir, checks);
    if files.key_beside_data {
        checks.say(
            Warn,
            "the master key is stored with the data that it encrypts: move it elsewhere \
             (--master-key-file), and keep a copy separate from the backups",
        );
    }
    if masters.next().is_some() {
        checks.say(
            Fail,
            "a rotation of the master key is incomplete: run `likeness keys rotate-master`",
        );
    }
    let store = Store::open(&files.location, &masters).await.map_err(anyhow::Error::from);
    let Some(store) = checks.of(store, |_| "the master key opens the database".to_owned()) else {
        return;
    };
    let whole = store
        .check()
        .await
        .context("the database is corrupt: restore the last backup (`likeness restore`)");
    checks.of(whole, |()| match files.location {
        Location::File(_) => "the database files pass their integrity check".to_owned(),
        Location::Server { .. } => "PostgreSQL is reachable".to_owned(),
    });
    let trail = store.verify_events(None).await.map_err(anyhow::Error::from);
    let trail = trail.and_then(|trail| trail.context("the audit trail failed verification"));
    checks.of(trail, |(head, _)| format!("the audit trail is intact up to event {}", head.count));
    keys(config, &store, checks).await;
    if let Some(engine) = engine {
        templates(config, engine, &store, Sealer::new(masters), checks).await;
    }
    store.close().await;
}

/// Checks that only the owner can access the data directory and its files.
fn private(folder: &Path, checks: &mut Checks) {
    let files =
        fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let open = |path: &PathBuf| {
        path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    };
    let open: Vec<_> = files.chain([folder.to_owned()]).filter(open).collect();
    for path in &open {
        let (mode, path) = (if path.is_dir() { "700" } else { "600" }, path.display());
        checks.say(Warn, &format!("{path} is accessible to other users: chmod {mode} {path}"));
    }
    if open.is_empty() {
        checks.say(Pass, "the data directory and its files are private");
    }
}

async fn keys(config: &Config, store: &Store, checks: &mut Checks) {
    let api_keys = store.api_keys().await.map_err(anyhow::Error::from);
    let Some(api_keys) = checks.of(api_keys, |api_keys| counted(api_keys.len() as u64, "API key"))
    else {
        return;
    };
    let ever = store.ever_had_api_key().await.unwrap_or(false);
    let admins = api_keys.iter().filter(|api_key| api_key.role == Role::Admin).count();
    if api_keys.is_empty() && !config.listen.ip().is_loopback() {
        checks.say(
            Fail,
            "the service listens on the network but has no API key: create one with `likeness keys \
             add --first`",
        );
    } else if api_keys.is_empty() && ever {
        let none = "every access key is revoked, so no call is admitted: `likeness keys add --first` makes one";
        checks.say(Fail, none);
    } else if !api_keys.is_empty() && admins == 0 {
        checks.say(Warn, "no API key has the role admin: `likeness keys add NAME --role admin`");
    }
}

async fn templates(
    config: &Config,
    engine: Engine,
    store: &Store,
    sealer: Sealer,
    checks: &mut Checks,
) {
    let running =
        [Some(engine.encoder().model().id), engine.former_encoder().map(|e| e.model().id)];
    let policy = Policy { longest_enrollment: None, ..config.policy() };
    let started =
        Recognizer::start(engine, store.clone(), sealer, policy, super::wall_clock()).await;
    let started = checks.of(started.map_err(anyhow::Error::from), |recognizer| {
        format!(
            "{} can be recognized, and every template opens",
            counted(recognizer.gallery_size() as u64, "employee")
        )
    });
    let doubtful = started.map_or_else(Vec::new, |recognizer| recognizer.unrecognizable());
    if !doubtful.is_empty() {
        let some: Vec<_> = doubtful.iter().take(20).map(EmployeeId::as_str).collect();
        let more = if doubtful.len() > some.len() { ", …" } else { "" };
        let reenroll = format!(
            "{} must be re-enrolled: the reference shows no recognizable face and matches nobody: {}{more}",
            counted(doubtful.len() as u64, "employee"),
            some.join(", ")
        );
        checks.say(Warn, &reenroll);
    }
    for (model, people) in store.models().await.unwrap_or_default() {
        if !running.contains(&Some(model.id)) {
            let unseen = format!(
                "{} cannot be recognized: enrolled with the encoder {}, which is not loaded; re-enroll \
                 them (`likeness model switch`)",
                counted(people, "employee"),
                model.name
            );
            checks.say(Warn, &unseen);
        }
    }
}
