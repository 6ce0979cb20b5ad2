//! `likeness keys`: manages API keys and the master key. A running service follows within a second.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use crate::access::{self, ApiKey, KeyDigest, KeyName, LocalCredential, Role};
use crate::audit::{Action, Actor};
use crate::config::{Config, Files, KeysAddArgs, KeysCommand};
use crate::seal::MasterKeys;
use crate::store::Store;

/// Data keys rewrapped in one transaction.
const REWRAPPED_AT_ONCE: u32 = 500;

/// Time for replicas to read data keys wrapped by the former master key; longer than a replica that
/// answers may lag behind.
const CATCH_UP: Duration = Duration::from_secs(3);

/// Runs the subcommand.
///
/// # Errors
/// If the data cannot be opened, or the subcommand fails.
pub async fn run(config: &Config, command: &KeysCommand) -> anyhow::Result<()> {
    let files = match command {
        KeysCommand::Add(KeysAddArgs { first: true, .. }) => super::create_data_directory(config)?,
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

/// Adds a key and prints it on a line of its own, with an explanation on standard error. The local
/// credential becomes void.
#[expect(clippy::print_stdout, reason = "the answer of the command")]
async fn add(store: &Store, args: &KeysAddArgs, data_directory: &Path) -> anyhow::Result<()> {
    if args.first && !store.api_keys().await?.is_empty() {
        bail!("there is an API key already; --first creates the first one only");
    }
    let role = args.role.unwrap_or(Role::Admin);
    let (key, name) = match &args.name {
        Some(name) => {
            let key = add_named(store, name, role).await?;
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
    if let Err(error) = LocalCredential::withdraw(data_directory) {
        eprintln!("the local credential is void, but its file could not be deleted: {error}");
    }
    Ok(())
}

/// Adds a key with this name; `None` if the name is or was in use.
async fn add_named(
    store: &Store,
    name: &KeyName,
    role: Role,
) -> anyhow::Result<Option<Zeroizing<String>>> {
    let key = access::generate();
    let (digest, created_at) = (KeyDigest::of(&key), super::wall_clock());
    let api_key = ApiKey { name: name.clone(), role, digest, created_at };
    Ok(store.add_api_key(&api_key, Actor::Operator).await?.then_some(key))
}

/// Adds an admin key with the first name that was never used: admin, admin-2, and so on.
async fn first_admin(store: &Store) -> anyhow::Result<(Zeroizing<String>, KeyName)> {
    let mut name = KeyName::parse("admin")?;
    let mut number = 1;
    loop {
        if let Some(key) = add_named(store, &name, Role::Admin).await? {
            return Ok((key, name));
        }
        number += 1;
        name = KeyName::parse(&format!("admin-{number}"))?;
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
async fn list(store: &Store) -> anyhow::Result<()> {
    for api_key in store.api_keys().await? {
        let (name, role) = (api_key.name.as_str(), api_key.role.as_str());
        println!("{name:<24}  {role:<8}  created {}", api_key.created_at);
    }
    Ok(())
}

/// Rewraps the data keys with a new master key, in batches. Until the last batch is committed, both
/// master keys are in place and can open templates.
async fn rotate_master(store: &Store, files: &Files) -> anyhow::Result<()> {
    let _lock = super::lock(files)?;
    let masters = MasterKeys::replacing(&files.master_key)?;
    let next = masters.next().context("the rotation has no next master key")?.id();
    let all = store.count_data_keys().await?;
    let bar = super::bar(all, "data keys");
    // The audit trail's key comes first: from its commit on, no enrollment uses the former master key.
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
