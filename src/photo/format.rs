//! Detects the format by the first bytes; the declared type is ignored.

use image::ImageFormat;

use super::error::{Damage, PhotoError};

/// Brands of ISO base media files, after `ftyp`, and their names. AVIF comes first, because its
/// brand names the codec; `mif1` says only that the file is an image.
const BRANDS: [(&str, &[&[u8; 4]]); 4] = [
    ("AVIF", &[b"avif", b"avis"]),
    ("HEIC", &[b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"]),
    ("HEIF", &[b"mif1", b"msf1", b"mif2"]),
    ("CR3", &[b"crx "]),
];

/// Maximum number of brands read from a file.
const MOST_BRANDS: usize = 32;

/// Detects the format of a photo.
///
/// # Errors
/// [`PhotoError::ForeignFormat`] for a known but unsupported format, [`PhotoError::UnknownFormat`]
/// for others.
pub(super) fn sniff(bytes: &[u8]) -> Result<ImageFormat, PhotoError> {
    let foreign = match bytes {
        [] => return Err(Damage::Empty.into()),
        [0xFF, 0xD8, 0xFF, 0xF7, ..] => "JPEG-LS",
        [0xFF, 0xD8, 0xFF, ..] => return Ok(ImageFormat::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => return Ok(ImageFormat::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            return Ok(ImageFormat::WebP);
        }
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => {
            media(bytes).ok_or(PhotoError::UnknownFormat)?
        }
        [b'G', b'I', b'F', b'8', ..] => "GIF",
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => "TIFF",
        [0xFF, 0x0A, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => "JPEG XL",
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => "JPEG 2000",
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => "BMP",
        [b'%', b'P', b'D', b'F', ..] => "PDF",
        _ => return Err(PhotoError::UnknownFormat),
    };
    Err(PhotoError::ForeignFormat(foreign))
}

/// Returns the name of an ISO base media file's format, by its major and compatible brands (ISO/IEC
/// 14496-12, 4.3).
fn media(bytes: &[u8]) -> Option<&'static str> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    let header = bytes.get(..length).unwrap_or(bytes);
    // The version after the major brand is not a brand.
    let (major, rest) = header.get(8..)?.split_first_chunk::<4>()?;
    let (compatible, _) = rest.get(4..).unwrap_or_default().as_chunks::<4>();
    let is_of = |brands: &[&[u8; 4]]| {
        let mut all = [major].into_iter().chain(compatible.iter().take(MOST_BRANDS));
        all.any(|brand| brands.contains(&brand))
    };
    BRANDS.iter().find(|(_, brands)| is_of(brands)).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media_file(brands: &[&[u8; 4]]) -> Vec<u8> {
        let mut bytes = (12 + 4 * brands.len() as u32).to_be_bytes().to_vec();
        bytes.extend(b"ftyp");
        bytes.extend(brands[0]);
        bytes.extend([0; 4]);
        brands[1..].iter().for_each(|brand| bytes.extend(*brand));
        bytes.extend([0, 0, 0, 8]);
        bytes.extend(b"heic");
        bytes
    }

    #[test]
    fn unsupported_formats_are_named() {
        let bmp = [b"BM".as_slice(), &[1, 2, 3, 0, 0, 0, 0, 0, 54]].concat();
        for (bytes, name) in [
            (media_file(&[b"heic", b"mif1"]), "HEIC"),
            (media_file(&[b"mif1", b"heic"]), "HEIC"),
            (media_file(&[b"avif", b"mif1", b"miaf"]), "AVIF"),
            (media_file(&[b"mif1", b"avif", b"miaf"]), "AVIF"),
            (media_file(&[b"mif1", b"miaf"]), "HEIF"),
            (media_file(&[b"crx "]), "CR3"),
            (b"\xFF\x0A\x00".to_vec(), "JPEG XL"),
            (bmp, "BMP"),
            (b"GIF89a".to_vec(), "GIF"),
            (b"%PDF-1.7".to_vec(), "PDF"),
        ] {
            assert_eq!(sniff(&bytes), Err(PhotoError::ForeignFormat(name)), "{name}");
        }
    }

    #[test]
    fn unknown_bytes_have_no_format() {
        for bytes in
            [&b"hello"[..], b"\0\0\0\x18ftypisom\0\0\0\0", b"\0\0\0\x18ftyp", b"BM and so on"]
        {
            assert_eq!(sniff(bytes), Err(PhotoError::UnknownFormat), "{bytes:?}");
        }
        assert_eq!(sniff(b""), Err(Damage::Empty.into()));
    }
}
