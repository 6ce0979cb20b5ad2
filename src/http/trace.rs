//! Requests as OpenTelemetry traces: a span for each request, with a child span for each stage, as
//! in the metrics. Like the log and the metrics, traces contain no identities.

use std::time::{Duration, Instant, SystemTime};

use axum::http::HeaderMap;
use jiff::Timestamp;
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_http::HeaderExtractor;

use crate::timings::Stage;

/// The attributes of a request's span.
#[derive(Debug)]
pub(super) struct Answered<'a> {
    pub(super) method: &'static str,
    /// The route template, never the path.
    pub(super) route: &'a str,
    pub(super) request_id: &'a str,
    pub(super) status: u16,
    /// The problem code.
    pub(super) code: Option<&'static str>,
    pub(super) started: Instant,
    pub(super) duration: Duration,
    pub(super) stages: &'a [Stage],
}

/// Returns the caller's span context, from the header `traceparent` (W3C Trace Context).
pub(super) fn caller(headers: &HeaderMap) -> Context {
    global::get_text_map_propagator(|propagator| propagator.extract(&HeaderExtractor(headers)))
}

/// Records the spans of a request that ended `now`. Without a collector, they are dropped.
pub(super) fn record(caller: &Context, answered: &Answered<'_>, now: Timestamp) {
    let &Answered { method, route, request_id, status, code, started, duration, stages } = answered;
    let ended = SystemTime::UNIX_EPOCH + now.as_duration().unsigned_abs();
    let at = |then: Instant| ended - (started + duration).saturating_duration_since(then);
    let told = [
        KeyValue::new("http.request.method", method),
        KeyValue::new("http.route", route.to_owned()),
        KeyValue::new("http.response.status_code", i64::from(status)),
        KeyValue::new("likeness.request_id", request_id.to_owned()),
    ];
    let code = code.map(|code| KeyValue::new("error.type", code));
    let tracer = global::tracer("likeness");
    let mut request = tracer
        .span_builder(format!("{method} {route}"))
        .with_kind(SpanKind::Server)
        .with_start_time(at(started))
        .with_attributes(told.into_iter().chain(code))
        .start_with_context(&tracer, caller);
    if status >= 500 {
        request.set_status(Status::error(""));
    }
    let request = caller.with_span(request);
    for stage in stages {
        let begun = at(stage.started);
        let stage_span = tracer.span_builder(stage.name).with_start_time(begun);
        stage_span.start_with_context(&tracer, &request).end_with_timestamp(begun + stage.time);
    }
    request.span().end_with_timestamp(ended);
}
