//! Request bodies: bounds the memory of all bodies in flight, and drains the rest of a body after
//! an early response, so that clients that send before they read receive the response.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use axum::{BoxError, Error};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::payload::{NoRoom, most_body_bytes};

/// Memory budget for all request bodies in flight: one body of maximum size, and the reserve for
/// small ones.
const MOST_BYTES: usize = WEIGHT * most_body_bytes(2) + KEPT_FOR_SMALL;

/// Memory reserved for small bodies, so that a few large bodies do not cause photos of usual size
/// to be refused.
const KEPT_FOR_SMALL: usize = 16 * 1024 * 1024;

/// Maximum memory of a small body: photos of 2 MiB.
const SMALL: usize = WEIGHT * 2 * 1024 * 1024;

/// Bytes of memory counted for each byte of a body: a photo in JSON is held as text, and decoded at
/// three quarters of its size.
const WEIGHT: usize = 2;

/// Maximum number of bytes drained after an early response.
const MOST_UNREAD: u64 = most_body_bytes(2) as u64;

/// The remaining memory budget for bodies; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct BodyRoom(Arc<Semaphore>);

impl BodyRoom {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST_BYTES)))
    }
}

/// Reserves memory for each frame of the body as it arrives, and releases it after the response. If
/// none is left, the body ends with [`NoRoom`]: waiting for memory while holding some could
/// deadlock.
pub(super) async fn bound(State(room): State<BodyRoom>, request: Request, next: Next) -> Response {
    let taken = Arc::new(Mutex::new(None));
    let held = taken.clone();
    let request = request.map(|body| Body::new(Bounded { body, room, taken }));
    let response = next.run(request).await;
    drop(held);
    response
}

struct Bounded {
    body: Body,
    room: BodyRoom,
    /// Shared with the request, which lives longer than the body.
    taken: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            return Poll::Pending;
        };
        let Some(Ok(frame)) = frame else {
            return Poll::Ready(frame.map(|f| f.map_err(Into::into)));
        };
        let bytes = WEIGHT * frame.data_ref().map_or(0, Bytes::len);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let held = taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let kept = if held + bytes > SMALL { KEPT_FOR_SMALL } else { 0 };
        let room = self.room.0.available_permits() >= bytes + kept;
        let permit = room.then(|| self.room.0.clone().try_acquire_many_owned(bytes as u32));
        let Some(Ok(permit)) = permit else { return Poll::Ready(Some(Err(NoRoom.into()))) };
        match &mut *taken {
            Some(taken) => taken.merge(permit),
            taken => *taken = Some(permit),
        }
        drop(taken);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Drains the rest of the body before an early response is sent, for at most this time and at most
/// [`MOST_UNREAD`] bytes. Closing earlier would reset the connection, and many clients would see a
/// broken pipe instead of the response (RFC 9112, 9.6).
pub(super) async fn read_rest(
    State(patience): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let waits_for_100 = request.headers().contains_key(EXPECT);
    let shared = Shared::default();
    let request = request.map(|body| {
        shared.0.lock().unwrap_or_else(PoisonError::into_inner).body = Some(body);
        Body::new(shared.clone())
    });
    let response = next.run(request).await;
    let Rest { body, begun } =
        std::mem::take(&mut *shared.0.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some(body) = body
        // Nothing arrives if the client awaits 100 Continue, or has stopped sending.
        && (begun || !waits_for_100)
        && response.status() != StatusCode::REQUEST_TIMEOUT
    {
        let _ = timeout(patience, discard(body)).await;
    }
    response
}

async fn discard(mut body: Body) {
    let mut left = MOST_UNREAD;
    if body.size_hint().lower() > left {
        return;
    }
    while let Some(Ok(frame)) = body.frame().await {
        let read = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(less) = left.checked_sub(read) else { return };
        left = less;
    }
}

/// A body that can be taken back after its reader is dropped.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Rest>>);

#[derive(Default)]
struct Rest {
    body: Option<Body>,
    /// Whether the body was ever polled.
    begun: bool,
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut rest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rest.begun = true;
        let Some(body) = &mut rest.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            rest.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rest.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rest.body.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}
