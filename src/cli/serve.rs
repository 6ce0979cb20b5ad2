//! `likeness serve`: open everything, answer until told to stop, then let what is under way end.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::SignedDuration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::http::{self, AppState, Certificate};
use crate::recognizer::Recognizer;
#[cfg(feature = "otlp")]
use crate::telemetry::traces::Traces;

/// How often ended enrolments are looked for.
const RETENTION_ROUND: Duration = Duration::from_secs(5);

/// Runs the service until SIGINT or SIGTERM.
///
/// # Errors
/// Whatever keeps it from starting, with what to do about it.
pub async fn run(config: Config) -> anyhow::Result<()> {
    // First of all, so that no signal finds the process unprepared.
    let told_to_stop = until_told_to_stop()?;
    // Dropped last, when everything that is told of has ended.
    #[cfg(feature = "otlp")]
    let _traces = config.otlp_endpoint.as_deref().map(Traces::start).transpose()?;
    let _lock = super::lock(&config.files()?)?;
    let (http, events_kept) = (config.http_options(), config.events_kept());
    let certificate = match config.tls() {
        Some([chain, key]) => {
            let read = Certificate::read(chain, key).await;
            Some(read.context("the certificate and its key")?)
        }
        None => None,
    };
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listening on {}", config.listen))?;
    let address = listener.local_addr()?;
    let state = AppState::starting(super::wall_clock, http);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // A dropped sender stops the service too.
    let stopped = async { drop(stopped.await) };
    let serving = tokio::spawn(http::serve(listener, state.clone(), http, certificate, stopped));
    let (store, recognizer) = super::open(config).await?;
    if !http.local_without_keys && store.grants().await?.is_empty() {
        bail!(
            "{address} can be reached from other machines, and there are no keys: make one with `likeness keys add --first`, or listen on 127.0.0.1"
        );
    }
    // What a kill or a foreign reader has kept from being erased.
    if !store.wipe_leftovers().await {
        tracing::warn!("pages of erased templates are still in a file; the next start tries again");
    }
    let retention = tokio::spawn(erase_on_time(recognizer.clone(), events_kept));
    state.set_ready(recognizer);
    tracing::info!(%address, "likeness answers on {scheme}://{address}");
    greet(&format!("{scheme}://{address}"));
    told_to_stop.await;
    tracing::info!("stopping: what is under way is answered first");
    drop(stop);
    serving.await??;
    retention.abort();
    // With the last of it the change feed is no longer followed.
    drop(state);
    store.close().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what a person at a terminal waits for")]
fn greet(url: &str) {
    println!(
        "likeness is ready at {url}. Open that in a browser, or try two photos of somebody who doesn't exist:"
    );
    println!();
    println!("  curl -F employee_id=e-17 -F photo=@tests/data/people/p01-a.jpg {url}/enroll");
    println!("  curl -F employee_id=e-17 -F photo=@tests/data/people/p01-b.jpg {url}/verify");
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

/// Erases everyone whose enrolment ends and drops events that are old enough, now and from now on. Whose
/// enrolment has ended is compared with nobody from that moment on, whenever this comes by.
async fn erase_on_time(recognizer: Recognizer, events_kept: SignedDuration) {
    let mut rounds = tokio::time::interval(RETENTION_ROUND);
    loop {
        rounds.tick().await;
        let now = super::wall_clock();
        match recognizer.erase_expired(now).await {
            Ok(0) => {}
            Ok(erased) => tracing::info!(erased, "{erased} enrolments have ended and are erased"),
            Err(error) => tracing::error!(%error, "ended enrolments could not be erased"),
        }
        if let Err(error) = recognizer.drop_changes(now).await {
            tracing::error!(%error, "old rows of the change feed could not be dropped");
        }
        let Ok(oldest) = now.checked_sub(events_kept) else { continue };
        match recognizer.drop_events(oldest).await {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(dropped, "{dropped} events of the audit trail were old"),
            Err(error) => tracing::error!(%error, "old events could not be dropped"),
        }
    }
}
