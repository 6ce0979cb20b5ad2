//! The fields of a request, from `multipart/form-data` or JSON.
//!
//! A route takes the fields that it knows, each parsed into its type. [`Form::finish`] refuses the
//! others, so that a misspelled field is an error.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use axum::extract::multipart::Multipart;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::payload::{BodyKind, collected, json_text, photo_in, refused, value_of};
use super::problem::Problem;
use crate::employee::{EmployeeId, parse_expiry};

/// Maximum number of fields; no route has as many.
const MOST_FIELDS: usize = 16;

/// Maximum size of a field's name, and of a value that is not a photo, in bytes.
const MOST_TEXT_BYTES: usize = 1024;

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
        match BodyKind::of(&request)? {
            BodyKind::Form => {
                let parts = Multipart::from_request(request, state).await;
                Self::from_parts(parts.map_err(|e| Problem::malformed(e.body_text()))?).await
            }
            BodyKind::Json => Self::from_json(&collected(request).await?),
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
            let value = value_of(&mut part).await?;
            form.insert(name, Field::Part(value)).map_err(Problem::malformed)?;
        }
        Ok(form)
    }

    fn from_json(body: &Bytes) -> Result<Self, Problem> {
        let Members(members) = serde_json::from_slice(json_text(body)?)
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
        match self.required(name)? {
            Field::Part(bytes) => Ok(bytes),
            Field::Member(json) => photo_in(&json, name),
        }
    }

    /// Takes the `employee_id`; required.
    pub(super) fn employee_id(&mut self) -> Result<EmployeeId, Problem> {
        employee_in(self.required("employee_id")?)
    }

    /// Takes the `employee_id`; optional.
    pub(super) fn optional_employee_id(&mut self) -> Result<Option<EmployeeId>, Problem> {
        self.optional("employee_id").map(employee_in).transpose()
    }

    /// Takes a text; optional.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let Some(field) = self.optional(name) else { return Ok(None) };
        let text = field.text().map(Some);
        text.ok_or_else(|| Problem::malformed(format!("{name} must be a string")))
    }

    /// Returns whether a field is left that is not empty.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|field| !field.is_empty())
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

fn employee_in(field: Field) -> Result<EmployeeId, Problem> {
    let text = field.text().ok_or_else(|| Problem::malformed("employee_id must be a string"))?;
    EmployeeId::parse(&text).map_err(|e| Problem::malformed(e.to_string()))
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
