//! Photos with several prominent faces.

use image::imageops::{FilterType, overlay, resize};
use image::{ImageFormat, Rgb, RgbImage};
use likeness::recognizer::MOST_FACES;
use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::app::{Answer, App, file, photo};
use crate::audit::trail;

/// A photo of p01 on the left and p02 on the right.
fn two_people() -> Vec<u8> {
    photo("odd/two-faces.jpg")
}

/// A photo of the twenty test people in five columns and four rows, with faces of one size in the middle of the photo.
fn twenty_people() -> Vec<u8> {
    const CELL: u32 = 160;
    let mut picture = RgbImage::from_pixel(8 * CELL, 6 * CELL, Rgb([128; 3]));
    let faces: Value = serde_json::from_slice(&photo("people.json")).unwrap();
    for person in 0..20 {
        let name = format!("people/p{:02}-b.jpg", person + 1);
        let bounds = &faces[&name]["faces"][0]["box"];
        let [x, y, width, height] = [0, 1, 2, 3].map(|edge| number(&bounds[edge]));
        let side = 1.8 * height;
        let (left, top) = (x + (width - side) / 2.0, y + (height - side) / 2.0);
        let one = image::load_from_memory_with_format(&photo(&name), ImageFormat::Jpeg).unwrap();
        let [left, top] = [left, top].map(|edge| edge.max(0.0) as u32);
        let one = one.crop_imm(left, top, side as u32, side as u32);
        let one = resize(&one.into_rgb8(), CELL, CELL, FilterType::Triangle);
        let (column, row) = (person % 5, person / 5);
        let [x, y] = [CELL * 3 / 2 + column * CELL, CELL + row * CELL].map(i64::from);
        overlay(&mut picture, &one, x, y);
    }
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

async fn enroll(app: &App, people: impl IntoIterator<Item = u32>) {
    for person in people {
        let name = format!("p{person:02}");
        let form = Form::new().text("employee_id", name.clone()).text("confirm_lookalike", "true");
        let photo = file(photo(&format!("people/{name}-a.jpg")));
        assert_eq!(app.post("/enroll", form.part("photo", photo)).await.status, 201, "{name}");
    }
}

async fn identify_all(app: &App, photo: Vec<u8>) -> Answer {
    let form = Form::new().text("faces", "all").text("top", "2");
    app.post("/identify", form.part("photo", file(photo))).await
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// The left edge of a face's box.
fn left(face: &Value) -> f64 {
    number(&face["box"]["x"])
}

#[tokio::test]
async fn each_person_of_a_photo_is_verified_and_nobody_else() {
    let app = App::spawn().await;
    enroll(&app, 1..=3).await;
    for (employee, is_shown) in [("p01", true), ("p02", true), ("p03", false)] {
        let answer = app.verify(employee, two_people()).await.body;
        assert_eq!(answer["match"], is_shown, "{answer}");
        let faces = list(&answer["faces"]);
        assert_eq!(faces.len(), 2, "{answer}");
        let best = faces.iter().max_by(|a, b| number(&a["score"]).total_cmp(&number(&b["score"])));
        let best = best.unwrap();
        assert_eq!((&best["score"], &best["box"]), (&answer["score"], &answer["face"]["box"]));
        if is_shown {
            assert_eq!(left(best) < 320.0, employee == "p01", "{answer}");
        }
    }
}

#[tokio::test]
async fn verification_threshold_is_stricter_with_two_faces() {
    let app = App::spawn().await;
    enroll(&app, [1]).await;
    let one = app.verify("p01", photo("people/p01-b.jpg")).await.body;
    let two = app.verify("p01", two_people()).await.body;
    assert_eq!(list(&one["faces"]).len(), 1);
    assert_eq!(one["faces"][0]["score"], one["score"]);
    assert_eq!(one["threshold"]["target"], two["threshold"]["target"]);
    let score = |answer: &Value| number(&answer["threshold"]["score"]);
    assert!(score(&two) > score(&one), "{one} {two}");
}

#[tokio::test]
async fn the_most_prominent_face_is_identified_and_the_others_are_counted() {
    let app = App::spawn().await;
    enroll(&app, 1..=3).await;
    let one = app.identify(photo("people/p01-b.jpg")).await.body;
    assert_eq!((&one["other_faces"], &one["faces"]), (&json!(0), &json!(null)));
    let two = app.identify(two_people()).await.body;
    assert_eq!((&two["other_faces"], &two["faces"]), (&json!(1), &json!(null)));
    assert_eq!(two["threshold"], one["threshold"], "one face is compared");
    let shown = if left(&two["face"]) < 320.0 { "p01" } else { "p02" };
    assert_eq!(two["match"]["employee_id"], shown, "{two}");
}

#[tokio::test]
async fn each_face_is_identified_on_request() {
    let app = App::spawn().await;
    enroll(&app, [1, 3]).await;
    let default = app.identify(two_people()).await.body;
    let answer = identify_all(&app, two_people()).await.body;
    assert_eq!(answer["other_faces"], 0);
    let faces = list(&answer["faces"]);
    for field in ["match", "candidates", "face", "reasons"] {
        assert_eq!(faces[0][field], answer[field], "{field}");
    }
    let mut shown: Vec<_> = faces.iter().map(|one| (left(&one["face"]), &one["match"])).collect();
    shown.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert_eq!(shown.len(), 2);
    assert_eq!((&shown[0].1["employee_id"], shown[1].1), (&json!("p01"), &json!(null)));
    assert!(faces.iter().all(|one| list(&one["candidates"]).len() == 2), "{answer}");
    let score = |answer: &Value| number(&answer["threshold"]["score"]);
    assert!(score(&answer) > score(&default), "{answer}");
    let one = identify_all(&app, photo("people/p01-b.jpg")).await.body;
    assert_eq!((list(&one["faces"]).len(), &one["threshold"]), (1, &default["threshold"]));
    let wrong = Form::new().text("faces", "both").part("photo", file(two_people()));
    assert_eq!(app.post("/identify", wrong).await.body["code"], "malformed");
}

#[tokio::test]
async fn a_photo_of_two_people_is_no_reference() {
    let app = App::spawn().await;
    let part = |name: &str| file(photo(name));
    let pair = |a: &str, b: &str| Form::new().part("photo_a", part(a)).part("photo_b", part(b));
    let (two, one) = ("odd/two-faces.jpg", "people/p01-a.jpg");
    let answers = [
        app.enroll("p01", two_people()).await,
        app.post("/compare", pair(two, one)).await,
        app.post("/compare", pair(one, two)).await,
        app.post("/check", Form::new().part("photo", part(two))).await,
    ];
    for Answer { call, status, body, .. } in answers {
        assert_eq!((status, &body["code"]), (422, &json!("several_faces")), "{call}");
    }
}

#[tokio::test]
async fn work_for_a_photo_of_many_faces_is_bounded() {
    let app = App::spawn().await;
    enroll(&app, 1..=20).await;
    let picture = twenty_people();
    let verified = app.verify("p08", picture.clone()).await;
    assert_eq!(list(&verified.body["faces"]).len(), MOST_FACES, "{verified:?}");
    assert_eq!(encoded(&verified), MOST_FACES);
    let found = identify_all(&app, picture.clone()).await;
    assert_eq!((list(&found.body["faces"]).len(), encoded(&found)), (MOST_FACES, MOST_FACES));
    let others = found.body["other_faces"].as_u64().unwrap();
    assert!((1..=12).contains(&others), "{}", found.body);
    let found = app.identify(picture).await;
    assert_eq!((encoded(&found), &found.body["other_faces"]), (1, &json!(others + 7)));
}

/// How many faces were encoded, by the stages of the answer.
fn encoded(answer: &Answer) -> usize {
    answer.headers["server-timing"].to_str().unwrap().matches("encode;").count()
}

#[tokio::test]
async fn audit_trail_states_the_number_of_faces() {
    let app = App::spawn().await;
    enroll(&app, [1, 3]).await;
    app.verify("p01", two_people()).await;
    app.verify("p03", two_people()).await;
    app.verify("p01", photo("people/p01-b.jpg")).await;
    app.identify(two_people()).await;
    identify_all(&app, two_people()).await;
    let events = trail(app.folder.path());
    let decisions: Vec<_> = events.iter().filter(|event| event["action"] != "enroll").collect();
    let outcome = |n: usize| decisions[n]["outcome"].as_str().unwrap();
    assert_eq!([0, 1, 2].map(outcome), ["match; faces=2", "non_match; faces=2", "match"]);
    assert_eq!(decisions.len(), 6, "an event for each identified face");
    let mut both = [4, 5].map(outcome);
    both.sort_unstable();
    assert_eq!(both, ["match; faces=2", "non_match; faces=2"]);
    assert!(outcome(3).ends_with("; faces=2"));
    let matched = decisions[4..].iter().find(|event| event["outcome"] == "match; faces=2");
    assert_eq!(matched.unwrap()["subject"], decisions[0]["subject"]);
    let verified = crate::audit::audit(app.folder.path(), &["verify"]);
    assert!(verified.status.success(), "{verified:?}");
}
