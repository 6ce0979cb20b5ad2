//! Access: keys, roles, and the local credential until the first key is added.

use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use likeness::access::LocalCredential;
use likeness::http::HttpOptions;
use reqwest::Client;
use reqwest::multipart::Form;
use serde_json::json;

use crate::app::{App, ENGINE, OPEN, POLICY, file, photo, send};
use crate::process::Process;

/// Runs `likeness keys` on a service's data; returns its output. An added key is accepted when this
/// returns.
pub(crate) async fn keys(app: &App, arguments: &[&str]) -> String {
    let output = run_keys(app, arguments);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap().trim_end().to_owned();
    if arguments[0] == "add" {
        until(app, &printed, |status| status != 401).await;
    }
    printed
}

/// Waits until a call with this key gets this status: the service reads its keys once a second.
async fn until(app: &App, key: &str, answered: impl Fn(u16) -> bool) {
    let started = Instant::now();
    loop {
        let answer = send(app.client.get(app.at("/employees")).bearer_auth(key)).await;
        if answered(answer.status) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn run_keys(app: &App, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
    command.arg("--data-dir").arg(app.folder.path()).arg("keys").args(arguments).output().unwrap()
}

#[tokio::test]
async fn each_role_allows_its_routes_only() {
    let app = App::spawn().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    let admin = keys(&app, &["add", "--first"]).await;
    let terminal = keys(&app, &["add", "terminal", "--role", "terminal"]).await;
    let enroller = keys(&app, &["add", "enroller", "--role", "enroller"]).await;
    let metrics = keys(&app, &["add", "metrics", "--role", "metrics"]).await;
    let with_photo = |fields: &[&'static str]| {
        let form = Form::new().text("employee_id", "e-1");
        let form = if fields.len() > 1 { Form::new() } else { form };
        fields.iter().fold(form, |form, field| form.part(*field, file(photo("people/p01-b.jpg"))))
    };
    let calls = |key: &str| {
        let post = |path, form| app.client.post(app.at(path)).multipart(form).bearer_auth(key);
        let get = |path: &str| app.client.get(app.at(path)).bearer_auth(key);
        let identify = Form::new().part("photo", file(photo("people/p01-b.jpg")));
        [
            post("/verify", with_photo(&["photo"])),
            post("/identify", identify),
            post("/enroll", with_photo(&["photo"])),
            post("/compare", with_photo(&["photo_a", "photo_b"])),
            post("/check", Form::new().part("photo", file(photo("people/p01-b.jpg")))),
            get("/employees"),
            get("/employees/e-1"),
            app.client.delete(app.at("/employees/nobody")).bearer_auth(key),
        ]
    };
    let guess = admin.replace('_', "-");
    for (key, expected) in [
        (&terminal, [200, 200, 403, 403, 403, 403, 403, 403]),
        (&metrics, [403; 8]),
        (&enroller, [200, 200, 409, 200, 200, 200, 200, 404]),
        (&admin, [200, 200, 409, 200, 200, 200, 200, 404]),
        (&guess, [401; 8]),
    ] {
        for (call, expected) in calls(key).into_iter().zip(expected) {
            let answer = send(call).await;
            assert_eq!(answer.status, expected, "{key}: {answer:?}");
            if let 401 | 403 = expected {
                assert_eq!(
                    answer.body["code"],
                    if expected == 401 { "no_key" } else { "not_allowed" }
                );
            }
        }
    }
    for (key, expected) in
        [(&terminal, 403), (&enroller, 403), (&metrics, 200), (&admin, 200), (&guess, 401)]
    {
        let page = app.client.get(app.at("/metrics")).bearer_auth(key).send().await.unwrap();
        assert_eq!(page.status(), expected);
    }
    assert_eq!(app.identify(photo("people/p01-b.jpg")).await.status, 401, "no key at all");
    for open in ["/livez", "/readyz"] {
        assert_eq!(app.get(open).await.status, 200);
    }
}

#[tokio::test]
async fn terminal_sees_no_candidate_below_the_threshold() {
    let app = App::spawn().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    let terminal = keys(&app, &["add", "terminal", "--role", "terminal"]).await;
    let enroller = keys(&app, &["add", "enroller", "--role", "enroller"]).await;
    let candidates = async |key: &str, name: &str| {
        let form = Form::new().part("photo", file(photo(name)));
        let call = app.client.post(app.at("/identify")).multipart(form).bearer_auth(key);
        send(call).await.body["candidates"].as_array().unwrap().len()
    };
    for (name, to_terminal) in [("people/p01-b.jpg", 1), ("people/p02-b.jpg", 0)] {
        assert_eq!(candidates(&terminal, name).await, to_terminal, "{name}");
        assert_eq!(candidates(&enroller, name).await, 1, "{name}");
    }
}

#[tokio::test]
async fn running_service_follows_added_and_revoked_keys() {
    let app = App::spawn().await;
    let with = |key: &str| send(app.client.get(app.at("/employees")).bearer_auth(key));
    let first = keys(&app, &["add", "--first"]).await;
    assert_eq!(with(&first).await.status, 200);
    let desk = keys(&app, &["add", "desk-1", "--role", "enroller"]).await;
    assert_eq!(with(&desk).await.status, 200);
    let listed = keys(&app, &["list"]).await;
    assert!(listed.contains("admin") && listed.contains("desk-1"), "{listed}");
    keys(&app, &["revoke", "desk-1"]).await;
    until(&app, &desk, |status| status == 401).await;
    for refused in [
        &["add", "--first"][..],
        &["add", "admin", "--role", "terminal"],
        &["add", "desk 1", "--role", "enroller"],
        &["add", "desk-2", "--role", "boss"],
        &["add", "desk-2"],
        &["revoke", "desk-1"],
        // The audit trail identifies callers by the names of their keys.
        &["add", "desk-1", "--role", "enroller"],
    ] {
        assert!(!run_keys(&app, refused).status.success(), "{refused:?}");
    }
    for entry in std::fs::read_dir(app.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(
            !bytes.windows(20).any(|part| part == &first.as_bytes()[..20]),
            "the key is stored"
        );
    }
}

#[tokio::test]
async fn scheme_is_case_insensitive_and_blanks_are_ignored() {
    let app = App::spawn().await;
    let key = app.header.rsplit(' ').next().unwrap();
    for (value, expected) in [
        (format!("bearer {key}"), 200),
        (format!("BEARER {key}"), 200),
        (format!("Bearer  {key} "), 200),
        (format!("Basic {key}"), 401),
        (format!("Bearer{key}"), 401),
        (key.to_owned(), 401),
        (String::new(), 401),
    ] {
        let call = app.client.get(app.at("/employees")).header("authorization", &value);
        assert_eq!(send(call).await.status, expected, "{value}");
    }
}

#[tokio::test]
async fn local_credential_is_needed_on_every_route_until_a_key_is_added() {
    let app = App::spawn().await;
    assert_eq!(app.get("/employees").await.status, 200);
    let without = Client::new();
    let form = || Form::new().part("photo", file(photo("people/p01-a.jpg")));
    for path in ["/enroll", "/verify", "/identify", "/compare", "/check"] {
        assert_eq!(send(without.post(app.at(path)).multipart(form())).await.status, 401, "{path}");
    }
    for path in ["/employees", "/employees/e-1", "/metrics"] {
        assert_eq!(send(without.get(app.at(path))).await.status, 401, "{path}");
    }
    assert_eq!(send(without.delete(app.at("/employees/e-1"))).await.status, 401);
    let first = keys(&app, &["add", "--first"]).await;
    assert_eq!(app.get("/employees").await.status, 401, "the local credential is void");
    assert!(!LocalCredential::file(app.folder.path()).exists());
    assert_eq!(send(app.client.get(app.at("/employees")).bearer_auth(&first)).await.status, 200);
}

#[tokio::test]
async fn local_credential_never_comes_back_after_the_last_key_is_revoked() {
    let app = App::spawn().await;
    let first = keys(&app, &["add", "--first"]).await;
    keys(&app, &["revoke", "admin"]).await;
    until(&app, &first, |status| status == 401).await;
    assert_eq!(app.get("/employees").await.status, 401);
    let folder = app.restarted_with(&ENGINE, OPEN, POLICY).await.folder;
    assert!(!LocalCredential::file(folder.path()).exists());
    let service = Process::start(folder.path());
    assert_eq!(service.header, "", "no credential is issued");
    let call = Client::new().get(format!("{}/employees", service.url));
    assert_eq!(send(call).await.status, 401);
}

/// The command that the service recommends then adds a key, with a name that was never used.
#[tokio::test]
async fn first_key_can_be_made_again_after_the_last_was_revoked() {
    let app = App::spawn().await;
    keys(&app, &["add", "--first"]).await;
    keys(&app, &["revoke", "admin"]).await;
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_likeness"));
    let doctor = doctor.arg("doctor").arg("--data-dir").arg(app.folder.path()).output().unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(!doctor.status.success() && said.contains("keys add --first"), "{said}");
    let second = keys(&app, &["add", "--first"]).await;
    assert_eq!(send(app.client.get(app.at("/employees")).bearer_auth(&second)).await.status, 200);
    assert!(keys(&app, &["list"]).await.contains("admin-2"));
}

/// The key is stored, so it must be printed even if the file cannot be deleted.
#[tokio::test]
async fn key_is_printed_although_the_local_credential_cannot_be_deleted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(LocalCredential::file(folder.path())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
    let output = command.arg("--data-dir").arg(folder.path()).args(["keys", "add", "--first"]);
    let output = output.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.starts_with(b"likeness_"), "{output:?}");
}

#[tokio::test]
async fn local_credential_is_rotated_at_each_start() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path());
    let former = first.header.clone();
    first.kill();
    let second = Process::start(folder.path());
    assert_ne!(second.header, former);
    let with = |header: &str| {
        let (_, value) = header.split_once(": ").unwrap();
        let call = Client::new().get(format!("{}/employees", second.url));
        send(call.header("authorization", value))
    };
    assert_eq!(with(&former).await.status, 401);
    assert_eq!(with(&second.header).await.status, 200);
}

#[tokio::test]
async fn network_address_requires_a_key() {
    let serve = |folder: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
        command.args(["--listen", "0.0.0.0:0", "--data-dir"]).arg(folder).output().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let refused = serve(folder.path());
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("likeness keys add --first"), "{said}");
    assert!(!LocalCredential::file(folder.path()).exists());
}

/// Defense in depth: neither a rebound host name nor a page of another origin can use the local
/// credential.
#[tokio::test]
async fn local_credential_is_refused_for_other_hosts_and_origins() {
    let app = App::spawn().await;
    let with = |name: &'static str, value: &'static str| {
        let form = Form::new().part("photo", file(photo("people/p01-a.jpg")));
        send(app.client.post(app.at("/identify")).multipart(form).header(name, value))
    };
    for (name, value) in [
        ("host", "likeness.example.org"),
        ("host", "127.0.0.1.example.org:8080"),
        ("origin", "https://example.org"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = with(name, value).await;
        assert_eq!((answer.status, &answer.body["code"]), (403, &json!("not_allowed")), "{name}");
    }
    for (name, value) in
        [("host", "localhost:8080"), ("host", "[::1]:8080"), ("sec-fetch-site", "same-origin")]
    {
        assert_eq!(with(name, value).await.status, 200, "{name}: {value}");
    }
}

#[tokio::test]
async fn requests_per_address_are_limited_before_authentication() {
    let options = HttpOptions { requests_a_second: NonZeroU32::MIN, ..OPEN };
    let app = App::spawn_with(&ENGINE, options).await;
    let call = || send(Client::new().get(app.at("/employees")).bearer_auth("likeness_guess"));
    let mut statuses = vec![call().await.status, call().await.status];
    while statuses.len() < 20 && statuses.last() != Some(&429) {
        statuses.push(call().await.status);
    }
    assert_eq!((statuses[0], statuses.last()), (401, Some(&429)), "{statuses:?}");
}
