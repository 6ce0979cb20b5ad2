//! `GET /livez` and `GET /readyz`: is the process alive, and can it answer?

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::AppState;
use super::answer::{Model, Threshold};
use super::problem::Problem;

#[derive(Serialize)]
pub(super) struct Live {
    status: &'static str,
}

#[derive(Serialize)]
pub(super) struct Ready {
    status: &'static str,
    model: Model,
    gallery_size: usize,
    /// What identification is decided at now; its target is the FPIR bound that holds.
    identification: Threshold,
    #[serde(skip_serializing_if = "Option::is_none")]
    former: Option<Former>,
}

/// The former encoder, while it serves beside the present one.
#[derive(Serialize)]
struct Former {
    model: Model,
    /// How many are still to be enrolled anew.
    gallery_size: usize,
}

pub(super) async fn live() -> Json<Live> {
    Json(Live { status: "live" })
}

pub(super) async fn ready(State(app): State<AppState>) -> Result<Json<Ready>, Problem> {
    let recognizer = app.recognizer()?;
    recognizer.ping().await?;
    let former = recognizer.former();
    Ok(Json(Ready {
        status: "ready",
        model: Model::from(recognizer.model()),
        gallery_size: recognizer.gallery_size(),
        identification: recognizer.identification().into(),
        former: former.map(|(model, gallery_size)| Former { model: model.into(), gallery_size }),
    }))
}
