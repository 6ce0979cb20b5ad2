//! What has to be known of a WebP before it is decoded, and the decoder does not look at: that its chunks lie
//! within the file, and that the frames in it are as large as its header says, which is what the limits see.
//!
//! The layout is that of the WebP container specification (RIFF chunks) and of RFC 6386, 9.1 (frame header).

/// Of a chunk: four letters and the length of what follows.
const CHUNK_HEADER: usize = 8;

/// Of an `ANMF` chunk: where a frame lies, its size, its duration and flags.
const FRAME_HEADER: usize = 16;

/// How far the decoder swells lossless data: of each prefix code, for which 10 bytes are enough, it makes a table of
/// 4096, and there may be five for each of 65,536 groups, however few pixels there are. Only decoding would tell
/// how many there are, so each is taken for the worst.
const MOST_SWELLING: u64 = 512;

/// Why it is not worth decoding.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("it is cut off before its end")]
    CutOff,
    #[error("a frame in it has another size than its header says")]
    FrameSize,
}

/// How many bytes of the file are the photo; what comes behind is not.
pub(super) fn length(bytes: &[u8]) -> Result<usize, Flaw> {
    let riff: [u8; 4] = bytes.get(4..8).and_then(|b| b.try_into().ok()).ok_or(Flaw::CutOff)?;
    let length = (u32::from_le_bytes(riff) as usize).saturating_add(CHUNK_HEADER);
    if bytes.len() < length { Err(Flaw::CutOff) } else { Ok(length) }
}

/// Walks the chunks of a photo of this width and height, and tells how many bytes the decoder may hold beside the
/// photo's pixels.
pub(super) fn bytes_beside_pixels(bytes: &[u8], size: (u32, u32)) -> Result<u64, Flaw> {
    let pixels = u64::from(size.0) * u64::from(size.1);
    // A frame's planes, or its pixels with an alpha channel.
    let (mut beside, mut lossless) = (4 * pixels, 0);
    for chunk in chunks(bytes.get(12..).unwrap_or_default()) {
        match chunk? {
            (b"VP8 ", frame) => agree(frame_size(frame), Some(size))?,
            (b"VP8L" | b"ALPH", data) => lossless += data.len() as u64,
            (b"ANMF", frame) => {
                // The planes, the frame and the canvas.
                beside = 10 * pixels;
                lossless += lossless_bytes(frame)?;
            }
            _ => {}
        }
    }
    Ok(beside + MOST_SWELLING * lossless)
}

/// How much of an animation's frame is lossless. What the decoder takes for the frame is the first chunk, or the
/// second where the first is its alpha channel, whatever that second one is called.
fn lossless_bytes(bytes: &[u8]) -> Result<u64, Flaw> {
    let side = |at: usize| {
        let [low, middle, high] = *bytes.get(at..at + 3)? else { return None };
        Some(u32::from_le_bytes([low, middle, high, 0]) + 1)
    };
    let size = side(6).zip(side(9));
    let mut parts = chunks(bytes.get(FRAME_HEADER..).unwrap_or_default());
    match parts.next().ok_or(Flaw::CutOff)?? {
        (b"VP8 ", frame) => agree(frame_size(frame), size).map(|()| 0),
        (b"ALPH", alpha) => {
            agree(frame_size(parts.next().ok_or(Flaw::CutOff)??.1), size)?;
            Ok(alpha.len() as u64)
        }
        (_, data) => Ok(data.len() as u64),
    }
}

fn agree(frame: Option<(u32, u32)>, header: Option<(u32, u32)>) -> Result<(), Flaw> {
    if frame.ok_or(Flaw::CutOff)? == header.ok_or(Flaw::CutOff)? {
        Ok(())
    } else {
        Err(Flaw::FrameSize)
    }
}

/// Width and height of a lossy frame, behind three bytes of flags and three that say that it is one.
fn frame_size(frame: &[u8]) -> Option<(u32, u32)> {
    let side = |at: usize| {
        let [low, high] = *frame.get(at..at + 2)? else { return None };
        Some(u32::from(u16::from_le_bytes([low, high]) & 0x3FFF))
    };
    side(6).zip(side(8))
}

/// The chunks that lie behind each other; a chunk of odd length is followed by a byte that is none of it.
fn chunks(mut rest: &[u8]) -> impl Iterator<Item = Result<(&[u8; 4], &[u8]), Flaw>> {
    std::iter::from_fn(move || {
        let (name, behind) = rest.split_first_chunk::<4>()?;
        let (length, behind) = behind.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let Some((chunk, behind)) = behind.split_at_checked(length) else {
            rest = &[];
            return Some(Err(Flaw::CutOff));
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

    fn found(chunks: &[Vec<u8>]) -> Result<u64, Flaw> {
        bytes_beside_pixels(&file(chunks), (40, 50))
    }

    #[test]
    fn frames_are_as_large_as_the_header_says() {
        let alpha = chunk(*b"ALPH", &[7; 3]);
        assert_eq!(found(&[lossy(40, 50)]), Ok(4 * 2000));
        assert_eq!(found(&[lossy(40, 51)]), Err(Flaw::FrameSize));
        assert_eq!(found(&[animated(&[lossy(40, 50)])]), Ok(10 * 2000));
        assert_eq!(found(&[animated(&[lossy(41, 50)])]), Err(Flaw::FrameSize));
        let mut nameless = lossy(41, 50);
        nameless[..4].copy_from_slice(b"none");
        assert_eq!(found(&[animated(&[alpha, nameless])]), Err(Flaw::FrameSize));
    }

    #[test]
    fn lossless_data_count_for_the_tables_that_they_may_make() {
        let lossless = chunk(*b"VP8L", &[0; 1000]);
        assert_eq!(found(std::slice::from_ref(&lossless)), Ok(4 * 2000 + 512_000));
        let alpha = chunk(*b"ALPH", &[0; 100]);
        assert_eq!(found(&[alpha.clone(), lossy(40, 50)]), Ok(4 * 2000 + 51_200));
        assert_eq!(found(&[animated(&[lossless])]), Ok(10 * 2000 + 512_000));
        assert_eq!(found(&[animated(&[alpha, lossy(40, 50)])]), Ok(10 * 2000 + 51_200));
    }

    #[test]
    fn chunks_lie_within_the_file_and_the_file_within_its_length() {
        let mut exif = chunk(*b"EXIF", &[0; 20]);
        assert_eq!(found(&[lossy(40, 50), exif.clone()]), Ok(4 * 2000));
        exif[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(found(&[lossy(40, 50), exif]), Err(Flaw::CutOff));
        let whole = file(&[lossy(40, 50)]);
        assert_eq!(length(&[whole.as_slice(), b"motion photo"].concat()), Ok(whole.len()));
        for cut in 0..whole.len() {
            assert_eq!(length(&whole[..cut]), Err(Flaw::CutOff), "{cut}");
        }
    }
}
