//! Stands in for the service's problems, which know every part of it: what a form is refused with.

use axum::response::{IntoResponse, Response};

/// The codes that a form is refused with.
#[derive(Debug)]
pub(super) enum Code {
    BodyTooLarge,
    Busy,
    Internal,
    Malformed,
    TimedOut,
    UnsupportedBody,
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Problem {
    code: Code,
    detail: String,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    pub(super) fn internal(source: impl std::fmt::Display) -> Self {
        Self::new(Code::Internal, source.to_string())
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Code::Malformed, detail)
    }

    pub(super) fn is_a_missing_field(&self) -> bool {
        self.detail.ends_with(" is missing")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        ().into_response()
    }
}
