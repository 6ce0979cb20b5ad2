//! `GET /livez` and `GET /readyz`: is the process alive, and can it answer?

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::answer::{Model, Threshold};
use super::problem::{Code, Problem};

/// The process is alive.
#[derive(Serialize, ToSchema)]
pub(super) struct Live {
    #[schema(pattern = "^live$")]
    status: &'static str,
}

/// Questions are answered, and by what.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    #[schema(pattern = "^ready$")]
    status: &'static str,
    model: Model,
    /// How many people can be recognized, those of the former encoder included.
    gallery_size: usize,
    /// What identification is decided at now; its target is the bound that holds for strangers.
    identification: Threshold,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    former: Option<Former>,
    audit: Audit,
}

/// Events that are not in the audit trail.
#[derive(Serialize, ToSchema)]
struct Audit {
    /// Events that wait in memory, because the database cannot be written.
    waiting: usize,
    /// Events that the database refused since the start; they are in the log alone.
    quarantined: u64,
}

/// The former encoder, while it serves beside the present one.
#[derive(Serialize, ToSchema)]
struct Former {
    model: Model,
    /// How many of them are still to be enrolled anew.
    gallery_size: usize,
}

/// Is the process alive?
#[utoipa::path(
    get,
    path = "/livez",
    tag = "Operation",
    responses((status = OK, description = "It is", body = Live)),
)]
pub(super) async fn live() -> Json<Live> {
    Json(Live { status: "live" })
}

/// Can the service answer, and with which model and threshold?
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Operation",
    responses((status = OK, description = "It can", body = Ready)),
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
    }))
}
