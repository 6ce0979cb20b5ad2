//! `POST /identify`: who is in the photo? Nobody, unless the best candidate reaches the threshold.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::AppState;
use super::answer::{Candidate, Face, Model, Reasons, Threshold, timed};
use super::form::Form;
use super::guard::Caller;
use super::problem::Problem;

#[derive(Serialize)]
struct Answer {
    r#match: Option<Candidate>,
    candidates: Vec<Candidate>,
    threshold: Threshold,
    gallery_size: usize,
    model: Model,
    face: Face,
    reasons: Reasons,
}

pub(super) async fn identify(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    mut form: Form,
) -> Result<Response, Problem> {
    let photo = form.photo("photo")?;
    let top = form.number("top", 1..=20, 5)?;
    form.finish()?;
    let recognizer = app.recognizer()?;
    let sees_candidates = caller.sees_candidates();
    let call = caller.call(app.now());
    let identification = recognizer.identify(photo, top as usize, &call).await?;
    if let Some(best) = identification.candidates.first() {
        app.metrics.decided("identify", best.threshold.decide(best.score), best.score);
    }
    let candidate = |found| Candidate::new(found, recognizer.model());
    let answer = Answer {
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
