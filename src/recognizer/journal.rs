//! Group-commits audit events: simultaneous decisions share a commit.
//!
//! An event is written before its decision is answered, unless the database is unavailable: then it waits in memory and
//! is retried every second, and when the service stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::audit::Event;
use crate::store::{Attempt, Store, StoreError};

/// Maximum number of waiting events; further decisions are refused.
const MOST_WAITING: usize = 10_000;

/// Maximum number of events in a transaction.
const MOST_AT_ONCE: usize = 1000;

/// Time that a response waits for its event to be committed.
const PATIENCE: Duration = Duration::from_millis(500);

/// Delay after a failed flush.
const RETRY: Duration = Duration::from_secs(1);

/// Time limit of a flush: longer than SQLite's busy timeout.
const LONGEST_FLUSH: Duration = Duration::from_secs(10);

/// Time limit for the last flush, when the service stops.
const LONGEST_END: Duration = Duration::from_secs(20);

/// Writes events to the audit trail; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    sender: mpsc::Sender<Written>,
    backlog: Arc<Counts>,
    /// Tells the task to end.
    stop: Arc<watch::Sender<bool>>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Events that are not in the audit trail.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Backlog {
    /// Events that wait in memory.
    pub waiting: usize,
    /// Events that the database refused since the start; they are in the log instead.
    pub quarantined: u64,
}

#[derive(Debug, Default)]
struct Counts {
    waiting: AtomicUsize,
    quarantined: AtomicU64,
}

#[derive(Debug)]
struct Written {
    event: Event,
    done: oneshot::Sender<()>,
}

/// The maximum number of events is waiting.
#[derive(Debug)]
pub(super) struct Full;

impl Journal {
    /// Starts the writer task, which runs until [`end`](Self::end) or until the last clone is dropped.
    pub(super) fn start(store: Store) -> Self {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        let (stop, stopped) = watch::channel(false);
        let backlog = Arc::<Counts>::default();
        let writer = Writer {
            store,
            backlog: backlog.clone(),
            waiting: Vec::new(),
            attempt: Attempt::default(),
            failing: false,
        };
        let task = tokio::spawn(writer.run(receiver, stopped));
        Self { sender, backlog, stop: Arc::new(stop), task: Arc::new(Mutex::new(Some(task))) }
    }

    /// Writes events in their order. If the database is unavailable, they wait in memory and the caller proceeds.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) async fn record(&self, events: impl IntoIterator<Item = Event>) -> Result<(), Full> {
        let sent = events.into_iter().map(|event| self.send(event));
        let written = sent.collect::<Result<Vec<_>, _>>()?;
        let all = async {
            for event in written {
                let _ = event.await;
            }
        };
        // Late or not, the events are in the journal's hands.
        let _ = timeout(PATIENCE, all).await;
        Ok(())
    }

    /// Hands an event to the writer task; the receiver is told when it is written.
    fn send(&self, event: Event) -> Result<oneshot::Receiver<()>, Full> {
        if self.backlog.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            self.backlog.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Full);
        }
        let (done, written) = oneshot::channel();
        if self.sender.try_send(Written { event, done }).is_err() {
            self.backlog.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Full);
        }
        Ok(written)
    }

    /// Returns the number of events that are not in the trail.
    pub(super) fn backlog(&self) -> Backlog {
        Backlog {
            waiting: self.backlog.waiting.load(Ordering::Relaxed),
            quarantined: self.backlog.quarantined.load(Ordering::Relaxed),
        }
    }

    /// Refuses further events and waits until all are written, or the time limit is reached.
    pub(super) async fn end(&self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the audit journal task has failed");
        }
    }
}

/// The writer task.
struct Writer {
    store: Store,
    backlog: Arc<Counts>,
    /// In order; an attempt with an unknown result may have written the first ones.
    waiting: Vec<Event>,
    attempt: Attempt,
    /// Whether the last flush failed, which is logged once.
    failing: bool,
}

impl Writer {
    async fn run(
        mut self,
        mut receiver: mpsc::Receiver<Written>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut arrived = Vec::new();
        loop {
            let retry = async {
                if self.waiting.is_empty() {
                    std::future::pending::<()>().await;
                }
                sleep(RETRY).await;
            };
            let goes_on = tokio::select! {
                count = receiver.recv_many(&mut arrived, MOST_WAITING) => count > 0,
                () = retry => true,
                // The sender is gone where the last clone was dropped.
                _ = stopped.wait_for(|stopped| *stopped) => false,
            };
            if !goes_on {
                break;
            }
            let answers = self.take(&mut arrived);
            self.flush().await;
            answers.into_iter().for_each(answer);
        }
        receiver.close();
        while receiver.recv_many(&mut arrived, MOST_WAITING).await > 0 {
            let answers = self.take(&mut arrived);
            answers.into_iter().for_each(answer);
        }
        self.end().await;
    }

    fn take(&mut self, arrived: &mut Vec<Written>) -> Vec<oneshot::Sender<()>> {
        let (events, answers): (Vec<_>, Vec<_>) =
            arrived.drain(..).map(|written| (written.event, written.done)).unzip();
        self.waiting.extend(events);
        answers
    }

    /// Flushes until no event waits or the time limit is reached, then logs the rest.
    async fn end(mut self) {
        let deadline = Instant::now() + LONGEST_END;
        let _ = timeout_at(deadline, async {
            self.flush().await;
            while !self.waiting.is_empty() {
                tracing::warn!(
                    waiting = self.waiting.len(),
                    "shutdown is waiting for audit events to be written"
                );
                sleep(RETRY).await;
                self.flush().await;
            }
        })
        .await;
        for event in &self.waiting {
            log(event, "an event was not written into the audit trail before the service stopped");
        }
    }

    /// Writes all waiting events. An event that the database refuses is found by bisection and delays no other.
    async fn flush(&mut self) {
        let mut most = MOST_AT_ONCE;
        while !self.waiting.is_empty() {
            most = most.min(self.waiting.len());
            match self.write(most).await {
                Ok(written) => {
                    self.leave(written);
                    most = MOST_AT_ONCE;
                }
                Err(Failure::Store(error)) if error.is_refused() && most > 1 => most /= 2,
                Err(Failure::Store(error)) if error.is_refused() => {
                    self.quarantine(&error);
                    most = MOST_AT_ONCE;
                }
                Err(error) => return self.fail(&error),
            }
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!("the audit trail is writable again; all buffered events are written");
        }
    }

    async fn write(&mut self, most: usize) -> Result<usize, Failure> {
        let written = self.store.record_once(&self.waiting[..most], &mut self.attempt);
        Ok(timeout(LONGEST_FLUSH, written).await.map_err(|_| Failure::Silent)??)
    }

    /// Removes the first events: they are in the trail, or never will be.
    fn leave(&mut self, first: usize) {
        self.waiting.drain(..first);
        self.backlog.waiting.fetch_sub(first, Ordering::Relaxed);
    }

    fn quarantine(&mut self, error: &StoreError) {
        tracing::error!(%error, "the database rejected an audit event");
        log(&self.waiting[0], "audit event rejected by the database; recorded in this log only");
        self.leave(1);
        self.backlog.quarantined.fetch_add(1, Ordering::Relaxed);
    }

    fn fail(&mut self, error: &Failure) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(
                %error,
                waiting = self.waiting.len(),
                "audit events could not be written; buffered in memory"
            );
        }
    }
}

/// Why a flush failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the database does not respond")]
    Silent,
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn answer(done: oneshot::Sender<()>) {
    // The caller may have left.
    let _ = done.send(());
}

/// Logs an event as the trail would hold it.
fn log(event: &Event, why: &'static str) {
    let event = event.canonical();
    tracing::error!(
        at = event.at,
        actor = event.actor,
        action = event.action,
        outcome = event.outcome,
        subject = event.subject,
        "{why}"
    );
}
