//! The fields of a request.

#[path = "../../../src/http/form.rs"]
mod form;
#[path = "../../../src/http/buffer.rs"]
mod buffer;
#[path = "../../../src/http/payload.rs"]
mod payload;
#[path = "../../../src/http/photo_text.rs"]
mod photo_text;
mod problem;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use serde_json::json;

use self::form::Form;
use self::problem::Problem;

/// What a route takes from a form.
#[derive(Debug, Eq, PartialEq)]
struct Fields {
    employee: Option<String>,
    photo: Option<Vec<u8>>,
    expires_at: Option<Timestamp>,
    replace: bool,
    top: u32,
}

/// Reads a body as the service does, and holds it to this: in how many pieces the body arrives changes
/// nothing, and what was read reads the same when it is written again as JSON.
pub fn read_form(content_type: &[u8], body: &[u8]) {
    let whole = parse(content_type, body, body.len().max(1));
    let in_pieces = parse(content_type, body, 7);
    match (&whole, &in_pieces) {
        (Ok(whole), Ok(in_pieces)) => assert_eq!(whole, in_pieces),
        (Err(_), Err(_)) => {}
        _ => panic!("whole {whole:?}, in pieces {in_pieces:?}"),
    }
    if let Ok(fields) = whole {
        let again = parse(b"application/json", written(&fields).as_bytes(), 1000);
        assert_eq!(again.ok(), Some(fields));
    }
}

fn parse(content_type: &[u8], body: &[u8], piece: usize) -> Result<Fields, Problem> {
    let pieces =
        body.chunks(piece).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)));
    let pieces: Vec<_> = pieces.collect();
    let mut request = Request::new(Body::from_stream(stream::iter(pieces)));
    let Ok(value) = axum::http::HeaderValue::from_bytes(content_type) else {
        return Err(Problem::malformed("no header can be so"));
    };
    request.headers_mut().insert(CONTENT_TYPE, value);
    DefaultBodyLimit::max(payload::most_body_bytes(1)).apply(&mut request);
    let mut form = at_once(Form::from_request(request, &()))?;
    // Fields that are not there are let pass, so that the others are still read.
    let fields = Fields {
        employee: optional(form.employee_id())?.map(|id| id.as_str().to_owned()),
        photo: optional(form.photo("photo"))?.map(Into::into),
        expires_at: form.later("expires_at", Timestamp::UNIX_EPOCH)?,
        replace: form.flag("replace")?,
        top: form.number("top", 1..=20, 5)?,
    };
    assert!((1..=20).contains(&fields.top));
    form.finish()?;
    Ok(fields)
}

fn optional<T>(field: Result<T, Problem>) -> Result<Option<T>, Problem> {
    match field {
        Ok(value) => Ok(Some(value)),
        Err(problem) if problem.is_a_missing_field() => Ok(None),
        Err(problem) => Err(problem),
    }
}

fn written(fields: &Fields) -> String {
    let mut object = json!({"replace": fields.replace, "top": fields.top});
    if let Some(employee) = &fields.employee {
        object["employee_id"] = json!(employee);
    }
    if let Some(photo) = &fields.photo {
        object["photo"] = json!(BASE64.encode(photo));
    }
    if let Some(end) = &fields.expires_at {
        object["expires_at"] = json!(end.to_string());
    }
    object.to_string()
}

/// The body is there, so a parser that still waits would wait for ever.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..1_000_000 {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
    panic!("the parser waits for what is there already");
}
