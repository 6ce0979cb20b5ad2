//! Photos of all supported formats, and of unsupported ones.

use std::io::Cursor;

use image::imageops::{FilterType, overlay, resize};
use image::{ImageFormat, Rgb, RgbImage};
use reqwest::multipart::Form;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::adversarial;
use crate::app::{Answer, App, file, photo, send};
use crate::jpegs::{S420, S422, S440, S444, Writing, mosaic};
use crate::process::Process;

/// Returns a PNG of this size and uniform color.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    RgbImage::new(width, height).write_to(&mut out, ImageFormat::Png).unwrap();
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
            let of = |answer: &Value| answer["face"]["box"][edge].as_f64().unwrap();
            // The detector's input is six times smaller.
            let off = (of(&turned) - of(&upright)).abs();
            assert!(off < 8.0, "{orientation}: {edge} is {off} off in {turned}");
        }
    }
}

#[tokio::test]
async fn bystander_at_the_edge_is_ignored() {
    let app = App::spawn().await;
    assert_eq!(app.enroll("e-1", photo("odd/bystander.jpg")).await.status, 201);
}

/// Returns a photo of a generated person, so small that its pixels become the blocks of a
/// [`mosaic`].
fn small_person() -> RgbImage {
    let person = image::load_from_memory_with_format(&photo("people/p01-c.jpg"), ImageFormat::Jpeg);
    resize(&person.unwrap().into_rgb8(), 144, 180, FilterType::Triangle)
}

fn score(answer: &Answer) -> f64 {
    assert_eq!((answer.status, &answer.body["match"]), (200, &json!(true)), "{answer:?}");
    answer.body["score"].as_f64().unwrap()
}

#[tokio::test]
async fn jpeg_variants_decode_alike() {
    let app = App::spawn().await;
    let person = small_person();
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    let finer_chroma = [(1, 1), (2, 2), (2, 2)];
    let by_threes = [(3, 1), (1, 1), (1, 1)];
    for sampling in [S420, S422, S440, S444, finer_chroma, by_threes] {
        let usual = mosaic(&person, &Writing { sampling, ..Writing::usual() });
        let usual = score(&app.verify("e-1", usual).await);
        for scans in [
            vec![vec![0, 1, 2]],
            vec![vec![0], vec![1], vec![2]],
            vec![vec![0], vec![1, 2]],
            vec![vec![0, 1], vec![2]],
            vec![vec![2], vec![1], vec![0]],
        ] {
            for progressive in [false, true] {
                let scans = scans.clone();
                let said = format!("{sampling:?} {scans:?} {progressive}");
                let jpeg = mosaic(&person, &Writing { sampling, scans, progressive, tables: true });
                let found = score(&app.verify("e-1", jpeg).await);
                assert!((found - usual).abs() < 0.2, "{said}: {found}, not {usual}");
            }
        }
    }
}

#[tokio::test]
async fn non_interleaved_jpeg_has_the_same_score() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("field/plain.jpg")).await;
    let interleaved = score(&app.verify("e-1", photo("field/plain.jpg")).await);
    let scans = score(&app.verify("e-1", photo("field/three-scans.jpg")).await);
    assert!((scans - interleaved).abs() < 0.1, "{scans}, not {interleaved}");
}

#[tokio::test]
async fn jpeg_without_end_marker_or_huffman_tables_is_read() {
    let app = App::spawn().await;
    assert_eq!(app.enroll("e-1", photo("field/no-end-marker.jpg")).await.status, 201);
    let usual = score(&app.verify("e-1", photo("field/plain.jpg")).await);
    let motion = mosaic(&small_person(), &Writing { tables: false, ..Writing::usual() });
    let with_tables = mosaic(&small_person(), &Writing::usual());
    let (motion, with_tables) =
        (app.verify("e-1", motion).await, app.verify("e-1", with_tables).await);
    assert!((score(&motion) - score(&with_tables)).abs() < 1e-6 && usual > 5.0);
}

#[tokio::test]
async fn incomplete_jpeg_is_refused_even_with_end_marker() {
    let app = App::spawn().await;
    let code = async |photo: Vec<u8>| app.enroll("e-1", photo).await.body["code"].clone();
    assert_eq!(
        code(photo("field/cut-at-40-percent-with-end-marker.jpg")).await,
        "unreadable_photo"
    );
    let three_scans = photo("field/three-scans.jpg");
    let progressive = mosaic(&small_person(), &Writing { progressive: true, ..Writing::usual() });
    for whole in [photo("field/plain.jpg"), three_scans, progressive] {
        for percent in [30, 60, 90] {
            let cut = whole[..whole.len() * percent / 100].to_vec();
            let ended = [&cut[..], &[0xFF, 0xD9]].concat();
            assert_eq!(code(cut).await, "unreadable_photo", "{percent} %");
            assert_eq!(code(ended).await, "unreadable_photo", "{percent} % and an end marker");
        }
    }
    // Only the last row of blocks is missing, as in files of cameras.
    let whole = photo("field/plain.jpg");
    let cut = [&whole[..whole.len() * 98 / 100], &[0xFF, 0xD9]].concat();
    assert_eq!(app.enroll("e-1", cut).await.status, 201);
}

/// Damaged and unsupported files, with their codes.
fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let (jpeg, png) = (photo("field/plain.jpg"), photo("odd/png8.png"));
    let spoiled = |bytes: &[u8], from: usize| {
        let mut bytes = bytes.to_vec();
        let end = (from + 400).min(bytes.len());
        bytes[from..end].fill(0x55);
        bytes
    };
    let frame = |marker: u8, at: usize, byte: Option<u8>| {
        let mut bytes = jpeg.clone();
        let start = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
        bytes[start + 1] = marker;
        if let Some(byte) = byte {
            bytes[start + at] = byte;
        }
        bytes
    };
    vec![
        ("arithmetic coding", photo("field/arithmetic.jpg"), "unsupported_format"),
        ("lossless JPEG", frame(0xC3, 0, None), "unsupported_format"),
        ("12 bits", frame(0xC1, 4, Some(12)), "unsupported_format"),
        ("hierarchical JPEG", frame(0xC5, 0, None), "unsupported_format"),
        ("two components", frame(0xC0, 9, Some(2)), "unsupported_format"),
        (
            "no height",
            {
                let mut bytes = frame(0xC0, 5, Some(0));
                let start = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
                bytes[start + 6] = 0;
                bytes
            },
            "unsupported_format",
        ),
        ("a JPEG's header overwritten", spoiled(&jpeg, 100), "unreadable_photo"),
        ("a JPEG's first half", jpeg[..jpeg.len() / 2].to_vec(), "unreadable_photo"),
        ("a JPEG's first 20 bytes", jpeg[..20].to_vec(), "unreadable_photo"),
        ("a PNG's first half", png[..png.len() / 2].to_vec(), "unreadable_photo"),
        ("a PNG's first 20 bytes", png[..20].to_vec(), "unreadable_photo"),
        ("a PNG's pixels overwritten", spoiled(&png, png.len() / 2), "unreadable_photo"),
        ("a PNG's header overwritten", spoiled(&png, 16), "unreadable_photo"),
        (
            "a PNG with half of its pixels before a whole end",
            adversarial::png_with_half_of_its_pixels(),
            "unreadable_photo",
        ),
        (
            "a WebP with a part of its frame in whole chunks",
            adversarial::webp_with_a_part_of_its_frame(),
            "unreadable_photo",
        ),
        ("a WebP's first half", photo("odd/lossy.webp")[..1000].to_vec(), "unreadable_photo"),
        (
            "a lossless WebP's data overwritten",
            spoiled(&photo("odd/lossless.webp"), 30),
            "unreadable_photo",
        ),
        ("a PNG with 15 MB of text", adversarial::png_with_text(15_000_000), "unreadable_photo"),
        ("too many scans", adversarial::progressive(64, 500), "unreadable_photo"),
        ("nothing", Vec::new(), "unreadable_photo"),
    ]
}

#[tokio::test]
async fn unreadable_file_is_refused_with_advice() {
    let app = App::spawn().await;
    for (name, photo, code) in refused() {
        let answer = app.identify(photo).await;
        assert_eq!(answer.body["code"], code, "{name}: {answer:?}");
        let detail = answer.body["detail"].as_str().unwrap();
        let ours =
            ["; send ", "; save ", "; open ", "it is empty"].iter().any(|w| detail.contains(w));
        assert!(
            ours && !detail.contains(['"', '(']) | detail.contains("8 bits)"),
            "{name}: {detail}"
        );
    }
}

/// Returns a lossless WebP of a person with noise, as a canvas or a converter writes it.
fn lossless(width: u32, height: u32) -> Vec<u8> {
    let person = image::load_from_memory_with_format(&photo("people/p01-c.jpg"), ImageFormat::Jpeg);
    let mut image = resize(&person.unwrap().into_rgb8(), width, height, FilterType::Triangle);
    let mut state = 1_u32;
    for level in image.iter_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *level = level.saturating_add((state >> 29) as u8);
    }
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::WebP).unwrap();
    out.into_inner()
}

#[tokio::test]
async fn lossless_webp_is_read_up_to_the_limits() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    let (webcam, large) = (lossless(480, 600), lossless(2400, 3000));
    assert!(
        webcam.len() > 350_000 && (9_000_000..16_000_000).contains(&large.len()),
        "{}",
        large.len()
    );
    for webp in [webcam, large, photo("field/lossless.webp")] {
        let bytes = webp.len();
        assert!(score(&app.verify("e-1", webp).await) > 5.2, "{bytes} bytes");
    }
}

#[tokio::test]
async fn extreme_aspect_ratios_are_answered() {
    let app = App::spawn().await;
    for (width, height, code) in [
        (12_000, 32, "no_face"),
        (32, 12_000, "no_face"),
        (12_000, 33, "no_face"),
        (40, 12_001, "too_many_pixels"),
        (12_000, 31, "no_face"),
    ] {
        let answer = app.identify(png(width, height)).await;
        assert_eq!(answer.body["code"], code, "{width} x {height}: {answer:?}");
    }
    let said = app.identify(png(12_001, 40)).await.body["detail"].clone();
    assert!(said.as_str().unwrap().contains("12000 per side"), "{said}");
}

/// Returns a photo of a person with 61 million pixels.
fn large_person() -> RgbImage {
    let person = image::load_from_memory_with_format(&photo("people/p01-c.jpg"), ImageFormat::Jpeg);
    let person = resize(&person.unwrap().into_rgb8(), 632, 790, FilterType::Triangle);
    let mut scene = RgbImage::from_pixel(1196, 797, Rgb([90, 100, 110]));
    overlay(&mut scene, &person, 280, 4);
    scene
}

fn enrollment(client: &Client, url: &str, employee: &str, photo: Vec<u8>) -> RequestBuilder {
    let form = Form::new().text("employee_id", employee.to_owned());
    client.post(format!("{url}/enroll")).multipart(form.part("photo", file(photo)))
}

/// Baseline and progressive JPEGs at once. Each needs more memory than photos in flight share, so
/// they are decoded one after the other.
#[tokio::test]
async fn photos_of_61_megapixels_stay_within_the_stated_memory() {
    const MOST_MEMORY: u64 = 750_000;
    let folder = tempfile::tempdir().unwrap();
    let service =
        Process::start_with(folder.path(), &["--workers", "2", "--request-timeout", "600"]);
    let scene = large_person();
    let progressive = Writing { sampling: S444, progressive: true, ..Writing::usual() };
    let client = &service.client;
    let sent = [Writing::usual(), progressive.clone(), progressive].into_iter().enumerate();
    let sent = sent.map(|(number, writing)| {
        let photo = mosaic(&scene, &writing);
        let request = enrollment(client, &service.url, &format!("e-{number}"), photo);
        tokio::spawn(send(request))
    });
    let mut answers = Vec::new();
    for answer in sent.collect::<Vec<_>>() {
        answers.push(answer.await.unwrap());
    }
    let codes: Vec<&Value> = answers.iter().map(|answer| &answer.body["code"]).collect();
    let enrolled = answers.iter().filter(|answer| answer.status == 201).count();
    let alike = codes.iter().filter(|code| **code == "looks_like_another").count();
    assert_eq!((enrolled, alike), (1, 2), "{codes:?}");
    let peak = service.peak_memory();
    println!("peak {peak} kB");
    assert!(peak < MOST_MEMORY, "{peak} kB");
}
