//! The API description: it matches the service, and its page is served from the binary.

use std::collections::{BTreeMap, BTreeSet};

use likeness::http::Code;
use likeness::recognizer::Policy;
use reqwest::header::IF_NONE_MATCH;
use reqwest::multipart::Form;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{Answer, App, OPEN, POLICY, file, photo, send};
use crate::keys::keys;
use crate::problems::provoke;

/// The routes of pages.
const PAGES: &[&str] = &["/", "/console/{asset}", "/docs", "/docs/{asset}"];

/// Returns the operations of a description, by method and path.
fn operations(document: &Value) -> BTreeMap<String, Value> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let item = item.as_object().unwrap().clone();
        item.into_iter()
            .map(|(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// Returns the codes of an operation's problems, by status.
fn codes(operation: &Value) -> BTreeSet<(String, String)> {
    let mut codes = BTreeSet::new();
    for (status, answer) in operation["responses"].as_object().unwrap() {
        let schema = &answer["content"]["application/problem+json"]["schema"];
        for code in schema["properties"]["code"]["enum"].as_array().into_iter().flatten() {
            codes.insert((status.clone(), code.as_str().unwrap().to_owned()));
        }
    }
    codes
}

async fn described() -> BTreeMap<String, Value> {
    operations(&App::spawn().await.get("/openapi.json").await.body)
}

#[tokio::test]
async fn the_description_and_its_page_need_no_key() {
    let app = App::spawn().await;
    keys(&app, &["add", "--first"]).await;
    assert_eq!(app.get("/employees").await.status, 401);
    let Answer { status, headers, body, .. } = app.get("/openapi.json").await;
    assert_eq!((status, &headers["content-type"]), (200, &"application/json".parse().unwrap()));
    assert_eq!((&body["openapi"], &body["info"]["title"]), (&json!("3.1.0"), &json!("likeness")));
    for (path, kind) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/docs.css", "text/css; charset=utf-8"),
        ("/docs/docs.js", "text/javascript; charset=utf-8"),
    ] {
        let response = app.client.get(app.at(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let headers = response.headers();
        assert_eq!(headers["content-type"], kind, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        let again = app.client.get(app.at(path)).header(IF_NONE_MATCH, &headers["etag"]);
        assert_eq!(again.send().await.unwrap().status(), StatusCode::NOT_MODIFIED, "{path}");
    }
    assert_eq!(app.get("/docs/nothing.js").await.body["code"], "no_such_route");
}

#[tokio::test]
async fn what_the_page_loads_is_there_and_lies_here() {
    let app = App::spawn().await;
    let text = async |path: &str| {
        let response = app.client.get(app.at(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.text().await.unwrap()
    };
    let mut unread = vec!["/docs".to_owned()];
    let mut read = BTreeSet::new();
    while let Some(path) = unread.pop() {
        let page = text(&path).await;
        assert!(!page.contains("://") && !page.contains("<script>"), "{path}");
        let loaded = page.split(['"', '\'']).filter_map(|word| match word.strip_prefix("./") {
            Some(name) => Some(format!("/docs/{name}")),
            None => word.starts_with("docs/").then(|| format!("/{word}")),
        });
        read.insert(path);
        unread.extend(loaded.filter(|path| !read.contains(path)));
    }
    assert!(read.len() >= 5, "{read:?}");
}

#[tokio::test]
async fn each_route_is_described_or_a_page() {
    let (source, _) = include_str!("../../src/http/mod.rs").split_once("mod tests {").unwrap();
    for route in source.split(".route(\"").skip(1) {
        let path = route.split('"').next().unwrap();
        assert!(PAGES.contains(&path), "{path} is in no description");
    }
    let handlers = source.split("routes!(").skip(1).map(|rest| rest.split(')').next().unwrap());
    let handlers: usize = handlers.map(|handlers| handlers.split(',').count()).sum();
    assert_eq!(described().await.len(), handlers);
}

#[tokio::test]
async fn each_described_call_is_routed_and_no_other() {
    let app = App::spawn().await;
    let operations = operations(&app.get("/openapi.json").await.body);
    let paths: BTreeSet<_> =
        operations.keys().map(|call| call.split_once(' ').unwrap().1).collect();
    for path in paths {
        let url = app.at(&path.replace("{employee_id}", "nobody"));
        for method in [Method::GET, Method::POST, Method::DELETE, Method::PUT, Method::PATCH] {
            let call = format!("{method} {path}");
            let status = app.client.request(method, &url).send().await.unwrap().status();
            let is_routed = status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(is_routed, operations.contains_key(&call), "{call}: {status}");
        }
    }
    assert_eq!(app.get("/employees/nobody").await.body["code"], "not_enrolled");
}

#[tokio::test]
async fn codes_are_described_with_their_statuses() {
    let described: BTreeSet<_> = described().await.values().flat_map(codes).collect();
    // No described call is answered with it.
    let elsewhere = [Code::NoSuchRoute, Code::MethodNotAllowed];
    let all = Code::ALL.iter().filter(|code| !elsewhere.contains(code)).map(|code| code.row());
    let all = all.map(|(status, code, _)| (status.as_str().to_owned(), code.to_owned()));
    assert_eq!(described, all.collect());
}

#[tokio::test]
async fn every_failure_is_one_that_the_description_of_its_call_names() {
    let described = described().await;
    for &code in Code::ALL {
        let Answer { call, status, body, .. } = provoke(code).await;
        if [Code::NoSuchRoute, Code::MethodNotAllowed].contains(&code) {
            assert!(!described.contains_key(&call), "{call}");
            continue;
        }
        let told = (status.to_string(), body["code"].as_str().unwrap().to_owned());
        assert!(codes(&described[&call]).contains(&told), "{call}: {told:?}");
    }
}

/// Replaces each leaf of a value by its kind.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(k, v)| (k.clone(), shape(v))).collect(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("yes or no"),
        Value::Null => Value::Null,
    }
}

#[tokio::test]
async fn examples_are_of_the_shape_of_the_answers() {
    let (app, state) = App::spawn_starting(OPEN).await;
    app.start(
        &crate::presentation::embedded(),
        &state,
        Policy { presentation_sessions: true, ..POLICY },
    )
    .await;
    let document = app.get("/openapi.json").await.body;
    let operations = operations(&document);
    let mut examples = operations.values().flat_map(|operation| {
        let answers = operation["responses"].as_object().unwrap().values();
        answers.filter(|answer| !answer["content"]["application/json"]["example"].is_null())
    });
    let shown = |answer: &Answer| {
        let call = answer.call.replace("/e-17", "/{employee_id}");
        let described = &operations[&call]["responses"][answer.status.to_string()];
        let example = &described["content"]["application/json"]["example"];
        assert_eq!(shape(example), shape(&answer.body), "{call}");
    };
    let face = |name: &str| photo(&format!("people/{name}.jpg"));
    let pair =
        Form::new().part("photo_a", file(face("p01-a"))).part("photo_b", file(face("p02-a")));
    let answers = [
        app.post("/check", Form::new().part("photo", file(face("p01-a")))).await,
        app.get("/livez").await,
        app.get("/readyz").await,
        app.post("/compare", pair).await,
        app.enroll("e-17", face("p01-a")).await,
        app.verify("e-17", face("p01-b")).await,
        app.identify(face("p01-c")).await,
        app.post_json("/presentation/sessions", &json!({})).await,
        app.get("/employees").await,
        app.get("/employees/e-17").await,
        send(app.client.delete(app.at("/employees/e-17"))).await,
    ];
    answers.iter().for_each(shown);
    assert_eq!(examples.by_ref().count(), answers.len(), "no example is left out");
    let problem = &document["components"]["schemas"]["Problem"]["examples"][0];
    assert_eq!(shape(problem), shape(&app.enroll("e-2", photo("odd/two-faces.jpg")).await.body));
}
