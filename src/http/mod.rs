//! HTTP: all routes and layers, with one file for each route.
//!
//! A route parses a request into types, calls one use case of the recognizer, and writes its
//! response.

mod answer;
mod asset;
mod body;
mod buffer;
mod check;
mod compare;
mod console;
mod docs;
mod employees;
mod enroll;
mod form;
mod frames;
mod guard;
mod health;
mod identify;
mod keys;
mod log;
mod metrics;
mod openapi;
mod payload;
mod photo_text;
mod presentation;
mod presentation_sessions;
mod probe;
mod problem;
mod rate;
mod schema;
mod tls;
#[cfg(feature = "otlp")]
mod trace;
mod verify;

use std::any::Any;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use self::body::BodyRoom;
use self::guard::Guard;
use self::keys::KeyCache;
use self::metrics::Metrics;
use self::openapi::Description;
pub use self::payload::MOST_PHOTO_BYTES;
pub use self::problem::Code;
use self::problem::Problem;
use self::rate::{AddressLimit, KeyLimit};
pub use self::tls::Certificate;
use crate::access::{LocalCredential, Right};
use crate::recognizer::Recognizer;

/// The options of the HTTP service.
#[derive(Clone, Copy, Debug)]
pub struct HttpOptions {
    /// Rate limit of each API key, in calls a second.
    pub calls_a_second: NonZeroU32,
    /// Rate limit of each address, in requests a second.
    pub requests_a_second: NonZeroU32,
    /// Timeout of a request, from its head to the response.
    pub request_timeout: Duration,
    /// Timeout for the TLS handshake and for a request head, and idle timeout while reading a body.
    pub client_timeout: Duration,
}

/// The state that all handlers share.
#[derive(Clone, Debug)]
pub struct AppState {
    ready: Arc<OnceLock<Ready>>,
    now: fn() -> Timestamp,
    metrics: Arc<Metrics>,
}

/// The state that exists once the service is ready.
#[derive(Debug)]
struct Ready {
    recognizer: Recognizer,
    keys: KeyCache,
    local: Option<LocalCredential>,
}

impl AppState {
    /// Creates the state of a service that is not ready until [`set_ready`](Self::set_ready); `now`
    /// is its only clock.
    pub fn starting(now: fn() -> Timestamp) -> Self {
        Self { ready: Arc::default(), now, metrics: Arc::new(Metrics::new()) }
    }

    /// Makes the service ready; only the first call has an effect. The local credential is accepted
    /// until the first API key is added.
    pub fn set_ready(&self, recognizer: Recognizer, local: Option<LocalCredential>) {
        self.ready.get_or_init(|| Ready { recognizer, keys: KeyCache::default(), local });
    }

    fn ready(&self) -> Result<&Ready, Problem> {
        let not_ready =
            || Problem::new(Code::NotReady, "the models are still loading; retry later");
        self.ready.get().ok_or_else(not_ready)
    }

    fn recognizer(&self) -> Result<&Recognizer, Problem> {
        Ok(&self.ready()?.recognizer)
    }

    fn now(&self) -> Timestamp {
        (self.now)()
    }
}

/// Serves on `listener` until `stop` resolves, then drains in-flight requests; with a certificate,
/// only by TLS.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    options: HttpOptions,
    certificate: Option<Certificate>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let handle = Handle::new();
    tokio::spawn({
        let handle = handle.clone();
        async move {
            stop.await;
            handle.graceful_shutdown(Some(options.request_timeout));
        }
    });
    let mut server = Server::<SocketAddr>::from_listener(listener).handle(handle);
    server.http_builder().http1().header_read_timeout(options.client_timeout);
    let server = server.first_request_timeout(options.client_timeout);
    let service = router(state, options).into_make_service_with_connect_info::<SocketAddr>();
    match certificate {
        Some(certificate) => {
            let acceptor = RustlsAcceptor::new(certificate.followed())
                .handshake_timeout(options.client_timeout);
            server.acceptor(acceptor).serve(service).await
        }
        None => server.serve(service).await,
    }
}

fn router(state: AppState, options: HttpOptions) -> Router {
    let body = |photos| DefaultBodyLimit::max(payload::most_body_bytes(photos));
    let limit = Arc::new(KeyLimit::per_second(options.calls_a_second));
    let room = BodyRoom::new();
    let guarded = |mut routes: OpenApiRouter<AppState>, right| {
        openapi::say_who_may(routes.get_openapi_mut(), right);
        let guard = Guard { app: state.clone(), right, limit: limit.clone() };
        // Inside the guard, so that only admitted callers use the memory budget.
        let routes = routes.route_layer(middleware::from_fn_with_state(room.clone(), body::bound));
        routes.route_layer(middleware::from_fn_with_state(guard, guard::admit))
    };
    // Method and path of each route are above its handler.
    let recognize = OpenApiRouter::default()
        .routes(routes!(verify::verify).layer(body(1)))
        .routes(routes!(identify::identify).layer(body(1)))
        .routes(routes!(presentation_sessions::open::open).layer(body(1)))
        // Frames of a camera are small: together they may be as large as two photos.
        .routes(routes!(presentation_sessions::frames::judge).layer(body(2)));
    let enroll = OpenApiRouter::default()
        .routes(routes!(enroll::enroll).layer(body(1)))
        .routes(routes!(check::check).layer(body(1)))
        .routes(routes!(compare::compare).layer(body(2)))
        .routes(routes!(employees::list::list))
        .routes(routes!(employees::find::find, employees::erase::erase));
    let measure = OpenApiRouter::default().routes(routes!(metrics::metrics));
    let open = OpenApiRouter::default()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(openapi::openapi))
        // Pages.
        .route("/", get(console::page))
        .route("/console/{asset}", get(console::asset))
        .route("/docs", get(docs::page))
        .route("/docs/{asset}", get(docs::asset));
    let (routes, described) = openapi::head()
        .merge(guarded(recognize, Right::Recognize))
        .merge(guarded(enroll, Right::Enroll))
        .merge(guarded(measure, Right::Measure))
        .merge(open)
        .split_for_parts();
    let routes = routes
        .layer(CsrfLayer::new())
        .layer(Extension(Description::of(&described)))
        .with_state(state.clone());
    layered(routes, options, state)
}

/// Adds the layers around all routes, outermost first: request id, drain of the body, log and
/// metrics, problems as JSON, rate limit of addresses, timeouts, panics.
fn layered(routes: Router, options: HttpOptions, state: AppState) -> Router {
    let timeout =
        TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, options.request_timeout);
    let addresses = Arc::new(AddressLimit::per_second(options.requests_a_second));
    routes.layer(
        ServiceBuilder::new()
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(middleware::from_fn_with_state(options.client_timeout, body::read_rest))
            .layer(middleware::from_fn_with_state(state, log::log))
            .layer(middleware::from_fn(problem::render))
            .layer(middleware::from_fn_with_state(addresses, rate::limit_addresses))
            .layer(timeout)
            .layer(RequestBodyTimeoutLayer::new(options.client_timeout))
            .layer(CatchPanicLayer::custom(panicked)),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    Problem::internal(format!("panic: {text}")).into_response()
}

/// Returns the request id, which the outermost layer set.
fn request_id(request: &Request) -> &str {
    let id = request.extensions().get::<RequestId>();
    id.and_then(|id| id.header_value().to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn panic_is_answered_as_problem_without_its_message() {
        let panics = Router::new().route("/", get(|| async { panic!("secret") as StatusCode }));
        let options = HttpOptions {
            calls_a_second: NonZeroU32::MIN,
            requests_a_second: NonZeroU32::MIN,
            request_timeout: Duration::from_secs(5),
            client_timeout: Duration::from_secs(5),
        };
        let state = AppState::starting(|| Timestamp::UNIX_EPOCH);
        let app = layered(panics, options, state);
        let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let text = str::from_utf8(&body).unwrap();
        assert!(text.contains("\"code\":\"internal\"") && !text.contains("secret"), "{text}");
    }
}
