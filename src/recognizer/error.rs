//! Errors of the use cases.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::code::Code;
use super::searcher::SearchEnded;
use crate::engine::{EngineError, ExtractError};
use crate::face::NoProminentFace;
use crate::photo::PhotoError;
use crate::quality::Reason;
use crate::store::StoreError;

/// Why a use case failed. A non-match is not a failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The employee is enrolled, and `replace` is not set.
    #[error("this employee is already enrolled; set replace=true to replace the enrollment")]
    AlreadyEnrolled,
    /// Too many photos are in flight.
    #[error("the service is at capacity; retry later")]
    Busy,
    /// A model failed.
    #[error(transparent)]
    Engine(EngineError),
    /// The photo has no prominent face.
    #[error(transparent)]
    Face(NoProminentFace),
    /// The photo matches another enrolled employee.
    #[error(
        "this photo matches {other}, who is already enrolled; if they are different people, set confirm_lookalike=true"
    )]
    LooksLikeAnother {
        /// The other employee.
        other: String,
    },
    /// Too many events wait to be written to the audit trail.
    #[error("the audit trail cannot be written")]
    AuditFull,
    /// The gallery is not known to be current.
    #[error(
        "this replica cannot confirm that its gallery is current; use another replica or retry later"
    )]
    OutOfStep,
    /// No such erasure of this employee is known, or its event was dropped.
    #[error("no erasure of this employee has this receipt")]
    NoReceipt,
    /// No employee with this ID is enrolled.
    #[error("no employee is enrolled with this ID")]
    NotEnrolled,
    /// The employee was enrolled with an encoder that is not loaded.
    #[error(
        "this employee was enrolled with the model {stored}, which is not loaded; re-enroll them"
    )]
    OtherModel {
        /// The name of that encoder.
        stored: Arc<str>,
    },
    /// The presentation session is unknown, expired or used, its frames were not live, or it is another caller's or
    /// employee's.
    #[error(
        "the presentation session is unknown, expired or already used, its frames were not live, or it was opened by another key or for another employee; open a new one"
    )]
    NoPresentationSession,
    /// Presentation sessions are off.
    #[error("presentation sessions are off; start the service with --presentation-sessions")]
    PresentationSessionsOff,
    /// The bytes are not a usable photo.
    #[error(transparent)]
    Photo(PhotoError),
    /// The search thread of a gallery has failed.
    #[error(transparent)]
    Search(#[from] SearchEnded),
    /// The photo quality is insufficient for a reference.
    #[error(
        "this photo is not suitable as a reference: {} (quality {quality} of 100)",
        advice(.reasons)
    )]
    PoorPhoto {
        /// The quality defects.
        reasons: BTreeSet<Reason>,
        /// The unified quality score.
        quality: u8,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many presentation attacks claimed to be this employee.
    #[error("too many presentation attacks claimed to be this employee; retry after {} s", .wait.as_secs() + 1)]
    TooManyAttacks {
        /// The time until verifications are possible again.
        wait: Duration,
    },
    /// An internal task panicked.
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
            Self::PoorPhoto { .. } => Code::PoorPhoto,
            Self::TooManyAttacks { .. } => Code::TooManyAttacks,
            Self::NoPresentationSession => Code::PresentationSessionUnknown,
            Self::PresentationSessionsOff => Code::PresentationSessionsOff,
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
