//! `GET /livez` and `GET /readyz`: is the process alive, and can it answer?

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::AppState;
use super::answer::Model;
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
}

pub(super) async fn live() -> Json<Live> {
    Json(Live { status: "live" })
}

pub(super) async fn ready(State(app): State<AppState>) -> Result<Json<Ready>, Problem> {
    let recognizer = app.recognizer()?;
    recognizer.ping().await?;
    let model = Model::from(recognizer.model());
    Ok(Json(Ready { status: "ready", model, gallery_size: recognizer.gallery_size() }))
}
