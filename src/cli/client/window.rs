//! The number of photos in flight: as many as the service takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// First limit of a window that adapts.
const FIRST: usize = 2;

/// Largest limit of a window that adapts: it bounds the memory for photos.
const MOST: usize = 64;

/// Growth of the limit after its first cut, in requests for each full window of accepted ones. A
/// refused photo waits for a second or more, so that the limit is tested rarely.
const GROWTH: f64 = 0.1;

/// A limit on photos in flight; cheap to clone.
///
/// A limit that adapts grows with each accepted request and halves with each refused one (additive
/// increase, multiplicative decrease: RFC 5681, section 3.1). Requests that were sent before a cut
/// don't cut it again.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Window {
    permits: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The limit; only its whole part counts.
    limit: f64,
    most: usize,
    /// Number of permits that exist, in use or not.
    permits: usize,
    /// Number of times that the limit was cut.
    cuts: u64,
}

impl Window {
    /// Creates a window whose limit stays.
    pub(in crate::cli) fn fixed(limit: usize) -> Self {
        Self::new(limit, limit)
    }

    /// Creates a window that adapts to what the service accepts.
    pub(in crate::cli) fn adaptive() -> Self {
        Self::new(FIRST, MOST)
    }

    fn new(limit: usize, most: usize) -> Self {
        let state = State { limit: limit as f64, most, permits: limit, cuts: 0 };
        Self { permits: Arc::new(Semaphore::new(limit)), state: Arc::new(Mutex::new(state)) }
    }

    /// Waits until another photo may be in flight.
    pub(in crate::cli) async fn slot(&self) -> Slot {
        let permit = self.permits.clone().acquire_owned().await;
        Slot { window: self.clone(), permit: Some(permit.expect("it is never closed")) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have one photo in flight.
#[derive(Debug)]
pub(in crate::cli) struct Slot {
    window: Window,
    permit: Option<OwnedSemaphorePermit>,
}

/// The window at the time when a request is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    cuts: u64,
}

impl Slot {
    /// Returns the state of the window, to be passed to [`Slot::refused`].
    pub(super) fn sent(&self) -> Sent {
        Sent { cuts: self.window.state().cuts }
    }

    /// Raises the limit after an accepted request.
    pub(super) fn accepted(&self) {
        let mut state = self.window.state();
        let step = if state.cuts == 0 { 1.0 } else { GROWTH / state.limit };
        state.limit = (state.limit + step).min(state.most as f64);
        while state.permits < state.limit as usize {
            state.permits += 1;
            self.window.permits.add_permits(1);
        }
    }

    /// Halves the limit after a refused request.
    pub(super) fn refused(&self, sent: Sent) {
        let mut state = self.window.state();
        if sent.cuts == state.cuts {
            state.cuts += 1;
            state.limit = (state.limit / 2.0).max(1.0);
            // Permits in use are forgotten when their slots are dropped.
            let excess = state.permits.saturating_sub(state.limit as usize);
            state.permits -= self.window.permits.forget_permits(excess);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.window.state();
        if let Some(permit) = self.permit.take()
            && state.permits > state.limit as usize
        {
            state.permits -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(window: &Window) -> usize {
        window.state().limit as usize
    }

    #[tokio::test]
    async fn window_doubles_until_the_first_refusal_then_halves_and_grows_slowly() {
        let window = Window::adaptive();
        for round in [2, 4, 8] {
            assert_eq!((limit(&window), window.permits.available_permits()), (round, round));
            for _ in 0..round {
                window.slot().await.accepted();
            }
        }
        let slots = [window.slot().await, window.slot().await];
        let sent = slots.each_ref().map(Slot::sent);
        // Both were sent before the cut.
        slots.iter().zip(sent).for_each(|(slot, sent)| slot.refused(sent));
        assert_eq!(limit(&window), 8);
        window.slot().await.accepted();
        assert_eq!(limit(&window), 8);
        for _ in 0..100 {
            window.slot().await.accepted();
        }
        assert_eq!(limit(&window), 9);
        let free = || window.permits.available_permits();
        assert_eq!(free(), 9 - slots.len());
        for _ in 0..4 {
            slots[0].refused(slots[0].sent());
        }
        // One photo too many is in flight.
        assert_eq!((limit(&window), free()), (1, 0));
        drop(slots);
        assert_eq!(free(), 1);
    }

    #[tokio::test]
    async fn window_stays_within_its_bounds() {
        for (window, most) in [(Window::adaptive(), MOST), (Window::fixed(3), 3)] {
            for _ in 0..200 {
                window.slot().await.accepted();
            }
            assert_eq!((limit(&window), window.permits.available_permits()), (most, most));
        }
    }
}
