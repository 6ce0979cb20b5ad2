//! Presentation sessions with generated heads that are turned by the depth model, and with turned prints
//! (`models/train/pad/turns.py` made the frames).

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use likeness::audit::Actor;
use likeness::engine::Engine;
use likeness::presentation::{Steps, Turn};
use likeness::recognizer::{Policy, PresentationMode};
use likeness::seal::SessionToken;
use likeness::store::NewSession;
use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::app::{Answer, App, ENGINE, OPEN, POLICY, file, photo, send};
use crate::keys::keys;
use crate::presentation::{JUDGING, attack, dark};

/// Makes another photo of a file.
type Change = fn(&str) -> Vec<u8>;

const WITH_SESSIONS: Policy = Policy { presentation_sessions: true, ..POLICY };

const REQUIRE: Policy = Policy { presentation: PresentationMode::Require, ..WITH_SESSIONS };

thread_local! {
    /// Seconds since 1970 of the clock of a test: the service runs on the thread of its test.
    static CLOCK: Cell<i64> = const { Cell::new(1_800_000_000) };
}

fn clock() -> Timestamp {
    Timestamp::from_second(CLOCK.get()).unwrap()
}

fn pass(seconds: i64) {
    CLOCK.set(CLOCK.get() + seconds);
}

async fn app() -> App {
    app_with(&ENGINE, WITH_SESSIONS).await
}

async fn app_with(engine: &Engine, policy: Policy) -> App {
    let (app, state) = App::spawn_clocked(tempfile::tempdir().unwrap(), OPEN, clock).await;
    app.start(engine, &state, policy).await;
    app
}

pub(crate) async fn unknown() -> Answer {
    let app = app().await;
    let session = "A".repeat(43);
    app.post_json("/identify", &json!({ "presentation_session": session })).await
}

async fn opened(app: &App, employee: Option<&str>) -> Value {
    let body = employee.map_or(json!({}), |employee| json!({ "employee_id": employee }));
    let opened = app.post_json("/presentation/sessions", &body).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    opened.body
}

/// Opens a session with these turns.
async fn asked(app: &App, first: Turn, second: Turn) -> Value {
    let (token, [first, second]) = (SessionToken::draw(), [first, second].map(Turn::as_str));
    let steps = Steps::parse(&format!("{first} 1700 {second} 4300")).unwrap();
    let session = NewSession {
        digest: token.digest(),
        caller: &Actor::Local,
        employee: None,
        steps,
        opened_at: clock(),
        lifetime: SignedDuration::from_mins(2),
    };
    app.store.open_presentation_session(&session).await.unwrap();
    json!({
        "session": *token.to_text(),
        "steps": [{ "turn": first, "at_ms": 1700 }, { "turn": second, "at_ms": 4300 }],
        "until_ms": steps.until_ms(),
    })
}

/// Returns photos with their times: the person turns as asked, 400 ms after each step.
fn frames(session: &Value, who: &str) -> Vec<(u64, Vec<u8>)> {
    let named = names(session, who).into_iter();
    named.map(|(at, name)| (at, photo(&name))).collect()
}

fn names(session: &Value, who: &str) -> Vec<(u64, String)> {
    let number = |value: &Value| value.as_u64().unwrap();
    let steps = session["steps"].as_array().unwrap();
    let [first, second] = [0, 1].map(|k| (number(&steps[k]["at_ms"]), &steps[k]["turn"]));
    let pose = |at: u64| {
        let turn = if at >= second.0 + 400 { second.1 } else { first.1 };
        if at < first.0 + 400 { "straight" } else { turn.as_str().unwrap() }
    };
    let name = |at| match (who, pose(at)) {
        ("p01-print", "straight") => "p01-straight".to_owned(),
        (who, pose) => format!("{who}-{pose}"),
    };
    let until = number(&session["until_ms"]);
    let times = (0..16).map(|k| k * 550).take_while(|at| *at <= until);
    times.map(|at| (at, format!("turns/{}.jpg", name(at)))).collect()
}

fn form(frames: Vec<(u64, Vec<u8>)>) -> Form {
    frames.into_iter().fold(Form::new(), |form, (at, photo)| {
        form.part("frame", file(photo)).text("at_ms", at.to_string())
    })
}

/// Sends the frames of a session ten seconds later.
async fn judged(app: &App, session: &Value, frames: Vec<(u64, Vec<u8>)>) -> Answer {
    pass(10);
    sent(app, session, frames).await
}

async fn sent(app: &App, session: &Value, frames: Vec<(u64, Vec<u8>)>) -> Answer {
    let token = session["session"].as_str().unwrap();
    app.post(&format!("/presentation/sessions/{token}/frames"), form(frames)).await
}

async fn verified(app: &App, employee: &str, session: &Value) -> Answer {
    let token = &session["session"];
    let body = json!({ "employee_id": employee, "presentation_session": token });
    app.post_json("/verify", &body).await
}

async fn identified(app: &App, session: &Value) -> Answer {
    app.post_json("/identify", &json!({ "presentation_session": session["session"] })).await
}

/// Opens a session and sends live frames.
async fn live(app: &App, employee: Option<&str>) -> Value {
    let session = opened(app, employee).await;
    let answer = judged(app, &session, frames(&session, "p01")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, json!({ "decision": "live", "reasons": [] }), "{session}");
    session
}

fn is_unknown(answer: &Answer) {
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(answer.body["code"], "presentation_session_unknown", "{answer:?}");
}

#[tokio::test]
async fn live_session_verifies_or_identifies_its_person_once() {
    let app = app().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    assert_eq!(app.enroll("e-2", photo("people/p02-a.jpg")).await.status, 201);
    // Some rounds, since the steps are random.
    for _ in 0..4 {
        let session = live(&app, Some("e-1")).await;
        let answer = verified(&app, "e-1", &session).await;
        assert_eq!((answer.status, &answer.body["match"]), (200, &json!(true)), "{answer:?}");
        is_unknown(&verified(&app, "e-1", &session).await);
        is_unknown(&identified(&app, &session).await);
    }
    let session = live(&app, None).await;
    let answer = identified(&app, &session).await;
    assert_eq!(answer.body["match"]["employee_id"], "e-1", "{answer:?}");
    assert_eq!(answer.body["other_faces"], 0);
    is_unknown(&identified(&app, &session).await);
    let session = live(&app, None).await;
    let answer = verified(&app, "e-2", &session).await;
    assert_eq!((answer.status, &answer.body["match"]), (200, &json!(false)), "{answer:?}");
}

#[tokio::test]
async fn each_pair_of_steps_tells_heads_from_prints() {
    let app = app().await;
    for first in Turn::ALL {
        for second in Turn::ALL.into_iter().filter(|second| *second != first) {
            for (who, decision) in [("p01", "live"), ("p02", "live"), ("p01-print", "attack")] {
                let session = asked(&app, first, second).await;
                let answer = judged(&app, &session, frames(&session, who)).await;
                assert_eq!(answer.body["decision"], decision, "{who} {session} {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn attack_detector_judges_the_frames_too() {
    let app = app_with(&JUDGING, REQUIRE).await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    let session = live(&app, Some("e-1")).await;
    let answer = verified(&app, "e-1", &session).await;
    assert_eq!((answer.status, &answer.body["match"]), (200, &json!(true)), "{answer:?}");
    assert_eq!(answer.body["presentation"]["decision"], "live", "{answer:?}");
    for (change, decision, reason) in [
        (attack as Change, "attack", "presentation_attack"),
        (dark as Change, "uncertain", "unreadable"),
    ] {
        let session = opened(&app, Some("e-1")).await;
        let frames = names(&session, "p01").into_iter().map(|(at, name)| (at, change(&name)));
        let answer = judged(&app, &session, frames.collect()).await;
        assert_eq!(answer.body, json!({ "decision": decision, "reasons": [reason] }));
    }
}

#[tokio::test]
async fn repeated_attacks_on_an_employee_stop_sessions_for_them() {
    let app = app_with(&JUDGING, REQUIRE).await;
    for _ in 0..5 {
        // Within three minutes.
        let session = opened(&app, Some("e-1")).await;
        let answer = judged(&app, &session, frames(&session, "p01-print")).await;
        assert_eq!(answer.body["decision"], "attack", "{answer:?}");
    }
    let body = json!({ "employee_id": "e-1" });
    let answer = app.post_json("/presentation/sessions", &body).await;
    assert_eq!((answer.status, &answer.body["code"]), (429, &json!("too_many_attacks")));
    opened(&app, Some("e-2")).await;
    let events = app.store.events(1).await.unwrap();
    let repeated = events.iter().filter(|entry| entry.event.action == "repeated_attacks");
    assert_eq!(repeated.count(), 1);
}

#[tokio::test]
async fn session_accepts_frames_once_even_if_they_are_refused() {
    let app = app().await;
    let session = live(&app, None).await;
    is_unknown(&judged(&app, &session, frames(&session, "p01")).await);
    let session = opened(&app, None).await;
    let still =
        frames(&session, "p01").into_iter().map(|(at, _)| (at, photo("turns/p01-straight.jpg")));
    let answer = judged(&app, &session, still.collect()).await;
    assert_eq!(answer.body, json!({ "decision": "uncertain", "reasons": ["not_turned"] }));
    is_unknown(&judged(&app, &session, frames(&session, "p01")).await);
    is_unknown(&identified(&app, &session).await);
}

#[tokio::test]
async fn turned_print_and_second_person_are_attacks() {
    let app = app().await;
    let session = opened(&app, None).await;
    let answer = judged(&app, &session, frames(&session, "p01-print")).await;
    assert_eq!(answer.body["decision"], "attack", "{answer:?} {session}");
    assert!(answer.body["reasons"].as_array().unwrap().contains(&json!("flat")), "{answer:?}");
    is_unknown(&identified(&app, &session).await);
    let session = opened(&app, None).await;
    let (mut first, second) = (frames(&session, "p01"), frames(&session, "p02"));
    first.truncate(4);
    first.extend_from_slice(&second[4..]);
    let answer = judged(&app, &session, first).await;
    assert_eq!(answer.body["decision"], "attack", "{answer:?}");
    let reasons = answer.body["reasons"].as_array().unwrap();
    assert!(reasons.contains(&json!("other_person")), "{answer:?}");
}

#[tokio::test]
async fn frame_without_a_face_is_uncertain_and_a_corrupt_one_is_refused() {
    let app = app().await;
    let session = opened(&app, None).await;
    let mut empty = frames(&session, "p01");
    empty[5].1 = photo("odd/no-face.jpg");
    let answer = judged(&app, &session, empty).await;
    assert_eq!(answer.body, json!({ "decision": "uncertain", "reasons": ["no_face"] }));
    let session = opened(&app, None).await;
    let mut corrupt = frames(&session, "p01");
    corrupt[5].1.truncate(2000);
    let answer = judged(&app, &session, corrupt).await;
    assert_eq!(answer.body["code"], "unreadable_photo", "{answer:?}");
    is_unknown(&judged(&app, &session, frames(&session, "p01")).await);
}

#[tokio::test]
async fn session_is_bound_to_its_key_and_employee() {
    let app = app().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    assert_eq!(app.enroll("e-2", photo("people/p02-a.jpg")).await.status, 201);
    keys(&app, &["add", "--first"]).await;
    let door = keys(&app, &["add", "door", "--role", "terminal"]).await;
    let other = keys(&app, &["add", "other", "--role", "terminal"]).await;
    let post = async |key: &str, path: &str, body: Value| {
        send(app.client.post(app.at(path)).bearer_auth(key).json(&body)).await
    };
    let opened = post(&door, "/presentation/sessions", json!({ "employee_id": "e-1" })).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    let session = opened.body;
    let path = format!("/presentation/sessions/{}/frames", session["session"].as_str().unwrap());
    let judge = async |key: &str| {
        pass(10);
        let frames = form(frames(&session, "p01"));
        send(app.client.post(app.at(&path)).bearer_auth(key).multipart(frames)).await
    };
    is_unknown(&judge(&other).await);
    assert_eq!(judge(&door).await.body["decision"], "live");
    let token = &session["session"];
    let claim = |employee| json!({ "employee_id": employee, "presentation_session": token });
    is_unknown(&post(&other, "/verify", claim("e-1")).await);
    is_unknown(&post(&door, "/verify", claim("e-2")).await);
    is_unknown(&post(&door, "/identify", json!({ "presentation_session": token })).await);
    let answer = post(&door, "/verify", claim("e-1")).await;
    assert_eq!((answer.status, &answer.body["match"]), (200, &json!(true)), "{answer:?}");
}

#[tokio::test]
async fn session_expires_after_two_minutes() {
    let app = app().await;
    let session = opened(&app, None).await;
    let expires_at: Timestamp = session["expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(expires_at.duration_since(clock()).as_secs(), 120);
    let early = opened(&app, None).await;
    let answer = sent(&app, &early, frames(&early, "p01")).await;
    let expected = json!({ "decision": "uncertain", "reasons": ["too_early"] });
    assert_eq!(answer.body, expected, "no time has passed");
    pass(60);
    let live = live(&app, None).await;
    pass(50);
    is_unknown(&sent(&app, &session, frames(&session, "p01")).await);
    pass(60);
    is_unknown(&identified(&app, &live).await);
}

#[tokio::test]
async fn session_survives_a_restart_and_its_embedding_is_in_no_file() {
    let app = app().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    let (first, second) = (opened(&app, None).await, live(&app, None).await);
    let (app, state) = App::spawn_clocked(app.folder, OPEN, clock).await;
    app.start(&ENGINE, &state, WITH_SESSIONS).await;
    assert_eq!(judged(&app, &first, frames(&first, "p01")).await.body["decision"], "live");
    for session in [first, second] {
        let token = session["session"].as_str().unwrap();
        for entry in std::fs::read_dir(app.folder.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()));
        }
        let answer = identified(&app, &session).await;
        assert_eq!(answer.body["match"]["employee_id"], "e-1", "{answer:?}");
    }
}

#[tokio::test]
async fn wrong_frames_are_malformed_and_do_not_use_up_the_session() {
    let app = app().await;
    let session = opened(&app, None).await;
    let right = frames(&session, "p01");
    let mut unsorted = right.clone();
    unsorted.swap(2, 3);
    let seventeen = (0..17).map(|k| (k, right[0].1.clone())).collect();
    for (wrong, why) in [
        (right[..7].to_vec(), "send 8 to 16 frames"),
        (seventeen, "send 8 to 16 frames"),
        (Vec::new(), ""),
        (unsorted, "each at_ms must be greater"),
    ] {
        let answer = judged(&app, &session, wrong).await;
        assert_eq!((answer.status, &answer.body["code"]), (400, &json!("malformed")));
        assert!(answer.body["detail"].as_str().unwrap().contains(why), "{answer:?}");
    }
    let path = format!("/presentation/sessions/{}/frames", session["session"].as_str().unwrap());
    let text = |photo: &Vec<u8>| json!(STANDARD.encode(photo));
    let (times, photos): (Vec<_>, Vec<_>) =
        right.iter().map(|(at, photo)| (json!(at), text(photo))).unzip();
    for wrong in [
        json!({ "frame": photos, "at_ms": times[1..] }),
        json!({ "frame": photos, "at_ms": times, "more": 1 }),
        json!({ "frame": photos }),
        json!({ "frame": vec!["AAAA"; 17], "at_ms": times }),
        json!({ "frame": vec!["?"; times.len()], "at_ms": times }),
        json!({ "frame": photos, "at_ms": vec![0.5; times.len()] }),
        json!([]),
    ] {
        let answer = app.post_json(&path, &wrong).await;
        assert_eq!(answer.body["code"], "malformed", "{answer:?}");
    }
    pass(10);
    let answer = app.post_json(&path, &json!({ "frame": photos, "at_ms": times })).await;
    assert_eq!(answer.body["decision"], "live", "{answer:?}");
    let token = &session["session"];
    let both = json!({ "presentation_session": token, "photo": photos[0] });
    assert_eq!(app.post_json("/identify", &both).await.body["code"], "malformed");
    let short = json!({ "presentation_session": "AAAA" });
    assert_eq!(app.post_json("/identify", &short).await.body["code"], "malformed");
    assert_eq!(identified(&app, &session).await.status, 200);
}

#[tokio::test]
async fn judgments_are_in_the_audit_trail() {
    let app = app().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    live(&app, Some("e-1")).await;
    let session = opened(&app, None).await;
    judged(&app, &session, frames(&session, "p01-print")).await;
    let events = app.store.events(1).await.unwrap();
    let judged = events.iter().filter(|entry| entry.event.action == "judge_presentation");
    let judged: Vec<_> = judged.map(|e| (&*e.event.outcome, e.event.subject.is_some())).collect();
    assert_eq!(judged, [("live", true), ("attack", false)]);
}

#[tokio::test]
async fn sessions_are_off_by_default() {
    let app = App::spawn().await;
    let session = "A".repeat(43);
    let path = format!("/presentation/sessions/{session}/frames");
    let eight = (0..8).map(|k| (k, vec![0])).collect();
    let by_session = json!({ "presentation_session": session });
    for answer in [
        app.post_json("/presentation/sessions", &json!({})).await,
        app.post(&path, form(eight)).await,
        app.post_json("/identify", &by_session).await,
    ] {
        assert_eq!(answer.status, 404, "{answer:?}");
        assert_eq!(answer.body["code"], "presentation_sessions_off", "{answer:?}");
    }
}
