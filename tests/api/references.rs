//! References from before photos were assessed by the quality network.

use std::process::Command;

use likeness::embedding::Embedding;
use reqwest::multipart::Form;
use serde_json::json;

use crate::app::{App, ENGINE, file, noise, photo};

/// An embedding that the encoder takes for that of an unrecognizable face.
fn unrecognizable() -> Embedding {
    let mut noise = noise();
    let mut tries =
        (0..1000).map(|_| Embedding::normalize((0..128).map(|_| noise()).collect()).unwrap());
    tries.find(|embedding| !ENGINE.encoder().accepts_reference(embedding)).unwrap()
}

#[tokio::test]
async fn an_unrecognizable_reference_matches_nobody_until_it_is_replaced() {
    let app = App::spawn().await;
    app.enroll_embedding("e-old", 7, &unrecognizable()).await;
    let app = app.restarted(&ENGINE).await;
    app.enroll("e-new", photo("people/p02-a.jpg")).await;
    let answer = app.verify("e-old", photo("people/p01-a.jpg")).await;
    assert_eq!((&answer.body["match"], &answer.body["reenroll"]), (&json!(false), &json!(true)));
    let found = app.identify(photo("people/p01-b.jpg")).await;
    let candidates = found.body["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 1);
    assert_eq!(candidates[0]["employee_id"], "e-new");
    let listed = app.get("/employees").await.body["employees"].clone();
    assert_eq!((&listed[0]["reenroll"], &listed[1]["reenroll"]), (&json!(null), &json!(true)));
    let doctor = Command::new(env!("CARGO_BIN_EXE_likeness"))
        .args(["doctor", "--data-dir"])
        .arg(app.folder.path())
        .output();
    let said = String::from_utf8(doctor.unwrap().stdout).unwrap();
    assert!(said.contains("1 employee must be re-enrolled") && said.contains("e-old"), "{said}");
    let anew = Form::new().text("employee_id", "e-old").text("replace", "true");
    let replaced = app.post("/enroll", anew.part("photo", file(photo("people/p01-a.jpg")))).await;
    assert_eq!(replaced.status, 200, "{replaced:?}");
    let answer = app.verify("e-old", photo("people/p01-b.jpg")).await;
    assert_eq!((&answer.body["match"], &answer.body["reenroll"]), (&json!(true), &json!(null)));
}
