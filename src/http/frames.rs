//! The frames of a presentation session in a request: a form with repeated fields, or JSON with arrays.

use std::fmt;
use std::marker::PhantomData;

use axum::extract::multipart::Multipart;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::payload::{self, BodyKind};
use super::problem::Problem;
use crate::presentation::FRAMES;
use crate::recognizer::TimedPhoto;

/// The names of the fields.
const FRAME: &str = "frame";
const AT_MS: &str = "at_ms";

/// The frames of a request, in the order of their times.
#[derive(Debug)]
pub(super) struct Frames(pub(super) Vec<TimedPhoto>);

impl<S: Send + Sync> FromRequest<S> for Frames {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match BodyKind::of(&request)? {
            BodyKind::Form => {
                let parts = Multipart::from_request(request, state).await;
                Self::from_parts(parts.map_err(|e| Problem::malformed(e.body_text()))?).await
            }
            BodyKind::Json => Self::from_json(&payload::collected(request).await?),
        }
    }
}

impl Frames {
    async fn from_parts(mut parts: Multipart) -> Result<Self, Problem> {
        let (mut photos, mut times) = (Vec::new(), Vec::new());
        while let Some(mut part) = parts.next_field().await.map_err(|e| payload::refused(&e))? {
            let name = part.name().unwrap_or_default().to_owned();
            let value = payload::value_of(&mut part).await?;
            let count = match name.as_str() {
                FRAME => {
                    photos.push(value);
                    photos.len()
                }
                AT_MS => {
                    let time = str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
                    times.push(time.ok_or_else(no_time)?);
                    times.len()
                }
                _ => return Err(Problem::malformed(format!("unknown field {name:?}"))),
            };
            if count > *FRAMES.end() {
                return Err(wrong_number());
            }
        }
        Self::new(photos, times)
    }

    fn from_json(body: &Bytes) -> Result<Self, Problem> {
        let Object { frame, at_ms } = serde_json::from_slice(payload::json_text(body)?)
            .map_err(|e| Problem::malformed(format!("the body is not valid JSON: {e}")))?;
        let photo = |json: &RawValue| payload::photo_in(json.get().as_bytes(), FRAME);
        let photos = frame.0.into_iter().map(photo).collect::<Result<_, _>>()?;
        // In JSON Schema, 500.0 is an integer.
        let time = |time: f64| {
            let is_time = time.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&time);
            is_time.then_some(time as u32).ok_or_else(no_time)
        };
        Self::new(photos, at_ms.0.into_iter().map(time).collect::<Result<_, _>>()?)
    }

    fn new(photos: Vec<Bytes>, times: Vec<u32>) -> Result<Self, Problem> {
        if photos.len() != times.len() || !FRAMES.contains(&photos.len()) {
            return Err(wrong_number());
        }
        if !times.is_sorted_by(|a, b| a < b) {
            return Err(Problem::malformed("each at_ms must be greater than the one before"));
        }
        let frames = photos.into_iter().zip(times);
        Ok(Self(frames.map(|(photo, at_ms)| TimedPhoto { photo, at_ms }).collect()))
    }
}

fn wrong_number() -> Problem {
    let (least, most) = (FRAMES.start(), FRAMES.end());
    Problem::malformed(format!("send {least} to {most} frames, and an at_ms for each"))
}

fn no_time() -> Problem {
    Problem::malformed("at_ms must be an integer: milliseconds since the session was opened")
}

/// The JSON body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow)]
    frame: Bounded<&'a RawValue>,
    at_ms: Bounded<f64>,
}

/// An array of at most as many items as there may be frames; a longer one is refused before it is built.
struct Bounded<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bounded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundedVisitor(PhantomData))
    }
}

struct BoundedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for BoundedVisitor<T> {
    type Value = Bounded<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bounded<T>, A::Error> {
        let mut bounded = Vec::new();
        while let Some(item) = items.next_element()? {
            if bounded.len() == *FRAMES.end() {
                return Err(A::Error::custom("there are too many frames"));
            }
            bounded.push(item);
        }
        Ok(Bounded(bounded))
    }
}
