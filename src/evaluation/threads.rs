//! Work on all processor cores.

use std::num::NonZero;
use std::thread;

/// Runs `work` once on each core and returns the results; a panic is passed on.
pub(super) fn on_all_cores<T: Send>(work: impl Fn() -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(&work)).collect();
        let joined = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
        });
        joined.collect()
    })
}
