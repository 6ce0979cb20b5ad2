//! Error responses as `application/problem+json` (RFC 9457).
//!
//! [`Code`] gives each code its status and title; the recognizer's errors have their own codes. A
//! [`Problem`] travels as a response extension. The layer [`render`] writes it, with the request
//! id, and converts error responses of the framework to problems too.

use std::time::Duration;

use axum::Json;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::answer::{Quality, Reasons};
use super::request_id;
use super::schema::one_of;
use crate::recognizer::{self, Code as Shared};

macro_rules! codes {
    ($($code:ident: $status:ident, $slug:expr, $title:literal;)*) => {
        /// A stable, machine-readable error code.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Code {
            $(#[doc = $title] $code,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// Returns the status, the stable code and the title.
            pub fn row(self) -> (StatusCode, &'static str, &'static str) {
                match self {
                    $(Self::$code => (StatusCode::$status, $slug, $title),)*
                }
            }
        }
    };
}

codes! {
    AlreadyEnrolled: CONFLICT, Shared::AlreadyEnrolled.as_str(), "The employee is already enrolled";
    BodyTooLarge: PAYLOAD_TOO_LARGE, Shared::BodyTooLarge.as_str(), "The request body is too large";
    Busy: SERVICE_UNAVAILABLE, Shared::Busy.as_str(), "The service is busy";
    Internal: INTERNAL_SERVER_ERROR, Shared::Internal.as_str(), "Internal error";
    LooksLikeAnother: CONFLICT, Shared::LooksLikeAnother.as_str(), "The photo matches another employee";
    Malformed: BAD_REQUEST, Shared::Malformed.as_str(), "The request is malformed";
    MethodNotAllowed: METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed";
    NoFace: UNPROCESSABLE_ENTITY, Shared::NoFace.as_str(), "No face found in the photo";
    NoKey: UNAUTHORIZED, "no_key", "A valid API key is required";
    NoSuchRoute: NOT_FOUND, "no_such_route", "No such route";
    NotAllowed: FORBIDDEN, "not_allowed", "The caller is not allowed to do this";
    NotEnrolled: NOT_FOUND, Shared::NotEnrolled.as_str(), "The employee is not enrolled";
    NotReady: SERVICE_UNAVAILABLE, Shared::NotReady.as_str(), "The service is not ready";
    OtherModel: CONFLICT, Shared::OtherModel.as_str(), "The employee was enrolled with another model";
    PoorPhoto: UNPROCESSABLE_ENTITY, Shared::PoorPhoto.as_str(), "The photo quality is insufficient for a reference";
    PresentationSessionUnknown: NOT_FOUND, Shared::PresentationSessionUnknown.as_str(), "The presentation session cannot be used";
    PresentationSessionsOff: NOT_FOUND, Shared::PresentationSessionsOff.as_str(), "Presentation sessions are off";
    SeveralFaces: UNPROCESSABLE_ENTITY, Shared::SeveralFaces.as_str(), "Several faces found in the photo";
    TimedOut: REQUEST_TIMEOUT, "timed_out", "The request timed out";
    TooManyAttacks: TOO_MANY_REQUESTS, Shared::TooManyAttacks.as_str(), "Too many presentation attacks";
    TooManyRequests: TOO_MANY_REQUESTS, "too_many_requests", "Too many requests";
    TooManyPixels: PAYLOAD_TOO_LARGE, Shared::TooManyPixels.as_str(), "The photo has too many pixels";
    UnreadablePhoto: UNPROCESSABLE_ENTITY, Shared::UnreadablePhoto.as_str(), "The photo is corrupt";
    UnsupportedBody: UNSUPPORTED_MEDIA_TYPE, "unsupported_body", "The content type of the request is not supported";
    UnsupportedFormat: UNSUPPORTED_MEDIA_TYPE, Shared::UnsupportedFormat.as_str(), "The photo format is not supported";
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.row().1)
    }
}

impl ToSchema for Code {}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let codes = one_of(Self::ALL.iter().map(|code| code.row().1));
        codes.description(Some("Stable, machine-readable error code.")).into()
    }
}

/// An error response that is not written yet.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub code: Code,
    detail: String,
    reasons: Reasons,
    quality: Option<Quality>,
    /// The source of the error, for the log only.
    pub source: Option<String>,
    /// The value of Retry-After, in seconds.
    retry_after: Option<u64>,
}

impl Problem {
    /// Creates a problem with an explanation that suggests a fix.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            reasons: Reasons::default(),
            quality: None,
            source: None,
            retry_after: None,
        }
    }

    /// Creates the problem of an internal error; only the log contains its source.
    pub(super) fn internal(source: impl std::fmt::Display) -> Self {
        Self {
            source: Some(format!("{source:#}")),
            ..Self::new(
                Code::Internal,
                "the service failed; its log has the cause under this request_id",
            )
        }
    }

    /// Creates the problem of a rate limit; `whose` names the limit.
    pub(super) fn too_many_requests(whose: &str, wait: Duration) -> Self {
        let seconds = wait.as_secs() + 1;
        let detail = format!("the rate limit of {whose} is exceeded; retry after {seconds} s");
        Self { retry_after: Some(seconds), ..Self::new(Code::TooManyRequests, detail) }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Code::Malformed, detail)
    }

    /// Returns the problem for an error status of the framework.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => {
                Self::new(Code::NoSuchRoute, "no resource exists at this path")
            }
            StatusCode::FORBIDDEN => Self::new(
                Code::NotAllowed,
                "cross-origin request refused; a proxy must forward the Host header unchanged \
                 (nginx: proxy_set_header Host $http_host)",
            ),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(Code::MethodNotAllowed, "the Allow header lists the methods of this path")
            }
            StatusCode::REQUEST_TIMEOUT => Self::new(
                Code::TimedOut,
                "the request was not received or processed within the time limit",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(Code::BodyTooLarge, "a photo must be at most 16 MiB")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(Code::UnsupportedBody, "send multipart/form-data or application/json")
            }
            status if status.is_client_error() => {
                Self::malformed("the request could not be parsed")
            }
            status => Self::internal(format!("a bare {status} of the framework")),
        }
    }
}

impl From<Shared> for Code {
    fn from(code: Shared) -> Self {
        match code {
            Shared::AlreadyEnrolled => Self::AlreadyEnrolled,
            Shared::BodyTooLarge => Self::BodyTooLarge,
            Shared::Busy => Self::Busy,
            Shared::Internal => Self::Internal,
            Shared::LooksLikeAnother => Self::LooksLikeAnother,
            Shared::Malformed => Self::Malformed,
            Shared::NoFace => Self::NoFace,
            Shared::NotEnrolled => Self::NotEnrolled,
            Shared::NotReady => Self::NotReady,
            Shared::OtherModel => Self::OtherModel,
            Shared::PoorPhoto => Self::PoorPhoto,
            Shared::PresentationSessionUnknown => Self::PresentationSessionUnknown,
            Shared::PresentationSessionsOff => Self::PresentationSessionsOff,
            Shared::SeveralFaces => Self::SeveralFaces,
            Shared::TooManyAttacks => Self::TooManyAttacks,
            Shared::TooManyPixels => Self::TooManyPixels,
            Shared::UnreadablePhoto => Self::UnreadablePhoto,
            Shared::UnsupportedFormat => Self::UnsupportedFormat,
        }
    }
}

impl From<recognizer::Error> for Problem {
    fn from(error: recognizer::Error) -> Self {
        match (Code::from(error.code()), &error) {
            (Code::Internal, _) => Self::internal(error),
            (code, recognizer::Error::Store(store)) => {
                let detail = if store.is_outdated() {
                    "the master key was rotated: use another replica, and restart this one with the new key"
                } else if store.is_away() {
                    "the database is unreachable; retry later"
                } else {
                    "the database is locked by another process; retry later"
                };
                Self { source: Some(error.to_string()), ..Self::new(code, detail) }
            }
            (code, recognizer::Error::PoorPhoto { reasons, quality }) => Self {
                reasons: reasons.into(),
                quality: Some(Quality(*quality)),
                ..Self::new(code, error.to_string())
            },
            (code, recognizer::Error::TooManyAttacks { wait }) => {
                Self { retry_after: Some(wait.as_secs() + 1), ..Self::new(code, error.to_string()) }
            }
            (code, _) => Self::new(code, error.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, ..) = self.code.row();
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// An error response (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body<'a> {
    /// `urn:likeness:problem:` followed by the code.
    r#type: String,
    /// Human-readable summary of the code; constant for each code.
    title: &'static str,
    /// HTTP status code of the response.
    status: u16,
    code: Code,
    /// Explanation of this occurrence, with a suggested fix.
    detail: &'a str,
    /// Quality defects of the photo; only with the code `poor_photo`.
    #[serde(skip_serializing_if = "Reasons::is_empty")]
    #[schema(value_type = Reasons, required = false)]
    reasons: &'a Reasons,
    /// Only with the code `poor_photo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    quality: Option<Quality>,
    /// Identifies the request in the log; the same as the `X-Request-Id` header.
    request_id: &'a str,
}

/// Writes error responses as problem documents.
pub(super) async fn render(request: Request, next: Next) -> Response {
    let id = request_id(&request).to_owned();
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = response.extensions().get::<Problem>().cloned();
    let problem = problem.unwrap_or_else(|| Problem::of_status(status));
    let (status, slug, title) = problem.code.row();
    let body = Body {
        r#type: format!("urn:likeness:problem:{slug}"),
        title,
        status: status.as_u16(),
        code: problem.code,
        detail: &problem.detail,
        reasons: &problem.reasons,
        quality: problem.quality,
        request_id: &id,
    };
    let mut rendered = (status, Json(body)).into_response();
    let headers = rendered.headers_mut();
    // Headers of the framework stay, such as Allow.
    for (name, value) in response.headers() {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    let at_once = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
    if let Some(seconds) = problem.retry_after.or(at_once) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert("www-authenticate", HeaderValue::from_static("Bearer"));
    }
    rendered.extensions_mut().insert(problem);
    rendered
}
