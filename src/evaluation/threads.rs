//! Work on all processor cores.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// Calls `each` for all indexes below `n`, with a state for each thread; returns the results in order.
pub(super) fn map_on_all_cores<S, T: Send>(
    n: usize,
    start: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut state, mut results) = (start(), Vec::new());
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= n {
                return results;
            }
            results.push((index, each(&mut state, index)));
        }
    };
    let mut results: Vec<_> = on_all_cores(work).into_iter().flatten().collect();
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
