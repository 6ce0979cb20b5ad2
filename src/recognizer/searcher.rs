//! Searches a gallery on a thread of its own; whoever asks while it is at work shares the next pass.

use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::StartError;
use crate::comparison::Comparator;
use crate::gallery::{Gallery, Neighbour, Query};

/// Queries that share a pass: with more, their codes and candidates leave the processor's caches.
const MOST_AT_ONCE: usize = 32;

/// The thread ends with the last sender.
#[derive(Debug)]
pub(super) struct Searcher {
    sender: mpsc::UnboundedSender<Asked>,
}

#[derive(Debug)]
struct Asked {
    query: Query,
    found: oneshot::Sender<Vec<Neighbour>>,
}

impl Searcher {
    /// # Errors
    /// [`StartError::Thread`].
    pub(super) fn start(gallery: Arc<Gallery>, comparator: Comparator) -> Result<Self, StartError> {
        // No more are asked than photos are worked on.
        let (sender, receiver) = mpsc::unbounded_channel();
        let work = move || search(&gallery, &comparator, receiver);
        thread::Builder::new().name("search".to_owned()).spawn(work).map_err(StartError::Thread)?;
        Ok(Self { sender })
    }

    /// The nearest, nearest first.
    ///
    /// # Panics
    /// Where the thread has: then the process has a defect that no caller can mend.
    pub(super) async fn search(&self, query: Query) -> Vec<Neighbour> {
        let (found, answer) = oneshot::channel();
        // A thread that is gone drops what it is sent, which the answer tells.
        let _ = self.sender.send(Asked { query, found });
        answer.await.expect("the search thread lives as long as its cohort")
    }
}

fn search(
    gallery: &Gallery,
    comparator: &Comparator,
    mut receiver: mpsc::UnboundedReceiver<Asked>,
) {
    let mut waiting = Vec::with_capacity(MOST_AT_ONCE);
    while receiver.blocking_recv_many(&mut waiting, MOST_AT_ONCE) > 0 {
        let (queries, answers): (Vec<_>, Vec<_>) =
            waiting.drain(..).map(|asked| (asked.query, asked.found)).unzip();
        for (found, answer) in gallery.search(&queries, comparator).into_iter().zip(answers) {
            // Whoever asked may have left.
            let _ = answer.send(found);
        }
    }
}
