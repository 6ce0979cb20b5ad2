//! Photos stored on their side, in every container and encoding of EXIF data.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::{ImageFormat, RgbImage};

use crate::adversarial::{crc32, riff_chunk, with_chunk, with_segments_in};
use crate::app::{App, photo};

/// EXIF data with the orientation "rotate by 90 degrees clockwise".
fn exif(big_endian: bool) -> Vec<u8> {
    if big_endian {
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec()
    } else {
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec()
    }
}

/// Returns a photo stored on its side.
fn lying() -> RgbImage {
    let person = image::load_from_memory_with_format(&photo("people/p01-c.jpg"), ImageFormat::Jpeg);
    image::imageops::rotate270(&person.unwrap().into_rgb8())
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    lying().write_to(&mut out, format).unwrap();
    out.into_inner()
}

/// Returns the JPEG with application segments in this order.
fn jpeg(segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = encoded(ImageFormat::Jpeg);
    for (marker, body) in segments.iter().rev() {
        bytes = with_segments_in(&bytes, *marker, std::slice::from_ref(body));
    }
    bytes
}

/// Returns the WebP in its extended form, with EXIF data.
fn webp(exif: &[u8]) -> Vec<u8> {
    let (plain, size) = (encoded(ImageFormat::WebP), lying());
    let side = |side: u32| (side - 1).to_le_bytes()[..3].to_vec();
    let flags = [8, 0, 0, 0].to_vec();
    let header = [flags, side(size.width()), side(size.height())].concat();
    let chunks = [riff_chunk(*b"VP8X", &header), plain[12..].to_vec(), riff_chunk(*b"EXIF", exif)];
    riff_chunk(*b"RIFF", &[b"WEBP", chunks.concat().as_slice()].concat())
}

/// Returns the PNG with a chunk after the pixels.
fn png_with_late_chunk(chunk: &[u8]) -> Vec<u8> {
    let png = encoded(ImageFormat::Png);
    let (start, end) = png.split_at(png.len() - 12);
    let length = (chunk.len() as u32 - 4).to_be_bytes();
    [start, &length, chunk, &crc32(chunk).to_be_bytes(), end].concat()
}

fn prefixed(exif: &[u8]) -> Vec<u8> {
    [b"Exif\0\0", exif].concat()
}

/// Returns the chunk in which `ImageMagick` writes EXIF data to a PNG.
fn raw_profile(exif: &[u8]) -> Vec<u8> {
    let hex = exif.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let start = b"zTXtRaw profile type exif\0\0".to_vec();
    let mut deflated = ZlibEncoder::new(start, Compression::default());
    write!(deflated, "\nexif\n{:8}\n{hex}\n", exif.len()).unwrap();
    deflated.finish().unwrap()
}

#[tokio::test]
async fn exif_orientation_is_applied_in_every_container_and_encoding() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    let png = encoded(ImageFormat::Png);
    let xmp = (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>".to_vec());
    let profile = (0xE2, b"ICC_PROFILE\0\x01\x01none".to_vec());
    for big_endian in [false, true] {
        let exif = exif(big_endian);
        let app1 = (0xE1, prefixed(&exif));
        let chunk = |exif: &[u8]| [b"eXIf", exif].concat();
        for (name, turned) in [
            ("JPEG, EXIF first", jpeg(&[app1.clone(), xmp.clone(), profile.clone()])),
            ("JPEG, EXIF last", jpeg(&[profile.clone(), xmp.clone(), app1.clone()])),
            ("WebP, bare", webp(&exif)),
            ("WebP, with a prefix", webp(&prefixed(&exif))),
            ("PNG, bare", with_chunk(&png, &chunk(&exif))),
            ("PNG, with a prefix", with_chunk(&png, &chunk(&prefixed(&exif)))),
            ("PNG, behind the pixels", png_with_late_chunk(&chunk(&exif))),
            ("PNG, a raw profile", with_chunk(&png, &raw_profile(&exif))),
            ("PNG, a raw profile with a prefix", with_chunk(&png, &raw_profile(&prefixed(&exif)))),
        ] {
            let verified = app.verify("e-1", turned).await;
            assert_eq!(verified.body["match"], true, "{name}, {big_endian}: {verified:?}");
        }
    }
    // Without EXIF data, they are on their side.
    assert_eq!(app.verify("e-1", encoded(ImageFormat::Png)).await.body["code"], "no_face");
}
