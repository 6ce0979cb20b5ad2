//! Adversarial fixtures: small files that make a decoder use much memory or time.

use std::io::Cursor;

use image::ImageFormat;

use crate::app::photo;
use crate::photos::png;

/// Returns a portrait with a half-transparent alpha channel.
pub(crate) fn transparent() -> Vec<u8> {
    let opaque = image::load_from_memory_with_format(&photo("odd/png8.png"), ImageFormat::Png);
    let mut image = opaque.unwrap().into_rgba8();
    image.pixels_mut().for_each(|pixel| pixel.0[3] = 128);
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::Png).unwrap();
    out.into_inner()
}

/// Returns a PNG whose header states this size; nothing after the header should be read.
pub(crate) fn huge_png(width: u32, height: u32) -> Vec<u8> {
    let small = png(1, 1);
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let checksum = crc32(&chunk);
    [&small[..12], &chunk, &checksum.to_be_bytes(), &small[33..]].concat()
}

/// Returns the CRC-32 of PNG chunks (ISO 3309).
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// Returns a complete progressive JPEG of uniform gray: each DC scan has one bit a block, "no
/// difference", and one AC scan says that the other coefficients are 0. A decoder holds 64
/// coefficients of 16 bits for each of these bits.
pub(crate) fn progressive(side: u16, scans: usize) -> Vec<u8> {
    let [high, low] = side.to_be_bytes();
    let mut bytes = vec![0xFF, 0xD8];
    // A quantization table of ones.
    bytes.extend([0xFF, 0xDB, 0, 67, 0]);
    bytes.extend([1; 64]);
    bytes.extend([0xFF, 0xC2, 0, 11, 8, high, low, high, low, 1, 1, 0x11, 0]);
    // One Huffman code, `0`, for a difference of 0 bits.
    bytes.extend([0xFF, 0xC4, 0, 20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // Another, `0`: an end-of-band run of 16,384 blocks and the number in the next 14 bits.
    bytes.extend([0xFF, 0xC4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xE0]);
    let blocks = usize::from(side.div_ceil(8)).pow(2);
    bytes.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 63, 0]);
    bytes.extend(vec![0; (blocks.div_ceil(16_384) * 15).div_ceil(8)]);
    // The first scan is complete; the others are truncated, but the decoder still visits every
    // block.
    for scan in 0..scans {
        bytes.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0]);
        bytes.extend(vec![0; if scan == 0 { blocks.div_ceil(8) } else { 8 }]);
    }
    bytes.extend([0xFF, 0xD9]);
    bytes
}

/// Returns a gray PNG with a color profile of 445 kB that inflates to 432 MB.
pub(crate) fn png_with_swelling_profile() -> Vec<u8> {
    let mut profile = b"iCCPx\0\0".to_vec();
    // The compressed pixels of a black PNG serve as the profile.
    let black = png(12_000, 12_000);
    let mut at = 8;
    while let Some((length, chunk)) = black[at..].split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        if chunk.starts_with(b"IDAT") {
            profile.extend(&chunk[4..][..length]);
        }
        at += length + 12;
    }
    with_chunk(&png(64, 64), &profile)
}

/// Returns a portrait with a text of this number of bytes.
pub(crate) fn png_with_text(bytes: usize) -> Vec<u8> {
    let text = [b"tEXtComment\0".as_slice(), &vec![0xE9; bytes]].concat();
    with_chunk(&photo("odd/png8.png"), &text)
}

/// Returns a PNG with a further chunk, name and contents, after the header.
pub(crate) fn with_chunk(png: &[u8], chunk: &[u8]) -> Vec<u8> {
    let length = (chunk.len() as u32 - 4).to_be_bytes();
    [&png[..33], &length, chunk, &crc32(chunk).to_be_bytes(), &png[33..]].concat()
}

/// Returns a PNG with truncated pixels, but complete chunks.
pub(crate) fn png_with_half_of_its_pixels() -> Vec<u8> {
    let png = photo("odd/png8.png");
    let start = png.windows(4).position(|name| name == b"IDAT").unwrap();
    let end = png.len() - 12;
    let chunk = &png[start..start + (end - start) / 2];
    let length = (chunk.len() as u32 - 4).to_be_bytes();
    [&png[..start - 4], &length, chunk, &crc32(chunk).to_be_bytes(), &png[end..]].concat()
}

/// Returns a WebP with a truncated frame, but complete chunks.
pub(crate) fn webp_with_a_part_of_its_frame() -> Vec<u8> {
    let webp = photo("odd/lossy.webp");
    let frame = riff_chunk(*b"VP8 ", &webp[20..20 + webp.len() / 2]);
    riff_chunk(*b"RIFF", &[b"WEBP", frame.as_slice()].concat())
}

/// An EXIF directory that links to itself.
pub(crate) const LOOP: [u8; 26] = exif([0, 0, 0, 8], [1, 0x12, 0, 3], 1);

/// An EXIF directory beyond the end of the file.
pub(crate) const BEHIND: [u8; 26] = exif([0xFF, 0xFF, 0xFF, 0xF0], [1, 0x12, 0, 3], 1);

/// An EXIF directory with an undefined orientation.
pub(crate) const ORIENTATION_9: [u8; 26] = exif([0, 0, 0, 8], [1, 0x12, 0, 3], 9);

/// A big-endian directory of one entry at `first`, which links to the directory at 8.
const fn exif(first: [u8; 4], [tag_high, tag, kind_high, kind]: [u8; 4], value: u8) -> [u8; 26] {
    let [a, b, c, d] = first;
    [
        b'M', b'M', 0, 42, a, b, c, d, 0, 1, tag_high, tag, kind_high, kind, 0, 0, 0, 1, 0, value,
        0, 0, 0, 0, 0, 8,
    ]
}

/// Returns a portrait with these EXIF data.
pub(crate) fn jpeg_with_exif(exif: &[u8]) -> Vec<u8> {
    let segment = [b"Exif\0\0".as_slice(), exif].concat();
    with_segments(0xE1, &[segment])
}

/// Returns a portrait with a color profile of this number of bytes, in the necessary segments.
pub(crate) fn jpeg_with_profile(bytes: usize) -> Vec<u8> {
    let count = bytes.div_ceil(65_000) as u8;
    let part = |number| [b"ICC_PROFILE\0".as_slice(), &[number, count], &vec![7; 65_000]].concat();
    with_segments(0xE2, &(1..=count).map(part).collect::<Vec<_>>())
}

fn with_segments(marker: u8, segments: &[Vec<u8>]) -> Vec<u8> {
    with_segments_in(&photo("people/p01-a.jpg"), marker, segments)
}

/// Returns a JPEG with further segments at its start.
pub(crate) fn with_segments_in(jpeg: &[u8], marker: u8, segments: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = jpeg[..2].to_vec();
    for segment in segments {
        bytes.extend([0xFF, marker]);
        bytes.extend((segment.len() as u16 + 2).to_be_bytes());
        bytes.extend(segment);
    }
    bytes.extend(&jpeg[2..]);
    bytes
}

/// Returns a WebP whose header states 64 x 64 pixels and whose frame states more.
pub(crate) fn webp_frame(side: u16) -> Vec<u8> {
    webp(&[riff_chunk(*b"VP8 ", &vp8(side))])
}

/// Returns a lossless WebP of 64 x 64 pixels with this number of groups of prefix codes, whose
/// tables are large in the decoder: codes of 1 to 10, 11 and 11 bits.
pub(crate) fn webp_lossless(groups: usize) -> Vec<u8> {
    let single = [(1, 1), (0, 3)];
    let mut numbers = vec![(0x2F, 8), (63, 14), (63, 14), (0, 4), (0, 2)];
    // Blocks of 4 x 4, and their image: green and red of its pixels are the number of the last
    // group.
    let last = groups - 1;
    numbers.extend([
        (1, 1),
        (0, 3),
        (0, 1),
        (0b101, 3),
        (last & 255, 8),
        (0b101, 3),
        (last >> 8, 8),
    ]);
    numbers.extend([single; 3].as_flattened());
    for _ in 0..5 * groups {
        numbers.extend(long_code());
    }
    let mut frame = Vec::new();
    let (mut next, mut count) = (0_u64, 0);
    for (number, bits) in numbers {
        next |= (number as u64) << count;
        count += bits;
        while count >= 8 {
            frame.push(next as u8);
            (next, count) = (next >> 8, count - 8);
        }
    }
    frame.push(next as u8);
    riff_chunk(*b"RIFF", &[b"WEBP".as_slice(), &riff_chunk(*b"VP8L", &frame)].concat())
}

/// A prefix code of twelve symbols: numbers with their widths, the lowest bit first.
fn long_code() -> Vec<(usize, usize)> {
    const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut numbers = vec![(0, 1), (15, 4)];
    numbers.extend(ORDER.map(|length| {
        (
            if (1..=5).contains(&length) {
                3
            } else if (6..=11).contains(&length) {
                4
            } else {
                0
            },
            3,
        )
    }));
    numbers.extend([(1, 1), (1, 3), (10, 4)]);
    for length in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11] {
        let (word, bits) = if length <= 5 { (length - 1, 3) } else { (10 + length - 6, 4) };
        numbers.extend((0..bits).rev().map(|k| (word >> k & 1, 1)));
    }
    numbers
}

/// Returns an animated WebP of 64 x 64 pixels with an alpha channel smaller than its frame.
pub(crate) fn webp_alpha_frame() -> Vec<u8> {
    let alpha = riff_chunk(*b"ALPH", &[0; 64 * 64 + 1]);
    let frame = riff_chunk(*b"VP8 ", &photo("odd/lossy.webp")[20..]);
    let place_and_size = [0, 0, 0, 0, 0, 0, 63, 0, 0, 63, 0, 0, 0, 0, 0, 0];
    let frame = riff_chunk(*b"ANMF", &[place_and_size.as_slice(), &alpha, &frame].concat());
    let mut file = webp(&[riff_chunk(*b"ANIM", &[0; 6]), frame]);
    file[20] = 0x12; // animated, with an alpha channel
    file
}

/// Returns a portrait as an extended WebP, with an EXIF chunk of four bytes that states another
/// length.
pub(crate) fn webp_with_exif(length: u32) -> Vec<u8> {
    let frame = photo("odd/lossy.webp")[12..].to_vec();
    let mut exif = riff_chunk(*b"EXIF", b"none");
    exif[4..8].copy_from_slice(&length.to_le_bytes());
    let mut file = webp(&[riff_chunk(*b"odd ", &[1, 2, 3]), frame, exif]);
    file[20] = 0x08; // with EXIF data
    file[24..30].copy_from_slice(&[199, 0, 0, 239, 0, 0]);
    file
}

/// Returns an extended WebP of 64 x 64 pixels.
fn webp(chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = riff_chunk(*b"VP8X", &[0, 0, 0, 0, 63, 0, 0, 63, 0, 0]);
    riff_chunk(*b"RIFF", &[b"WEBP", header.as_slice(), &chunks.concat()].concat())
}

pub(crate) fn riff_chunk(name: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = [name.as_slice(), &(body.len() as u32).to_le_bytes(), body].concat();
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

/// Returns the frame of a portrait with other sizes in its header.
fn vp8(side: u16) -> Vec<u8> {
    let mut frame = photo("odd/lossy.webp")[20..].to_vec();
    frame[6..8].copy_from_slice(&side.to_le_bytes());
    frame[8..10].copy_from_slice(&side.to_le_bytes());
    frame
}
