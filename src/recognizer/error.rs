//! Errors of the use cases.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::code::Code;
use super::searcher::SearchEnded;
use crate::engine::{EngineError, ExtractError};
use crate::face::NoProminentFace;
use crate::photo::PhotoError;
use crate::quality::Reason;
use crate::store::StoreError;

/// Why a use case came to no answer. A non-match is an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The employee has a reference, and replacing it was not asked for.
    #[error("this employee is already enrolled; set replace=true to replace the enrollment")]
    AlreadyEnrolled,
    /// Too much is under way.
    #[error("the service is at capacity; retry later")]
    Busy,
    /// The models failed.
    #[error(transparent)]
    Engine(EngineError),
    /// The photo does not say whose face is meant.
    #[error(transparent)]
    Face(NoProminentFace),
    /// The photo would be recognised as somebody else who is enrolled.
    #[error(
        "this photo matches {other}, who is already enrolled; if they are different people, set confirm_lookalike=true"
    )]
    LooksLikeAnother {
        /// Who it looks like.
        other: String,
    },
    /// So many events wait to be written into the audit trail that nothing more is decided.
    #[error("the audit trail cannot be written")]
    AuditFull,
    /// The gallery may not be what the store holds.
    #[error(
        "this replica cannot confirm that its gallery is current; use another replica or retry later"
    )]
    OutOfStep,
    /// There was no such erasure of this employee, or it is too long ago.
    #[error("no erasure of this employee has this receipt")]
    NoReceipt,
    /// Nobody of this name.
    #[error("no employee is enrolled with this ID")]
    NotEnrolled,
    /// The employee's reference was made by another encoder.
    #[error(
        "this employee was enrolled with the model {stored}, which is not loaded; re-enroll them"
    )]
    OtherModel {
        /// The name of the encoder that made the reference.
        stored: Arc<str>,
    },
    /// The bytes are no usable photo.
    #[error(transparent)]
    Photo(PhotoError),
    /// A gallery can neither be searched nor changed any more.
    #[error(transparent)]
    Search(#[from] SearchEnded),
    /// The photo is too poor for a reference.
    #[error("this photo is not suitable as a reference: {}", advice(.0))]
    PoorPhoto(BTreeSet<Reason>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of ours panicked.
    #[error("a write was interrupted: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// Returns the stable code of the error.
    pub fn code(&self) -> Code {
        match self {
            Self::AlreadyEnrolled => Code::AlreadyEnrolled,
            Self::Busy => Code::Busy,
            Self::Store(error) if error.is_locked() => Code::Busy,
            Self::Store(error) if error.is_away() => Code::NotReady,
            // Another replica may have the new key.
            Self::Store(error) if error.is_outdated() => Code::NotReady,
            Self::OutOfStep => Code::NotReady,
            Self::AuditFull
            | Self::Engine(_)
            | Self::Search(_)
            | Self::Store(_)
            | Self::Task(_) => Code::Internal,
            Self::Face(NoProminentFace::None) => Code::NoFace,
            Self::Face(NoProminentFace::Several) => Code::SeveralFaces,
            Self::LooksLikeAnother { .. } => Code::LooksLikeAnother,
            Self::NoReceipt | Self::NotEnrolled => Code::NotEnrolled,
            Self::OtherModel { .. } => Code::OtherModel,
            Self::Photo(photo) => match photo {
                PhotoError::ForeignCoding(_)
                | PhotoError::ForeignFormat(_)
                | PhotoError::UnknownFormat => Code::UnsupportedFormat,
                PhotoError::TooManyPixels { .. } => Code::TooManyPixels,
                PhotoError::TooSmall { .. } => Code::NoFace,
                PhotoError::Unreadable(_) => Code::UnreadablePhoto,
            },
            Self::PoorPhoto(_) => Code::PoorPhoto,
        }
    }
}

fn advice(reasons: &BTreeSet<Reason>) -> String {
    let advice: Vec<_> = reasons.iter().map(|reason| reason.advice()).collect();
    advice.join("; ")
}

impl From<ExtractError> for Error {
    fn from(error: ExtractError) -> Self {
        match error {
            ExtractError::Busy => Self::Busy,
            ExtractError::Engine(error) => Self::Engine(error),
            ExtractError::Face(error) => Self::Face(error),
            ExtractError::Photo(error) => Self::Photo(error),
        }
    }
}
