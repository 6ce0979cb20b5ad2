//! What a stranger may send: each gets the right answer, and the process stays small.
//!
//! One table, sent to the real binary; `cargo test --release --test api hostile -- --nocapture` prints
//! it with the time of each answer and the process's peak memory.

use std::io::Cursor;
use std::time::Instant;

use image::ImageFormat;
use likeness::http::Code;
use reqwest::multipart::Form;
use reqwest::{Client, RequestBuilder};

use crate::app::{Answer, file, photo, send};
use crate::photos::png;
use crate::process::Process;

/// Of the whole process over the whole table, in kilobytes.
const MOST_MEMORY: u64 = 300_000;

#[tokio::test]
async fn every_hostile_input_gets_its_answer_within_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let service = Process::start(folder.path());
    let client = Client::new();
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

/// Photos for `/identify`, and the code that each is refused with.
fn photos() -> Vec<(&'static str, Vec<u8>, Option<Code>)> {
    let face = photo("people/p01-a.jpg");
    let (half, start) = (face[..face.len() / 2].to_vec(), face[..300].to_vec());
    vec![
        ("nothing at all", Vec::new(), Some(Code::UnreadablePhoto)),
        ("text", b"I am a photo, honestly.".to_vec(), Some(Code::UnsupportedFormat)),
        ("a JPEG's first half", half, Some(Code::UnreadablePhoto)),
        ("a JPEG's first 300 bytes", start, Some(Code::UnreadablePhoto)),
        ("1 x 1 pixel", png(1, 1), Some(Code::NoFace)),
        ("30000 x 30000 PNG", huge_png(), Some(Code::TooManyPixels)),
        ("12000 x 12000 progressive JPEG", progressive(12_000), Some(Code::TooManyPixels)),
        ("4600 x 4600 progressive JPEG, just allowed", progressive(4_600), Some(Code::NoFace)),
        ("7000 x 7000 PNG, just allowed", png(7_000, 7_000), Some(Code::NoFace)),
        ("CMYK JPEG", photo("odd/cmyk.jpg"), None),
        ("grey JPEG", photo("odd/grey.jpg"), None),
        ("16-bit PNG", photo("odd/png16.png"), None),
        ("half-transparent PNG", transparent(), None),
        ("animated WebP", photo("odd/animated.webp"), None),
        ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1".to_vec(), Some(Code::UnsupportedFormat)),
        ("AVIF", b"\0\0\0\x18ftypavif\0\0\0\0mif1".to_vec(), Some(Code::UnsupportedFormat)),
        ("no face", photo("odd/no-face.jpg"), Some(Code::NoFace)),
        ("two faces", photo("odd/two-faces.jpg"), Some(Code::SeveralFaces)),
        ("20 MB", vec![0xFF; 20_000_000], Some(Code::BodyTooLarge)),
    ]
}

/// Requests that are wrong in other ways, and a good one in the end.
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
        ("a path in place of a photo", post("/identify").json(&path), Some(Code::Malformed)),
        ("a good photo after all that", post("/identify").multipart(good), None),
    ]
}

/// A portrait whose alpha channel is half way.
fn transparent() -> Vec<u8> {
    let opaque = image::load_from_memory_with_format(&photo("odd/png8.png"), ImageFormat::Png);
    let mut image = opaque.unwrap().into_rgba8();
    image.pixels_mut().for_each(|pixel| pixel.0[3] = 128);
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::Png).unwrap();
    out.into_inner()
}

/// A valid header of 30000 x 30000 pixels: all that anybody should read of such a file.
fn huge_png() -> Vec<u8> {
    let small = png(1, 1);
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(30_000_u32.to_be_bytes());
    chunk.extend(30_000_u32.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let checksum = crc32(&chunk);
    [&small[..12], &chunk, &checksum.to_be_bytes(), &small[33..]].concat()
}

/// CRC-32 as PNG has it (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// A whole progressive JPEG of one grey: its only scan says "no difference" with one bit a block.
/// A decoder keeps 64 coefficients of 16 bits for each of these bits.
fn progressive(side: u16) -> Vec<u8> {
    let [high, low] = side.to_be_bytes();
    let mut bytes = vec![0xFF, 0xD8];
    // A quantisation table of ones.
    bytes.extend([0xFF, 0xDB, 0, 67, 0]);
    bytes.extend([1; 64]);
    bytes.extend([0xFF, 0xC2, 0, 11, 8, high, low, high, low, 1, 1, 0x11, 0]);
    // One Huffman code, `0`, for a difference of no bits.
    bytes.extend([0xFF, 0xC4, 0, 20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0]);
    let blocks = usize::from(side.div_ceil(8)).pow(2);
    bytes.extend(vec![0; blocks.div_ceil(8)]);
    bytes.extend([0xFF, 0xD9]);
    bytes
}
