//! The shipped models at the shipped thresholds, on the twenty people of `tests/data`.

use reqwest::multipart::Form;
use serde_json::json;

use crate::app::{App, file, photo};

const PEOPLE: std::ops::RangeInclusive<u32> = 1..=20;

#[tokio::test]
async fn everyone_is_verified_and_identified_and_nobody_is_taken_for_another() {
    let app = App::spawn().await;
    let mut look_alikes = 0;
    for person in PEOPLE {
        let (own, reference) = (format!("p{person:02}"), format!("people/p{person:02}-a.jpg"));
        let mut enrolled = app.enroll(&own, photo(&reference)).await;
        if enrolled.body["code"] == "looks_like_another" {
            look_alikes += 1;
            let form = Form::new().text("employee_id", own).text("confirm_lookalike", "true");
            enrolled = app.post("/enroll", form.part("photo", file(photo(&reference)))).await;
        }
        assert_eq!(enrolled.status, 201, "{enrolled:?}");
    }
    // Of 190 pairs, at a threshold with an FMR of 1 in 2,000.
    assert!(look_alikes <= 1, "{look_alikes}");
    for person in PEOPLE {
        let own = format!("p{person:02}");
        for view in ["b", "c"] {
            let probe = || photo(&format!("people/{own}-{view}.jpg"));
            let verified = app.verify(&own, probe()).await.body;
            assert_eq!(verified["match"], true, "{own}-{view}: {verified}");
            let found = app.identify(probe()).await.body;
            assert_eq!(found["match"]["employee_id"], json!(own), "{own}-{view}: {found}");
            let other = format!("p{:02}", person % 20 + 1);
            let verified = app.verify(&other, probe()).await.body;
            assert_eq!(verified["match"], false, "{own}-{view} as {other}: {verified}");
        }
    }
}

#[tokio::test]
async fn a_stranger_is_nobody() {
    let app = App::spawn().await;
    for person in 2..=20 {
        app.enroll(&format!("p{person:02}"), photo(&format!("people/p{person:02}-a.jpg"))).await;
    }
    let found = app.identify(photo("people/p01-b.jpg")).await.body;
    assert_eq!(found["match"], json!(null), "{found}");
    let scores: Vec<f64> = found["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["score"].as_f64().unwrap())
        .collect();
    assert_eq!(scores.len(), 5);
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
}
