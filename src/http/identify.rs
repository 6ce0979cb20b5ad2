//! `POST /identify`: finds the employee whom the photo shows.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::answer::{Candidate, Face, Model, Reasons, Threshold, timed};
use super::form::Form;
use super::guard::Caller;
use super::openapi::Photo;
use super::problem::Problem;

/// The photo to identify.
#[derive(ToSchema)]
struct Probe {
    #[schema(value_type = Photo)]
    photo: Bytes,
    /// Maximum number of candidates to return.
    #[schema(required = false, minimum = 1, maximum = 20, default = 5)]
    top: u32,
}

/// The result of an identification.
#[derive(Serialize, ToSchema)]
struct Identification {
    /// The best candidate if its score reaches the threshold; otherwise null.
    #[schema(required)]
    r#match: Option<Candidate>,
    /// The best candidates by descending score, including those below the threshold. For keys with the role `terminal`,
    /// only the match.
    candidates: Vec<Candidate>,
    threshold: Threshold,
    /// Number of employees searched, including those enrolled with the former encoder.
    gallery_size: usize,
    model: Model,
    face: Face,
    reasons: Reasons,
}

/// Finds the employee whom the photo shows. There is a match only if the best candidate reaches the threshold.
#[utoipa::path(
    post,
    path = "/identify",
    tag = "Recognition",
    request_body = Probe,
    responses((status = OK, description = "The match and the candidates", body = Identification)),
)]
pub(super) async fn identify(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    mut form: Form,
) -> Result<Response, Problem> {
    let probe = Probe { photo: form.photo("photo")?, top: form.number("top", 1..=20, 5)? };
    form.finish()?;
    let recognizer = app.recognizer()?;
    let sees_candidates = caller.sees_candidates();
    let call = caller.call(app.now());
    let identification = recognizer.identify(probe.photo, probe.top as usize, &call).await?;
    if let Some(best) = identification.candidates.first() {
        app.metrics.decided("identify", best.threshold.decide(best.score), best.score);
    }
    let candidate = |found| Candidate::new(found, recognizer.model());
    let answer = Identification {
        r#match: identification.matched().map(candidate),
        candidates: if sees_candidates {
            identification.candidates.iter().map(candidate).collect()
        } else {
            identification.matched().map(candidate).into_iter().collect()
        },
        threshold: identification.threshold.into(),
        gallery_size: identification.gallery_size,
        model: Model::from(recognizer.model()),
        face: Face::from(&identification.face),
        reasons: Reasons::from(&identification.reasons),
    };
    Ok(timed([&identification.timings], answer))
}
