//! Who may call: whoever has the key; where there is none, whoever sits at this machine.
//!
//! A service without a key listens on loopback only, but a proxy or a web page open on this
//! machine could still reach it for others. Both give themselves away by their headers.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, HeaderName, VIA};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Code, Problem};
use crate::access::ApiKey;

/// What a proxy adds.
static DETOURS: [HeaderName; 6] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// Lets through who presents the key.
pub(super) async fn require_key(
    State(key): State<Option<ApiKey>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(key) = key else { return next.run(request).await };
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let presented = header.and_then(|value| value.strip_prefix("Bearer "));
    if presented.is_some_and(|presented| key.admits(presented)) {
        return next.run(request).await;
    }
    Problem::new(Code::NoKey, "send the API key as: Authorization: Bearer KEY").into_response()
}

/// Lets through who names this machine and came by no detour. A name of elsewhere that leads here
/// is how a web page would reach a service on its reader's machine (DNS rebinding).
pub(super) async fn local_only(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().host().or_else(|| host.map(without_port)).unwrap_or_default();
    let local = ["localhost", "127.0.0.1", "[::1]"].contains(&host.to_ascii_lowercase().as_str());
    let detour = DETOURS.iter().find(|name| request.headers().contains_key(*name));
    match (local, detour) {
        (true, None) => next.run(request).await,
        (true, Some(name)) => refuse(&format!("the header {name} says that it was forwarded")),
        (false, _) => refuse("its Host is not localhost, 127.0.0.1 or [::1]"),
    }
}

fn refuse(why: &str) -> Response {
    let detail = format!(
        "without an API key only this machine itself is served, and {why}; start the service with --api-key-file"
    );
    Problem::new(Code::NotAllowed, detail).into_response()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    }
}
