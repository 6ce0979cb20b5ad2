//! Presentation sessions: a person is asked for two turns of the head, and the frames are judged and used once.
//!
//! Frames are never stored. The best one's probe waits in the store, sealed under a key derived from the session's token.

use std::collections::BTreeSet;
use std::iter;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::error::Error;
use super::model_gallery::ModelGallery;
use super::outcome::{Call, Probe};
use super::waiting_probe::WaitingProbe;
use super::{PresentationMode, Recognizer, last};
use crate::audit::{Action, NotLive, Outcome};
use crate::comparison::Decision;
use crate::embedding::Embedding;
use crate::employee::EmployeeId;
use crate::engine::{EncodedFace, ExtractError, GroupExtraction, Permit, Role};
use crate::face::NoProminentFace;
use crate::presentation::{
    self, Frame, Judgment, LiveScore, Liveness, Presentation, Steps, View, best_straight_frame,
    judge,
};
use crate::random::random;
use crate::seal::SessionToken;
use crate::store::{NewSession, TakenSession};
use crate::timings::Timings;

/// How long a session lives.
const LIFETIME: SignedDuration = SignedDuration::from_mins(2);

/// A presentation session that was opened.
#[derive(Debug)]
pub struct PresentationSession {
    /// The token, for the caller alone.
    pub token: SessionToken,
    /// The turns to ask for.
    pub steps: Steps,
    /// Time at which the session expires.
    pub expires_at: Timestamp,
    /// The stages and their times.
    pub timings: Timings,
}

/// A frame of a session.
#[derive(Clone, Debug)]
pub struct TimedPhoto {
    /// The photo, as sent.
    pub photo: Bytes,
    /// Milliseconds since the session was opened.
    pub at_ms: u32,
}

/// The result of judging the frames of a session.
#[derive(Debug)]
pub struct JudgedSession {
    /// The decision and its reasons.
    pub judgment: Judgment,
    /// The stages of each frame and their times, then those of the session.
    pub timings: Vec<Timings>,
}

/// A frame of which the faces were found.
struct Seen {
    at_ms: u32,
    faces: usize,
    first: Option<EncodedFace>,
}

impl Recognizer {
    /// Opens a session with random steps for this caller and, if given, for this employee alone.
    ///
    /// # Errors
    /// [`Error::PresentationSessionsOff`], [`Error::TooManyAttacks`]; those of the store.
    pub async fn open_presentation_session(
        &self,
        employee: Option<&EmployeeId>,
        call: &Call,
    ) -> Result<PresentationSession, Error> {
        self.allow_presentation_sessions()?;
        let wait = employee.and_then(|employee| self.attacks.wait(employee, call.at));
        if let Some(wait) = wait.filter(|_| self.presentation == PresentationMode::Require) {
            return Err(Error::TooManyAttacks { wait });
        }
        let (token, steps) = (SessionToken::draw(), Steps::draw(&random()));
        let session = NewSession {
            digest: token.digest(),
            caller: &call.actor,
            employee,
            steps,
            opened_at: call.at,
            lifetime: LIFETIME,
        };
        let mut timings = Timings::default();
        let opened = self.patiently(self.store.open_presentation_session(&session));
        timings.wait("store", opened).await?;
        Ok(PresentationSession { token, steps, expires_at: call.at + LIFETIME, timings })
    }

    /// Judges the frames of a session, which accepts no others afterwards. If they are live, the best straight frame can
    /// be verified or identified once.
    ///
    /// # Errors
    /// [`Error::PresentationSessionsOff`], [`Error::NoPresentationSession`]; those of
    /// [`Engine::extract_group`](crate::engine::Engine::extract_group) for each frame, but that it shows no face.
    pub async fn judge_presentation_session(
        &self,
        token: &SessionToken,
        photos: Vec<TimedPhoto>,
        call: &Call,
    ) -> Result<JudgedSession, Error> {
        self.allow_presentation_sessions()?;
        // Before the session is taken: a busy service does not use it up.
        let permit = self.engine.permit()?;
        let taken = self.store.take_presentation_session(token.digest(), &call.actor, call.at);
        let session = self.patiently(taken).await?.ok_or(Error::NoPresentationSession)?;
        let mut timings = Vec::with_capacity(photos.len() + 1);
        let mut seen = Vec::with_capacity(photos.len());
        for TimedPhoto { photo, at_ms } in &photos {
            let (found, spent) = self.see(&permit, photo.clone(), *at_ms).await?;
            seen.push(found);
            timings.extend(spent);
        }
        let judgment = self.judge_frames(&permit, &session, &seen, &photos, call).await?;
        let mut own = Timings::default();
        let ended = self.end_judging(token, &session, &judgment, seen, call);
        own.wait("store", ended).await?;
        timings.push(own);
        Ok(JudgedSession { judgment, timings })
    }

    /// Finds and encodes the most prominent face of a frame, if there is one.
    async fn see(
        &self,
        permit: &Permit,
        photo: Bytes,
        at_ms: u32,
    ) -> Result<(Seen, Option<Timings>), ExtractError> {
        let probes: Vec<_> = self.galleries.all().map(|gallery| (gallery, Role::Probe)).collect();
        match self.extract_group(permit, photo, &probes, 1).await {
            Ok(GroupExtraction { first, prominent, timings, .. }) => {
                Ok((Seen { at_ms, faces: prominent, first: Some(first) }, Some(timings)))
            }
            Err(ExtractError::Face(NoProminentFace::None)) => {
                Ok((Seen { at_ms, faces: 0, first: None }, None))
            }
            Err(error) => Err(error),
        }
    }

    /// Compares all frames with the best straight one, as a reference, and judges them.
    async fn judge_frames(
        &self,
        permit: &Permit,
        session: &TakenSession,
        seen: &[Seen],
        photos: &[TimedPhoto],
        call: &Call,
    ) -> Result<Judgment, Error> {
        let threshold = self.live_threshold();
        let mut frames: Vec<_> = seen.iter().map(|seen| frame_of(seen, threshold)).collect();
        if let Some(best) = best_straight_frame(&frames, &session.steps) {
            let present = &self.galleries.present;
            let photo = photos[best].photo.clone();
            let asked = [(present, Role::Reference)];
            let reference = self.extract_group(permit, photo, &asked, 1).await?;
            let reference = last(&reference.first.embeddings);
            let threshold = present.thresholds.verification();
            let shows_the_same = |probe: &Embedding| {
                let score = present.encoder.comparator().compare(reference, probe);
                threshold.decide(score) == Decision::Match
            };
            for (frame, seen) in frames.iter_mut().zip(seen) {
                if let (Some(view), Some(first)) = (&mut frame.view, &seen.first) {
                    view.same_person = shows_the_same(last(&first.embeddings));
                }
            }
        }
        let elapsed = call.at.duration_since(session.opened_at).as_millis();
        Ok(judge(&frames, &session.steps, u64::try_from(elapsed).unwrap_or(0)))
    }

    /// Keeps the probe of a live session or deletes the session, and records the decision.
    async fn end_judging(
        &self,
        token: &SessionToken,
        session: &TakenSession,
        judgment: &Judgment,
        mut seen: Vec<Seen>,
        call: &Call,
    ) -> Result<(), Error> {
        let is_live = judgment.decision == presentation::Decision::Live;
        let live_score = mean_live_score(&seen);
        let best = judgment.best.filter(|_| is_live).and_then(|best| seen.swap_remove(best).first);
        if let Some(EncodedFace { face, quality, embeddings, .. }) = best {
            let models = self.galleries.all().map(|gallery| gallery.model().id);
            let embeddings = models.zip(embeddings).collect();
            let probe = WaitingProbe { face, quality, live_score, embeddings };
            let probe = token.seal(&probe.to_bytes());
            let kept = self.store.keep_presentation_probe(token.digest(), &probe, call.at);
            if !self.patiently(kept).await? {
                return Err(Error::NoPresentationSession);
            }
        } else {
            self.patiently(self.store.delete_presentation_session(token.digest())).await?;
        }
        let reference = match &session.employee {
            Some(employee) => self.store.find(employee).await?,
            None => None,
        };
        let outcome = match judgment.decision {
            presentation::Decision::Live => Outcome::Live,
            presentation::Decision::Attack => Outcome::NotLive(NotLive::Attack),
            presentation::Decision::Uncertain => Outcome::NotLive(NotLive::Uncertain),
        };
        let subject = reference.map(|reference| reference.audit_id);
        let event = call.event(Action::JudgePresentation, outcome, subject);
        let is_attack = judgment.decision == presentation::Decision::Attack;
        let repeated =
            is_attack.then(|| self.add_attack(session.employee.as_ref(), call)).flatten();
        let written = self.journal.record(iter::once(event).chain(repeated));
        written.await.map_err(|_| Error::AuditFull)
    }

    /// Extracts the faces of a photo, or takes the one that waits in a session for this caller and employee.
    pub(super) async fn extract_probe(
        &self,
        permit: &Permit,
        probe: Probe,
        asked: &[(&ModelGallery, Role)],
        most: usize,
        (employee, call): (Option<&EmployeeId>, &Call),
    ) -> Result<GroupExtraction, Error> {
        let token = match probe {
            Probe::Photo(photo) => {
                return Ok(self.extract_group(permit, photo, asked, most).await?);
            }
            Probe::Session(token) => token,
        };
        self.allow_presentation_sessions()?;
        let taken =
            self.store.take_presentation_probe(token.digest(), &call.actor, employee, call.at);
        let sealed = self.patiently(taken).await?.ok_or(Error::NoPresentationSession)?;
        let plain = token.open(&sealed).map_err(|_| Error::NoPresentationSession)?;
        let mut waiting = WaitingProbe::read(&plain).ok_or(Error::NoPresentationSession)?;
        // Absent if the encoder was changed meanwhile.
        let embeddings = asked.iter().map(|(gallery, _)| waiting.take(gallery.model().id));
        let embeddings = embeddings.collect::<Option<_>>().ok_or(Error::NoPresentationSession)?;
        let WaitingProbe { face, quality, live_score, .. } = waiting;
        let live = |score| Presentation {
            decision: presentation::Decision::Live,
            reasons: BTreeSet::new(),
            score,
        };
        Ok(GroupExtraction {
            first: EncodedFace { face, quality, presentation: live_score.map(live), embeddings },
            others: Vec::new(),
            prominent: 1,
            timings: Timings::default(),
        })
    }

    /// Deletes expired sessions.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn drop_presentation_sessions(&self, now: Timestamp) -> Result<(), Error> {
        self.store.drop_presentation_sessions(now).await?;
        Ok(())
    }

    /// Checks that presentation sessions are on.
    ///
    /// # Errors
    /// [`Error::PresentationSessionsOff`].
    pub fn allow_presentation_sessions(&self) -> Result<(), Error> {
        self.presentation_sessions.then_some(()).ok_or(Error::PresentationSessionsOff)
    }
}

/// Returns the mean live score of the frames that permit a judgment, if there are any.
fn mean_live_score(seen: &[Seen]) -> Option<LiveScore> {
    let judged = seen.iter().filter_map(|seen| seen.first.as_ref()?.presentation.as_ref());
    let readable = judged.filter(|judged| judged.decision != presentation::Decision::Uncertain);
    let scores: Vec<_> = readable.map(|judged| judged.score.value()).collect();
    LiveScore::new(scores.iter().sum::<f64>() / scores.len() as f64)
}

/// Returns what is judged of a frame; whether it shows the same person is not known yet.
fn frame_of(seen: &Seen, threshold: Option<LiveScore>) -> Frame {
    let liveness = |judged: &Presentation, threshold: LiveScore| match judged.decision {
        presentation::Decision::Uncertain => Liveness::Unreadable,
        _ => Liveness::Margin(judged.score.value() - threshold.value()),
    };
    let view = |first: &EncodedFace| View {
        face: first.face.clone(),
        quality: first.quality.unified_score(),
        same_person: false,
        liveness: first
            .presentation
            .as_ref()
            .zip(threshold)
            .map_or(Liveness::NotJudged, |(judged, threshold)| liveness(judged, threshold)),
    };
    Frame { at_ms: seen.at_ms, faces: seen.faces, view: seen.first.as_ref().map(view) }
}
