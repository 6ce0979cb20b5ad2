//! `likeness export`: prints all data stored about a person, to answer a data subject's request.

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::audit;
use crate::audit::{Action, Subject};
use crate::config::{Config, ExportArgs};

/// Prints all data stored about an employee as JSON.
///
/// # Errors
/// If the data cannot be opened, or the employee is not enrolled.
#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub async fn run(config: &Config, args: &ExportArgs) -> anyhow::Result<()> {
    let store = super::open_store(&super::existing_data(config).await?).await?;
    let Some(export) = store.export(&args.employee).await? else {
        bail!("no employee is enrolled with the ID {}", args.employee.as_str());
    };
    let subject = Subject::Reference(export.reference.audit_id);
    store.record(&[super::event(Action::Export, Some(subject))]).await?;
    store.close().await;
    let document = json!({
        "employee_id": export.reference.employee.as_str(),
        "enrolled_at": export.reference.enrolled_at,
        "expires_at": export.reference.expires_at,
        "model": {
            "name": &*export.reference.model.name,
            "digest": export.reference.model.id.to_string(),
        },
        "template": {
            "about": "face embedding computed from one photo, encrypted; the photo itself was never stored",
            "sealed": BASE64.encode(export.template.sealed.as_bytes()),
            "data_key": export.key.map(|key| BASE64.encode(key.wrapped.as_bytes())),
        },
        "audit_id": export.reference.audit_id.to_string(),
        "events": export.events.iter().map(audit::line).collect::<Vec<_>>(),
    });
    println!("{}", serde_json::to_string_pretty(&document).context("writing JSON")?);
    Ok(())
}
