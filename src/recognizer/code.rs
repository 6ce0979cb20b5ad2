//! The stable words for refusals, the same in the API and in the output of commands.

/// A stable, machine-readable code for the refusal of a photo, a field or a use case.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Code {
    /// The employee is already enrolled.
    AlreadyEnrolled,
    /// The photo or the request has too many bytes.
    BodyTooLarge,
    /// Too much work is in progress.
    Busy,
    /// The service failed.
    Internal,
    /// The photo matches another employee.
    LooksLikeAnother,
    /// A field cannot be parsed.
    Malformed,
    /// The photo shows no face.
    NoFace,
    /// The employee is not enrolled.
    NotEnrolled,
    /// The gallery or the database is not available.
    NotReady,
    /// The employee was enrolled with a model that is not loaded.
    OtherModel,
    /// The photo quality is insufficient for a reference.
    PoorPhoto,
    /// The presentation session is unknown, expired or used, or another caller's or employee's.
    PresentationSessionUnknown,
    /// Presentation sessions are off.
    PresentationSessionsOff,
    /// The photo shows several prominent faces.
    SeveralFaces,
    /// Too many presentation attacks claimed to be the employee.
    TooManyAttacks,
    /// The photo has too many pixels.
    TooManyPixels,
    /// The photo is corrupt.
    UnreadablePhoto,
    /// The photo format is not supported.
    UnsupportedFormat,
}

impl Code {
    /// Returns the word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyEnrolled => "already_enrolled",
            Self::BodyTooLarge => "body_too_large",
            Self::Busy => "busy",
            Self::Internal => "internal",
            Self::LooksLikeAnother => "looks_like_another",
            Self::Malformed => "malformed",
            Self::NoFace => "no_face",
            Self::NotEnrolled => "not_enrolled",
            Self::NotReady => "not_ready",
            Self::OtherModel => "other_model",
            Self::PoorPhoto => "poor_photo",
            Self::PresentationSessionUnknown => "presentation_session_unknown",
            Self::PresentationSessionsOff => "presentation_sessions_off",
            Self::SeveralFaces => "several_faces",
            Self::TooManyAttacks => "too_many_attacks",
            Self::TooManyPixels => "too_many_pixels",
            Self::UnreadablePhoto => "unreadable_photo",
            Self::UnsupportedFormat => "unsupported_format",
        }
    }
}
