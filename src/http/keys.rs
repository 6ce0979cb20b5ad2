//! A cache of the API keys, at most a second old, so that a flood of requests reads the database
//! once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::access::ApiKey;
use crate::recognizer::{Error, Recognizer};

/// Maximum age of the cached keys: a new key is accepted, and a revoked one refused, within this
/// time.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A snapshot of the API keys.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) valid: Vec<ApiKey>,
    /// Whether a key was ever added: then the local credential is void.
    pub(super) ever: bool,
}

/// The cached snapshot. One request refreshes it; the others wait.
#[derive(Debug, Default)]
pub(super) struct KeyCache(Mutex<Option<(Instant, Arc<Keys>)>>);

impl KeyCache {
    /// Returns the keys; reads them again if the snapshot is older than [`MAX_AGE`].
    ///
    /// # Errors
    /// [`Error::Store`]; expired keys are not used instead, since they may have been revoked.
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
