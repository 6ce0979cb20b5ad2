//! What is decided is written down before it is answered; whoever decides at the same time shares a commit.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::audit::Event;
use crate::store::Store;

/// Events that wait while the store can't be written; with so many nothing more is decided.
const MOST_WAITING: usize = 10_000;

/// How long an answer waits for a store that can't be written just now.
const PATIENCE: Duration = Duration::from_millis(500);

/// Writes events into the audit trail; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    sender: mpsc::Sender<Written>,
}

#[derive(Debug)]
struct Written {
    event: Event,
    done: oneshot::Sender<Result<(), Full>>,
}

/// More events wait to be written than there is room for.
#[derive(Debug)]
pub(super) struct Full;

impl Journal {
    /// Begins to write into the store's trail, until the last clone is dropped.
    pub(super) fn start(store: Store) -> Self {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        tokio::spawn(write(store, receiver));
        Self { sender }
    }

    /// Writes an event. While the store can't be written it waits in memory, and the caller goes on: a full disk
    /// or somebody else's lock shuts no door.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) async fn record(&self, event: Event) -> Result<(), Full> {
        let (done, written) = oneshot::channel();
        self.sender.try_send(Written { event, done }).map_err(|_| Full)?;
        match timeout(PATIENCE, written).await {
            Ok(written) => written.unwrap_or(Err(Full)),
            Err(_) => Ok(()),
        }
    }
}

async fn write(store: Store, mut receiver: mpsc::Receiver<Written>) {
    let mut waiting: Vec<Event> = Vec::new();
    let mut arrived = Vec::new();
    while receiver.recv_many(&mut arrived, MOST_WAITING).await > 0 {
        let mut answers = Vec::with_capacity(arrived.len());
        for Written { event, done } in arrived.drain(..) {
            if waiting.len() < MOST_WAITING {
                waiting.push(event);
                answers.push(done);
            } else {
                let _ = done.send(Err(Full));
            }
        }
        flush(&store, &mut waiting).await;
        for done in answers {
            // Whoever asked may have left.
            let _ = done.send(Ok(()));
        }
    }
    if !waiting.is_empty() {
        flush(&store, &mut waiting).await;
    }
}

async fn flush(store: &Store, waiting: &mut Vec<Event>) {
    match store.record(waiting).await {
        Ok(()) => waiting.clear(),
        Err(error) => tracing::error!(
            %error,
            waiting = waiting.len(),
            "events could not be written into the audit trail; they wait in memory"
        ),
    }
}
