//! `likeness lookalikes`: lists the pairs of employees with the highest impostor scores.

use crate::comparison::Decision;
use crate::config::{Config, LookalikesArgs};

/// Prints the most similar pairs of the gallery, highest score first.
///
/// # Errors
/// If the data cannot be opened.
#[expect(clippy::print_stdout, reason = "the answer of the command")]
pub async fn run(config: Config, args: &LookalikesArgs) -> anyhow::Result<()> {
    super::existing_data(&config).await?;
    let (store, recognizer) = super::open(config, None).await?;
    let (pairs, threshold) = recognizer.lookalikes(args.top);
    println!("similarity  score   employees");
    for pair in pairs {
        let confused = threshold.decide(pair.score) == Decision::Match;
        println!(
            "{:>10.4}  {:>6.2}  {}  {}{}",
            pair.score.similarity(),
            pair.score.value(),
            pair.employees[0].as_str(),
            pair.employees[1].as_str(),
            if confused { "  (above the identification threshold)" } else { "" }
        );
    }
    store.close().await;
    Ok(())
}
