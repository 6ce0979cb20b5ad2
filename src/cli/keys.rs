//! `likeness keys`: who may call. A running service follows at once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use crate::access::{self, Grant, KeyDigest, KeyName, LocalCredential, Role};
use crate::audit::{Action, Actor};
use crate::config::{Config, Files, KeysAddArgs, KeysCommand};
use crate::seal::MasterKeys;
use crate::store::Store;

/// Data keys of one transaction while the master key is replaced.
const REWRAPPED_AT_ONCE: u32 = 500;

/// How long replicas get to read what was enrolled with the former master key, which soon opens it no more: longer
/// than any of them may be behind and answer.
const CATCH_UP: Duration = Duration::from_secs(3);

/// Runs the subcommand.
///
/// # Errors
/// Where the data cannot be opened, or what is asked for cannot be.
pub async fn run(config: &Config, command: &KeysCommand) -> anyhow::Result<()> {
    let files = match command {
        KeysCommand::Add(KeysAddArgs { first: true, .. }) => super::create_data_folder(config)?,
        _ => super::existing_data(config).await?,
    };
    let store = super::open_store(&files).await?;
    let done = match command {
        KeysCommand::Add(args) => add(&store, args, &config.data_dir).await,
        KeysCommand::List => list(&store).await,
        KeysCommand::RotateMaster => rotate_master(&store, &files).await,
        KeysCommand::Revoke { name } => {
            match store.revoke(name, Actor::Operator, super::wall_clock()).await {
                Ok(true) => Ok(()),
                Ok(false) => bail!("there is no API key named {}", name.as_str()),
                Err(error) => Err(error.into()),
            }
        }
    };
    store.close().await;
    done
}

/// Prints the key, alone on its line, and says on standard error what it is. From then on the local credential is
/// void.
#[expect(clippy::print_stdout, reason = "the answer of the command")]
async fn add(store: &Store, args: &KeysAddArgs, data_folder: &Path) -> anyhow::Result<()> {
    if args.first && !store.grants().await?.is_empty() {
        bail!("there is an API key already; --first creates the first one only");
    }
    let role = args.role.unwrap_or(Role::Admin);
    let (key, name) = match &args.name {
        Some(name) => {
            let key = granted(store, name, role).await?;
            let key = key.with_context(|| {
                format!(
                    "the name {} is or was used by another API key; names are never reused",
                    name.as_str()
                )
            })?;
            (key, name.clone())
        }
        None => first_admin(store).await?,
    };
    println!("{}", key.as_str());
    eprintln!(
        "API key of {} ({}). It cannot be shown again. Send it as: Authorization: Bearer KEY",
        name.as_str(),
        role.as_str()
    );
    if let Err(error) = LocalCredential::withdraw(data_folder) {
        eprintln!("the local credential is void, but its file could not be deleted: {error}");
    }
    Ok(())
}

/// A new key by this name; `None` where the name was used before.
async fn granted(
    store: &Store,
    name: &KeyName,
    role: Role,
) -> anyhow::Result<Option<Zeroizing<String>>> {
    let key = access::generate();
    let (digest, created_at) = (KeyDigest::of(&key), super::wall_clock());
    let grant = Grant { name: name.clone(), role, digest, created_at };
    Ok(store.grant(&grant, Actor::Operator).await?.then_some(key))
}

/// Adds an admin key with the first name that was never used: admin, admin-2, and so on.
async fn first_admin(store: &Store) -> anyhow::Result<(Zeroizing<String>, KeyName)> {
    let mut name = KeyName::parse("admin")?;
    let mut number = 1;
    loop {
        if let Some(key) = granted(store, &name, Role::Admin).await? {
            return Ok((key, name));
        }
        number += 1;
        name = KeyName::parse(&format!("admin-{number}"))?;
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
async fn list(store: &Store) -> anyhow::Result<()> {
    for grant in store.grants().await? {
        let (name, role) = (grant.name.as_str(), grant.role.as_str());
        println!("{name:<24}  {role:<8}  created {}", grant.created_at);
    }
    Ok(())
}

/// Wraps every data key by a new master key, batch by batch. Until the last one is done both master keys
/// lie there, and whoever opens templates knows both.
async fn rotate_master(store: &Store, files: &Files) -> anyhow::Result<()> {
    let _lock = super::lock(files)?;
    let masters = MasterKeys::replacing(&files.master_key)?;
    let next = masters.next().context("the rotation has no next master key")?.id();
    let all = store.count_data_keys().await?;
    let bar = super::bar(all, "data keys");
    // The first is the audit trail's: from its commit on nobody enrols with the former master key.
    let mut at_once = if store.has_feed() { 1 } else { REWRAPPED_AT_ONCE };
    loop {
        let batch = store.data_keys_not_of(next, at_once).await?;
        if batch.is_empty() {
            break;
        }
        let anew = batch.iter().map(|key| masters.rewrap(key)).collect::<Result<Vec<_>, _>>();
        let anew = anew.context("a data key was wrapped by a different master key")?;
        store.rewrap(&anew).await?;
        bar.inc(anew.len() as u64);
        if at_once == 1 {
            tokio::time::sleep(CATCH_UP).await;
            at_once = REWRAPPED_AT_ONCE;
        }
    }
    bar.finish_and_clear();
    store.wipe_leftovers().await;
    store.record(&[super::event(Action::RotateMaster, None)]).await?;
    MasterKeys::replaced(&files.master_key)?;
    eprintln!(
        "{all} data keys rewrapped by the new master key in {}; keep a separate copy of it",
        files.master_key.display()
    );
    Ok(())
}
