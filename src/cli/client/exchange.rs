//! Requests, each repeated until the service answers it for good.
//!
//! A request that the service refuses for now (429, 503) waits as long as the service asks, and the
//! window of photos in flight shrinks. A request that gets no response is repeated with increasing
//! pauses, for a limited time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;

use super::connection::Endpoint;
use super::form::Form;
use super::window::{Slot, Window};

/// Pause before a request without a response is repeated; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Time for which a request is repeated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// While there is no response to it.
    pub(super) unreachable: Duration,
    /// While the service refuses all requests for now.
    pub(super) busy: Duration,
}

pub(super) const PATIENCE: Patience =
    Patience { unreachable: Duration::from_mins(1), busy: Duration::from_mins(10) };

/// A request.
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query below the URL of the service.
    pub(super) path: String,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) form: Option<Form>,
}

impl Call {
    fn request(&self) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(&self.method).uri(&self.path);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        Ok(match &self.form {
            None => request.body(Full::default())?,
            Some(form) => request
                .header(CONTENT_TYPE, &form.content_type)
                .body(Full::new(form.body.clone()))?,
        })
    }
}

/// The exchange of requests and responses with a service.
pub(super) struct Exchange {
    endpoint: Endpoint,
    window: Window,
    patience: Patience,
    /// When the service last did what was asked, or refused it for good.
    served: Mutex<Instant>,
}

impl Exchange {
    pub(super) fn new(endpoint: Endpoint, patience: Patience) -> Self {
        let (window, served) = (Window::adaptive(), Mutex::new(Instant::now()));
        Self { endpoint, window, patience, served }
    }

    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    pub(super) fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// Waits until the service is ready.
    ///
    /// # Errors
    /// If no service responds.
    pub(super) async fn ready(&self) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Ready {
            status: String,
        }
        let path = "/readyz".to_owned();
        let call = Call { method: Method::GET, path, authorization: None, form: None };
        // A wrong address is reported at once.
        let first = self.endpoint.send(call.request()?).await;
        first.with_context(|| format!("no response from {}", self.url()))?;
        let answer = self.call(&call, &self.window.slot().await).await?;
        let ready = serde_json::from_slice::<Ready>(answer.body()).ok();
        if ready.is_none_or(|ready| ready.status != "ready") {
            bail!("{} is not a likeness service: {}", self.url(), answer.status());
        }
        Ok(())
    }

    /// Sends a request until the service answers it for good.
    ///
    /// # Errors
    /// If it doesn't in time.
    pub(super) async fn call(&self, call: &Call, slot: &Slot) -> anyhow::Result<Response<Bytes>> {
        let begun = Instant::now();
        let mut unreachable: Option<(Instant, Duration)> = None;
        loop {
            let sent = slot.sent();
            let pause = match self.endpoint.send(call.request()?).await {
                Ok(answer) => match retry_after(&answer) {
                    None => {
                        slot.accepted();
                        *self.served() = Instant::now();
                        return Ok(answer);
                    }
                    Some(pause) => {
                        unreachable = None;
                        self.bound_busy(begun.max(*self.served()), answer.status())?;
                        pause
                    }
                },
                Err(error) => {
                    let (since, pause) =
                        unreachable.unwrap_or_else(|| (Instant::now(), FIRST_PAUSE));
                    self.bound_unreachable(since, error)?;
                    unreachable = Some((since, (pause * 2).min(LONGEST_PAUSE)));
                    pause
                }
            };
            slot.refused(sent);
            tokio::time::sleep(pause).await;
        }
    }

    fn bound_busy(&self, since: Instant, status: StatusCode) -> anyhow::Result<()> {
        if since.elapsed() >= self.patience.busy {
            let seconds = since.elapsed().as_secs();
            bail!("{} has refused all requests for {seconds} s: {status}", self.url());
        }
        Ok(())
    }

    fn bound_unreachable(&self, since: Instant, error: anyhow::Error) -> anyhow::Result<()> {
        if since.elapsed() >= self.patience.unreachable {
            let seconds = since.elapsed().as_secs();
            return Err(error.context(format!("no response from {} for {seconds} s", self.url())));
        }
        Ok(())
    }

    fn served(&self) -> MutexGuard<'_, Instant> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parses the body of a response.
    ///
    /// # Errors
    /// If it is not the service's.
    pub(super) fn parsed<'a, T: Deserialize<'a>>(
        &self,
        call: &Call,
        answer: &'a Response<Bytes>,
    ) -> anyhow::Result<T> {
        let parsed = serde_json::from_slice(answer.body());
        parsed.with_context(|| self.unexpected(call, answer.status()))
    }

    /// Returns the error for a response that is not the service's.
    pub(super) fn unexpected(&self, call: &Call, status: StatusCode) -> anyhow::Error {
        let Call { method, path, .. } = call;
        anyhow!("unexpected response to {method} {}{path}: {status}", self.url())
    }
}

/// Returns the pause that the service asks for, if it refuses a request for now.
fn retry_after(answer: &Response<Bytes>) -> Option<Duration> {
    match answer.status() {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let seconds = asked.and_then(|text| text.parse().ok()).unwrap_or(1);
            Some(Duration::from_secs(seconds).min(PATIENCE.busy))
        }
        // The service, or a proxy in front of it, ran out of time.
        StatusCode::REQUEST_TIMEOUT | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            Some(Duration::from_secs(1))
        }
        _ => None,
    }
}
