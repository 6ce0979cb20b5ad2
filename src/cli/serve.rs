//! `likeness serve`: runs the service until a signal, then drains in-flight requests.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::SignedDuration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::announcement::Announcement;
use super::health;
use crate::access::LocalCredential;
use crate::config::Config;
use crate::http::{self, AppState, Certificate};
use crate::recognizer::Recognizer;
use crate::store::Store;
#[cfg(feature = "otlp")]
use crate::telemetry::traces::Traces;

/// Interval between erasures of expired enrollments.
const RETENTION_ROUND: Duration = Duration::from_secs(5);

/// Runs the service until SIGINT or SIGTERM.
///
/// # Errors
/// If the service cannot start, with advice.
pub async fn run(config: Config) -> anyhow::Result<()> {
    // Registered first, so that no signal is missed.
    let told_to_stop = until_told_to_stop()?;
    // Dropped last, after the last span.
    #[cfg(feature = "otlp")]
    let _traces = config.otlp_endpoint.as_deref().map(Traces::start).transpose()?;
    let lock = super::lock(&super::create_data_directory(&config)?)?;
    let (http, events_kept) = (config.http_options(), config.events_kept());
    let certificate = match config.tls() {
        Some([chain, key]) => {
            let read = Certificate::read(chain, key).await;
            Some(read.context("the TLS certificate or its key is invalid")?)
        }
        None => None,
    };
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.local_addr()?;
    // Dropped before the lock.
    let _announced = match &lock {
        Some(_) => Some(announce(&config.data_dir, scheme, address)?),
        None => None,
    };
    let state = AppState::starting(super::wall_clock);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // A dropped sender stops the service too.
    let stopped = async { drop(stopped.await) };
    let serving = tokio::spawn(http::serve(listener, state.clone(), http, certificate, stopped));
    let data_directory = config.data_dir.clone();
    let pad = config.pad_options()?;
    let (store, recognizer) = super::open(config, pad).await?;
    let local = local_credential(&store, &data_directory, address).await?;
    // Remains of erasures that a kill or a foreign reader interrupted.
    if !store.wipe_leftovers().await {
        tracing::warn!(
            "pages of erased templates remain in a database file; the next start retries"
        );
    }
    let retention = tokio::spawn(erase_on_time(recognizer.clone(), events_kept));
    let (local, key) = local.unzip();
    state.set_ready(recognizer.clone(), local);
    tracing::info!(%address, "listening on {scheme}://{address}");
    greet(&format!("{scheme}://{address}"), key.as_deref().map(String::as_str), &data_directory);
    told_to_stop.await;
    tracing::info!("shutting down, draining in-flight requests");
    drop(stop);
    let served = serving.await;
    retention.abort();
    recognizer.end().await;
    // Dropping the last recognizer ends the task that follows the change feed.
    drop((state, recognizer));
    store.close().await;
    Ok(served??)
}

/// Writes the URL of the service for `import` and `sync`.
fn announce(folder: &Path, scheme: &str, listen: SocketAddr) -> anyhow::Result<Announcement> {
    let url = format!("{scheme}://{}", health::reachable(listen));
    Announcement::write(folder, &url)
        .with_context(|| format!("writing the address of the service to {}", folder.display()))
}

/// Issues the local credential as long as no API key was ever added, and withdraws it otherwise.
///
/// # Errors
/// If there is no valid API key and the service is reachable from other machines.
async fn local_credential(
    store: &Store,
    folder: &Path,
    address: SocketAddr,
) -> anyhow::Result<Option<(LocalCredential, Zeroizing<String>)>> {
    let none = store.api_keys().await?.is_empty();
    if none && !address.ip().is_loopback() {
        bail!(
            "{address} is reachable from other machines, but there is no API key: create one with `likeness keys add --first`, or listen on 127.0.0.1"
        );
    }
    let file = LocalCredential::file(folder);
    if store.ever_had_api_key().await? {
        if none {
            tracing::warn!(
                "all API keys are revoked, so every request is refused: create a key with `likeness keys add`"
            );
        }
        withdraw(folder);
        return Ok(None);
    }
    let issued = LocalCredential::issue(folder);
    let issued = issued.with_context(|| format!("writing {}", file.display()))?;
    // A key may have been added meanwhile.
    if store.ever_had_api_key().await? {
        withdraw(folder);
        return Ok(None);
    }
    Ok(Some(issued))
}

/// Deletes the file of a local credential that is void.
fn withdraw(folder: &Path) {
    if let Err(error) = LocalCredential::withdraw(folder) {
        let file = LocalCredential::file(folder);
        tracing::warn!(%error, "the local credential is void, but {} could not be deleted", file.display());
    }
}

#[expect(clippy::print_stdout, reason = "what a person at a terminal waits for")]
fn greet(url: &str, local_key: Option<&str>, folder: &Path) {
    println!("likeness is ready at {url}.");
    let Some(key) = local_key else { return };
    let file = LocalCredential::file(folder);
    let curl = format!("curl -H @{} -F employee_id=e-17 -F", file.display());
    println!();
    println!(
        "There are no API keys yet. Until you add the first one, this address opens the console:"
    );
    println!();
    println!("  {url}/#key={key}");
    println!();
    println!("and a file holds the same key for curl. The people in these photos do not exist:");
    println!();
    println!("  {curl} photo=@tests/data/people/p01-a.jpg {url}/enroll");
    println!("  {curl} photo=@tests/data/people/p01-b.jpg {url}/verify");
}

fn until_told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Erases expired enrollments and drops expired events, at the start and periodically. An expired
/// enrollment is not compared, even before it is erased.
async fn erase_on_time(recognizer: Recognizer, events_kept: SignedDuration) {
    let mut rounds = tokio::time::interval(RETENTION_ROUND);
    loop {
        rounds.tick().await;
        let now = super::wall_clock();
        match recognizer.erase_expired(now).await {
            Ok(0) => {}
            Ok(erased) => tracing::info!(erased, "{erased} expired enrollments erased"),
            Err(error) => tracing::error!(%error, "expired enrollments could not be erased"),
        }
        if let Err(error) = recognizer.drop_changes().await {
            tracing::error!(%error, "old rows of the change feed could not be deleted");
        }
        if let Err(error) = recognizer.drop_presentation_sessions(now).await {
            tracing::error!(%error, "expired presentation sessions could not be deleted");
        }
        let Ok(oldest) = now.checked_sub(events_kept) else { continue };
        match recognizer.drop_events(oldest).await {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(
                dropped,
                "{dropped} audit events deleted after their retention period"
            ),
            Err(error) => tracing::error!(%error, "old audit events could not be deleted"),
        }
    }
}
