//! `GET /metrics`: metrics in the `OpenMetrics` text format. They contain no identities.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets, linear_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::AppState;
use super::answer::Stages;
use super::problem::Problem;
use crate::comparison::{Decision, Score};
use crate::presentation::{self, Presentation};

/// The metrics of this process since its start.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    request_time: Family<Route, Histogram>,
    stage_time: Family<Stage, Histogram>,
    scores: Family<Decided, Histogram>,
    presentations: Family<Presented, Counter>,
    gallery: Gauge,
    at_work: Gauge,
    audit_waiting: Gauge,
    audit_quarantined: Counter,
    repeated_attacks: Counter,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Request {
    route: String,
    method: &'static str,
    /// `ok` or the problem code.
    code: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Stage {
    stage: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Decided {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Presented {
    operation: &'static str,
    decision: &'static str,
}

/// Returns a histogram of durations, from half a millisecond to 16 seconds.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

/// Returns a histogram of scores in log-odds: a similarity of 0.5 is 0, of 0.99 is 4.6, of 0.9999
/// is 9.2.
fn log_odds() -> Histogram {
    Histogram::new(linear_buckets(-10.0, 1.0, 31))
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut this = Self {
            registry: Registry::with_prefix("likeness"),
            requests: Family::default(),
            request_time: Family::new_with_constructor(times),
            stage_time: Family::new_with_constructor(times),
            scores: Family::new_with_constructor(log_odds),
            presentations: Family::default(),
            gallery: Gauge::default(),
            at_work: Gauge::default(),
            audit_waiting: Gauge::default(),
            audit_quarantined: Counter::default(),
            repeated_attacks: Counter::default(),
        };
        let registry = &mut this.registry;
        registry.register("requests", "Requests by route, method and code", this.requests.clone());
        let seconds = Unit::Seconds;
        let about = "Time from request head to response";
        registry.register_with_unit("request", about, seconds, this.request_time.clone());
        let about = "Time of each processing stage of a photo, from queueing to the audit event";
        registry.register_with_unit("stage", about, Unit::Seconds, this.stage_time.clone());
        let about =
            "Comparison scores of decisions, in log-odds; for identifications the best score";
        registry.register("score", about, this.scores.clone());
        registry.register("gallery_size", "Employees that can be recognized", this.gallery.clone());
        let about = "Photos in processing or queued";
        registry.register("photos_at_work", about, this.at_work.clone());
        let about = "Audit events buffered in memory while the database cannot be written";
        registry.register("audit_events_waiting", about, this.audit_waiting.clone());
        let about = "Audit events rejected by the database; recorded in the log only";
        registry.register("audit_events_quarantined", about, this.audit_quarantined.clone());
        let about =
            "Judged presentations of faces by operation and decision: live, attack, uncertain";
        registry.register("presentations", about, this.presentations.clone());
        let about = "Times that a caller made five presentation attacks within three minutes";
        registry.register("repeated_attacks", about, this.repeated_attacks.clone());
        this
    }

    /// Counts an answered request; `route` is the route template, never the path.
    pub(super) fn answered(
        &self,
        method: &Method,
        route: &str,
        code: Option<&'static str>,
        time: Duration,
    ) {
        let (route, code) = (route.to_owned(), code.unwrap_or("ok"));
        self.request_time
            .get_or_create(&Route { route: route.clone() })
            .observe(time.as_secs_f64());
        let request = Request { route, method: known(method), code };
        self.requests.get_or_create(&request).inc();
    }

    pub(super) fn worked(&self, stages: &Stages) {
        for stage in &stages.0 {
            let label = Stage { stage: stage.name };
            self.stage_time.get_or_create(&label).observe(stage.time.as_secs_f64());
        }
    }

    /// Counts a decision with its score.
    pub(super) fn decided(&self, operation: &'static str, decision: Decision, score: Score) {
        let outcome = match decision {
            Decision::Match => "match",
            Decision::NonMatch => "non_match",
        };
        self.scores.get_or_create(&Decided { operation, outcome }).observe(score.value());
    }

    /// Counts a presentation, if it was judged.
    pub(super) fn presented(&self, operation: &'static str, judged: Option<&Presentation>) {
        if let Some(judged) = judged {
            self.judged(operation, judged.decision);
        }
    }

    /// Counts a decision on a presentation.
    pub(super) fn judged(&self, operation: &'static str, decision: presentation::Decision) {
        let decision = decision.code();
        self.presentations.get_or_create(&Presented { operation, decision }).inc();
    }
}

/// Returns the label of a method. Clients may send any word as a method, so the labels are bounded.
pub(super) fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Returns metrics in the `OpenMetrics` text format, for Prometheus. They contain no identities.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "Operation",
    responses((status = OK, description = "Counters, gauges and histograms since the start", body = String,
        content_type = "application/openmetrics-text")),
)]
pub(super) async fn metrics(State(app): State<AppState>) -> Result<Response, Problem> {
    let (metrics, recognizer) = (&app.metrics, app.recognizer()?);
    metrics.gallery.set(recognizer.gallery_size() as i64);
    metrics.at_work.set(recognizer.photos_at_work() as i64);
    let backlog = recognizer.backlog();
    metrics.audit_waiting.set(backlog.waiting as i64);
    metrics.audit_quarantined.inner().store(backlog.quarantined, Ordering::Relaxed);
    let repeated = recognizer.repeated_attacks();
    metrics.repeated_attacks.inner().store(repeated, Ordering::Relaxed);
    let mut page = String::new();
    text::encode(&mut page, &metrics.registry).map_err(Problem::internal)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], page).into_response())
}
