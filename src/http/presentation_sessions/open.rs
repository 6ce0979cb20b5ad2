//! `POST /presentation/sessions`: opens a session with random steps.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;

use crate::employee;
use crate::http::AppState;
use crate::http::answer::{EmployeeId, timed};
use crate::http::form::Form;
use crate::http::guard::Caller;
use crate::http::problem::{Code, Problem};
use crate::http::schema::one_of;
use crate::presentation::{self, FRAMES, Turn};

/// Whom the session is for.
#[derive(ToSchema)]
struct Subject {
    /// The employee whom the session may verify; without one, it may verify or identify anybody.
    #[schema(value_type = EmployeeId, required = false)]
    employee_id: Option<employee::EmployeeId>,
}

/// The new session.
#[derive(Serialize, ToSchema)]
struct OpenedSession {
    /// The token of the session, for its path and for `presentation_session`.
    #[schema(pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]
    session: String,
    /// Time at which it expires.
    expires_at: Timestamp,
    /// The turns to ask for, in order.
    #[schema(min_items = 2, max_items = 2)]
    steps: [Step; 2],
    /// Time of the last frame, in milliseconds since the session was opened.
    until_ms: u32,
    /// Fewest frames.
    min_frames: usize,
    /// Most frames.
    max_frames: usize,
}

/// A turn of the head that the person is asked for.
#[derive(Serialize, ToSchema)]
struct Step {
    /// From the person's point of view.
    #[schema(schema_with = turns)]
    turn: &'static str,
    /// When to ask, in milliseconds since the session was opened.
    at_ms: u32,
}

fn turns() -> ObjectBuilder {
    one_of(Turn::ALL.map(Turn::as_str))
}

impl From<presentation::Step> for Step {
    fn from(step: presentation::Step) -> Self {
        Self { turn: step.turn.as_str(), at_ms: step.at_ms }
    }
}

/// Opens a session in which a person is asked for two turns of the head, at random times. Experimental; only with
/// `--presentation-sessions`. The session can be used once, within two minutes, with the same key.
#[utoipa::path(
    post,
    path = "/presentation/sessions",
    operation_id = "open_presentation_session",
    tag = "Recognition",
    request_body = Subject,
    responses((status = CREATED, description = "The session and its steps", body = OpenedSession)),
    extensions(("x-problems" = json!([Code::PresentationSessionsOff, Code::TooManyAttacks]))),
)]
pub(in crate::http) async fn open(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    mut form: Form,
) -> Result<Response, Problem> {
    let subject = Subject { employee_id: form.optional_employee_id()? };
    form.finish()?;
    let call = caller.call(app.now());
    let recognizer = app.recognizer()?;
    let opened = recognizer.open_presentation_session(subject.employee_id.as_ref(), &call).await?;
    let answer = OpenedSession {
        session: opened.token.to_text().to_string(),
        expires_at: opened.expires_at,
        steps: opened.steps.both().map(Step::from),
        until_ms: opened.steps.until_ms(),
        min_frames: *FRAMES.start(),
        max_frames: *FRAMES.end(),
    };
    Ok((StatusCode::CREATED, timed([&opened.timings], answer)).into_response())
}
