//! Reads request bodies: their kind, photos within their limits, and what fails.

use std::error::Error;

use axum::extract::Request;
use axum::extract::multipart::{Field, MultipartError};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::{BoxError, RequestExt};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError};
use tower_http::timeout::TimeoutError;

use super::buffer::Buffer;
use super::photo_text;
use super::problem::{Code, Problem};

/// Maximum size of a photo, in bytes.
pub const MOST_PHOTO_BYTES: usize = 16 * 1024 * 1024;

/// Maximum overhead of multipart or JSON around the photos, in bytes.
const MOST_OTHER_BYTES: usize = 64 * 1024;

/// Returns the maximum size of the body of a request with this number of photos, in bytes; base64
/// adds a third.
pub(super) const fn most_body_bytes(photos: usize) -> usize {
    photos * MOST_PHOTO_BYTES.div_ceil(3) * 4 + MOST_OTHER_BYTES
}

/// The error of a body for which the memory budget is exhausted.
#[derive(Debug, thiserror::Error)]
#[error("no memory left for request bodies")]
pub(super) struct NoRoom;

/// The content types of fields.
#[derive(Clone, Copy, Debug)]
pub(super) enum BodyKind {
    Form,
    Json,
}

impl BodyKind {
    pub(super) fn of(request: &Request) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("multipart/form-data") {
            Ok(Self::Form)
        } else if essence.eq_ignore_ascii_case("application/json") {
            Ok(Self::Json)
        } else {
            Err(Problem::new(
                Code::UnsupportedBody,
                "send multipart/form-data, or application/json with photos in base64",
            ))
        }
    }
}

/// Decodes a photo from a JSON string with its quotes.
pub(super) fn photo_in(json: &[u8], name: &str) -> Result<Bytes, Problem> {
    photo_text::decode(json, MOST_PHOTO_BYTES).map_err(|error| match error {
        photo_text::Refused::TooLarge => too_large(),
        photo_text::Refused::Memory(error) => Problem::internal(error),
        _ => Problem::malformed(format!("{name} {error}")),
    })
}

/// Returns the text of a JSON body, without a byte order mark.
pub(super) fn json_text(body: &[u8]) -> Result<&[u8], Problem> {
    if body.starts_with(&[0xFE, 0xFF]) || body.starts_with(&[0xFF, 0xFE]) {
        let why = "the body is UTF-16; send JSON in UTF-8 (RFC 8259, section 8.1)";
        return Err(Problem::malformed(why));
    }
    Ok(body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body))
}

/// Reads the value of a part.
pub(super) async fn value_of(part: &mut Field<'_>) -> Result<Bytes, Problem> {
    let mut value = Buffer::new(MOST_PHOTO_BYTES);
    while let Some(piece) = part.chunk().await.map_err(|e| refused(&e))? {
        if !value.append(&piece).map_err(Problem::internal)? {
            return Err(too_large());
        }
    }
    Ok(value.into_bytes())
}

/// Collects the body, up to its limit, with one copy.
pub(super) async fn collected(request: Request) -> Result<Bytes, Problem> {
    let cut_off = || Problem::malformed("the body is shorter than its Content-Length");
    pieces(request).await.map_err(|error| of_body(&*error).unwrap_or_else(cut_off))
}

async fn pieces(request: Request) -> Result<Bytes, BoxError> {
    let mut body = request.into_limited_body();
    let mut bytes = Buffer::new(most_body_bytes(2));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data()
            && !bytes.append(&data)?
        {
            return Err(Box::new(TooLarge));
        }
    }
    Ok(bytes.into_bytes())
}

/// The error of a body above the size limit.
#[derive(Debug, thiserror::Error)]
#[error("the body is too large")]
struct TooLarge;

/// Returns the problem for a body's error; `None` if the connection failed.
fn of_body(error: &(dyn Error + 'static)) -> Option<Problem> {
    if error.is::<TimeoutError>() {
        Some(Problem::new(Code::TimedOut, "the rest of the body did not come in time"))
    } else if error.is::<NoRoom>() {
        Some(Problem::new(Code::Busy, "too many large requests at once; retry later"))
    } else if error.is::<LengthLimitError>() || error.is::<TooLarge>() {
        Some(too_large())
    } else {
        error.source().and_then(of_body)
    }
}

fn too_large() -> Problem {
    let limits =
        "a photo may have at most 16 MiB, the frames of a presentation session 32 MiB together";
    Problem::new(Code::BodyTooLarge, limits)
}

pub(super) fn refused(error: &MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    of_body(error).unwrap_or_else(|| {
        Problem::malformed(format!("the form cannot be parsed: {}", error.body_text()))
    })
}
