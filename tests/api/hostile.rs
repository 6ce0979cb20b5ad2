//! Hostile requests: each gets the expected response, and memory stays bounded.
//!
//! A table of requests to the real binary. `cargo test --release --test api hostile -- --nocapture`
//! prints it with the time of each response and the peak memory of the process.

use std::time::Instant;

use likeness::http::Code;
use reqwest::RequestBuilder;
use reqwest::multipart::Form;

use crate::adversarial::{
    BEHIND, LOOP, ORIENTATION_9, huge_png, jpeg_with_exif, jpeg_with_profile,
    png_with_swelling_profile, png_with_text, progressive, transparent, webp_alpha_frame,
    webp_frame, webp_lossless, webp_with_exif,
};
use crate::app::{Answer, file, photo, send};
use crate::photos::png;
use crate::process::Process;

/// Maximum memory of the process over the whole table, in kilobytes.
const MOST_MEMORY: u64 = 300_000;

#[tokio::test]
async fn every_hostile_input_gets_its_answer_within_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let service = Process::start(folder.path());
    let client = &service.client;
    let post = |path: &str| client.post(format!("{}{path}", service.url));
    let photos = photos().into_iter().map(|(name, photo, code)| {
        (name, post("/identify").multipart(Form::new().part("photo", file(photo))), code)
    });
    for (name, request, expected) in photos.chain(requests(post)) {
        let started = Instant::now();
        let Answer { status, body, .. } = send(request).await;
        let (time, peak) = (started.elapsed().as_millis(), service.peak_memory() / 1000);
        let code = body["code"].as_str();
        println!("{name:<42} {status} {:<18} {time:>5} ms, peak {peak} MB", code.unwrap_or("-"));
        let (expected_status, expected_code) = match expected {
            Some(code) => (code.row().0.as_u16(), Some(code.row().1)),
            None => (200, None),
        };
        assert_eq!((status, code), (expected_status, expected_code), "{name}: {body}");
    }
    let peak = service.peak_memory();
    assert!(peak < MOST_MEMORY, "{peak} kB");
}

/// Photos for `/identify`, with the expected codes.
fn photos() -> Vec<(&'static str, Vec<u8>, Option<Code>)> {
    let face = photo("people/p01-a.jpg");
    let (half, start) = (face[..face.len() / 2].to_vec(), face[..300].to_vec());
    vec![
        ("nothing at all", Vec::new(), Some(Code::UnreadablePhoto)),
        ("text", b"I am a photo, honestly.".to_vec(), Some(Code::UnsupportedFormat)),
        ("a JPEG's first half", half, Some(Code::UnreadablePhoto)),
        ("a JPEG's first 300 bytes", start, Some(Code::UnreadablePhoto)),
        ("1 x 1 pixel", png(1, 1), Some(Code::NoFace)),
        ("30000 x 30000 PNG", huge_png(30_000, 30_000), Some(Code::TooManyPixels)),
        ("PNG as large as can be said", huge_png(8192, 1 << 30), Some(Code::TooManyPixels)),
        ("12000 x 12000 progressive JPEG", progressive(12_000, 1), Some(Code::TooManyPixels)),
        (
            "4600 x 4600 progressive JPEG, just beside others",
            progressive(4_600, 1),
            Some(Code::NoFace),
        ),
        ("7000 x 7000 PNG, just beside others", png(7_000, 7_000), Some(Code::NoFace)),
        ("4600 x 4600 JPEG of 5000 scans", progressive(4_600, 5_000), Some(Code::UnreadablePhoto)),
        ("PNG whose profile swells to 432 MB", png_with_swelling_profile(), Some(Code::NoFace)),
        ("PNG with 15 MB of text", png_with_text(15_000_000), Some(Code::UnreadablePhoto)),
        ("PNG with 1 MB of text", png_with_text(1_000_000), None),
        ("JPEG with a profile of 15 MB", jpeg_with_profile(15_000_000), None),
        ("JPEG whose EXIF points at itself", jpeg_with_exif(&LOOP), None),
        ("JPEG whose EXIF points behind its end", jpeg_with_exif(&BEHIND), None),
        ("JPEG of an orientation out of range", jpeg_with_exif(&ORIENTATION_9), None),
        ("WebP with a frame of 16383 x 16383", webp_frame(16_383), Some(Code::UnreadablePhoto)),
        ("WebP frame beside its alpha channel", webp_alpha_frame(), Some(Code::UnreadablePhoto)),
        (
            "WebP of 64 x 64 with 65,536 groups of codes",
            webp_lossless(65_536),
            Some(Code::TooManyPixels),
        ),
        ("WebP whose EXIF says it has 4 GB", webp_with_exif(u32::MAX), Some(Code::UnreadablePhoto)),
        ("WebP with a chunk that nobody knows", webp_with_exif(4), None),
        ("CMYK JPEG", photo("odd/cmyk.jpg"), None),
        ("grey JPEG", photo("odd/grey.jpg"), None),
        ("16-bit PNG", photo("odd/png16.png"), None),
        ("half-transparent PNG", transparent(), None),
        ("animated WebP", photo("odd/animated.webp"), None),
        ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1".to_vec(), Some(Code::UnsupportedFormat)),
        ("AVIF", b"\0\0\0\x18ftypavif\0\0\0\0mif1".to_vec(), Some(Code::UnsupportedFormat)),
        ("no face", photo("odd/no-face.jpg"), Some(Code::NoFace)),
        ("two faces", photo("odd/two-faces.jpg"), None),
        ("20 MB", vec![0xFF; 20_000_000], Some(Code::BodyTooLarge)),
    ]
}

/// Other invalid requests, and a valid one at the end.
fn requests(
    post: impl Fn(&str) -> RequestBuilder,
) -> Vec<(&'static str, RequestBuilder, Option<Code>)> {
    let of = |employee: &'static str| {
        let form = Form::new().text("employee_id", employee);
        form.part("photo", file(photo("people/p01-a.jpg")))
    };
    let enroll = |form| post("/enroll").multipart(form);
    let verify = |form| post("/verify").multipart(form);
    let no_photo = Form::new().text("employee_id", "e-1");
    let good = Form::new().part("photo", file(photo("people/p01-a.jpg")));
    let path = serde_json::json!({"photo": "/etc/passwd"});
    vec![
        ("neither form nor JSON", post("/identify").body("x"), Some(Code::UnsupportedBody)),
        ("a missing field", enroll(no_photo), Some(Code::Malformed)),
        ("an unknown field", enroll(of("e-1").text("admin", "true")), Some(Code::Malformed)),
        ("an unknown employee", verify(of("e-1")), Some(Code::NotEnrolled)),
        ("an employee_id out of its characters", verify(of("../../etc")), Some(Code::Malformed)),
        (
            "a path in place of a photo",
            post("/identify").json(&path),
            Some(Code::UnsupportedFormat),
        ),
        ("a good photo after all that", post("/identify").multipart(good), None),
    ]
}

/// Tests the memory bound on all photos: each of these is just small enough to be decoded beside
/// others.
#[tokio::test]
async fn many_large_photos_at_once_stay_within_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let service =
        Process::start_with(folder.path(), &["--workers", "4", "--request-timeout", "600"]);
    // Memory at rest; the share of photos in flight; and freed memory that glibc keeps for each
    // worker (its trim threshold follows the largest freed block). Without the bound, the four
    // would take 550 MB.
    let most = service.memory() + 150_000 + 4 * 40_000;
    let (client, url) = (service.client.clone(), format!("{}/identify", service.url));
    let large = [progressive(4_600, 1), png(7_000, 7_000)];
    let sent = large.iter().cycle().take(4).map(|photo| {
        let form = Form::new().part("photo", file(photo.clone()));
        tokio::spawn(send(client.post(&url).multipart(form)))
    });
    for answer in sent.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap().body["code"], "no_face");
    }
    let peak = service.peak_memory();
    assert!(peak < most, "{peak} kB of {most}");
}

/// Bodies that are always refused, and cost as much as a body can.
fn worst_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let most = 16 * 1024 * 1024 / 3 * 4;
    let filled = |start: &str, with: &str, end: &str| {
        let times = (most - start.len() - end.len()) / with.len();
        [start, &with.repeat(times), end].concat().into_bytes()
    };
    let each =
        |times: usize, one: &dyn Fn(usize) -> String| (0..times).map(one).collect::<Vec<_>>();
    let names = each(most / 12, &|n| format!("\"{n:07}\":0,")).concat();
    let part = "--x\r\nContent-Disposition: form-data; name=\"photo\"\r\n\r\n";
    let header = "--x\r\nContent-Disposition: form-data; name=";
    let parts = each(most / 80, &|n| format!("{header}\"{n:07}\"\r\n\r\n\r\n")).concat();
    let (json, form) = ("application/json", "multipart/form-data; boundary=x");
    vec![
        (json, filled("{\"photo\":[", "{\"\":0},", "0]}")),
        (json, filled("{\"photo\":[", "[],", "0]}")),
        (json, filled("{\"photo\":", "[", "")),
        (json, format!("{{{names}\"photo\":0}}").into_bytes()),
        (json, filled("{\"photo\":\"", "AAAA", "\"}")),
        (json, filled("{\"photo\":\"", "\\u0041", "\"}")),
        (json, filled("{\"", "a", "\":0}")),
        (json, filled("{\"employee_id\":\"", "\\n", "\"}")),
        (form, filled(part, "A", "\r\n--x--\r\n")),
        (form, format!("{parts}--x--\r\n").into_bytes()),
    ]
}

#[tokio::test]
async fn the_worst_bodies_at_once_stay_within_the_bound_and_are_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let service = Process::start(folder.path());
    let at_rest = service.memory();
    for (kind, body) in worst_bodies() {
        let body = bytes::Bytes::from(body);
        let begun = String::from_utf8_lossy(&body[..40]).into_owned();
        let sent = (0..32).map(|_| {
            let request = service.client.post(format!("{}/enroll", service.url));
            tokio::spawn(send(request.header("content-type", kind).body(body.clone())))
        });
        for answer in sent.collect::<Vec<_>>() {
            let answer = answer.await.unwrap();
            assert!(matches!(answer.status, 400 | 413 | 503), "{begun}: {answer:?}");
        }
        eprintln!("{begun:?}: {} kB, at most {} kB", service.memory(), service.peak_memory());
    }
    assert!(service.peak_memory() < 300_000, "{} kB", service.peak_memory());
    assert!(service.memory() < at_rest + 100_000, "{} kB after {at_rest}", service.memory());
}
