//! Searches and changes a gallery on a thread of its own. Searches that arrive during a pass share the next one; a change
//! is applied between two passes, so that no other thread waits for a pass with the gallery locked.

use std::sync::Arc;
use std::thread;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::StartError;
use crate::comparison::Comparator;
use crate::embedding::Embedding;
use crate::employee::EmployeeId;
use crate::gallery::{Enrolled, Gallery, Neighbour, Query};

/// Queries that share a pass: with more, their codes and candidates leave the processor's caches.
const MOST_AT_ONCE: usize = 32;

/// The search thread has panicked: the gallery can no longer be searched or changed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the search thread has failed; restart the service")]
pub struct SearchEnded;

/// A change of a gallery.
#[derive(Debug)]
pub(super) enum Change {
    Insert(Enrolled, Embedding),
    Remove(EmployeeId),
    SetExpiry(EmployeeId, Option<Timestamp>),
    Replace(Gallery),
}

/// Handle of the search thread, which ends when the handle is dropped.
#[derive(Debug)]
pub(super) struct Searcher {
    sender: mpsc::UnboundedSender<Work>,
}

#[derive(Debug)]
enum Work {
    Search(Asked),
    Change(Change, oneshot::Sender<()>),
}

#[derive(Debug)]
struct Asked {
    query: Query,
    found: oneshot::Sender<Vec<Neighbour>>,
}

impl Searcher {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`StartError::Thread`].
    pub(super) fn start(gallery: Arc<Gallery>, comparator: Comparator) -> Result<Self, StartError> {
        // No more are asked than photos are worked on.
        let (sender, receiver) = mpsc::unbounded_channel();
        let work = move || work(&gallery, &comparator, receiver);
        thread::Builder::new().name("search".to_owned()).spawn(work).map_err(StartError::Thread)?;
        Ok(Self { sender })
    }

    /// Checks that the thread is alive.
    ///
    /// # Errors
    /// [`SearchEnded`].
    pub(super) fn is_alive(&self) -> Result<(), SearchEnded> {
        if self.sender.is_closed() { Err(SearchEnded) } else { Ok(()) }
    }

    /// Returns the nearest references, nearest first.
    ///
    /// # Errors
    /// [`SearchEnded`].
    pub(super) async fn search(&self, query: Query) -> Result<Vec<Neighbour>, SearchEnded> {
        let (found, answer) = oneshot::channel();
        self.sender.send(Work::Search(Asked { query, found })).map_err(|_| SearchEnded)?;
        answer.await.map_err(|_| SearchEnded)
    }

    /// Changes the gallery and returns once that is done.
    ///
    /// # Errors
    /// [`SearchEnded`].
    pub(super) async fn change(&self, change: Change) -> Result<(), SearchEnded> {
        let (done, changed) = oneshot::channel();
        self.sender.send(Work::Change(change, done)).map_err(|_| SearchEnded)?;
        changed.await.map_err(|_| SearchEnded)
    }
}

fn work(gallery: &Gallery, comparator: &Comparator, mut receiver: mpsc::UnboundedReceiver<Work>) {
    let mut waiting = Vec::with_capacity(MOST_AT_ONCE);
    let mut asked = Vec::with_capacity(MOST_AT_ONCE);
    while receiver.blocking_recv_many(&mut waiting, MOST_AT_ONCE) > 0 {
        for work in waiting.drain(..) {
            match work {
                Work::Search(query) => asked.push(query),
                Work::Change(change, done) => {
                    search(gallery, comparator, &mut asked);
                    apply(gallery, change);
                    let _ = done.send(());
                }
            }
        }
        search(gallery, comparator, &mut asked);
    }
}

fn search(gallery: &Gallery, comparator: &Comparator, asked: &mut Vec<Asked>) {
    if asked.is_empty() {
        return;
    }
    let (queries, answers): (Vec<_>, Vec<_>) =
        asked.drain(..).map(|asked| (asked.query, asked.found)).unzip();
    for (found, answer) in gallery.search(&queries, comparator).into_iter().zip(answers) {
        // The caller may have left.
        let _ = answer.send(found);
    }
}

fn apply(gallery: &Gallery, change: Change) {
    match change {
        Change::Insert(enrolled, reference) => gallery.insert(enrolled, &reference),
        Change::Remove(employee) => gallery.remove(&employee),
        Change::SetExpiry(employee, expires_at) => gallery.set_expiry(&employee, expires_at),
        Change::Replace(other) => gallery.replace(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::{Calibration, Measure};
    use crate::employee::AuditId;
    use crate::seal::DataKeyId;

    fn searcher() -> Searcher {
        let calibration = Calibration::new(1.0, 0.0).unwrap();
        let comparator = Comparator { measure: Measure::Cosine, calibration };
        Searcher::start(Arc::new(Gallery::new(2)), comparator).unwrap()
    }

    fn embedding(values: &[f32]) -> Embedding {
        Embedding::normalize(values.to_vec()).unwrap()
    }

    fn enrolled(employee: &str) -> Enrolled {
        let (employee, key) = (EmployeeId::parse(employee).unwrap(), DataKeyId::AUDIT);
        Enrolled {
            employee,
            audit_id: AuditId::from_bytes([1; 16]),
            expires_at: None,
            recognizable: true,
            key,
        }
    }

    #[tokio::test]
    async fn later_searches_see_a_change() {
        let searcher = searcher();
        let query = Query { probe: embedding(&[1.0, 0.0]), top: 9, now: Timestamp::UNIX_EPOCH };
        let count = async || searcher.search(query.clone()).await.unwrap().len();
        for employee in ["ada", "bob"] {
            let insert = Change::Insert(enrolled(employee), embedding(&[0.0, 1.0]));
            searcher.change(insert).await.unwrap();
        }
        assert_eq!(count().await, 2);
        searcher.change(Change::Remove(enrolled("ada").employee)).await.unwrap();
        assert_eq!(count().await, 1);
        searcher.change(Change::Replace(Gallery::new(2))).await.unwrap();
        assert_eq!(count().await, 0);
    }

    #[tokio::test]
    async fn calls_fail_after_the_search_thread_panicked() {
        let searcher = searcher();
        assert!(searcher.is_alive().is_ok());
        // An embedding of another model, which no caller makes.
        let change = Change::Insert(enrolled("ada"), embedding(&[1.0, 0.0, 0.0]));
        assert!(searcher.change(change).await.is_err());
        let query = Query { probe: embedding(&[1.0, 0.0]), top: 1, now: Timestamp::UNIX_EPOCH };
        assert!(searcher.search(query).await.is_err());
        assert!(searcher.is_alive().is_err());
    }
}
