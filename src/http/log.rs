//! Logs and counts each request, with the route template and the outcome, never the employee.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::answer::Stages;
use super::problem::Problem;
use super::{AppState, request_id};
#[cfg(feature = "otlp")]
use super::{metrics, trace};

/// Logs and counts a request when its response is ready. Each 5xx is logged as an error with its
/// source.
pub(super) async fn log(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request).to_owned();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "(none)".to_owned());
    #[cfg(feature = "otlp")]
    let caller = trace::caller(request.headers());
    let span = tracing::info_span!("request", request_id = %id);
    let response = next.run(request).instrument(span).await;
    let duration = started.elapsed();
    let duration_ms = duration.as_secs_f64() * 1000.0;
    let status = response.status().as_u16();
    let problem = response.extensions().get::<Problem>();
    let code = problem.map(|problem| problem.code.row().1);
    app.metrics.answered(&method, &route, code, duration);
    let stages = response.extensions().get::<Stages>();
    if let Some(stages) = stages {
        app.metrics.worked(stages);
    }
    #[cfg(feature = "otlp")]
    trace::record(
        &caller,
        &trace::Answered {
            method: metrics::known(&method),
            route: &route,
            request_id: &id,
            status,
            code,
            started,
            duration,
            stages: stages.map_or(&[][..], |stages| &stages.0[..]),
        },
        app.now(),
    );
    let line = format!("{method} {route} {status} in {duration_ms:.1} ms");
    match problem.and_then(|problem| problem.source.as_deref()) {
        Some(source) => {
            tracing::error!(request_id = %id, %method, route, status, code, duration_ms, source, "{line}");
        }
        None => {
            tracing::info!(request_id = %id, %method, route, status, code, duration_ms, "{line}");
        }
    }
    response
}
