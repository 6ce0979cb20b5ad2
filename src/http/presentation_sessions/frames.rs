//! `POST /presentation/sessions/{session}/frames`: judges the frames of a session.

use axum::Extension;
use axum::extract::{FromRequest, Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;

use crate::http::AppState;
use crate::http::answer::timed;
use crate::http::frames::Frames;
use crate::http::guard::Caller;
use crate::http::openapi::Photo;
use crate::http::problem::{Code, Problem};
use crate::http::schema::one_of;
use crate::presentation::{Decision, TurnReason};
use crate::recognizer::Error;
use crate::seal::SessionToken;

/// The frames of a session, in the order of their times.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the schema of `Frames`")]
struct FrameSet {
    /// Photos, all of one person, together at most 32 MiB.
    #[schema(value_type = Vec<Photo>, min_items = 8, max_items = 16)]
    frame: Vec<Bytes>,
    /// The time of each photo, in milliseconds since the session was opened.
    #[schema(min_items = 8, max_items = 16)]
    at_ms: Vec<u32>,
}

/// The judgment on a session.
#[derive(Serialize, ToSchema)]
struct Judgment {
    /// `live` if a living person followed the steps, `attack` if the frames show an attack instrument, otherwise
    /// `uncertain`. Only a live session can be used.
    #[schema(schema_with = decisions)]
    decision: &'static str,
    /// Why the session is not live.
    #[schema(schema_with = reasons)]
    reasons: Vec<&'static str>,
}

fn decisions() -> ObjectBuilder {
    one_of(Decision::ALL.map(Decision::code))
}

fn reasons() -> utoipa::openapi::ArrayBuilder {
    let about = "Why the session is not live.";
    let reason = one_of(TurnReason::ALL.map(TurnReason::code));
    utoipa::openapi::ArrayBuilder::new().items(reason).description(Some(about))
}

/// Judges the frames of a session: whether a living person followed its steps. The session accepts frames once. If it is
/// live, `verify` and `identify` compare the best of its frames once, by `presentation_session`. Frames are not stored.
#[utoipa::path(
    post,
    path = "/presentation/sessions/{session}/frames",
    operation_id = "judge_presentation_session",
    tag = "Recognition",
    params(("session" = String, Path, description = "The token of the session")),
    request_body = FrameSet,
    responses((status = OK, description = "The judgment", body = Judgment)),
    extensions(("x-problems" = json!([Code::PresentationSessionUnknown, Code::PresentationSessionsOff]))),
)]
pub(in crate::http) async fn judge(
    State(app): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path(session): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let recognizer = app.recognizer()?;
    recognizer.allow_presentation_sessions()?;
    let Frames(frames) = Frames::from_request(request, &app).await?;
    let call = caller.call(app.now());
    let token = SessionToken::parse(&session).map_err(|_| Error::NoPresentationSession)?;
    let judged = recognizer.judge_presentation_session(&token, frames, &call).await?;
    app.metrics.judged("presentation_session", judged.judgment.decision);
    let reasons = judged.judgment.reasons.iter().map(|reason| reason.code()).collect();
    let answer = Judgment { decision: judged.judgment.decision.code(), reasons };
    Ok(timed(&judged.timings, answer))
}
