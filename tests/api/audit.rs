//! The audit trail: its contents, and detection of tampering.

use std::path::Path;
use std::process::{Command, Output};

use jiff::SignedDuration;
use likeness::recognizer::Policy;
use reqwest::multipart::Form;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::app::{App, ENGINE, OPEN, POLICY, file, photo};

pub(crate) fn audit(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
    command.arg("audit").args(arguments).arg("--data-dir").arg(folder).output().unwrap()
}

/// Returns the trail, as `audit export` prints it.
pub(crate) fn trail(folder: &Path) -> Vec<Value> {
    let lines = String::from_utf8(audit(folder, &["export"]).stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap()
}

#[tokio::test]
async fn event_is_in_the_trail_before_the_response() {
    let app = App::spawn().await;
    let [first, again, other] =
        ["people/p01-a.jpg", "people/p01-b.jpg", "people/p02-a.jpg"].map(photo);
    app.enroll("e-1", first.clone()).await;
    app.enroll("e-2", first.clone()).await;
    app.verify("e-1", again.clone()).await;
    app.verify("e-1", other.clone()).await;
    app.identify(again.clone()).await;
    app.identify(other.clone()).await;
    let form = Form::new().part("photo_a", file(first)).part("photo_b", file(again));
    app.post("/compare", form).await;
    app.delete("/employees/e-1").await;
    let events = trail(app.folder.path());
    let subject = &events[0]["subject"];
    let happened = [
        ("enroll", "done", subject),
        ("enroll", "looks_like_another", subject),
        ("verify", "match", subject),
        ("verify", "non_match", subject),
        ("identify", "match", subject),
        ("identify", "non_match", &Value::Null),
        ("compare", "match", &Value::Null),
        ("erase", "done", subject),
    ];
    let found = events.iter().map(|e| (e["action"].as_str(), e["outcome"].as_str(), &e["subject"]));
    let happened =
        happened.map(|(action, outcome, subject)| (Some(action), Some(outcome), subject));
    assert_eq!(found.collect::<Vec<_>>(), happened);
    assert!(events.iter().all(|event| event["actor"] == "local"));
}

#[tokio::test]
async fn erased_employee_is_in_no_file_and_receipt_finds_events() {
    let app = App::spawn().await;
    let name = "somebody.quite.unmistakable@example.org";
    app.enroll(name, photo("people/p01-a.jpg")).await;
    app.verify(name, photo("people/p01-b.jpg")).await;
    let named = |app: &App| {
        std::fs::read_dir(app.folder.path()).unwrap().any(|entry| {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(name.len()).any(|window| window == name.as_bytes())
        })
    };
    assert!(named(&app), "the search finds what is there");
    let receipt = app.delete(&format!("/employees/{name}")).await.body;
    assert!(!named(&app));
    let events = trail(app.folder.path());
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event["subject"] == receipt["audit_id"]));
    assert_eq!(receipt["audit"]["count"], 3);
}

#[tokio::test]
async fn receipt_is_returned_again_and_does_not_erase_reenrolled_employee() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    let first = app.delete("/employees/e-1").await;
    assert_eq!(first.status, 200);
    assert_eq!(app.delete("/employees/e-1").await.status, 404);
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    let receipt = first.body["receipt"].as_str().unwrap();
    let again = app.delete(&format!("/employees/e-1?receipt={receipt}")).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(app.get("/employees/e-1").await.status, 200);
    let others = app.delete(&format!("/employees/e-2?receipt={receipt}")).await;
    assert_eq!((others.status, &others.body["code"]), (404, &json!("not_enrolled")));
    for query in ["receipt=x", "receipt=", "receipts=x"] {
        let unread = app.delete(&format!("/employees/e-1?{query}")).await;
        assert_eq!((unread.status, &unread.body["code"]), (400, &json!("malformed")));
    }
    let second = app.delete("/employees/e-1").await.body;
    assert_ne!(second["audit_id"], first.body["audit_id"], "another enrollment, another id");
}

#[tokio::test]
async fn tampering_is_detected_and_truncation_by_a_receipt() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    app.verify("e-1", photo("people/p02-a.jpg")).await;
    app.verify("e-1", photo("people/p01-b.jpg")).await;
    let receipt = app.delete("/employees/e-1").await.body;
    let head = receipt["audit"]["head"].as_str().unwrap();
    let folder = app.folder.path();
    let whole = audit(folder, &["verify", "--head", head]);
    assert!(whole.status.success() && said(&whole).contains(head), "{}", said(&whole));
    let options = SqliteConnectOptions::new().filename(folder.join("likeness.db"));
    let files = SqlitePool::connect_with(options).await.unwrap();
    let run = async |sql: &'static str| sqlx::query(sql).execute(&files).await.unwrap();
    run("delete from audit_event where number = 4").await;
    assert!(audit(folder, &["verify"]).status.success(), "a cut tail doesn't show by itself");
    let cut = audit(folder, &["verify", "--head", head]);
    assert!(
        !cut.status.success() && said(&cut).contains("the trail was truncated"),
        "{}",
        said(&cut)
    );
    run("update audit_event set outcome = 'match' where number = 2").await;
    let changed = audit(folder, &["verify"]);
    assert!(!changed.status.success());
    assert!(said(&changed).contains("event 2 was changed"), "{}", said(&changed));
}

#[tokio::test]
async fn enrollment_limit_applies_to_existing_enrollments() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    let policy = Policy { longest_enrollment: Some(SignedDuration::from_hours(24)), ..POLICY };
    let app = app.restarted_with(&ENGINE, OPEN, policy).await;
    app.enroll("e-2", photo("people/p02-a.jpg")).await;
    let later = Form::new()
        .text("employee_id", "e-3")
        .text("expires_at", "2030-01-01T00:00:00Z")
        .part("photo", file(photo("people/p03-a.jpg")));
    app.post("/enroll", later).await;
    for employee in ["e-1", "e-2", "e-3"] {
        let held = app.get(&format!("/employees/{employee}")).await.body;
        assert_eq!(held["expires_at"], "2026-01-03T03:04:05Z", "{employee}");
    }
}
