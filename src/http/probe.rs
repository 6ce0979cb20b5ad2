//! What `verify` and `identify` compare: a photo, or a presentation session instead.

use utoipa::ToSchema;

use super::form::Form;
use super::problem::Problem;
use crate::recognizer::Probe;
use crate::seal::SessionToken;

/// The field of a presentation session.
const SESSION: &str = "presentation_session";

/// A presentation session that was judged live, in place of `photo`: the best of its frames is compared. It can be used
/// once, with the key that opened it.
#[derive(ToSchema)]
#[schema(
    pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$",
    examples("hSvyFhNwVvDXNp5VlQ6mJzqGhTqzNVJfm5c1wr8Zr3k")
)]
pub(super) struct PresentationSession(#[expect(dead_code, reason = "the schema only")] String);

/// Takes the photo or the session.
pub(super) fn take(form: &mut Form) -> Result<Probe, Problem> {
    let Some(text) = form.text(SESSION)? else { return Ok(Probe::Photo(form.photo("photo")?)) };
    if form.has("photo") {
        return Err(Problem::malformed(format!("send either photo or {SESSION}, not both")));
    }
    let token = SessionToken::parse(&text);
    Ok(Probe::Session(token.map_err(|error| Problem::malformed(format!("{SESSION}: {error}")))?))
}
