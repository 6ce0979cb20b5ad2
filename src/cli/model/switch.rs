//! `likeness model switch`: lists the employees to re-enroll before the former encoder can be removed.

use crate::config::Config;
use crate::employee::{ModelName, Reference};
use crate::store::Store;

/// Employees in one page.
const PAGE: u32 = 1000;

/// Prints the number of employees enrolled with each encoder, and those not enrolled with the current
/// one.
///
/// # Errors
/// If the data or the models cannot be opened.
pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    super::super::existing_data(&config).await?;
    let (store, recognizer) = super::super::open(config, None).await?;
    let present = recognizer.model().clone();
    let former = recognizer.former().map(|(model, _)| model.clone());
    let models = store.models().await?;
    let waiting = enrolled_with_others(&store, &present).await?;
    print(&present, former.as_ref(), &models, &waiting);
    store.close().await;
    Ok(())
}

async fn enrolled_with_others(
    store: &Store,
    present: &ModelName,
) -> anyhow::Result<Vec<Reference>> {
    let mut waiting = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(waiting) };
        after = Some(last.employee.clone());
        waiting.extend(page.into_iter().filter(|reference| reference.model.id != present.id));
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn print(
    present: &ModelName,
    former: Option<&ModelName>,
    models: &[(ModelName, u64)],
    waiting: &[Reference],
) {
    println!("current encoder   {} ({})", present.name, present.id);
    match former {
        Some(former) => println!("former encoder    {} ({})", former.name, former.id),
        None => println!("former encoder    none (set one with --former-encoder)"),
    }
    println!();
    println!("enrolled  with");
    for (model, enrolled) in models {
        let role = if model.id == present.id {
            "current"
        } else if former.is_some_and(|former| former.id == model.id) {
            "former, used until these employees are re-enrolled"
        } else {
            "not loaded: these employees cannot be recognized"
        };
        println!("{enrolled:>8}  {}, {role}", model.name);
    }
    println!();
    if waiting.is_empty() {
        println!(
            "All employees are enrolled with the current encoder; --former-encoder is no longer needed."
        );
        return;
    }
    println!("To re-enroll with the current encoder (POST /enroll with replace=true):");
    for reference in waiting {
        println!(
            "  {}  enrolled {} with {}",
            reference.employee.as_str(),
            reference.enrolled_at,
            reference.model.name
        );
    }
}
