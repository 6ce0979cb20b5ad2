//! References from before photos were assessed by the quality network.

use std::process::Command;

use jiff::Timestamp;
use likeness::audit::Actor;
use likeness::embedding::Embedding;
use likeness::employee::{AuditId, EmployeeId, Reference};
use likeness::seal::{MasterKeys, Sealer};
use likeness::store::Written;
use reqwest::multipart::Form;
use serde_json::json;

use crate::app::{App, ENGINE, file, photo};

/// An embedding that the encoder takes for that of an unrecognizable face.
fn unrecognizable() -> Embedding {
    let mut state = 1_u64;
    let mut noise = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut tries =
        (0..1000).map(|_| Embedding::normalize((0..128).map(|_| noise()).collect()).unwrap());
    tries.find(|embedding| !ENGINE.encoder().accepts_reference(embedding)).unwrap()
}

async fn enroll_as_formerly(app: &App, employee: &str) {
    let masters = MasterKeys::open_or_create(&app.folder.path().join("master.key")).unwrap();
    let employee = EmployeeId::parse(employee).unwrap();
    let model = ENGINE.encoder().model().clone();
    let (key, template) = Sealer::new(masters).seal(&employee, model.id, &unrecognizable());
    let audit_id = AuditId::from_bytes([7; 16]);
    let enrolled_at = Timestamp::UNIX_EPOCH;
    let reference = Reference { employee, audit_id, enrolled_at, expires_at: None, model };
    let written = Written { key: &key, template: &template, replace: false, seen: None };
    app.store.enroll(&reference, written, &Actor::Local).await.unwrap();
}

#[tokio::test]
async fn an_unrecognizable_reference_matches_nobody_until_it_is_replaced() {
    let app = App::spawn().await;
    enroll_as_formerly(&app, "e-old").await;
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
