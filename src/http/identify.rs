//! `POST /identify`: finds the employees whom a photo shows.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;

use super::AppState;
use super::answer::{Candidate, Face, Model, Reasons, Threshold, timed};
use super::form::Form;
use super::guard::Caller;
use super::openapi::Photo;
use super::presentation::{Presentation, PresentationView};
use super::probe::{self, PresentationSession};
use super::problem::{Code, Problem};
use super::schema::one_of;
use crate::employee::ModelName;
use crate::recognizer::{self, IdentificationOptions};

/// Values of the field `faces`, the default first.
const FACES: [&str; 2] = ["most_prominent", "all"];

/// The photo or the presentation session to identify.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the schema only")]
struct Probe {
    #[schema(value_type = Photo, required = false)]
    photo: Bytes,
    #[schema(required = false)]
    presentation_session: PresentationSession,
    /// Maximum number of candidates to return.
    #[schema(required = false, minimum = 1, maximum = 20, default = 5)]
    top: u32,
    #[schema(required = false, schema_with = which_faces)]
    faces: &'static str,
}

/// Returns the schema of the field `faces`.
fn which_faces() -> ObjectBuilder {
    let about = "Which faces to identify if the photo shows several prominent ones: the most prominent one, or all, at \
                 most 8.";
    one_of(FACES).default(Some(FACES[0].into())).description(Some(about))
}

/// The result of an identification.
#[derive(Serialize, ToSchema)]
struct Identification {
    #[serde(flatten)]
    first: IdentifiedFace,
    threshold: Threshold,
    /// Number of employees searched, including those enrolled with the former encoder.
    gallery_size: usize,
    model: Model,
    /// Number of prominent faces in the photo that were not identified.
    other_faces: usize,
    /// With `faces=all`: each identified face, the most prominent first. The fields outside of this list are those of its
    /// first face. With several faces the threshold is stricter, so that `target` holds for the whole answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1, max_items = 8)]
    faces: Option<Vec<IdentifiedFace>>,
}

/// A face and the employees whom it may show.
#[derive(Serialize, ToSchema)]
struct IdentifiedFace {
    /// The best candidate if its score reaches the threshold and, with `--pad-mode require`, the face is live; otherwise
    /// null.
    #[schema(required)]
    r#match: Option<Candidate>,
    /// The best candidates by descending score, including those below the threshold. For keys with the role `terminal`,
    /// only the match.
    candidates: Vec<Candidate>,
    face: Face,
    reasons: Reasons,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    presentation: Option<Presentation>,
}

impl IdentifiedFace {
    fn new(
        identified: &recognizer::IdentifiedFace,
        present: &ModelName,
        sees_candidates: bool,
        view: &PresentationView<'_>,
    ) -> Self {
        let presentation = identified.presentation.as_ref();
        let candidate = |found| Candidate::new(found, present);
        Self {
            r#match: identified.matched().map(candidate),
            candidates: if sees_candidates {
                identified.candidates.iter().map(candidate).collect()
            } else {
                identified.matched().map(candidate).into_iter().collect()
            },
            face: Face::from(&identified.face),
            reasons: Reasons::of_decision(&identified.reasons, presentation, identified.withheld),
            presentation: view.of(presentation),
        }
    }
}

/// Identifies the most prominent face of a photo or, with `faces=all`, each prominent face. There is a match only if the
/// best candidate reaches the threshold.
#[utoipa::path(
    post,
    path = "/identify",
    tag = "Recognition",
    request_body = Probe,
    responses((status = OK, description = "The match and the candidates", body = Identification)),
    extensions(("x-problems" = json!([Code::PresentationSessionUnknown, Code::PresentationSessionsOff]))),
)]
pub(super) async fn identify(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    mut form: Form,
) -> Result<Response, Problem> {
    let probe = probe::take(&mut form)?;
    let top = form.number("top", 1..=20, 5)? as usize;
    let all_faces = form.word("faces", FACES)? == "all";
    form.finish()?;
    let recognizer = app.recognizer()?;
    let options = IdentificationOptions { top, all_faces };
    let sees_candidates = caller.sees_candidates();
    let view = PresentationView::new(recognizer, &caller);
    let call = caller.call(app.now());
    let identification = recognizer.identify(probe, options, &call).await?;
    for face in identification.faces() {
        app.metrics.presented("identify", face.presentation.as_ref());
        if let Some(best) = face.candidates.first() {
            app.metrics.decided("identify", face.decision(), best.score);
        }
    }
    let identified = |face| IdentifiedFace::new(face, recognizer.model(), sees_candidates, &view);
    let answer = Identification {
        first: identified(&identification.first),
        threshold: identification.threshold.into(),
        gallery_size: identification.gallery_size,
        model: Model::from(recognizer.model()),
        other_faces: identification.prominent - identification.faces().count(),
        faces: all_faces.then(|| identification.faces().map(identified).collect()),
    };
    Ok(timed([&identification.timings], answer))
}
