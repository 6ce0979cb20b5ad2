//! `likeness keys`: who may call. A running service follows at once.

use anyhow::bail;

use crate::access::{self, Grant, KeyDigest, KeyName, Role};
use crate::config::{Config, KeysAddArgs, KeysCommand};
use crate::store::Store;

/// Runs the subcommand.
///
/// # Errors
/// Where the data cannot be opened, or what is asked for cannot be.
pub async fn run(config: &Config, command: &KeysCommand) -> anyhow::Result<()> {
    let store = Store::open(&config.files()?.database).await?;
    let done = match command {
        KeysCommand::Add(args) => add(&store, args).await,
        KeysCommand::List => list(&store).await,
        KeysCommand::Revoke { name } => match store.revoke(name).await {
            Ok(true) => Ok(()),
            Ok(false) => bail!("there is no key named {}", name.as_str()),
            Err(error) => Err(error.into()),
        },
    };
    store.close().await;
    done
}

/// Prints the key, alone on its line, and says on standard error what it is.
#[expect(clippy::print_stdout, reason = "the answer of the command")]
async fn add(store: &Store, args: &KeysAddArgs) -> anyhow::Result<()> {
    if args.first && !store.grants().await?.is_empty() {
        bail!("there are keys already; --first is for the first one");
    }
    let name = args.name.clone().map_or_else(|| KeyName::parse("admin"), Ok)?;
    let role = args.role.unwrap_or(Role::Admin);
    let key = access::generate();
    let created_at = super::wall_clock();
    let grant = Grant { name: name.clone(), role, digest: KeyDigest::of(&key), created_at };
    if !store.grant(&grant).await? {
        bail!("there is a key named {} already; revoke it first", name.as_str());
    }
    println!("{}", key.as_str());
    eprintln!(
        "This is the key of {} ({}). It is shown this once; send it as: Authorization: Bearer KEY",
        name.as_str(),
        role.as_str()
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
async fn list(store: &Store) -> anyhow::Result<()> {
    for grant in store.grants().await? {
        let (name, role) = (grant.name.as_str(), grant.role.as_str());
        println!("{name:<24}  {role:<8}  since {}", grant.created_at);
    }
    Ok(())
}
