//! `GET /livez` and `GET /readyz`: liveness and readiness.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;

use super::AppState;
use super::answer::{Model, Threshold};
use super::problem::{Code, Problem};
use super::schema::one_of;
use crate::recognizer::PresentationMode;

/// The process is alive.
#[derive(Serialize, ToSchema)]
pub(super) struct Live {
    #[schema(pattern = "^live$")]
    status: &'static str,
}

/// The service is ready.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    #[schema(pattern = "^ready$")]
    status: &'static str,
    model: Model,
    /// Number of employees that can be recognized, including those enrolled with the former encoder.
    gallery_size: usize,
    /// Current threshold of identification; its target is the upper bound of the FPIR.
    identification: Threshold,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    former: Option<Former>,
    audit: Audit,
    presentation: PresentationDetection,
}

/// What the service does about presentation attacks.
#[derive(Serialize, ToSchema)]
struct PresentationDetection {
    /// `off`; `report`: answers state whether a face is live; `require`: also, only live faces match.
    #[schema(schema_with = modes)]
    mode: &'static str,
    /// Whether presentation sessions are on (`--presentation-sessions`).
    sessions: bool,
    /// The networks that judge.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    models: Vec<Model>,
}

fn modes() -> ObjectBuilder {
    one_of(PresentationMode::ALL.map(PresentationMode::as_str))
}

/// Events missing from the audit trail.
#[derive(Serialize, ToSchema)]
struct Audit {
    /// Events buffered in memory while the database cannot be written.
    waiting: usize,
    /// Events rejected by the database since the start; they are recorded in the log only.
    quarantined: u64,
}

/// The former encoder, while it is in use.
#[derive(Serialize, ToSchema)]
struct Former {
    model: Model,
    /// Number of employees still to be re-enrolled.
    gallery_size: usize,
}

/// Reports liveness: the process is running.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "Operation",
    responses((status = OK, description = "The process is running", body = Live)),
)]
pub(super) async fn live() -> Json<Live> {
    Json(Live { status: "live" })
}

/// Reports readiness, with the model and the threshold in use.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Operation",
    responses((status = OK, description = "The service is ready", body = Ready)),
    extensions(("x-problems" = json!([Code::NotReady]))),
)]
pub(super) async fn ready(State(app): State<AppState>) -> Result<Json<Ready>, Problem> {
    let recognizer = app.recognizer()?;
    recognizer.ping().await?;
    let (former, backlog) = (recognizer.former(), recognizer.backlog());
    Ok(Json(Ready {
        status: "ready",
        model: Model::from(recognizer.model()),
        gallery_size: recognizer.gallery_size(),
        identification: recognizer.identification().into(),
        former: former.map(|(model, gallery_size)| Former { model: model.into(), gallery_size }),
        audit: Audit { waiting: backlog.waiting, quarantined: backlog.quarantined },
        presentation: PresentationDetection {
            mode: recognizer.presentation_mode().as_str(),
            sessions: recognizer.allow_presentation_sessions().is_ok(),
            models: recognizer.pad_models().map(Model::from).collect(),
        },
    }))
}
