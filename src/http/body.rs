//! Request bodies: all that arrive at once share a bound in bytes, and what an early answer leaves unread is read, so
//! that clients which send before they listen receive that answer.

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

use super::form::{NoRoom, most_body_bytes};

/// Memory budget for all request bodies in flight: one body of maximum size, and what is kept for small ones.
const MOST_BYTES: usize = WEIGHT * most_body_bytes(2) + KEPT_FOR_SMALL;

/// Memory that only small bodies may use, so that a few large ones refuse no ordinary photo.
const KEPT_FOR_SMALL: usize = 16 * 1024 * 1024;

/// Memory up to which a body is a small one: photos of 2 MiB.
const SMALL: usize = WEIGHT * 2 * 1024 * 1024;

/// Bytes of memory counted for each byte of a body: a photo in JSON is held as text and, decoded, at three quarters of
/// its size.
const WEIGHT: usize = 2;

/// Maximum number of bytes drained after an early response.
const MOST_UNREAD: u64 = most_body_bytes(2) as u64;

/// The memory that is left for bodies; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct BodyRoom(Arc<Semaphore>);

impl BodyRoom {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST_BYTES)))
    }
}

/// Takes room for each piece of the body as it arrives, and gives it back once the request is answered. Where there is
/// none the body ends with [`NoRoom`]: to wait for room while holding some would stop everybody.
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
    /// Shared with the request, which outlives the body.
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

/// Reads what an early answer left of the body before the answer is sent, for at most this long and at most
/// [`MOST_UNREAD`] bytes. To close the connection before that would reset it, and many clients then see a broken pipe
/// in place of the answer (RFC 9112, 9.6).
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
        // A client that waits to be told to go on sends nothing, and one that fell silent nothing more.
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

/// A body that can be taken back once its reader is gone.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Rest>>);

#[derive(Default)]
struct Rest {
    body: Option<Body>,
    /// Whether anything of it was asked for.
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
