//! The fields of a request, from `multipart/form-data` or JSON alike.
//!
//! A route takes the fields that it knows, each into its type; [`Form::finish`] refuses what is
//! left, so that a misspelt field is an error and never ignored.

use std::collections::BTreeMap;
use std::error::Error;

use axum::body::Body;
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tower_http::timeout::TimeoutError;

use super::problem::{Code, Problem};
use crate::employee::EmployeeId;

/// One photo has at most this many bytes.
pub(super) const MOST_PHOTO_BYTES: usize = 16 * 1024 * 1024;

/// What multipart or JSON adds around the photos.
const MOST_OTHER_BYTES: usize = 64 * 1024;

/// The body of a request with `photos` photos has at most this many bytes; base64 adds a third.
pub(super) const fn most_body_bytes(photos: usize) -> usize {
    photos * MOST_PHOTO_BYTES.div_ceil(3) * 4 + MOST_OTHER_BYTES
}

/// Fields by name, not yet taken.
#[derive(Debug)]
pub(super) struct Form(BTreeMap<String, Field>);

#[derive(Debug)]
enum Field {
    /// A part of a multipart body.
    Part(Bytes),
    /// A member of a JSON object.
    Member(Value),
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("multipart/form-data") {
            let parts = Multipart::from_request(request, state).await;
            Self::from_parts(parts.map_err(|e| Problem::malformed(e.body_text()))?).await
        } else if essence.eq_ignore_ascii_case("application/json") {
            let body = Bytes::from_request(request.map(Body::new), state).await;
            Self::from_json(&body.map_err(|rejection| {
                if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                    too_large()
                } else if fell_silent(&rejection) {
                    too_slow()
                } else {
                    Problem::malformed("the body ended before its announced length")
                }
            })?)
        } else {
            Err(Problem::new(
                Code::UnsupportedBody,
                "send multipart/form-data, or application/json with each photo in base64",
            ))
        }
    }
}

impl Form {
    async fn from_parts(mut parts: Multipart) -> Result<Self, Problem> {
        let mut fields = BTreeMap::new();
        while let Some(part) = parts.next_field().await.map_err(|e| refused(&e))? {
            let Some(name) = part.name().map(ToOwned::to_owned) else {
                return Err(Problem::malformed("a part of the form has no name"));
            };
            let value = part.bytes().await.map_err(|e| refused(&e))?;
            if value.len() > MOST_PHOTO_BYTES {
                return Err(too_large());
            }
            if fields.insert(name.clone(), Field::Part(value)).is_some() {
                return Err(Problem::malformed(format!("the field {name:?} is there twice")));
            }
        }
        Ok(Self(fields))
    }

    fn from_json(body: &[u8]) -> Result<Self, Problem> {
        let fields: BTreeMap<String, Value> = serde_json::from_slice(body)
            .map_err(|e| Problem::malformed(format!("the body is no JSON object: {e}")))?;
        Ok(Self(fields.into_iter().map(|(name, value)| (name, Field::Member(value))).collect()))
    }

    /// Takes a photo, which must be there.
    pub(super) fn photo(&mut self, name: &str) -> Result<Bytes, Problem> {
        let photo = match self.required(name)? {
            Field::Part(bytes) => bytes,
            Field::Member(Value::String(text)) => BASE64
                .decode(text)
                .map_err(|e| Problem::malformed(format!("{name} is not base64: {e}")))?
                .into(),
            Field::Member(_) => {
                return Err(Problem::malformed(format!("{name} must be a photo in base64")));
            }
        };
        if photo.len() > MOST_PHOTO_BYTES { Err(too_large()) } else { Ok(photo) }
    }

    /// Takes the `employee_id`, which must be there.
    pub(super) fn employee_id(&mut self) -> Result<EmployeeId, Problem> {
        let text = match self.required("employee_id")? {
            Field::Part(bytes) => String::from_utf8(bytes.into()).ok(),
            Field::Member(Value::String(text)) => Some(text),
            Field::Member(_) => None,
        };
        let text = text.ok_or_else(|| Problem::malformed("employee_id must be text"))?;
        EmployeeId::parse(&text).map_err(|e| Problem::malformed(e.to_string()))
    }

    /// Takes a time (RFC 3339) later than `now`, if it is there.
    pub(super) fn later(
        &mut self,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Problem> {
        let text = match self.0.remove(name) {
            None => return Ok(None),
            Some(Field::Part(bytes)) => String::from_utf8(bytes.into()).ok(),
            Some(Field::Member(Value::String(text))) => Some(text),
            Some(Field::Member(_)) => None,
        };
        let time = text.and_then(|text| text.parse::<Timestamp>().ok()).filter(|time| *time > now);
        let time = time.ok_or_else(|| {
            Problem::malformed(format!("{name} must be a time to come, like 2030-12-31T18:00:00Z"))
        })?;
        Ok(Some(time))
    }

    /// Takes a yes or no; no where it is missing.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(Field::Part(text)) if &*text == b"true" => Ok(true),
            Some(Field::Part(text)) if &*text == b"false" => Ok(false),
            Some(Field::Member(Value::Bool(flag))) => Ok(flag),
            Some(_) => Err(Problem::malformed(format!("{name} must be true or false"))),
        }
    }

    /// Takes a number; `default` where it is missing.
    pub(super) fn number(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32, Problem> {
        let number = match self.0.remove(name) {
            None => return Ok(default),
            Some(Field::Part(text)) => str::from_utf8(&text).ok().and_then(|t| t.parse().ok()),
            // To JSON Schema 5.0 is an integer too.
            Some(Field::Member(value)) => {
                value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as u32)
            }
        };
        number.filter(|n| range.contains(n)).ok_or_else(|| {
            let (least, most) = range.into_inner();
            Problem::malformed(format!("{name} must be a number from {least} to {most}"))
        })
    }

    /// Refuses fields that nobody took.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(Problem::malformed(format!("there is no field {name:?} here"))),
        }
    }

    fn required(&mut self, name: &str) -> Result<Field, Problem> {
        let field = self.0.remove(name);
        field.ok_or_else(|| Problem::malformed(format!("the field {name} is missing")))
    }
}

/// Whether the body's own clock ended it.
fn fell_silent(error: &(dyn Error + 'static)) -> bool {
    error.is::<TimeoutError>() || error.source().is_some_and(fell_silent)
}

fn too_slow() -> Problem {
    Problem::new(Code::TimedOut, "the rest of the body did not come in time")
}

fn too_large() -> Problem {
    Problem::new(Code::BodyTooLarge, "a photo may have at most 16 MiB")
}

fn refused(error: &MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        too_large()
    } else if fell_silent(error) {
        too_slow()
    } else {
        Problem::malformed(format!("the form cannot be read: {}", error.body_text()))
    }
}
