//! Erasure of templates and data keys, and rotation of the master key.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use likeness::embedding::Embedding;
use likeness::store::StoredTemplate;
use reqwest::multipart::Form;
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::app::{App, ENGINE, file, photo, send};
use crate::process::Process;

/// A reader of another program that keeps its snapshot.
async fn reader(app: &App) -> sqlx::Transaction<'static, sqlx::Sqlite> {
    let options = SqliteConnectOptions::new().filename(app.folder.path().join("likeness.db"));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let mut reading = pool.begin().await.unwrap();
    sqlx::query("select * from template").fetch_all(&mut *reading).await.unwrap();
    reading
}

/// Returns the sealed template and the wrapped data key of the only employee, as stored.
async fn sealed(app: &App) -> [Vec<u8>; 2] {
    let model = ENGINE.encoder().model().id;
    let StoredTemplate { template, key, .. } =
        app.store.templates(model, None).await.unwrap().remove(0);
    [template.sealed.as_bytes().to_vec(), key.unwrap().wrapped.as_bytes().to_vec()]
}

/// Returns whether a file of the data directory contains a part of these bytes.
fn on_disk(app: &App, bytes: &[u8]) -> bool {
    let part = &bytes[bytes.len() / 4..bytes.len() / 4 + 24];
    std::fs::read_dir(app.folder.path()).unwrap().any(|entry| {
        let file = std::fs::read(entry.unwrap().path()).unwrap();
        file.windows(part.len()).any(|window| window == part)
    })
}

#[tokio::test]
async fn erased_template_is_in_no_file_after_the_response() {
    let app = App::spawn().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    let [template, key] = sealed(&app).await;
    assert!(on_disk(&app, &template) && on_disk(&app, &key), "the search finds what is there");
    assert_eq!(app.delete("/employees/e-1").await.status, 200);
    assert!(!on_disk(&app, &template) && !on_disk(&app, &key));
}

#[tokio::test]
async fn erasure_is_pending_while_a_reader_holds_the_wal() {
    let app = App::spawn().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    let [template, key] = sealed(&app).await;
    let reading = reader(&app).await;
    let receipt = app.delete("/employees/e-1").await;
    assert_eq!((receipt.status, &receipt.body["status"]), (202, &json!("erasing")));
    assert!(on_disk(&app, &template), "the reader still sees it");
    assert!(!on_disk(&app, &key), "but nobody can open it any more");
    assert_eq!(app.identify(photo("people/p01-b.jpg")).await.body["gallery_size"], 0);
    drop(reading);
    for _ in 0..100 {
        if !on_disk(&app, &template) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("ten seconds after the reader has gone the template is still there");
}

#[tokio::test]
async fn start_completes_erasures_interrupted_by_a_kill() {
    let app = App::spawn().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    let [template, key] = sealed(&app).await;
    // Simulates a kill after the first of the two commits.
    let options = SqliteConnectOptions::new().filename(app.folder.path().join("likeness.db"));
    let pool = SqlitePool::connect_with(options.foreign_keys(true).pragma("secure_delete", "ON"))
        .await
        .unwrap();
    sqlx::query("delete from employee").execute(&pool).await.unwrap();
    pool.close().await;
    assert!(on_disk(&app, &template) && on_disk(&app, &key));
    let service = Process::start(app.folder.path());
    assert!(!on_disk(&app, &template) && !on_disk(&app, &key));
    service.kill();
}

#[tokio::test]
async fn database_without_its_data_keys_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    {
        let app = App::spawn().await;
        assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
        app.store.close().await;
        for name in ["likeness.db", "master.key"] {
            std::fs::copy(app.folder.path().join(name), folder.path().join(name)).unwrap();
        }
    }
    let refused = Command::new(env!("CARGO_BIN_EXE_likeness"))
        .args(["lookalikes", "--data-dir"])
        .arg(folder.path())
        .output();
    let said = String::from_utf8(refused.unwrap().stderr).unwrap();
    assert!(said.contains("the key of the audit trail is missing"), "{said}");
}

#[tokio::test]
async fn enrollment_expires_even_if_the_service_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let now = || Timestamp::try_from(std::time::SystemTime::now()).unwrap();
    let enroll = async |service: &Process, employee: &'static str, name: &str, end: Timestamp| {
        let form = Form::new().text("employee_id", employee).text("expires_at", end.to_string());
        let form = form.part("photo", file(photo(name)));
        send(service.client.post(format!("{}/enroll", service.url)).multipart(form)).await
    };
    let enrolled = async |service: &Process| {
        send(service.client.get(format!("{}/readyz", service.url))).await.body["gallery_size"]
            .clone()
    };
    let service = Process::start(folder.path());
    let past = enroll(&service, "e-0", "people/p03-a.jpg", now()).await;
    assert_eq!((past.status, &past.body["code"]), (400, &json!("malformed")));
    let end = now() + Duration::from_secs(6);
    for (employee, name) in [("e-1", "people/p01-a.jpg"), ("e-2", "people/p02-a.jpg")] {
        let answer = enroll(&service, employee, name, end).await;
        assert_eq!((answer.status, &answer.body["expires_at"]), (201, &json!(end.to_string())));
    }
    service.kill();
    let service = Process::start(folder.path());
    let first = enroll(&service, "e-3", "people/p03-a.jpg", now() + Duration::from_secs(6)).await;
    assert_eq!(first.status, 201);
    for _ in 0..300 {
        if enrolled(&service).await == 0 {
            return service.kill();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("after thirty seconds somebody is still enrolled");
}

fn rotation(app: &App) -> Child {
    Command::new(env!("CARGO_BIN_EXE_likeness"))
        .args(["keys", "rotate-master", "--data-dir"])
        .arg(app.folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn master_key_rotation_survives_a_kill_at_any_point() {
    const PEOPLE: usize = 1200;
    let app = App::spawn().await;
    let master = app.folder.path().join("master.key");
    for person in 0..PEOPLE {
        let values = (0..128).map(|k| ((person * 31 + k * 17) % 101) as f32 - 50.0).collect();
        let embedding = Embedding::normalize(values).unwrap();
        app.enroll_embedding(&format!("e-{person}"), person as u128, &embedding).await;
    }
    let former = std::fs::read(&master).unwrap();
    let (mut killed, mut app) = (0, app);
    for milliseconds in (0..).step_by(5) {
        let mut process = rotation(&app);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        let ended = process.try_wait().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        // The start fails unless every template opens.
        app = app.restarted(&ENGINE).await;
        assert_eq!(app.get("/readyz").await.body["gallery_size"], PEOPLE);
        if let Some(status) = ended {
            assert!(status.success());
            break;
        }
        killed += 1;
    }
    assert!(killed > 3, "{killed} kills came in time");
    assert_ne!(std::fs::read(&master).unwrap(), former);
    assert!(!master.with_file_name("master.key.next.partial").exists());
    std::fs::write(&master, former).unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_likeness"))
        .args(["lookalikes", "--data-dir"])
        .arg(app.folder.path())
        .output();
    let said = String::from_utf8(refused.unwrap().stderr).unwrap();
    assert!(said.contains("does not open"), "the former master key opens nothing: {said}");
}

#[tokio::test]
async fn two_services_never_share_a_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let service = Process::start(folder.path());
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["keys", "rotate-master"]] {
        let mut second = Command::new(env!("CARGO_BIN_EXE_likeness"));
        let second = second.args(arguments).arg("--data-dir").arg(folder.path()).output().unwrap();
        let said = String::from_utf8(second.stderr).unwrap();
        assert!(said.contains("another likeness process is using"), "{said}");
    }
    service.kill();
    Process::start(folder.path()).kill();
}

#[tokio::test]
async fn one_task_retries_all_pending_erasures() {
    let app = App::spawn().await;
    for person in 1..=8 {
        let photo = photo(&format!("people/p{person:02}-a.jpg"));
        assert_eq!(app.enroll(&format!("e-{person}"), photo).await.status, 201);
    }
    let reading = reader(&app).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(app.delete("/employees/e-1").await.status, 202);
    let before = tasks();
    for person in 2..=8 {
        assert_eq!(app.delete(&format!("/employees/e-{person}")).await.status, 202);
    }
    assert!(tasks() < before + 7, "{before} tasks have become {}", tasks());
    drop(reading);
}
