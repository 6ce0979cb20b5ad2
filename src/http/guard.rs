//! Who may call: whoever has a key of the right role; where there are no keys, whoever sits at this
//! machine.
//!
//! A service without keys listens on loopback only, but a proxy or a web page open on this machine
//! could still reach it for others. Both give themselves away by their headers.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, HeaderName, VIA};
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{NotUntil, Quota, RateLimiter};
use jiff::Timestamp;

use super::AppState;
use super::problem::{Code, Problem};
use crate::access::{self, KeyName, Right, Role};
use crate::audit::Actor;
use crate::recognizer::Call;

/// What a proxy adds.
static DETOURS: [HeaderName; 6] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// Who calls, for the handlers.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    role: Role,
    actor: Actor,
}

impl Caller {
    /// Whether candidates below the threshold are shown: at a door they are nobody's business.
    pub(super) fn sees_candidates(&self) -> bool {
        self.role != Role::Terminal
    }

    /// What a use case is told of the caller.
    pub(super) fn call(self, now: Timestamp) -> Call {
        Call { actor: self.actor, at: now }
    }
}

/// How often each key may be used.
pub(super) type Pace = RateLimiter<KeyName, HashMapStateStore<KeyName>, DefaultClock>;

/// So many calls a second with each key, and as many at once after a pause.
pub(super) fn pace(calls_a_second: NonZeroU32) -> Pace {
    RateLimiter::hashmap(Quota::per_second(calls_a_second))
}

/// What a group of routes needs, and where its keys are.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) pace: Arc<Pace>,
    pub(super) app: AppState,
    /// `None`: any key, or none.
    pub(super) right: Option<Right>,
}

/// Lets through who may call the route, and tells the handler who it is.
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
        let everybody = Caller { role: Role::Admin, actor: Actor::Local };
        // Health checks are everybody's where the service is never open: no look at the keys.
        if self.right.is_none() && !self.app.local_without_keys {
            return Ok(everybody);
        }
        let grants = match (self.app.recognizer(), self.right) {
            (Ok(recognizer), _) => recognizer.grants().await?,
            // Nothing is there yet that a health check could give away.
            (Err(_), None) => return Ok(everybody),
            (Err(not_ready), Some(_)) => return Err(not_ready),
        };
        if grants.is_empty() && self.app.local_without_keys {
            return local(uri, headers).map(|()| everybody);
        }
        let Some(right) = self.right else { return Ok(everybody) };
        let grant = bearer(headers).and_then(|key| access::admitted(&grants, key));
        let grant = grant.ok_or_else(|| {
            Problem::new(Code::NoKey, "send a valid API key as: Authorization: Bearer KEY")
        })?;
        if !grant.role.may(right) {
            let detail = format!("a key with the role {} may not do that", grant.role.as_str());
            return Err(Problem::new(Code::NotAllowed, detail));
        }
        let early = |early: NotUntil<_>| {
            Problem::too_many_requests(early.wait_time_from(DefaultClock::default().now()))
        };
        self.pace.check_key(&grant.name).map_err(early)?;
        Ok(Caller { role: grant.role, actor: Actor::Key(grant.name.clone()) })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Whether the caller names this machine and came by no detour. A name of elsewhere that leads here
/// is how a web page would reach a service on its reader's machine (DNS rebinding).
fn local(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri.host().or_else(|| host.map(without_port)).unwrap_or_default();
    let local = ["localhost", "127.0.0.1", "[::1]"].contains(&host.to_ascii_lowercase().as_str());
    let detour = DETOURS.iter().find(|name| headers.contains_key(*name));
    match (local, detour) {
        (true, None) => Ok(()),
        (true, Some(name)) => Err(refuse(&format!("the header {name} says that it was forwarded"))),
        (false, _) => Err(refuse("its Host is not localhost, 127.0.0.1 or [::1]")),
    }
}

fn refuse(why: &str) -> Problem {
    let detail = format!(
        "without keys only this machine itself is served, and {why}; `likeness keys add` makes one"
    );
    Problem::new(Code::NotAllowed, detail)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    }
}
