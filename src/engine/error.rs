//! Why a photo yields no embedding.

use crate::face::NoProminentFace;
use crate::photo::PhotoError;

/// Why no embedding was extracted from a photo.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// Too many photos are in flight.
    #[error("the service is at capacity; retry later")]
    Busy,
    /// A model failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The photo has no prominent face.
    #[error(transparent)]
    Face(#[from] NoProminentFace),
    /// The bytes are not a usable photo.
    #[error(transparent)]
    Photo(#[from] PhotoError),
}

/// A failure of a model at run time.
#[derive(Debug, thiserror::Error)]
#[error("inference failed: {0}")]
pub struct EngineError(String);

impl EngineError {
    #[expect(clippy::needless_pass_by_value, reason = "as map_err wants it")]
    pub(super) fn panicked(error: tokio::task::JoinError) -> Self {
        Self(format!("the work panicked: {error}"))
    }

    pub(super) fn run(error: impl std::fmt::Display) -> Self {
        Self(format!("{error:#}"))
    }
}
