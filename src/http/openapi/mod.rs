//! `GET /openapi.json`: the API description, as OpenAPI 3.1.
//!
//! It is generated at the start from the code that serves: paths, responses and problems of a route
//! are above its handler, schemas are those of the parsed and written types, and roles come from
//! the guard. This module adds what many routes share.

#![expect(unused_qualifications, reason = "what utoipa makes of `schemas`")]

use std::collections::{BTreeMap, BTreeSet};

use axum::Extension;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
use utoipa::{OpenApi, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::payload;
use super::problem::{Body, Code};
use crate::access::{Right, Role};
use crate::photo::PhotoLimits;

/// Problems of every call.
const ANYWHERE: &[Code] =
    &[Code::NotAllowed, Code::TooManyRequests, Code::TimedOut, Code::Internal, Code::Busy];

/// Problems of calls that require a key, or a ready service.
const GUARDED: &[Code] = &[Code::NoKey, Code::NotReady];

/// Problems of calls with photos.
const WITH_PHOTOS: &[Code] = &[
    Code::Malformed,
    Code::BodyTooLarge,
    Code::TooManyPixels,
    Code::UnsupportedBody,
    Code::UnsupportedFormat,
    Code::UnreadablePhoto,
    Code::NoFace,
];

/// The description of the security scheme.
const KEYS: &str = "API key created by `likeness keys add`; until the first one is added, the local credential in `local.header` in the data directory.";

/// The field that takes the place of a photo.
const SESSION: &str = "presentation_session";

/// Examples of responses, by operation and status, and of schemas; the people are generated.
const EXAMPLES: &str = include_str!("examples.json");

#[derive(OpenApi)]
#[openapi(
    info(title = "likeness", description = include_str!("about.md")),
    tags(
        (name = "Recognition", description = "Verify and identify employees, for example at a door, a time clock or a help desk."),
        (name = "Enrollment", description = "Manage the enrolled employees."),
        (name = "Operation", description = "Health, metrics and documentation, for operators."),
    ),
    components(schemas(Body<'_>)),
)]
struct Head;

/// Returns a router without routes, with the head of the description.
pub(super) fn head<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::with_openapi(Head::openapi())
}

/// Adds to each operation the roles that may call it.
pub(super) fn say_who_may(described: &mut utoipa::openapi::OpenApi, right: Right) {
    let roles = Role::ALL.into_iter().filter(|role| role.may(right));
    let keys: Vec<_> = roles.map(|role| SecurityRequirement::new("key", [role.as_str()])).collect();
    for item in described.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten() {
            operation.security = Some(keys.clone());
        }
    }
}

/// Schema of a photo in base64.
pub(super) enum Photo {}

impl ToSchema for Photo {}

impl PartialSchema for Photo {
    fn schema() -> RefOr<Schema> {
        let bytes = payload::MOST_PHOTO_BYTES;
        let PhotoLimits { max_pixels, max_side, .. } = PhotoLimits::default();
        let about = format!(
            "JPEG, PNG or WebP with a prominent face; at most {} MiB, {} megapixels and {max_side} pixels per side.",
            bytes / 1024 / 1024,
            max_pixels / 1_000_000,
        );
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.format(Some(SchemaFormat::KnownFormat(KnownFormat::Byte)))
            .content_encoding("base64")
            .max_length(Some(bytes.div_ceil(3) * 4))
            .description(Some(about))
            .into()
    }
}

/// The complete document.
#[derive(Clone)]
pub(super) struct Description(Bytes);

impl Description {
    /// Completes the description that the handlers gave.
    pub(super) fn of(described: &utoipa::openapi::OpenApi) -> Self {
        let examples: Value = serde_json::from_str(EXAMPLES).expect("a file of ours is JSON");
        let mut document = json!(described);
        let mut schemas = document["components"]["schemas"].take();
        schemas["PhotoFile"] = json!({
            "type": "string",
            "format": "binary",
            "description": schemas["Photo"]["description"],
        });
        schemas["Problem"]["examples"] = json!([examples["Problem"]]);
        let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
        for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
            add_problems(operation);
            offer_a_form(operation, &mut schemas);
            show_examples(operation, &examples);
        }
        document["components"] = json!({
            "schemas": schemas,
            "headers": headers(),
            "securitySchemes": { "key": {
                "type": "http",
                "scheme": "bearer",
                "description": KEYS,
            } },
        });
        Self(document.to_string().into())
    }
}

/// Returns the headers that many responses share.
fn headers() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "RequestId": {
            "description": "Identifies the request in the log; taken from the request if present",
            "schema": text,
        },
        "RetryAfter": {
            "description": "Seconds to wait before retrying",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "ServerTiming": { "description": "Time of each processing stage, in milliseconds", "schema": text },
        "Authenticate": { "description": "Bearer", "schema": text },
    })
}

/// Adds a response for each status of the operation's problems, with their codes.
fn add_problems(operation: &mut Value) {
    let own = operation.as_object_mut().and_then(|operation| operation.remove("x-problems"));
    let own = own.unwrap_or_default();
    let guarded = if operation["security"].is_null() { &[] } else { GUARDED };
    let with_photos = if operation["requestBody"].is_null() { &[] } else { WITH_PHOTOS };
    let mut by_status = BTreeMap::<StatusCode, BTreeSet<_>>::new();
    for &code in Code::ALL {
        let (status, slug, title) = code.row();
        let is_own = own.as_array().is_some_and(|own| own.iter().any(|name| name == slug));
        if is_own || [ANYWHERE, guarded, with_photos].iter().any(|codes| codes.contains(&code)) {
            by_status.entry(status).or_default().insert((slug, title));
        }
    }
    for answer in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        answer["headers"]["X-Request-Id"] = reference("headers/RequestId");
        if !with_photos.is_empty() {
            answer["headers"]["Server-Timing"] = reference("headers/ServerTiming");
        }
    }
    for (status, codes) in by_status {
        operation["responses"][status.as_str()] = problem(status, &codes);
    }
}

/// Returns the response of a status with these codes.
fn problem(status: StatusCode, codes: &BTreeSet<(&str, &str)>) -> Value {
    let told: Vec<_> = codes.iter().map(|(slug, title)| format!("{title}: `{slug}`")).collect();
    let slugs: Vec<_> = codes.iter().map(|(slug, _)| slug).collect();
    let mut headers = json!({ "X-Request-Id": reference("headers/RequestId") });
    match status {
        StatusCode::UNAUTHORIZED => headers["WWW-Authenticate"] = reference("headers/Authenticate"),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            headers["Retry-After"] = reference("headers/RetryAfter");
        }
        _ => {}
    }
    let mut schema = reference("schemas/Problem");
    schema["properties"] = json!({ "code": { "enum": slugs } });
    json!({
        "description": told.join("; "),
        "headers": headers,
        "content": { "application/problem+json": { "schema": schema } },
    })
}

/// Adds the form variant of a JSON body, with each photo as a file. Neither variant allows
/// additional fields. An optional field may be null in JSON, and empty in a form.
fn offer_a_form(operation: &mut Value, schemas: &mut Value) {
    let Some(content) = operation.pointer_mut("/requestBody/content") else { return };
    let named = content["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
    let name = named.rsplit('/').next().unwrap_or_default().to_owned();
    schemas[&name]["additionalProperties"] = json!(false);
    let is_choice = !schemas[&name]["properties"][SESSION].is_null();
    let mut form = schemas[&name].clone();
    let required = form["required"].clone();
    let is_optional = |name: &str| {
        let is_required = required.as_array().is_some_and(|all| all.contains(&json!(name)));
        // Beside a session, a photo is left out, not empty.
        let is_photo = is_choice && name == "photo";
        !is_required && !is_photo
    };
    for (name, field) in form["properties"].as_object_mut().into_iter().flatten() {
        if *field == reference("schemas/Photo") {
            *field = reference("schemas/PhotoFile");
        } else if field["items"] == reference("schemas/Photo") {
            field["items"] = reference("schemas/PhotoFile");
        } else if field["type"] == "boolean" {
            // Form fields are text, and some clients would write True.
            field["type"] = json!("string");
            field["enum"] = json!(["false", "true"]);
            field["default"] = json!("false");
        }
        if is_optional(name) {
            *field = json!({ "anyOf": [field.take(), { "type": "string", "maxLength": 0 }] });
        }
    }
    schemas[format!("{name}Form")] = form;
    if is_choice {
        // Either of the two; generators of clients pass over this, but make nothing of a `oneOf`.
        let is_given = json!({ SESSION: { "type": "string" } });
        schemas[&name]["if"] = json!({ "required": [SESSION], "properties": is_given });
        schemas[&name]["then"] = json!({ "properties": { "photo": false } });
        schemas[&name]["else"] = json!({ "required": ["photo"] });
    }
    for (name, field) in schemas[&name]["properties"].as_object_mut().into_iter().flatten() {
        if is_optional(name) && !field["$ref"].is_null() {
            *field = json!({ "anyOf": [field.take(), { "type": "null" }] });
        } else if is_optional(name) {
            field["type"] = json!([field["type"].take(), "null"]);
            if let Some(words) = field.get_mut("enum").and_then(Value::as_array_mut) {
                words.push(Value::Null);
            }
        }
    }
    let schema = reference(&format!("schemas/{name}Form"));
    content["multipart/form-data"] = json!({ "schema": schema });
}

/// Adds the operation's examples to its request and responses.
fn show_examples(operation: &mut Value, examples: &Value) {
    let name = operation["operationId"].as_str().unwrap_or_default();
    for (status, example) in examples[name].as_object().into_iter().flatten() {
        let answer = &mut operation["responses"][status];
        answer["content"]["application/json"]["example"] = example.clone();
    }
}

fn reference(component: &str) -> Value {
    json!({ "$ref": format!("#/components/{component}") })
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "Operation",
    responses((status = OK, description = "OpenAPI 3.1 document, also shown at `/docs`", body = Value)),
)]
pub(super) async fn openapi(Extension(Description(document)): Extension<Description>) -> Response {
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}
