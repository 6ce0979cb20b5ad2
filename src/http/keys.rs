//! The API keys as the store had them at most a second ago, so that a flood of requests reads the database once a
//! second.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::access::ApiKey;
use crate::recognizer::{Error, Recognizer};

/// Maximum age of the cached keys: a new key is accepted, and a revoked one refused, within this time.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The API keys of one moment.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) valid: Vec<ApiKey>,
    /// Whether there ever was a key: then the local credential is void.
    pub(super) ever: bool,
}

/// The last state that was read; one request reads, the others wait for it.
#[derive(Debug, Default)]
pub(super) struct KeyCache(Mutex<Option<(Instant, Arc<Keys>)>>);

impl KeyCache {
    /// Returns the keys, read anew where the last reading is older than [`MAX_AGE`].
    ///
    /// # Errors
    /// [`Error::Store`]; keys that may have been revoked since are not used instead.
    pub(super) async fn current(&self, recognizer: &Recognizer) -> Result<Arc<Keys>, Error> {
        let mut cached = self.0.lock().await;
        if let Some((read, keys)) = &*cached
            && read.elapsed() < MAX_AGE
        {
            return Ok(keys.clone());
        }
        let read = Instant::now();
        let valid = recognizer.api_keys().await?;
        let ever = !valid.is_empty() || recognizer.ever_had_api_key().await?;
        let keys = Arc::new(Keys { valid, ever });
        *cached = Some((read, keys.clone()));
        Ok(keys)
    }
}
