//! Audit events of decisions that were made while the database could not be written.

use std::path::Path;
use std::time::{Duration, Instant};

use likeness::employee::EmployeeId;
use likeness::store::Store;
use serde_json::{Value, json};
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, Transaction};

use crate::app::{App, photo};
use crate::faults::{events, post};
use crate::process::Process;

/// A connection of another program to the database.
async fn database(folder: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(folder.join("likeness.db"));
    SqlitePool::connect_with(options).await.unwrap()
}

/// Locks the database against other writers.
async fn lock(folder: &Path) -> Transaction<'static, Sqlite> {
    database(folder).await.begin_with("begin immediate").await.unwrap()
}

/// Polls until the response is as expected, for at most a minute.
async fn until<T: PartialEq + std::fmt::Debug>(wanted: T, ask: impl AsyncFn() -> T) {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let answer = ask().await;
        if answer == wanted {
            return;
        }
        assert!(Instant::now() < end, "{answer:?} and never {wanted:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn backlog_of(service: &Process) -> Value {
    let ready = reqwest::get(format!("{}/readyz", service.url)).await.unwrap();
    ready.json::<Value>().await.unwrap()["audit"].clone()
}

/// Returns whether a process has logged a text.
fn logged(folder: &Path, text: &str) -> bool {
    std::fs::read_to_string(folder.join("log")).unwrap().contains(text)
}

async fn backlog(app: &App) -> Value {
    app.get("/readyz").await.body["audit"].clone()
}

/// Verifies the trail; returns outcome and subject of each event.
async fn trail(store: &Store) -> Vec<(String, Option<String>)> {
    store.verify_events(None).await.unwrap().unwrap();
    let events = store.events(1).await.unwrap();
    events.into_iter().map(|entry| (entry.event.outcome, entry.event.subject)).collect()
}

#[tokio::test]
async fn waiting_event_is_written_when_the_database_is_unlocked() {
    let folder = tempfile::tempdir().unwrap();
    let service = Process::start(folder.path());
    assert_eq!(post(&service, "/enroll", "e-1", "people/p01-a.jpg").await.status, 201);
    assert_eq!(backlog_of(&service).await, json!({"waiting": 0, "quarantined": 0}));
    let holding = lock(folder.path()).await;
    assert_eq!(post(&service, "/verify", "e-1", "people/p01-b.jpg").await.status, 200);
    assert_eq!(backlog_of(&service).await, json!({"waiting": 1, "quarantined": 0}));
    until(true, async || logged(folder.path(), "buffered in memory")).await;
    holding.rollback().await.unwrap();
    // No further decision is made.
    until(json!({"waiting": 0, "quarantined": 0}), async || backlog_of(&service).await).await;
    service.kill();
    assert_eq!(events(folder.path()).await, 2);
}

#[tokio::test]
async fn event_names_the_compared_reference_even_if_the_id_is_reissued() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    let ada = app.store.find(&EmployeeId::parse("e-1").unwrap()).await.unwrap().unwrap();
    let mut holding = lock(app.folder.path()).await;
    assert_eq!(app.verify("e-1", photo("people/p01-b.jpg")).await.body["match"], true);
    // The process that locks the database erases the employee and reissues the id.
    for statement in [
        "update employee set audit_id = x'0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b'",
        "update employee set enrolled_at = enrolled_at + 1",
    ] {
        sqlx::query(statement).execute(&mut *holding).await.unwrap();
    }
    holding.commit().await.unwrap();
    until(json!(0), async || backlog(&app).await["waiting"].clone()).await;
    let (outcome, subject) = trail(&app.store).await.pop().unwrap();
    assert_eq!((outcome, subject), ("match".to_owned(), Some(ada.audit_id.to_string())));
}

#[tokio::test]
async fn shutdown_waits_for_buffered_events() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = Process::start(folder.path());
    assert_eq!(post(&service, "/enroll", "e-1", "people/p01-a.jpg").await.status, 201);
    let holding = lock(folder.path()).await;
    assert_eq!(post(&service, "/verify", "e-1", "people/p01-b.jpg").await.status, 200);
    service.terminate();
    until(true, async || logged(folder.path(), "shutdown is waiting for audit events")).await;
    holding.rollback().await.unwrap();
    assert!(service.ended_well());
    assert_eq!(events(folder.path()).await, 2);
    // The next start continues the trail.
    let service = Process::start(folder.path());
    assert_eq!(post(&service, "/verify", "e-1", "people/p01-b.jpg").await.status, 200);
    service.kill();
    assert_eq!(events(folder.path()).await, 3);
}

#[tokio::test]
async fn shutdown_logs_events_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = Process::start(folder.path());
    assert_eq!(post(&service, "/enroll", "e-1", "people/p01-a.jpg").await.status, 201);
    let holding = lock(folder.path()).await;
    assert_eq!(post(&service, "/verify", "e-1", "people/p01-b.jpg").await.status, 200);
    service.terminate();
    assert!(service.ended_well());
    holding.rollback().await.unwrap();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let lost = log.lines().find(|line| line.contains("before the service stopped")).unwrap();
    let lost: Value = serde_json::from_str(lost).unwrap();
    let fields = lost.get("fields").unwrap_or(&lost);
    assert_eq!((&fields["action"], &fields["outcome"]), (&json!("verify"), &json!("match")));
    assert_eq!(events(folder.path()).await, 1);
}

#[tokio::test]
async fn refused_event_is_logged_and_does_not_block_others() {
    let folder = tempfile::tempdir().unwrap();
    // An outcome may state the presentation too.
    let service = Process::start_with(folder.path(), &["--pad-mode", "off"]);
    assert_eq!(post(&service, "/enroll", "e-1", "people/p01-a.jpg").await.status, 201);
    let refuse = "create trigger refuse before insert on audit_event
                  when new.outcome = 'non_match' begin select raise(abort, 'refused'); end";
    sqlx::query(refuse).execute(&database(folder.path()).await).await.unwrap();
    let holding = lock(folder.path()).await;
    for photo in ["p01-b", "p02-b", "p01-c", "p03-b", "p01-b"] {
        let name = format!("people/{photo}.jpg");
        assert_eq!(post(&service, "/verify", "e-1", &name).await.status, 200);
    }
    holding.rollback().await.unwrap();
    until(json!({"waiting": 0, "quarantined": 2}), async || backlog_of(&service).await).await;
    assert_eq!(post(&service, "/verify", "e-1", "people/p01-b.jpg").await.status, 200);
    service.kill();
    assert_eq!(events(folder.path()).await, 1 + 4);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let kept = log.lines().filter(|line| line.contains("recorded in this log only"));
    let kept: Vec<Value> = kept.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept.len(), 2);
    for line in kept {
        let event = line.get("fields").unwrap_or(&line);
        assert_eq!((&event["action"], &event["outcome"]), (&json!("verify"), &json!("non_match")));
        assert_eq!(event["subject"].as_str().unwrap().len(), 32, "{event}");
        assert!(event["at"].is_i64() && event["actor"].is_string(), "{event}");
    }
}

#[tokio::test]
async fn metrics_count_buffered_and_quarantined_events() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    let database = database(app.folder.path()).await;
    let refuse = "create trigger refuse before insert on audit_event
                  when new.outcome = 'non_match' begin select raise(abort, 'refused'); end";
    sqlx::query(AssertSqlSafe(refuse.to_owned())).execute(&database).await.unwrap();
    app.verify("e-1", photo("people/p02-b.jpg")).await;
    let holding = lock(app.folder.path()).await;
    app.verify("e-1", photo("people/p01-b.jpg")).await;
    let page = app.client.get(app.at("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("\nlikeness_audit_events_waiting 1\n"), "{page}");
    assert!(page.contains("\nlikeness_audit_events_quarantined_total 1\n"), "{page}");
    holding.rollback().await.unwrap();
}
