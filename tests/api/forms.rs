//! Requests as multipart and as JSON, valid and invalid.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::app::{Answer, App, file, photo, send};

fn malformed(answer: &Answer) -> &str {
    assert_eq!((answer.status, &answer.body["code"]), (400, &json!("malformed")), "{answer:?}");
    answer.body["detail"].as_str().unwrap()
}

#[tokio::test]
async fn json_with_base64_gets_the_same_answers_as_multipart() {
    let app = App::spawn().await;
    let base64 = |name| BASE64.encode(photo(name));
    let enroll =
        json!({"employee_id": "e-1", "photo": base64("people/p01-a.jpg"), "replace": false});
    assert_eq!(app.post_json("/enroll", &enroll).await.status, 201);
    let verify = json!({"employee_id": "e-1", "photo": base64("people/p01-b.jpg")});
    let by_json = app.post_json("/verify", &verify).await;
    let by_form = app.verify("e-1", photo("people/p01-b.jpg")).await;
    assert_eq!((by_json.status, &by_json.body), (200, &by_form.body));
    let identify = json!({"photo": base64("people/p01-b.jpg"), "top": 1.0});
    let found = app.post_json("/identify", &identify).await;
    assert_eq!(found.body["match"]["employee_id"], "e-1");
    let (photo_a, photo_b) = (base64("people/p01-a.jpg"), base64("people/p01-b.jpg"));
    let compared =
        app.post_json("/compare", &json!({"photo_a": photo_a, "photo_b": photo_b})).await;
    assert_eq!(compared.body["match"], true);
    assert_eq!(compared.body["score"], by_form.body["score"]);
}

#[tokio::test]
async fn invalid_field_is_named() {
    let app = App::spawn().await;
    let face = || file(photo("people/p01-a.jpg"));
    let post = |form| app.post("/enroll", form);
    let answer = post(Form::new().text("employee_id", "e-1")).await;
    assert_eq!(malformed(&answer), "missing field photo");
    let answer = post(Form::new().part("photo", face())).await;
    assert_eq!(malformed(&answer), "missing field employee_id");
    let both = || Form::new().text("employee_id", "e-1").part("photo", face());
    let answer = post(both().text("nickname", "x")).await;
    assert_eq!(malformed(&answer), "unknown field \"nickname\"");
    let answer = post(both().text("employee_id", "e-2")).await;
    assert_eq!(malformed(&answer), "duplicate field \"employee_id\"");
    let answer = post(both().text("replace", "yes")).await;
    assert_eq!(malformed(&answer), "replace must be true or false");
    let answer = post(Form::new().text("employee_id", "a b").part("photo", face())).await;
    assert!(malformed(&answer).starts_with("an employee_id must be 1 to 64 characters"));
    for top in ["0", "21", "-1", "five"] {
        let form = Form::new().part("photo", face()).text("top", top);
        let answer = app.post("/identify", form).await;
        assert_eq!(malformed(&answer), "top must be an integer from 1 to 20", "{top:?}");
    }
    assert_eq!(app.get("/employees").await.body["employees"], json!([]), "nothing was stored");
}

#[tokio::test]
async fn invalid_json_is_malformed() {
    let app = App::spawn().await;
    let post = |body: &'static str| {
        let request = app.client.post(app.at("/identify"));
        send(request.header("content-type", "application/json; charset=utf-8").body(body))
    };
    for (body, detail) in [
        ("", "the body is not a valid JSON object"),
        ("[1]", "the body is not a valid JSON object"),
        ("{\"photo\": ", "the body is not a valid JSON object"),
        ("{\"photo\": 7}", "photo must be a photo in base64"),
        ("{\"photo\": \"%%%\"}", "photo is not base64: invalid character '%' at position 1"),
        ("{\"photo\": \"data:image/jpeg,x\"}", "photo is a data: URI without base64"),
        ("{\"photo\": \"\", \"top\": \"5\"}", "top must be an integer from 1 to 20"),
        ("{\"photo\": \"\", \"nickname\": null}", "unknown field \"nickname\""),
        ("{\"photo\": \"\", \"photo\": \"\"}", "duplicate field \"photo\""),
        (
            "{\"photo\": [0]}",
            "the body is not a valid JSON object: a field must not be an array or an object",
        ),
        (
            "{\"photo\": {\"a\": 1}}",
            "the body is not a valid JSON object: a field must not be an array or an object",
        ),
        ("{\"photo\": null}", "missing field photo"),
        ("{}", "missing field photo"),
    ] {
        let answer = post(body).await;
        assert!(malformed(&answer).starts_with(detail), "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn json_with_nulls_or_a_byte_order_mark_is_read() {
    let app = App::spawn().await;
    let base64 = BASE64.encode(photo("people/p01-a.jpg"));
    let with_nulls = json!({
        "employee_id": "e-1", "photo": base64, "expires_at": null, "replace": null,
        "confirm_lookalike": null,
    });
    let enrolled = app.post_json("/enroll", &with_nulls).await;
    assert_eq!((enrolled.status, &enrolled.body["expires_at"]), (201, &Value::Null));
    let marked = format!("\u{feff}{}", json!({"photo": base64, "top": null}));
    let post = |body: Vec<u8>| {
        let request = app.client.post(app.at("/identify"));
        send(request.header("content-type", "application/json").body(body))
    };
    assert_eq!(post(marked.into_bytes()).await.status, 200);
    let wide = b"\xff\xfe{\0}\0".to_vec();
    assert!(malformed(&post(wide).await).starts_with("the body is UTF-16"));
}

#[tokio::test]
async fn empty_form_value_counts_as_missing() {
    let app = App::spawn().await;
    let form = ["expires_at", "replace", "confirm_lookalike"]
        .into_iter()
        .fold(Form::new().text("employee_id", "e-1"), |form, name| form.text(name, ""));
    let enrolled = app.post("/enroll", form.part("photo", file(photo("people/p01-a.jpg")))).await;
    assert_eq!((enrolled.status, &enrolled.body["expires_at"]), (201, &Value::Null));
    let form = Form::new().part("photo", file(photo("people/p01-b.jpg"))).text("top", "");
    assert_eq!(app.post("/identify", form).await.status, 200);
}

#[tokio::test]
async fn truncated_form_is_malformed() {
    let app = App::spawn().await;
    let request = app.client.post(app.at("/identify"));
    let request = request.header("content-type", "multipart/form-data; boundary=x");
    let answer =
        send(request.body("--x\r\nContent-Disposition: form-data; name=\"photo\"\r\n\r\nabc"))
            .await;
    malformed(&answer);
    let no_boundary = app.client.post(app.at("/identify"));
    malformed(&send(no_boundary.header("content-type", "multipart/form-data").body("x")).await);
    let unnamed = Form::new().part("", Part::bytes(vec![1]));
    assert_eq!(app.post("/identify", unnamed).await.status, 400);
}

#[tokio::test]
async fn response_has_documented_fields_and_timings() {
    let app = App::spawn().await;
    let enrolled = app.enroll("e-1", photo("people/p01-a.jpg")).await;
    assert_eq!(enrolled.headers["location"], "employees/e-1");
    assert_eq!(
        keys(&enrolled.body),
        ["employee_id", "enrolled_at", "expires_at", "face", "model", "quality", "reasons"]
    );
    assert_eq!(keys(&enrolled.body["face"]), ["box", "confidence", "landmarks"]);
    let verified = app.verify("e-1", photo("people/p01-b.jpg")).await;
    let expected = "employee_id face faces match model reasons score similarity threshold";
    assert_eq!(keys(&verified.body).join(" "), expected);
    assert_eq!(keys(&verified.body["faces"][0]), ["box", "confidence", "landmarks", "score"]);
    assert_eq!(keys(&verified.body["threshold"]), ["basis", "score", "similarity", "target"]);
    let score = verified.body["score"].as_f64().unwrap();
    let similarity = verified.body["similarity"].as_f64().unwrap();
    assert!((similarity - 1.0 / (1.0 + (-score).exp())).abs() < 1e-12);
    let timing = verified.headers["server-timing"].to_str().unwrap();
    let stages: Vec<_> = timing.split(", ").filter_map(|s| s.split(';').next()).collect();
    assert_eq!(stages, ["queue", "decode", "detect", "align", "assess", "encode", "store"]);
    let found = app.identify(photo("people/p01-b.jpg")).await;
    let expected = "candidates face gallery_size match model other_faces reasons threshold";
    assert_eq!(keys(&found.body).join(" "), expected);
    assert_eq!(keys(&found.body["match"]), ["employee_id", "score", "similarity"]);
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}
