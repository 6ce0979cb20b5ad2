//! Authentication and authorization: an API key of a sufficient role or, until the first key is
//! added, the local credential.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::AppState;
use super::problem::{Code, Problem};
use super::rate::KeyLimit;
use crate::access::{self, Right, Role};
use crate::audit::Actor;
use crate::recognizer::Call;

/// The authenticated caller, for the handlers.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    role: Role,
    actor: Actor,
}

impl Caller {
    /// Returns whether the caller may see candidates below the threshold; a door terminal may not.
    pub(super) fn sees_candidates(&self) -> bool {
        self.role != Role::Terminal
    }

    /// Returns whether the caller may see the scores of presentations; an attacker could climb them.
    pub(super) fn sees_live_scores(&self) -> bool {
        self.role == Role::Admin
    }

    /// Returns the caller and the time, for the use cases.
    pub(super) fn call(self, now: Timestamp) -> Call {
        Call { actor: self.actor, at: now }
    }
}

/// The right that a group of routes requires, with the keys and their rate limits.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) limit: Arc<KeyLimit>,
    pub(super) app: AppState,
    pub(super) right: Right,
}

/// Admits callers with the required right, and passes the [`Caller`] to the handler.
pub(super) async fn admit(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    match guard.caller(request.uri(), request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl Guard {
    async fn caller(&self, uri: &Uri, headers: &HeaderMap) -> Result<Caller, Problem> {
        let presented = bearer(headers).ok_or_else(no_key)?;
        let ready = self.app.ready()?;
        let keys = ready.keys.current(&ready.recognizer).await?;
        if !keys.ever && ready.local.is_some_and(|local| local.admits(presented)) {
            local_host(uri, headers)?;
            return Ok(Caller { role: Role::Admin, actor: Actor::Local });
        }
        let api_key = access::admitted(&keys.valid, presented).ok_or_else(no_key)?;
        if !api_key.role.may(self.right) {
            let detail =
                format!("a key with the role {} is not allowed to do this", api_key.role.as_str());
            return Err(Problem::new(Code::NotAllowed, detail));
        }
        self.limit.check(&api_key.name)?;
        Ok(Caller { role: api_key.role, actor: Actor::Key(api_key.name.clone()) })
    }
}

fn no_key() -> Problem {
    Problem::new(Code::NoKey, "send a valid API key as: Authorization: Bearer KEY")
}

/// Returns the key of a header `Authorization: Bearer KEY`; the scheme is case-insensitive (RFC
/// 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Checks that the host is this machine: defense in depth for the local credential against DNS
/// rebinding, by which a web page reaches a service on its reader's machine.
fn local_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri.host().or_else(|| host.map(without_port)).unwrap_or_default();
    if ["localhost", "127.0.0.1", "[::1]"].contains(&host.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    let detail = "the local credential is valid only for requests to localhost, 127.0.0.1 or [::1]; \
                  create a key for other hosts with `likeness keys add --first`";
    Err(Problem::new(Code::NotAllowed, detail))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    }
}
