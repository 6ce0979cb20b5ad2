//! Photos of every kind that is read, and of kinds that are not.

use serde_json::json;

use crate::app::{App, photo};

/// A PNG of this size and one colour.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(width, height).write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

#[tokio::test]
async fn every_format_shows_the_same_person() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("odd/baseline.jpg")).await;
    for name in [
        "animated.webp",
        "cmyk.jpg",
        "grey.jpg",
        "lossless.webp",
        "lossy.webp",
        "png16.png",
        "png8.png",
        "progressive.jpg",
    ] {
        let verified = app.verify("e-1", photo(&format!("odd/{name}"))).await;
        assert_eq!(
            (verified.status, &verified.body["match"]),
            (200, &json!(true)),
            "{name}: {verified:?}"
        );
    }
}

#[tokio::test]
async fn every_orientation_finds_the_same_face_in_the_same_place() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("odd/orientation-1.jpg")).await;
    let upright = app.verify("e-1", photo("odd/orientation-1.jpg")).await.body;
    for orientation in 2..=8 {
        let turned =
            app.verify("e-1", photo(&format!("odd/orientation-{orientation}.jpg"))).await.body;
        assert_eq!(turned["match"], true, "{orientation}: {turned}");
        for edge in ["x", "y", "width", "height"] {
            let of = |answer: &serde_json::Value| answer["face"]["box"][edge].as_f64().unwrap();
            // What the detector sees is six times smaller.
            let off = (of(&turned) - of(&upright)).abs();
            assert!(off < 8.0, "{orientation}: {edge} is {off} off in {turned}");
        }
    }
}

#[tokio::test]
async fn a_bystander_at_the_edge_does_not_count() {
    let app = App::spawn().await;
    assert_eq!(app.enroll("e-1", photo("odd/bystander.jpg")).await.status, 201);
}
