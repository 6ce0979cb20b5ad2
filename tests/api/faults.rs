//! Faults around the service: of the disk, the database, the clock and the clients.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use likeness::recognizer::{Probe, Recognizer};
use likeness::seal::{MasterKeys, Sealer};
use likeness::store::{Location, Store};
use reqwest::multipart::Form;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{Answer, App, ENGINE, OPEN, POLICY, engine, file, photo, send};
use crate::process::Process;

pub(crate) async fn post(service: &Process, path: &str, employee: &str, name: &str) -> Answer {
    let form =
        Form::new().text("employee_id", employee.to_owned()).part("photo", file(photo(name)));
    send(service.client.post(format!("{}{path}", service.url)).multipart(form)).await
}

/// Verifies the trail of a folder; returns its number of events.
pub(crate) async fn events(folder: &Path) -> u64 {
    let masters = MasterKeys::open_or_create(&folder.join("master.key")).unwrap();
    let store = Store::open(&Location::File(folder.join("likeness.db")), &masters).await.unwrap();
    store.verify_events(None).await.unwrap().unwrap().0.count
}

#[tokio::test]
async fn full_disk_does_not_block_decisions_or_lose_events() {
    let folder = tempfile::tempdir().unwrap();
    let Some(service) = Process::start_confined(folder.path(), 1_500_000) else { return };
    let inside = service.inside(folder.path());
    assert_eq!(post(&service, "/enroll", "e-1", "people/p01-a.jpg").await.status, 201);
    let filler = inside.join("filler");
    let mut filling = File::create(&filler).unwrap();
    while filling.write_all(&[0; 512]).is_ok() {}
    let client = &service.client;
    let (mut refused, mut enrolled) = (0, 1);
    for attempt in 2..40 {
        let employee = format!("e-{attempt}");
        let name = format!("people/p{:02}-a.jpg", attempt % 20 + 1);
        let answer = post(&service, "/enroll", &employee, &name).await;
        let held =
            client.get(format!("{}/employees/{employee}", service.url)).send().await.unwrap();
        match answer.status {
            // SQLite still has free pages in its file for some.
            201 => {
                enrolled += 1;
                assert_eq!(held.status(), 200);
            }
            409 => {}
            500 => {
                refused += 1;
                assert_eq!(answer.body["code"], "internal");
                assert_eq!(held.status(), 404, "what was refused is not there");
            }
            other => panic!("{other}: {:?}", answer.body),
        }
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "the disk was full");
    let seen = post(&service, "/verify", "e-1", "people/p01-b.jpg").await;
    assert_eq!((seen.status, &seen.body["match"]), (200, &Value::Bool(true)));
    drop(filling);
    fs::remove_file(filler).unwrap();
    // Its event was buffered, and is written with the next one.
    assert_eq!(post(&service, "/verify", "e-1", "people/p02-b.jpg").await.status, 200);
    let enroll = post(&service, "/enroll", "e-late", "people/p20-a.jpg").await;
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(enroll.status == 201 || enroll.status == 409, "{:?} {log}", enroll.body);
    let ready = reqwest::get(format!("{}/readyz", service.url)).await.unwrap();
    let ready: Value = ready.json().await.unwrap();
    assert_eq!(ready["gallery_size"], enrolled + u64::from(enroll.status == 201));
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&inside).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    assert!(events(copy.path()).await >= enrolled + 2);
    service.kill();
}

#[test]
fn read_only_disk_fails_the_start_with_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o ro none {} && exec \"$@\"", folder.path().display());
    let start = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", &mount, "sh", program, "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(folder.path()).output().unwrap()
    };
    if !start("true").status.success() {
        eprintln!("nobody may mount a file system here: this test did not run");
        return;
    }
    let refused = start(env!("CARGO_BIN_EXE_likeness"));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("Read-only file system"), "{said}");
}

#[tokio::test]
async fn locked_database_does_not_block_decisions_and_defers_enrollments() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    let options = SqliteConnectOptions::new().filename(app.folder.path().join("likeness.db"));
    let other = SqlitePool::connect_with(options).await.unwrap();
    let holding = other.begin_with("begin immediate").await.unwrap();
    let seen = app.verify("e-1", photo("people/p01-b.jpg")).await;
    assert_eq!((seen.status, &seen.body["match"]), (200, &Value::Bool(true)));
    let put_off = app.enroll("e-2", photo("people/p02-a.jpg")).await;
    assert_eq!((put_off.status, &put_off.body["code"]), (503, &Value::from("busy")));
    assert!(put_off.headers.contains_key("retry-after"));
    holding.rollback().await.unwrap();
    assert_eq!(app.enroll("e-2", photo("people/p02-a.jpg")).await.status, 201);
    app.verify("e-1", photo("people/p02-b.jpg")).await;
    assert_eq!(events(app.folder.path()).await, 4);
}

#[tokio::test]
async fn corrupt_page_is_reported_or_harmless() {
    const PAGE: usize = 4096;
    let app = App::spawn().await;
    for (employee, name) in [("e-1", "people/p01-a.jpg"), ("e-2", "people/p02-a.jpg")] {
        assert_eq!(app.enroll(employee, photo(name)).await.status, 201);
    }
    app.store.close().await;
    let (mut told, mut harmless) = (0, 0);
    for name in ["likeness.db", "data-keys.db"] {
        let whole = fs::read(app.folder.path().join(name)).unwrap();
        for page in 0..whole.len() / PAGE {
            let folder = tempfile::tempdir().unwrap();
            for other in ["likeness.db", "data-keys.db", "master.key"] {
                fs::copy(app.folder.path().join(other), folder.path().join(other)).unwrap();
            }
            let mut broken = whole.clone();
            broken[page * PAGE + 8..(page + 1) * PAGE].fill(0xA5);
            fs::write(folder.path().join(name), broken).unwrap();
            match looked_at(folder.path()).await {
                Err(message) => {
                    told += 1;
                    assert!(!message.is_empty());
                }
                Ok(matches) => {
                    harmless += 1;
                    assert_eq!(matches, [true, false], "page {page} of {name}");
                }
            }
        }
    }
    assert!(told > 5, "{told} told, {harmless} harmless");
}

/// Starts a service on a folder and verifies e-1 by a photo of the same and one of another person.
async fn looked_at(folder: &Path) -> Result<[bool; 2], String> {
    let masters = MasterKeys::open_or_create(&folder.join("master.key")).unwrap();
    let store = Store::open(&Location::File(folder.join("likeness.db")), &masters)
        .await
        .map_err(|e| e.to_string())?;
    let sealer = Sealer::new(masters);
    let now = Timestamp::UNIX_EPOCH;
    let started = Recognizer::start(ENGINE.clone(), store, sealer, POLICY, now).await;
    let recognizer = started.map_err(|e| e.to_string())?;
    let employee = likeness::employee::EmployeeId::parse("e-1").unwrap();
    let call = likeness::recognizer::Call {
        actor: likeness::audit::Actor::Local,
        at: Timestamp::UNIX_EPOCH,
    };
    let mut matches = [false; 2];
    for (matches, name) in matches.iter_mut().zip(["people/p01-b.jpg", "people/p02-b.jpg"]) {
        let verified = recognizer.verify(&employee, Probe::Photo(photo(name).into()), &call).await;
        let decision = verified.map_err(|e| e.to_string())?.decision;
        *matches = decision == likeness::comparison::Decision::Match;
    }
    Ok(matches)
}

/// The clock of the test, in seconds since 1970.
static CLOCK: AtomicI64 = AtomicI64::new(1_800_000_000);

#[tokio::test]
async fn clock_jump_neither_extends_enrollment_nor_breaks_trail() {
    const HOUR: i64 = 3600;
    let now = || Timestamp::from_second(CLOCK.load(Ordering::Relaxed)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (app, state) = App::spawn_clocked(folder, OPEN, now).await;
    app.start(&ENGINE, &state, POLICY).await;
    let end = Timestamp::from_second(CLOCK.load(Ordering::Relaxed) + HOUR).unwrap();
    let form = Form::new()
        .text("employee_id", "e-1")
        .text("expires_at", end.to_string())
        .part("photo", file(photo("people/p01-a.jpg")));
    assert_eq!(app.post("/enroll", form).await.status, 201);
    CLOCK.fetch_sub(48 * HOUR, Ordering::Relaxed);
    assert_eq!(app.verify("e-1", photo("people/p01-b.jpg")).await.body["match"], true);
    CLOCK.fetch_add(72 * HOUR, Ordering::Relaxed);
    assert_eq!(app.verify("e-1", photo("people/p01-b.jpg")).await.status, 404);
    // An enrollment erases expired employees; no clock change brings them back.
    assert_eq!(app.enroll("e-2", photo("people/p02-a.jpg")).await.status, 201);
    CLOCK.fetch_sub(48 * HOUR, Ordering::Relaxed);
    assert_eq!(app.verify("e-1", photo("people/p01-b.jpg")).await.status, 404);
    assert_eq!(app.delete("/employees/e-2").await.status, 200);
    assert_eq!(events(app.folder.path()).await, 5);
}

#[tokio::test]
async fn disconnected_clients_do_not_block_others() {
    let app = App::spawn_with(&engine(1, 1), OPEN).await;
    let body = photo("people/p01-a.jpg");
    let head = format!(
        "POST /identify HTTP/1.1\r\nHost: localhost\r\n{}\r\n\
         Content-Type: multipart/form-data; boundary=x\r\n",
        app.header
    );
    let start = "--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"x\"\r\n\r\n";
    let form = [start.as_bytes(), &body, b"\r\n--x--\r\n"].concat();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(app.url.trim_start_matches("http://")).await.unwrap();
        let head = format!("{head}Content-Length: {}\r\n\r\n", form.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&form).await.unwrap();
    }
    for _ in 0..600 {
        let answer = app.identify(photo("people/p01-b.jpg")).await;
        if answer.status == 200 {
            return;
        }
        assert_eq!(answer.body["code"], "busy");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the remaining client was never served");
}

#[tokio::test]
async fn thousand_concurrent_connections_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let service = Process::start(folder.path());
    for process in [std::process::id(), service.id()] {
        let raised = Command::new("prlimit")
            .args(["--nofile=8192:", "--pid", &process.to_string()])
            .status();
        assert!(raised.unwrap().success());
    }
    let address = service.url.trim_start_matches("http://").to_owned();
    let mut streams = Vec::new();
    for _ in 0..1000 {
        streams.push(TcpStream::connect(&address).await.unwrap());
    }
    let enrolled = post(&service, "/enroll", "e-1", "people/p01-a.jpg").await;
    assert_eq!(enrolled.status, 201, "and a newcomer is served beside them");
    for stream in &mut streams {
        let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
    }
    for stream in &mut streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    service.kill();
}
