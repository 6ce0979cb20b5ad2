//! Reads the orientation from EXIF data, in the places and encodings that programs use.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;
use image::metadata::Orientation;

/// Maximum number of directory entries read; cameras write some tens.
const MOST_ENTRIES: usize = 1000;

/// Maximum number of inflated bytes: EXIF data have at most 64 kB, thumbnails included.
const MOST_INFLATED: u64 = 256 * 1024;

/// Names of EXIF data that `ImageMagick` and `ExifTool` write to a PNG as text.
const RAW_PROFILES: [&[u8]; 2] = [b"Raw profile type exif", b"Raw profile type APP1"];

/// Returns the orientation in EXIF data, with or without the six bytes before them in a JPEG.
pub(super) fn orientation(exif: &[u8]) -> Option<Orientation> {
    let tiff = exif.strip_prefix(b"Exif\0").and_then(|rest| rest.get(1..)).unwrap_or(exif);
    let tiff = Tiff { bytes: tiff, big_endian: big_endian(tiff)? };
    let directory = tiff.number(4, 4)? as usize;
    let entries = tiff.number(directory, 2)? as usize;
    let entry = |number: usize| directory + 2 + 12 * number;
    let entry =
        (0..entries.min(MOST_ENTRIES)).map(entry).find(|at| tiff.number(*at, 2) == Some(0x112))?;
    // One, two or four bytes; the standard says two (Exif 2.32, 4.6.4).
    let length = match tiff.number(entry + 2, 2)? {
        1 => 1,
        4 => 4,
        _ => 2,
    };
    Orientation::from_exif(u8::try_from(tiff.number(entry + 8, length)?).ok()?)
}

fn big_endian(tiff: &[u8]) -> Option<bool> {
    match tiff.first_chunk()? {
        b"II*\0" => Some(false),
        b"MM\0*" => Some(true),
        _ => None,
    }
}

/// The TIFF structure of EXIF data.
struct Tiff<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Tiff<'_> {
    fn number(&self, at: usize, length: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(length)?)?.iter();
        let more = |number: u32, byte: &u8| number << 8 | u32::from(*byte);
        Some(if self.big_endian { bytes.fold(0, more) } else { bytes.rev().fold(0, more) })
    }
}

/// Returns the EXIF data of a PNG: a chunk before or after the pixels, or a text in hexadecimal.
pub(super) fn of_png(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut rest = bytes.get(8..)?;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let (name, behind) = behind.split_first_chunk::<4>()?;
        let (chunk, behind) = behind.split_at_checked(length)?;
        let found = match name {
            b"eXIf" => Some(Cow::Borrowed(chunk)),
            b"tEXt" | b"zTXt" => raw_profile(*name, chunk).map(Cow::Owned),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
        rest = behind.get(4..)?;
    }
    None
}

/// Parses EXIF data from a text: lines with the profile's name and length, then hexadecimal digits.
fn raw_profile(name: [u8; 4], chunk: &[u8]) -> Option<Vec<u8>> {
    let end = chunk.iter().position(|byte| *byte == 0)?;
    let (keyword, text) = (chunk.get(..end)?, chunk.get(end + 1..)?);
    if !RAW_PROFILES.contains(&keyword) {
        return None;
    }
    let mut plain = Vec::new();
    if name == *b"zTXt" {
        // After the number of the compression method; there is only one.
        ZlibDecoder::new(text.get(1..)?).take(MOST_INFLATED).read_to_end(&mut plain).ok()?;
    } else {
        plain.extend(text.iter().take(MOST_INFLATED as usize));
    }
    let plain = str::from_utf8(&plain).ok()?;
    let (_, rest) = plain.trim_start().split_once('\n')?;
    let (_, digits) = rest.trim_start().split_once('\n')?;
    let digits: Vec<u8> = digits.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    Some(digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    /// Returns EXIF data with another entry before the orientation.
    fn exif(big_endian: bool, kind: u16, value: u32) -> Vec<u8> {
        let two = |n: u16| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let four = |n: u32| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut bytes = if big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        bytes.extend(four(8));
        bytes.extend(two(2));
        for (tag, kind, value) in [
            (0x10F, 4, four(9)),
            (0x112, kind, {
                let mut field = [0; 4];
                match kind {
                    1 => field[0] = value as u8,
                    4 => field = four(value),
                    _ => field[..2].copy_from_slice(&two(value as u16)),
                }
                field
            }),
        ] {
            bytes.extend(two(tag));
            bytes.extend(two(kind));
            bytes.extend(four(1));
            bytes.extend(value);
        }
        bytes.extend(four(0));
        bytes
    }

    fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1A\n".to_vec();
        for (name, body) in chunks {
            bytes.extend((body.len() as u32).to_be_bytes());
            bytes.extend(*name);
            bytes.extend(body);
            bytes.extend([0; 4]);
        }
        bytes
    }

    #[test]
    fn orientation_is_read_in_every_encoding() {
        for big_endian in [false, true] {
            for kind in [1, 3, 4] {
                let exif = exif(big_endian, kind, 6);
                assert_eq!(orientation(&exif), Some(Orientation::Rotate90), "{big_endian} {kind}");
                let prefixed = [b"Exif\0\0".as_slice(), &exif].concat();
                assert_eq!(orientation(&prefixed), Some(Orientation::Rotate90));
                for length in 0..exif.len() - 8 {
                    assert_eq!(orientation(&exif[..length]), None, "{length}");
                }
            }
            for nonsense in [0, 9, 70_000] {
                assert_eq!(orientation(&exif(big_endian, 4, nonsense)), None);
            }
        }
    }

    #[test]
    fn exif_data_of_a_png_are_found_anywhere() {
        let exif = exif(true, 3, 8);
        let hex = exif.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let text = format!("\nexif\n{:8}\n{}\n{}\n", exif.len(), &hex[..36], &hex[36..]);
        let keyword = b"Raw profile type exif\0".to_vec();
        let mut deflated = ZlibEncoder::new([&keyword[..], &[0]].concat(), Compression::fast());
        deflated.write_all(text.as_bytes()).unwrap();
        for (name, chunk) in [
            (b"eXIf", exif.clone()),
            (b"eXIf", [b"Exif\0\0".as_slice(), &exif].concat()),
            (b"tEXt", [keyword, text.into_bytes()].concat()),
            (b"zTXt", deflated.finish().unwrap()),
        ] {
            let found = png(&[(b"IDAT", vec![0; 9]), (name, chunk)]);
            let found = of_png(&found).unwrap();
            assert_eq!(orientation(&found), Some(Orientation::Rotate270), "{name:?}");
        }
        assert!(of_png(&png(&[(b"tEXt", b"Comment\0exif".to_vec())])).is_none());
    }

    #[test]
    fn inflation_of_exif_data_is_bounded() {
        let keyword = [b"Raw profile type exif\0".as_slice(), &[0]].concat();
        let mut deflated = ZlibEncoder::new(keyword, Compression::best());
        let text = [b"\nexif\n 1\n".as_slice(), &vec![b'0'; 20_000_000]].concat();
        deflated.write_all(&text).unwrap();
        let found = png(&[(b"zTXt", deflated.finish().unwrap())]);
        assert!(of_png(&found).unwrap().len() <= MOST_INFLATED as usize / 2);
    }
}
