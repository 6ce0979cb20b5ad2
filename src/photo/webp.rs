//! Checks of a WebP before decoding that the decoder does not make: that its chunks are inside the
//! file, and that the sizes of its frames agree with the header, to which the limits apply.
//!
//! The layout is that of the WebP container specification (RIFF chunks) and of RFC 6386, 9.1 (frame
//! header).

use super::error::Damage;
use super::vp8l;

/// Size of a chunk's header: four letters and the length of its contents.
const CHUNK_HEADER: usize = 8;

/// Size of the header of an `ANMF` chunk: position, size, duration and flags of a frame.
const FRAME_HEADER: usize = 16;

/// Returns the length of the photo in the file; trailing bytes are not part of it.
pub(super) fn length(bytes: &[u8]) -> Result<usize, Damage> {
    let riff: [u8; 4] = bytes.get(4..8).and_then(|b| b.try_into().ok()).ok_or(Damage::CutOff)?;
    let length = (u32::from_le_bytes(riff) as usize).saturating_add(CHUNK_HEADER);
    if bytes.len() < length { Err(Damage::CutOff) } else { Ok(length) }
}

/// Checks the chunks of a photo of this width and height, and returns the estimated memory of the
/// decoder besides the photo's pixels, in bytes.
pub(super) fn bytes_beside_pixels(bytes: &[u8], size: (u32, u32)) -> Result<u64, Damage> {
    let pixels = u64::from(size.0) * u64::from(size.1);
    // The planes of a lossy frame, or the pixels of a lossless frame with alpha and its transform
    // data.
    let (mut of_pixel, mut tables) = (5, None);
    for chunk in chunks(bytes.get(12..).unwrap_or_default()) {
        // The decoder reads only the first lossless data, so only their tables are counted.
        match chunk? {
            (b"VP8 ", frame) => agree(frame_size(frame), Some(size))?,
            (b"VP8L", data) => {
                tables.get_or_insert_with(|| vp8l::table_bytes(data, size, true));
            }
            (b"ALPH", data) => {
                // Besides the planes: an image with the alpha as green, and that alpha.
                of_pixel = of_pixel.max(10);
                tables.get_or_insert_with(|| alpha_table_bytes(data, size));
            }
            (b"ANMF", frame) => {
                // The frame and the canvas, each with its additional memory.
                of_pixel = 15;
                let of_frame = check_frame(frame, tables.is_none())?;
                tables.get_or_insert(of_frame);
            }
            _ => {}
        }
    }
    Ok(of_pixel * pixels + tables.unwrap_or(0))
}

/// Checks a frame of an animation and returns the memory of its tables, if they count. The decoder
/// takes the first chunk as the frame or, if that is the alpha channel, the second one, whatever
/// its name.
fn check_frame(bytes: &[u8], count: bool) -> Result<u64, Damage> {
    let side = |at: usize| {
        let [low, middle, high] = *bytes.get(at..at + 3)? else { return None };
        Some(u32::from_le_bytes([low, middle, high, 0]) + 1)
    };
    let size = side(6).zip(side(9));
    let mut parts = chunks(bytes.get(FRAME_HEADER..).unwrap_or_default());
    match parts.next().ok_or(Damage::CutOff)?? {
        (b"VP8 ", frame) => agree(frame_size(frame), size).map(|()| 0),
        (b"ALPH", alpha) => {
            agree(frame_size(parts.next().ok_or(Damage::CutOff)??.1), size)?;
            Ok(if count { alpha_table_bytes(alpha, size.ok_or(Damage::CutOff)?) } else { 0 })
        }
        (_, data) if count => Ok(vp8l::table_bytes(data, size.ok_or(Damage::CutOff)?, true)),
        _ => Ok(0),
    }
}

/// Returns the memory of an alpha channel's tables. Alpha is lossless data without a header, or raw
/// bytes, which need no table.
fn alpha_table_bytes(data: &[u8], size: (u32, u32)) -> u64 {
    match data.split_first() {
        Some((flags, data)) if flags & 3 == 1 => vp8l::table_bytes(data, size, false),
        _ => 0,
    }
}

/// Returns the EXIF data of a photo.
pub(super) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut chunks = chunks(bytes.get(12..)?).map_while(Result::ok);
    chunks.find(|(name, _)| *name == b"EXIF").map(|(_, exif)| exif)
}

fn agree(frame: Option<(u32, u32)>, header: Option<(u32, u32)>) -> Result<(), Damage> {
    if frame.ok_or(Damage::CutOff)? == header.ok_or(Damage::CutOff)? {
        Ok(())
    } else {
        Err(Damage::FrameSize)
    }
}

/// Reads width and height of a lossy frame, after three bytes of flags and the three-byte start
/// code.
fn frame_size(frame: &[u8]) -> Option<(u32, u32)> {
    let side = |at: usize| {
        let [low, high] = *frame.get(at..at + 2)? else { return None };
        Some(u32::from(u16::from_le_bytes([low, high]) & 0x3FFF))
    };
    side(6).zip(side(8))
}

/// Iterates over consecutive chunks; a chunk of odd length is followed by a padding byte.
fn chunks(mut rest: &[u8]) -> impl Iterator<Item = Result<(&[u8; 4], &[u8]), Damage>> {
    std::iter::from_fn(move || {
        let (name, behind) = rest.split_first_chunk::<4>()?;
        let (length, behind) = behind.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let Some((chunk, behind)) = behind.split_at_checked(length) else {
            rest = &[];
            return Some(Err(Damage::CutOff));
        };
        rest = behind.get(length % 2..).unwrap_or_default();
        Some(Ok((name, chunk)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: [u8; 4], body: &[u8]) -> Vec<u8> {
        let mut bytes = [name.as_slice(), &(body.len() as u32).to_le_bytes(), body].concat();
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes
    }

    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        chunk(*b"RIFF", &[b"WEBP", chunks.concat().as_slice()].concat())
    }

    fn lossy(width: u8, height: u8) -> Vec<u8> {
        chunk(*b"VP8 ", &[0x10, 0, 0, 0x9D, 1, 0x2A, width, 0, height, 0])
    }

    fn animated(parts: &[Vec<u8>]) -> Vec<u8> {
        let place_and_size = [0, 0, 0, 0, 0, 0, 39, 0, 0, 49, 0, 0, 0, 0, 0, 0];
        chunk(*b"ANMF", &[place_and_size.as_slice(), &parts.concat()].concat())
    }

    fn found(chunks: &[Vec<u8>]) -> Result<u64, Damage> {
        bytes_beside_pixels(&file(chunks), (40, 50))
    }

    #[test]
    fn frame_sizes_must_agree_with_the_header() {
        let alpha = chunk(*b"ALPH", &[0; 3]);
        assert_eq!(found(&[lossy(40, 50)]), Ok(5 * 2000));
        assert_eq!(found(&[alpha.clone(), lossy(40, 50)]), Ok(10 * 2000));
        assert_eq!(found(&[lossy(40, 51)]), Err(Damage::FrameSize));
        assert_eq!(found(&[animated(&[lossy(40, 50)])]), Ok(15 * 2000));
        assert_eq!(found(&[animated(&[lossy(41, 50)])]), Err(Damage::FrameSize));
        let mut nameless = lossy(41, 50);
        nameless[..4].copy_from_slice(b"none");
        assert_eq!(found(&[animated(&[alpha, nameless])]), Err(Damage::FrameSize));
    }

    #[test]
    fn exif_data_are_found() {
        let exif_data = chunk(*b"EXIF", b"Exif\0\0MM");
        let whole = file(&[lossy(40, 50), exif_data]);
        assert_eq!(exif(&whole), Some(&b"Exif\0\0MM"[..]));
        assert_eq!(exif(&file(&[lossy(40, 50)])), None);
    }

    #[test]
    fn chunks_must_be_inside_the_file() {
        let mut exif = chunk(*b"EXIF", &[0; 20]);
        assert_eq!(found(&[lossy(40, 50), exif.clone()]), Ok(5 * 2000));
        exif[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(found(&[lossy(40, 50), exif]), Err(Damage::CutOff));
        let whole = file(&[lossy(40, 50)]);
        assert_eq!(length(&[whole.as_slice(), b"motion photo"].concat()), Ok(whole.len()));
        for cut in 0..whole.len() {
            assert_eq!(length(&whole[..cut]), Err(Damage::CutOff), "{cut}");
        }
    }
}
