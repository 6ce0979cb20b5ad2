//! `likeness audit`: verifies the audit trail, and exports it.

use std::io::Write;

use anyhow::bail;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::audit::Entry;
use crate::config::{AuditCommand, AuditVerifyArgs, Config};
use crate::store::Store;

/// Runs the subcommand.
///
/// # Errors
/// If the data cannot be opened, or the trail was altered.
pub async fn run(config: &Config, command: &AuditCommand) -> anyhow::Result<()> {
    let store = super::open_store(&super::existing_data(config).await?).await?;
    let done = match command {
        AuditCommand::Verify(args) => verify(&store, args).await,
        AuditCommand::Export => export(&store).await,
    };
    store.close().await;
    done
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
async fn verify(store: &Store, args: &AuditVerifyArgs) -> anyhow::Result<()> {
    let (head, met) = store.verify_events(args.head).await??;
    if !met {
        bail!("the given head is older than the oldest stored event and cannot be compared");
    }
    println!("intact up to event {}: {head}", head.count);
    if args.head.is_none() {
        eprintln!(
            "Truncation is detected only against a head kept elsewhere: pass one from a receipt with --head."
        );
    }
    Ok(())
}

async fn export(store: &Store) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut next = 0;
    loop {
        let page = store.events(next).await?;
        let Some(last) = page.last() else { break };
        next = last.head.count + 1;
        for entry in &page {
            writeln!(out, "{}", line(entry))?;
        }
    }
    Ok(out.flush()?)
}

/// Returns an event as JSON.
pub(super) fn line(entry: &Entry) -> Value {
    let words = &entry.event;
    json!({
        "number": entry.head.count,
        "at": Timestamp::from_millisecond(words.at).ok(),
        "actor": words.actor,
        "action": words.action,
        "outcome": words.outcome,
        "subject": words.subject,
        "code": entry.head.mac.to_string(),
    })
}
