//! Who may call: keys, roles, and this machine where there are no keys.

use std::process::{Command, Output};

use likeness::http::HttpOptions;
use reqwest::multipart::Form;
use serde_json::json;

use crate::app::{App, ENGINE, OPEN, file, photo, send};

/// `likeness keys` on a service's data: what it printed.
pub(crate) fn keys(app: &App, arguments: &[&str]) -> String {
    let output = run_keys(app, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn run_keys(app: &App, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
    command.arg("--data-dir").arg(app.folder.path()).arg("keys").args(arguments).output().unwrap()
}

#[tokio::test]
async fn each_role_opens_its_routes_and_no_others() {
    let app = App::spawn().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    let admin = keys(&app, &["add", "--first"]);
    let [terminal, enroller, metrics] =
        ["terminal", "enroller", "metrics"].map(|role| keys(&app, &["add", role, "--role", role]));
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
async fn a_terminal_sees_nobody_below_the_threshold() {
    let app = App::spawn().await;
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
    let [terminal, enroller] =
        ["terminal", "enroller"].map(|role| keys(&app, &["add", role, "--role", role]));
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
async fn keys_come_and_go_while_the_service_runs() {
    let app = App::spawn().await;
    let with = |key: &str| send(app.client.get(app.at("/employees")).bearer_auth(key));
    assert_eq!(app.get("/employees").await.status, 200, "without keys this machine is served");
    let first = keys(&app, &["add", "--first"]);
    assert_eq!(app.get("/employees").await.status, 401);
    assert_eq!(with(&first).await.status, 200);
    let desk = keys(&app, &["add", "desk-1", "--role", "enroller"]);
    assert_eq!(with(&desk).await.status, 200);
    let listed = keys(&app, &["list"]);
    assert!(listed.contains("admin") && listed.contains("desk-1"), "{listed}");
    keys(&app, &["revoke", "desk-1"]);
    assert_eq!(with(&desk).await.status, 401);
    for refused in [
        &["add", "--first"][..],
        &["add", "admin", "--role", "terminal"],
        &["add", "desk 1", "--role", "enroller"],
        &["add", "desk-2", "--role", "boss"],
        &["add", "desk-2"],
        &["revoke", "desk-1"],
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
async fn where_others_can_reach_the_service_nothing_is_open_even_without_keys() {
    let options = HttpOptions { local_without_keys: false, ..OPEN };
    let app = App::spawn_with(&ENGINE, options).await;
    assert_eq!(app.get("/employees").await.status, 401);
    let refused = Command::new(env!("CARGO_BIN_EXE_likeness"))
        .args(["--listen", "0.0.0.0:0", "--data-dir"])
        .arg(tempfile::tempdir().unwrap().path())
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("likeness keys add --first"), "{said}");
}

#[tokio::test]
async fn without_a_key_neither_a_proxy_nor_a_web_page_gets_through() {
    let app = App::spawn().await;
    let with = |name: &'static str, value: &'static str| {
        let form = Form::new().part("photo", file(photo("people/p01-a.jpg")));
        send(app.client.post(app.at("/identify")).multipart(form).header(name, value))
    };
    for (name, value) in [
        ("host", "likeness.example.org"),
        ("host", "127.0.0.1.example.org:8080"),
        ("forwarded", "for=192.0.2.7"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-real-ip", "192.0.2.7"),
        ("via", "1.1 proxy"),
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
