//! Photos of insufficient quality: refused as references, measured as probes.

use std::io::Cursor;

use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};
use reqwest::multipart::Form;
use serde_json::json;

use crate::app::{App, file, photo};

/// A portrait with the nose at `NOSE_X` and 70 pixels between the eyes.
const PORTRAIT: &str = "people/p01-c.jpg";
const NOSE_X: u32 = 220;
const RIGHT_EYE_X: u32 = 184;

fn portrait() -> RgbImage {
    let decoded = image::load_from_memory_with_format(&photo(PORTRAIT), ImageFormat::Jpeg);
    decoded.unwrap().into_rgb8()
}

fn png(image: &RgbImage) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::Png).unwrap();
    out.into_inner()
}

/// Blurs by a Gaussian of this many pixels.
pub(crate) fn blurred(sigma: f32) -> Vec<u8> {
    png(&imageops::blur(&portrait(), sigma))
}

/// Blurs by a motion of this many pixels.
fn moved(pixels: u32) -> RgbImage {
    let still = portrait();
    RgbImage::from_fn(still.width() - pixels, still.height(), |x, y| {
        let mut sum = [0; 3];
        for step in 0..pixels {
            let passed = still.get_pixel(x + step, y).0;
            sum = std::array::from_fn(|c| sum[c] + u32::from(passed[c]));
        }
        Rgb(sum.map(|c| (c / pixels) as u8))
    })
}

fn shrunk(by: u32) -> RgbImage {
    let image = portrait();
    imageops::resize(&image, image.width() / by, image.height() / by, FilterType::Triangle)
}

/// Multiplies the light by a factor, and clips.
fn lit(factor: f32) -> RgbImage {
    let mut image = portrait();
    image.iter_mut().for_each(|value| *value = (f32::from(*value) * factor).min(255.0) as u8);
    image
}

/// Foreshortens the left half of the face, as if the head were turned.
fn turned(foreshortening: f32) -> RgbImage {
    let image = portrait();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let beyond = NOSE_X.saturating_sub(x);
        let from = (beyond as f32 / foreshortening) as u32;
        *image.get_pixel(if beyond == 0 { x } else { NOSE_X.saturating_sub(from) }, y)
    })
}

fn cut_at(left: u32) -> RgbImage {
    let image = portrait();
    imageops::crop_imm(&image, left, 0, image.width() - left, image.height()).to_image()
}

#[tokio::test]
async fn insufficient_quality_is_refused_as_reference_with_reasons() {
    let app = App::spawn().await;
    for (photo, reasons, advice) in [
        (png(&shrunk(8)), json!(["too_small"]), "move closer"),
        (blurred(8.0), json!(["too_blurred"]), "focus"),
        (png(&moved(30)), json!(["too_blurred"]), "hold still"),
        (png(&lit(0.11)), json!(["too_dark"]), "light"),
        (png(&lit(2.2)), json!(["too_bright"]), "direct light"),
        (png(&turned(0.15)), json!(["turned_away"]), "straight into the camera"),
        (png(&cut_at(RIGHT_EYE_X + 26)), json!(["cut_off"]), "the whole face"),
    ] {
        let refused = app.enroll("e-1", photo.clone()).await;
        assert_eq!((refused.status, &refused.body["code"]), (422, &json!("poor_photo")));
        assert_eq!(refused.body["reasons"], reasons, "{}", refused.body);
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(advice), "{detail}");
        let found = app.identify(photo.clone()).await;
        assert_eq!((found.status, &found.body["reasons"]), (200, &reasons), "{}", found.body);
        let checked = app.post("/check", Form::new().part("photo", file(photo))).await;
        assert_eq!((checked.status, &checked.body["reasons"]), (200, &reasons));
        assert_eq!(checked.body["face"], found.body["face"]);
    }
    assert_eq!(app.get("/employees").await.body["employees"], json!([]));
}

#[tokio::test]
async fn quality_check_stores_nothing() {
    let app = App::spawn().await;
    let form = |name| Form::new().part("photo", file(photo(name)));
    let checked = app.post("/check", form("people/p01-a.jpg")).await;
    assert_eq!((checked.status, &checked.body["reasons"]), (200, &json!([])));
    let members: Vec<_> = checked.body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["face", "quality", "reasons"]);
    let nobody = app.post("/check", form("odd/no-face.jpg")).await;
    assert_eq!((nobody.status, &nobody.body["code"]), (422, &json!("no_face")));
    assert_eq!(app.store.events(1).await.unwrap(), []);
}

#[tokio::test]
async fn probe_of_insufficient_quality_is_decided_with_reasons() {
    let app = App::spawn().await;
    let enrolled = app.enroll("e-1", photo("people/p01-a.jpg")).await;
    assert_eq!((enrolled.status, &enrolled.body["reasons"]), (201, &json!([])));
    let good = app.verify("e-1", png(&portrait())).await;
    assert_eq!((&good.body["match"], &good.body["reasons"]), (&json!(true), &json!([])));
    let poor = app.verify("e-1", png(&turned(0.15))).await;
    assert_eq!((poor.status, &poor.body["reasons"]), (200, &json!(["turned_away"])));
    assert!(poor.body["match"].is_boolean(), "{}", poor.body);
    assert!(poor.headers["server-timing"].to_str().unwrap().contains("assess;dur="));
}

#[tokio::test]
async fn all_test_portraits_have_sufficient_quality() {
    let app = App::spawn().await;
    for person in 1..=20 {
        for view in ["a", "b", "c"] {
            let name = format!("people/p{person:02}-{view}.jpg");
            let found = app.identify(photo(&name)).await;
            assert_eq!(found.body["reasons"], json!([]), "{name}");
        }
    }
}
