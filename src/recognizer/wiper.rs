//! Retries the overwriting of erased pages: one task for all erasures, woken by each.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::store::Store;

/// Delay between attempts.
const WIPE_AGAIN: Duration = Duration::from_secs(1);

/// Handle of the task, which ends after the last clone is dropped; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Wiper(Arc<Woken>);

#[derive(Debug)]
struct Woken(Arc<Notify>);

impl Drop for Woken {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Wiper {
    pub(super) fn start(store: Store) -> Self {
        let notify = Arc::new(Notify::new());
        let this = Self(Arc::new(Woken(notify.clone())));
        tokio::spawn(wipe(store, notify, Arc::downgrade(&this.0)));
        this
    }

    /// Wakes the task, which retries until no erased data is left in any file.
    pub(super) fn wake(&self) {
        self.0.0.notify_one();
    }
}

async fn wipe(store: Store, notify: Arc<Notify>, alive: Weak<Woken>) {
    loop {
        notify.notified().await;
        loop {
            sleep(WIPE_AGAIN).await;
            if alive.strong_count() == 0 {
                return;
            }
            if store.wipe_leftovers().await {
                break;
            }
        }
    }
}
