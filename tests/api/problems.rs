//! Provokes every problem code. The match has no wildcard: a code without a row doesn't compile.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use likeness::audit::Actor;
use likeness::embedding::ModelId;
use likeness::employee::{AuditId, EmployeeId, ModelName, Reference};
use likeness::http::{Code, HttpOptions};
use likeness::seal::{DataKeyId, MasterKeyId, Sealed, Template, WrappedKey};
use likeness::store::Written;
use reqwest::multipart::Form;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{Answer, App, OPEN, engine, photo, send};
use crate::keys::keys;

pub(crate) async fn provoke(code: Code) -> Answer {
    let app = App::spawn().await;
    let face = || photo("people/p01-a.jpg");
    match code {
        Code::AlreadyEnrolled => {
            assert_eq!(app.enroll("e-1", face()).await.status, 201);
            app.enroll("e-1", face()).await
        }
        Code::BodyTooLarge => app.identify(vec![0; 16 * 1024 * 1024 + 1]).await,
        Code::Busy => App::spawn_with(&engine(0, 0), OPEN).await.identify(face()).await,
        Code::Internal => {
            let sabotage = sqlx::SqlitePool::connect_with(
                sqlx::sqlite::SqliteConnectOptions::new()
                    .filename(app.folder.path().join("likeness.db")),
            );
            sqlx::query("drop table template").execute(&sabotage.await.unwrap()).await.unwrap();
            app.enroll("e-1", face()).await
        }
        Code::LooksLikeAnother => {
            assert_eq!(app.enroll("e-1", face()).await.status, 201);
            app.enroll("e-2", photo("people/p01-b.jpg")).await
        }
        Code::Malformed => app.post("/identify", Form::new().text("fotograph", "x")).await,
        Code::MethodNotAllowed => app.get("/enroll").await,
        Code::NoFace => app.identify(photo("odd/no-face.jpg")).await,
        Code::NoKey => {
            keys(&app, &["add", "--first"]).await;
            app.get("/employees").await
        }
        Code::NoSuchRoute => app.get("/employee").await,
        Code::NotAllowed => {
            send(app.client.get(app.at("/employees")).header("host", "likeness.example.org")).await
        }
        Code::NotEnrolled => app.verify("nobody", face()).await,
        Code::NotReady => App::spawn_starting(OPEN).await.0.get("/readyz").await,
        Code::OtherModel => {
            enrolled_with_another_model(&app, "e-1").await;
            app.verify("e-1", face()).await
        }
        Code::PoorPhoto => app.enroll("e-1", crate::quality::blurred(8.0)).await,
        Code::PresentationSessionUnknown => crate::presentation_sessions::unknown().await,
        Code::PresentationSessionsOff => app.post_json("/presentation/sessions", &json!({})).await,
        Code::SeveralFaces => app.enroll("e-1", photo("odd/two-faces.jpg")).await,
        Code::TimedOut => a_body_that_never_ends().await,
        Code::TooManyAttacks => crate::presentation::too_many_attacks().await,
        Code::TooManyRequests => {
            let options = HttpOptions { calls_a_second: NonZeroU32::new(2).unwrap(), ..OPEN };
            let app = App::spawn_with(&crate::app::ENGINE, options).await;
            let key = keys(&app, &["add", "--first"]).await;
            let other = keys(&app, &["add", "desk", "--role", "enroller"]).await;
            let early = loop {
                let answer = send(app.client.get(app.at("/employees")).bearer_auth(&key)).await;
                if answer.status != 200 {
                    break answer;
                }
            };
            let desk = send(app.client.get(app.at("/employees")).bearer_auth(&other)).await;
            assert_eq!(desk.status, 200, "another key has a limit of its own");
            early
        }
        Code::TooManyPixels => app.identify(crate::photos::png(12_001, 40)).await,
        Code::UnreadablePhoto => {
            let whole = face();
            app.identify(whole[..whole.len() / 2].to_vec()).await
        }
        Code::UnsupportedBody => send(app.client.post(app.at("/identify")).body("a face")).await,
        Code::UnsupportedFormat => app.identify(b"\0\0\0\x18ftypheic\0\0\0\0".to_vec()).await,
    }
}

#[tokio::test]
async fn every_code_can_be_provoked_and_tells_what_the_contract_says() {
    for &code in Code::ALL {
        let (status, slug, title) = code.row();
        let Answer { status: answered, headers, body, .. } = provoke(code).await;
        assert_eq!((answered, &body["code"]), (status.as_u16(), &json!(slug)), "{code:?}: {body}");
        assert_eq!(headers["content-type"], "application/problem+json", "{code:?}");
        assert_eq!(body["status"], status.as_u16(), "{code:?}");
        assert_eq!(body["title"], title, "{code:?}");
        assert_eq!(body["type"], format!("urn:likeness:problem:{slug}"), "{code:?}");
        assert!(
            body["detail"].as_str().is_some_and(|detail| detail.len() > 10),
            "{code:?}: {body}"
        );
        assert_eq!(body["request_id"], headers["x-request-id"].to_str().unwrap(), "{code:?}");
        let waits = answered == 503 || answered == 429;
        assert_eq!(headers.contains_key("retry-after"), waits, "{code:?}");
    }
}

#[tokio::test]
async fn internal_error_reveals_no_details() {
    let body = provoke(Code::Internal).await.body.to_string();
    for word in ["template", "table", "sql", "SQL", "error returned"] {
        assert!(!body.contains(word), "{word:?} in {body}");
    }
}

#[tokio::test]
async fn wrong_method_gets_405_with_allow() {
    assert_eq!(provoke(Code::MethodNotAllowed).await.headers["allow"], "POST");
}

#[tokio::test]
async fn nobody_is_compared_or_found_across_models() {
    let app = App::spawn().await;
    enrolled_with_another_model(&app, "e-1").await;
    let found = app.identify(photo("people/p01-a.jpg")).await;
    assert_eq!((&found.body["gallery_size"], &found.body["match"]), (&json!(0), &Value::Null));
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 409);
    let employee = app.get("/employees/e-1").await.body;
    assert_eq!(employee["model"]["name"], "another");
}

async fn enrolled_with_another_model(app: &App, employee: &str) {
    let reference = Reference {
        employee: EmployeeId::parse(employee).unwrap(),
        audit_id: AuditId::from_bytes([7; 16]),
        enrolled_at: Timestamp::UNIX_EPOCH,
        expires_at: None,
        model: ModelName { name: "another".into(), id: ModelId::from_digest([7; 32]) },
    };
    let key = DataKeyId::from_bytes([7; 16]);
    let sealed = Sealed::from_bytes(vec![0; 64]);
    let wrapped =
        WrappedKey { id: key, master: MasterKeyId::from_bytes([0; 8]), wrapped: sealed.clone() };
    let template = Template { key, sealed };
    let written = Written { key: &wrapped, template: &template, replace: false, seen: None };
    app.store.enroll(&reference, written, &Actor::Local).await.unwrap();
}

/// Sends fewer bytes than Content-Length states.
async fn a_body_that_never_ends() -> Answer {
    let options = HttpOptions { request_timeout: Duration::from_millis(100), ..OPEN };
    let app = App::spawn_with(&crate::app::ENGINE, options).await;
    let mut stream = TcpStream::connect(app.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /identify HTTP/1.1\r\nHost: localhost\r\n{}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{",
        app.header
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut headers = reqwest::header::HeaderMap::new();
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(": ").unwrap();
        let name: reqwest::header::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let (call, body) = ("POST /identify".to_owned(), serde_json::from_str(body).unwrap());
    Answer { call, status, headers, body }
}
