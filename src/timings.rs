//! The time of each processing stage, for the `Server-Timing` header, metrics and traces.

use std::time::{Duration, Instant};

/// A processing stage of a photo.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// Name of the stage.
    pub name: &'static str,
    /// Start of the stage.
    pub started: Instant,
    /// Duration of the stage.
    pub time: Duration,
}

/// The stages of a use case, in the order in which they ran.
#[derive(Clone, Debug, Default)]
pub struct Timings(Vec<Stage>);

impl Timings {
    /// Returns the stages in order.
    pub fn stages(&self) -> &[Stage] {
        &self.0
    }

    /// Awaits a stage and records its time.
    pub async fn wait<T>(&mut self, name: &'static str, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let result = work.await;
        self.ended(name, started);
        result
    }

    /// Runs a stage and records its time.
    pub(crate) fn time<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.ended(name, started);
        result
    }

    fn ended(&mut self, name: &'static str, started: Instant) {
        self.0.push(Stage { name, started, time: started.elapsed() });
    }
}
