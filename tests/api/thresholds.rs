//! Thresholds that are fitted to the people enrolled.

use std::time::Duration;

use jiff::Timestamp;
use likeness::audit::Actor;
use likeness::embedding::Embedding;
use likeness::employee::{AuditId, EmployeeId, Reference};
use likeness::recognizer::{GalleryThresholds, Policy};
use likeness::seal::{MasterKeys, Sealer};
use likeness::store::Written;
use serde_json::Value;

use crate::app::{App, ENGINE, OPEN, POLICY, photo};

/// Enrolls people whose references resemble each other more than those of the encoder's error rates do: all lie about
/// one direction.
async fn enroll_relatives(app: &App, people: u32) {
    let masters = MasterKeys::open_or_create(&app.folder.path().join("master.key")).unwrap();
    let (sealer, model) = (Sealer::new(masters), ENGINE.encoder().model());
    let mut state = 1_u64;
    let mut noise = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    for person in 0..people {
        let employee = EmployeeId::parse(&format!("e-{person}")).unwrap();
        let values = (0..128).map(|k| 2.0 * noise() + if k % 2 == 0 { 0.35 } else { -0.35 });
        let embedding = Embedding::normalize(values.collect()).unwrap();
        let (key, template) = sealer.seal(&employee, model.id, &embedding);
        let audit_id = AuditId::from_bytes(u128::from(person).to_le_bytes());
        let (enrolled_at, expires_at) = (Timestamp::UNIX_EPOCH, None);
        let reference =
            Reference { employee, audit_id, enrolled_at, expires_at, model: model.clone() };
        let written = Written { key: &key, template: &template, replace: false, seen: None };
        app.store.enroll(&reference, written, &Actor::Local).await.unwrap();
    }
}

async fn identification(app: &App) -> Value {
    app.get("/readyz").await.body["identification"].clone()
}

async fn fits(app: &App) -> usize {
    let trail = app.store.events(1).await.unwrap();
    trail.iter().filter(|entry| entry.event.action == "fit_threshold").count()
}

#[tokio::test]
async fn people_who_are_hard_to_tell_apart_raise_the_threshold() {
    let app = App::spawn().await;
    let table = identification(&app).await;
    assert_eq!(table["basis"], "table");
    enroll_relatives(&app, 80).await;
    let app = app.restarted(&ENGINE).await;
    let fitted = identification(&app).await;
    assert_eq!((&fitted["basis"], &fitted["people"]), (&"gallery".into(), &80.into()));
    assert!(fitted["score"].as_f64() > table["score"].as_f64(), "{fitted} over {table}");
    let answer = app.verify("e-1", photo("people/p01-a.jpg")).await;
    assert_eq!(answer.body["threshold"]["basis"], "gallery");
    assert_eq!(answer.body["threshold"]["target"], 1e-4);
    assert_eq!(fits(&app).await, 1);
    // Nothing has changed, so nothing moves at the next start.
    let app = app.restarted(&ENGINE).await;
    assert_eq!(identification(&app).await, fitted);
    assert_eq!(fits(&app).await, 1);
    let off = Policy { gallery_thresholds: GalleryThresholds::Off, ..POLICY };
    let app = app.restarted_with(&ENGINE, OPEN, off).await;
    assert_eq!(identification(&app).await["basis"], "table");
}

#[tokio::test]
async fn too_few_people_decide_nothing_any_more() {
    let app = App::spawn().await;
    enroll_relatives(&app, 52).await;
    let app = app.restarted(&ENGINE).await;
    assert_eq!(identification(&app).await["basis"], "gallery");
    for person in 0..3 {
        assert_eq!(app.delete(&format!("/employees/e-{person}")).await.status, 200);
    }
    for _ in 0..100 {
        if identification(&app).await["basis"] == "table" {
            return assert_eq!(fits(&app).await, 2);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("after ten seconds the threshold is still that of 52 people");
}
