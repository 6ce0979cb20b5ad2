//! `likeness doctor`: looks at everything that the service needs, and says what to do about each fault.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use self::Mark::{Good, Mind, Wrong};
use crate::access::Role;
use crate::config::{Config, Files};
use crate::engine::Engine;
use crate::http::Certificate;
use crate::recognizer::{Policy, Recognizer};
use crate::seal::{MasterKeys, Sealer};
use crate::store::{Location, Store};

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Good,
    /// Works, and could be safer.
    Mind,
    Wrong,
}

/// What has been found so far, printed as it is found.
#[derive(Default)]
struct Findings {
    faults: usize,
}

impl Findings {
    #[expect(clippy::print_stdout, reason = "the answer of the command")]
    fn say(&mut self, mark: Mark, what: &str) {
        let word = match mark {
            Good => "good",
            Mind => "mind",
            Wrong => "WRONG",
        };
        println!("{word:<5}  {what}");
        self.faults += usize::from(mark == Wrong);
    }

    /// What was tried, or why it failed.
    fn of<T>(&mut self, tried: anyhow::Result<T>, good: impl FnOnce(&T) -> String) -> Option<T> {
        match tried {
            Ok(found) => {
                self.say(Good, &good(&found));
                Some(found)
            }
            Err(error) => {
                self.say(Wrong, &format!("{error:#}"));
                None
            }
        }
    }
}

/// Looks at configuration, models, keys, data and trail. The service may run meanwhile; nothing is changed, but
/// that a database of an older version is brought up to date.
///
/// # Errors
/// Where anything is wrong.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    let mut findings = Findings::default();
    let engine = findings.of(models(config), |engine| {
        let model = engine.encoder().model();
        format!("the models load and answer as they should: {} ({})", model.name, model.id)
    });
    certificate(config, &mut findings).await;
    let files = super::existing_data(config).await?;
    data(config, &files, engine, &mut findings).await;
    match findings.faults {
        0 => Ok(()),
        1 => bail!("one thing is wrong"),
        faults => bail!("{faults} things are wrong"),
    }
}

fn models(config: &Config) -> anyhow::Result<Engine> {
    let engine = Engine::load(&config.engine_options()?)?;
    let rates = engine.encoder().error_rates();
    let rates = rates.context(
        "the encoder has no error rates: measure them with `likeness model check --calibrate`",
    )?;
    rates.for_verification(config.policy().verify_fmr)?;
    Ok(engine)
}

async fn certificate(config: &Config, findings: &mut Findings) {
    let local = config.listen.ip().is_loopback();
    match config.tls() {
        Some([chain, key]) => {
            let read = Certificate::read(chain, key).await.context("the certificate and its key");
            findings.of(read, |_| "the certificate and its key belong together".to_owned());
        }
        None if local => findings.say(Good, "only this machine is listened to, without TLS"),
        None => findings.say(
            Mind,
            "other machines are listened to without TLS: photos and keys travel in the clear unless \
             a proxy encrypts them (--tls-cert, --tls-key)",
        ),
    }
}

async fn data(config: &Config, files: &Files, engine: Option<Engine>, findings: &mut Findings) {
    let masters =
        MasterKeys::open(&files.master_key).map_err(anyhow::Error::from).and_then(|key| {
            let path = files.master_key.display();
            key.with_context(|| {
            format!(
                "the master key {path} is missing: put its copy back, for without it nothing can \
                 be read"
            )
        })
        });
    let Some(masters) = findings.of(masters, |_| "the master key is its owner's alone".to_owned())
    else {
        return;
    };
    private(&config.data_dir, findings);
    if files.key_beside_data {
        findings.say(
            Mind,
            "the master key lies beside the data it seals: keep it elsewhere (--master-key-file), \
             and a copy apart from the backups",
        );
    }
    if masters.next().is_some() {
        findings.say(
            Wrong,
            "a replacement of the master key was begun and not ended: run `likeness keys \
             rotate-master`",
        );
    }
    let store = Store::open(&files.location, &masters).await.map_err(anyhow::Error::from);
    let Some(store) =
        findings.of(store, |_| "the databases and the keys belong together".to_owned())
    else {
        return;
    };
    let whole = store.check().await.context("restore the last backup (`likeness restore`)");
    findings.of(whole, |()| match files.location {
        Location::File(_) => "the databases are whole".to_owned(),
        Location::Server { .. } => "PostgreSQL answers; of its pages it takes care".to_owned(),
    });
    let trail = store.verify_events(None).await.map_err(anyhow::Error::from);
    let trail = trail.and_then(|trail| trail.context("the audit trail"));
    findings.of(trail, |(head, _)| format!("the audit trail is whole up to event {}", head.count));
    keys(config, &store, findings).await;
    if let Some(engine) = engine {
        templates(config, engine, &store, Sealer::new(masters), findings).await;
    }
    store.close().await;
}

/// Whether only the owner reads the data folder and the files in it.
fn private(folder: &Path, findings: &mut Findings) {
    let files =
        fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let open = |path: &PathBuf| {
        path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    };
    let open: Vec<_> = files.chain([folder.to_owned()]).filter(open).collect();
    for path in &open {
        let (mode, path) = (if path.is_dir() { "700" } else { "600" }, path.display());
        findings.say(Mind, &format!("{path} can be read by others: chmod {mode} {path}"));
    }
    if open.is_empty() {
        findings.say(Good, "the data folder and its files are private");
    }
}

async fn keys(config: &Config, store: &Store, findings: &mut Findings) {
    let grants = store.grants().await.map_err(anyhow::Error::from);
    let Some(grants) = findings.of(grants, |grants| format!("{} access keys", grants.len())) else {
        return;
    };
    let ever = store.ever_granted().await.unwrap_or(false);
    let admins = grants.iter().filter(|grant| grant.role == Role::Admin).count();
    if grants.is_empty() && !config.listen.ip().is_loopback() {
        findings.say(
            Wrong,
            "other machines are listened to and there are no keys: make one with `likeness keys \
             add --first`",
        );
    } else if grants.is_empty() && ever {
        let none = "every access key is revoked, so no call is admitted: `likeness keys add --first` makes one";
        findings.say(Wrong, none);
    } else if !grants.is_empty() && admins == 0 {
        findings.say(Mind, "no key is an admin's: `likeness keys add NAME --role admin`");
    }
}

async fn templates(
    config: &Config,
    engine: Engine,
    store: &Store,
    sealer: Sealer,
    findings: &mut Findings,
) {
    let running =
        [Some(engine.encoder().model().id), engine.former_encoder().map(|e| e.model().id)];
    let policy = Policy { longest_enrolment: None, ..config.policy() };
    let started =
        Recognizer::start(engine, store.clone(), sealer, policy, super::wall_clock()).await;
    findings.of(started.map_err(anyhow::Error::from), |recognizer| {
        format!(
            "{} employees can be recognised, and every template of theirs opens",
            recognizer.gallery_size()
        )
    });
    for (model, people) in store.models().await.unwrap_or_default() {
        if !running.contains(&Some(model.id)) {
            let unseen = format!(
                "{people} employees were enrolled with {}, which does not run: enrol them anew \
                 (`likeness model switch`)",
                model.name
            );
            findings.say(Mind, &unseen);
        }
    }
}
