//! Inputs from public reports about face services: each file of `tests/data/field` gets the
//! expected response. Tables and folders are in `import`, clients that send before they read in
//! `clients`, proxies in `e2e/reverse_proxies.py`.

use std::collections::BTreeSet;

use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::app::{Answer, App, data, file, photo, send};

/// Photos of one person in variants that cameras and programs write; all show the same face.
const READ: &[&str] = &["lossless.webp", "no-end-marker.jpg", "plain.jpg", "three-scans.jpg"];

/// Refused files, with the code.
const REFUSED: &[(&str, &str)] = &[
    ("arithmetic.jpg", "unsupported_format"),
    ("cut-at-40-percent-with-end-marker.jpg", "unreadable_photo"),
];

/// JSON bodies as programs write them, with the photo of one person.
const JSON: &[&str] = &[
    "json-bom.json",
    "json-data-uri.json",
    "json-lines-of-76.json",
    "json-nulls.json",
    "json-unpadded.json",
];

/// Faces that encoders cannot tell apart: as references they would be matched by strangers.
const UNRECOGNIZABLE: &[&str] = &[
    "beanie-scarf-glasses-a.jpg",
    "beanie-scarf-glasses-b.jpg",
    "cartoon.jpg",
    "mask-sunglasses-a.jpg",
    "mask-sunglasses-b.jpg",
    "smiley.jpg",
    "upside-down-a.jpg",
    "upside-down-b.jpg",
];

async fn check(app: &App, name: &str) -> Answer {
    let photo = file(photo(&format!("field/{name}")));
    app.post("/check", Form::new().part("photo", photo)).await
}

#[tokio::test]
async fn photos_are_read_or_refused_as_expected() {
    let app = App::spawn().await;
    for name in READ {
        let answer = check(&app, name).await;
        assert_eq!(
            (answer.status, &answer.body["reasons"]),
            (200, &json!([])),
            "{name}: {answer:?}"
        );
    }
    for (name, code) in REFUSED {
        let answer = check(&app, name).await;
        assert_eq!(answer.body["code"], *code, "{name}: {answer:?}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(!detail.contains("not supported,"), "the decoder's words: {detail}");
    }
}

#[tokio::test]
async fn unrecognizable_faces_are_no_references() {
    let app = App::spawn().await;
    for name in UNRECOGNIZABLE {
        let refused = app.enroll("e-1", photo(&format!("field/{name}"))).await;
        assert_eq!(refused.body["code"], "poor_photo", "{name}: {refused:?}");
        let reasons = refused.body["reasons"].as_array().unwrap();
        let known = |reason: &Value| ["covered", "unusual"].contains(&reason.as_str().unwrap());
        assert!(reasons.len() == 1 && reasons.iter().all(known), "{name}: {refused:?}");
        assert!(refused.body["quality"].as_u64().unwrap() < 70, "{name}: {refused:?}");
        let probe = app.identify(photo(&format!("field/{name}"))).await;
        assert_eq!((probe.status, &probe.body["reasons"]), (200, &refused.body["reasons"]));
    }
    // Two strangers, both upside down, scored as one person.
    let pair = Form::new()
        .part("photo_a", file(photo("field/upside-down-a.jpg")))
        .part("photo_b", file(photo("field/upside-down-b.jpg")));
    let compared = app.post("/compare", pair).await;
    assert_eq!(compared.body["match"], false, "{compared:?}");
}

#[tokio::test]
async fn json_bodies_are_read_as_programs_write_them() {
    let app = App::spawn().await;
    for name in JSON {
        let path = if *name == "json-nulls.json" { "/enroll" } else { "/check" };
        let request = app.client.post(app.at(path)).header("content-type", "application/json");
        let answer = send(request.body(photo(&format!("field/{name}")))).await;
        assert!(matches!(answer.status, 200 | 201), "{name}: {answer:?}");
    }
}

#[test]
fn every_file_is_tried() {
    let files = std::fs::read_dir(data("field")).unwrap();
    let there: BTreeSet<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let refused = REFUSED.iter().map(|(name, _)| name);
    let tried = READ.iter().chain(JSON).chain(UNRECOGNIZABLE).chain(refused);
    assert_eq!(there, tried.map(|name| (*name).to_owned()).collect());
}
