//! The fields of a request, from `multipart/form-data` or JSON.
//!
//! A route takes the fields that it knows, each parsed into its type. [`Form::finish`] refuses the
//! others, so that a misspelled field is an error.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::error::Error;
use std::fmt;

use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::{BoxError, RequestExt};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tower_http::timeout::TimeoutError;

use super::buffer::Buffer;
use super::photo_text;
use super::problem::{Code, Problem};
use crate::employee::{EmployeeId, parse_expiry};

/// Maximum size of a photo, in bytes.
pub(super) const MOST_PHOTO_BYTES: usize = 16 * 1024 * 1024;

/// Maximum overhead of multipart or JSON around the photos, in bytes.
const MOST_OTHER_BYTES: usize = 64 * 1024;

/// Returns the maximum size of the body of a request with this number of photos, in bytes; base64
/// adds a third.
pub(super) const fn most_body_bytes(photos: usize) -> usize {
    photos * MOST_PHOTO_BYTES.div_ceil(3) * 4 + MOST_OTHER_BYTES
}

/// Maximum number of fields; no route has as many.
const MOST_FIELDS: usize = 16;

/// Maximum size of a field's name, and of a value that is not a photo, in bytes.
const MOST_TEXT_BYTES: usize = 1024;

/// The error of a body for which the memory budget is exhausted.
#[derive(Debug, thiserror::Error)]
#[error("no memory left for request bodies")]
pub(super) struct NoRoom;

/// The fields that are not taken yet, by name.
#[derive(Debug, Default)]
pub(super) struct Form(BTreeMap<String, Field>);

#[derive(Debug)]
enum Field {
    /// A part of a multipart body.
    Part(Bytes),
    /// A member of a JSON object, as JSON text: a string, a number, true, false or null.
    Member(Bytes),
}

impl Field {
    /// Returns whether the field counts as missing: null or an empty value.
    fn is_empty(&self) -> bool {
        match self {
            Self::Part(value) => value.is_empty(),
            Self::Member(json) => json == "null",
        }
    }

    fn text(self) -> Option<String> {
        match self {
            Self::Part(value) if value.len() <= MOST_TEXT_BYTES => {
                String::from_utf8(value.into()).ok()
            }
            Self::Member(json) if json.len() <= MOST_TEXT_BYTES => {
                serde_json::from_slice(&json).ok()
            }
            _ => None,
        }
    }
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
            Self::from_json(&collected(request).await.map_err(|error| {
                of_body(&*error).unwrap_or_else(|| {
                    Problem::malformed("the body is shorter than its Content-Length")
                })
            })?)
        } else {
            Err(Problem::new(
                Code::UnsupportedBody,
                "send multipart/form-data, or application/json with photos in base64",
            ))
        }
    }
}

impl Form {
    async fn from_parts(mut parts: Multipart) -> Result<Self, Problem> {
        let mut form = Self::default();
        while let Some(mut part) = parts.next_field().await.map_err(|e| refused(&e))? {
            let Some(name) = part.name().map(ToOwned::to_owned) else {
                return Err(Problem::malformed("a part of the form has no name"));
            };
            let mut value = Buffer::new(MOST_PHOTO_BYTES);
            while let Some(piece) = part.chunk().await.map_err(|e| refused(&e))? {
                if !value.append(&piece).map_err(Problem::internal)? {
                    return Err(too_large());
                }
            }
            form.insert(name, Field::Part(value.into_bytes())).map_err(Problem::malformed)?;
        }
        Ok(form)
    }

    fn from_json(body: &Bytes) -> Result<Self, Problem> {
        if body.starts_with(&[0xFE, 0xFF]) || body.starts_with(&[0xFF, 0xFE]) {
            return Err(Problem::malformed(
                "the body is UTF-16; send JSON in UTF-8 (RFC 8259, section 8.1)",
            ));
        }
        let text = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
        let Members(members) = serde_json::from_slice(text)
            .map_err(|e| Problem::malformed(format!("the body is not a valid JSON object: {e}")))?;
        let mut form = Self::default();
        for (name, value) in members {
            let json = body.slice_ref(value.get().as_bytes());
            form.insert(name, Field::Member(json)).map_err(Problem::malformed)?;
        }
        Ok(form)
    }

    fn insert(&mut self, name: String, field: Field) -> Result<(), String> {
        if self.0.len() == MOST_FIELDS || name.len() > MOST_TEXT_BYTES {
            return Err("too many fields, or a field name is too long".to_owned());
        }
        match self.0.entry(name) {
            Entry::Vacant(place) => {
                place.insert(field);
                Ok(())
            }
            Entry::Occupied(place) => Err(format!("duplicate field {:?}", place.key())),
        }
    }

    /// Takes a photo; required.
    pub(super) fn photo(&mut self, name: &str) -> Result<Bytes, Problem> {
        let photo = match self.required(name)? {
            Field::Part(bytes) => bytes,
            Field::Member(json) => {
                photo_text::decode(&json, MOST_PHOTO_BYTES).map_err(|error| match error {
                    photo_text::Refused::TooLarge => too_large(),
                    photo_text::Refused::Memory(error) => Problem::internal(error),
                    _ => Problem::malformed(format!("{name} {error}")),
                })?
            }
        };
        Ok(photo)
    }

    /// Takes the `employee_id`; required.
    pub(super) fn employee_id(&mut self) -> Result<EmployeeId, Problem> {
        let text = self.required("employee_id")?.text();
        let text = text.ok_or_else(|| Problem::malformed("employee_id must be a string"))?;
        EmployeeId::parse(&text).map_err(|e| Problem::malformed(e.to_string()))
    }

    /// Takes the expiry of an enrollment; optional.
    pub(super) fn later(
        &mut self,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Problem> {
        let Some(field) = self.optional(name) else { return Ok(None) };
        let time = parse_expiry(&field.text().unwrap_or_default(), now);
        time.map(Some).map_err(|reason| Problem::malformed(format!("{name} {reason}")))
    }

    /// Takes a Boolean; false if it is missing.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        let Some(Field::Part(word) | Field::Member(word)) = self.optional(name) else {
            return Ok(false);
        };
        match &*word {
            b"true" => Ok(true),
            b"false" => Ok(false),
            _ => Err(Problem::malformed(format!("{name} must be true or false"))),
        }
    }

    /// Takes one of some words; the first one where it is missing.
    pub(super) fn word<const N: usize>(
        &mut self,
        name: &str,
        words: [&'static str; N],
    ) -> Result<&'static str, Problem> {
        let Some(field) = self.optional(name) else { return Ok(words[0]) };
        let text = field.text().unwrap_or_default();
        words.into_iter().find(|word| *word == text).ok_or_else(|| {
            Problem::malformed(format!("{name} must be one of: {}", words.join(", ")))
        })
    }

    /// Takes an integer; `default` if it is missing.
    pub(super) fn number(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32, Problem> {
        let number = match self.optional(name) {
            None => return Ok(default),
            Some(Field::Part(text)) => str::from_utf8(&text).ok().and_then(|t| t.parse().ok()),
            // In JSON Schema, 5.0 is an integer.
            Some(Field::Member(json)) => serde_json::from_slice(&json)
                .ok()
                .filter(|n: &f64| n.fract() == 0.0 && *n >= 0.0)
                .map(|n| n as u32),
        };
        number.filter(|n| range.contains(n)).ok_or_else(|| {
            let (least, most) = range.into_inner();
            Problem::malformed(format!("{name} must be an integer from {least} to {most}"))
        })
    }

    /// Refuses fields that were not taken.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(Problem::malformed(format!("unknown field {name:?}"))),
        }
    }

    /// Takes an optional field; null and an empty value count as missing.
    fn optional(&mut self, name: &str) -> Option<Field> {
        self.0.remove(name).filter(|field| !field.is_empty())
    }

    fn required(&mut self, name: &str) -> Result<Field, Problem> {
        let field = self
            .0
            .remove(name)
            .filter(|field| !matches!(field, Field::Member(json) if json == "null"));
        field.ok_or_else(|| Problem::malformed(format!("missing field {name}")))
    }
}

/// The members of a JSON object in order, each value as JSON text. Arrays and objects are refused
/// without being built.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        use serde::de::Error as _;
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            if members.len() == MOST_FIELDS {
                return Err(A::Error::custom("there are too many members"));
            }
            let value = map.next_value::<&RawValue>()?;
            if value.get().starts_with(['[', '{']) {
                let what = "a field must not be an array or an object";
                return Err(A::Error::custom(what));
            }
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

/// The name of a member. A name that is too long is refused before it is copied.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
                if name.len() > MOST_TEXT_BYTES {
                    return Err(E::custom("a member's name is too long"));
                }
                Ok(Name(name.to_owned()))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// Collects the body, up to its limit, with one copy.
async fn collected(request: Request) -> Result<Bytes, BoxError> {
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
    Problem::new(Code::BodyTooLarge, "a photo may have at most 16 MiB")
}

fn refused(error: &MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    of_body(error).unwrap_or_else(|| {
        Problem::malformed(format!("the form cannot be parsed: {}", error.body_text()))
    })
}
