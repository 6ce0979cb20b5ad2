//! The stable words for refusals, the same in the API and in the output of commands.

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident: $word:literal,)*) => {
        /// A stable, machine-readable code for the refusal of a photo, a field or a use case.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// Returns the word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $word,)*
                }
            }

            /// Returns the code with this word.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$code),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The employee is already enrolled.
    AlreadyEnrolled: "already_enrolled",
    /// The photo or the request has too many bytes.
    BodyTooLarge: "body_too_large",
    /// Too much work is in progress.
    Busy: "busy",
    /// The service failed.
    Internal: "internal",
    /// The photo matches another employee.
    LooksLikeAnother: "looks_like_another",
    /// A field cannot be parsed.
    Malformed: "malformed",
    /// The photo shows no face.
    NoFace: "no_face",
    /// The employee is not enrolled.
    NotEnrolled: "not_enrolled",
    /// The gallery or the database is not available.
    NotReady: "not_ready",
    /// The employee was enrolled with a model that is not loaded.
    OtherModel: "other_model",
    /// The photo quality is insufficient for a reference.
    PoorPhoto: "poor_photo",
    /// The presentation session is unknown, expired or used, or another caller's or employee's.
    PresentationSessionUnknown: "presentation_session_unknown",
    /// Presentation sessions are off.
    PresentationSessionsOff: "presentation_sessions_off",
    /// The photo shows several prominent faces.
    SeveralFaces: "several_faces",
    /// Too many presentation attacks claimed to be the employee.
    TooManyAttacks: "too_many_attacks",
    /// The photo has too many pixels.
    TooManyPixels: "too_many_pixels",
    /// The photo is corrupt.
    UnreadablePhoto: "unreadable_photo",
    /// The photo format is not supported.
    UnsupportedFormat: "unsupported_format",
}
