//! Thresholds that are fitted to the people enrolled.

use std::time::Duration;

use likeness::embedding::Embedding;
use likeness::recognizer::{GalleryThresholds, Policy};
use serde_json::Value;

use crate::app::{App, ENGINE, OPEN, POLICY, noise, photo};

/// Enrolls people whose references resemble each other more than those of the encoder's error rates do: all lie about
/// one direction. References that the encoder doesn't accept would not count.
async fn enroll_relatives(app: &App, people: u32) {
    let mut noise = noise();
    let embeddings = std::iter::repeat_with(|| {
        let values = (0..128).map(|k| 2.0 * noise() + if k % 2 == 0 { 0.35 } else { -0.35 });
        Embedding::normalize(values.collect()).unwrap()
    });
    let accepted = embeddings.filter(|embedding| ENGINE.encoder().accepts_reference(embedding));
    for (person, embedding) in (0..people).zip(accepted) {
        app.enroll_embedding(&format!("e-{person}"), person.into(), &embedding).await;
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
