//! Bounds on photos in flight, on workers, and on the memory of decoded photos.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ExtractError;

/// The unit in which decoded bytes are counted; a semaphore counts in 32 bits.
const KILOBYTE: u64 = 1000;

/// Permit for one photo in flight, held until the response is sent: the work after extraction keeps the cores busy too.
#[derive(Clone, Debug)]
pub struct Permit {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// What a photo holds while it is processed. It moves into the work itself: a client that disconnects frees nothing
/// before the work ends.
pub(super) struct Admission {
    _permit: Permit,
    _worker: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

/// The bounds, and how much of each is free; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Capacity {
    in_flight: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    decoded_kilobytes: Arc<Semaphore>,
    most_in_flight: usize,
    saturating: usize,
    /// All of the memory: a photo that needs more waits until it is alone.
    most_kilobytes: u32,
}

impl Capacity {
    /// Bounds for `workers` photos in process and `queue` that wait, which share `bytes` of decoded pixels.
    pub(super) fn new(workers: usize, queue: usize, bytes: u64) -> Self {
        let kilobytes = bytes.div_ceil(KILOBYTE) as usize;
        Self {
            in_flight: Arc::new(Semaphore::new(workers + queue)),
            workers: Arc::new(Semaphore::new(workers)),
            decoded_kilobytes: Arc::new(Semaphore::new(kilobytes)),
            most_in_flight: workers + queue,
            saturating: workers + queue.min(1),
            most_kilobytes: kilobytes as u32,
        }
    }

    /// Returns a permit if one is free.
    ///
    /// # Errors
    /// [`ExtractError::Busy`].
    pub(super) fn permit(&self) -> Result<Permit, ExtractError> {
        let permit = self.in_flight.clone().try_acquire_owned().map_err(|_| ExtractError::Busy)?;
        Ok(Permit { _permit: Arc::new(permit) })
    }

    /// Returns the number of permits that are held.
    pub(super) fn in_flight(&self) -> usize {
        self.most_in_flight - self.in_flight.available_permits()
    }

    /// Returns the number of photos that keeps every worker busy: one more than there are workers, if it may wait.
    pub(super) fn saturating(&self) -> usize {
        self.saturating
    }

    /// Waits for a worker and for the memory of a decoded photo.
    pub(super) async fn admit(&self, permit: Permit, decoded_bytes: u64) -> Admission {
        const OPEN: &str = "the engine's semaphores are never closed";
        let kilobytes = decoded_bytes.div_ceil(KILOBYTE).min(self.most_kilobytes.into()) as u32;
        let memory = self.decoded_kilobytes.clone().acquire_many_owned(kilobytes).await;
        let worker = self.workers.clone().acquire_owned().await;
        Admission { _permit: permit, _worker: worker.expect(OPEN), _memory: memory.expect(OPEN) }
    }
}
