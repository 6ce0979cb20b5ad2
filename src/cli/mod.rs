//! The subcommands, one file each, and the one way in which they open the service's data.

pub mod keys;
pub mod lookalikes;
pub mod model;
pub mod score;
pub mod serve;

use jiff::Timestamp;

use crate::config::Config;
use crate::engine::Engine;
use crate::recognizer::Recognizer;
use crate::seal::Sealer;
use crate::store::Store;

/// Opens key, database and models, and loads the gallery.
async fn open(config: Config) -> anyhow::Result<(Store, Recognizer)> {
    let files = config.files()?;
    let sealer = Sealer::open_or_create(&files.master_key)?;
    if files.key_beside_data {
        tracing::warn!(
            "the master key lies beside the data it seals ({}); in earnest use keep it elsewhere (--master-key-file)",
            files.master_key.display()
        );
    }
    let store = Store::open(&files.database).await?;
    let policy = config.policy();
    #[expect(clippy::disallowed_methods, reason = "loading, before any photo comes")]
    let engine =
        tokio::task::spawn_blocking(move || anyhow::Ok(Engine::load(&config.engine_options()?)?));
    let recognizer = Recognizer::start(engine.await??, store.clone(), sealer, policy).await?;
    let model = recognizer.model();
    tracing::info!(
        enrolled = recognizer.gallery_size(),
        "{} enrolled, encoder {} ({})",
        recognizer.gallery_size(),
        model.name,
        model.id
    );
    Ok((store, recognizer))
}

/// The time in whole milliseconds, which is what the store keeps.
#[expect(clippy::disallowed_methods, reason = "the one clock; everything else is told the time")]
fn wall_clock() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
