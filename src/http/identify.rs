//! `POST /identify`: who is in the photo? Nobody, unless the best candidate reaches the threshold.

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

/// Whose name is asked for.
#[derive(ToSchema)]
struct Probe {
    #[schema(value_type = Photo)]
    photo: Bytes,
    /// How many candidates to tell at most.
    #[schema(required = false, minimum = 1, maximum = 20, default = 5)]
    top: u32,
}

/// Who was found.
#[derive(Serialize, ToSchema)]
struct Identification {
    /// The best candidate, if it reaches its threshold; else null.
    #[schema(required)]
    r#match: Option<Candidate>,
    /// Who comes nearest, best first, below the threshold too; a key with the role `terminal` is told the match alone.
    candidates: Vec<Candidate>,
    threshold: Threshold,
    /// How many people were searched, those of a former encoder included.
    gallery_size: usize,
    model: Model,
    face: Face,
    reasons: Reasons,
}

/// Who is in the photo? Nobody, unless the best candidate reaches the threshold.
#[utoipa::path(
    post,
    path = "/identify",
    tag = "Recognition",
    request_body = Probe,
    responses((status = OK, description = "The match, and who else comes near", body = Identification)),
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
