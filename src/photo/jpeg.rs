//! What has to be known of a JPEG before it is decoded, and no decoder says: how much memory its
//! coefficients will take, and whether it ends where it should.

/// The outline of a JPEG that reaches its end marker.
pub(super) struct Outline {
    /// Bytes of coefficients that a progressive file keeps until its last scan; 0 for others.
    pub(super) coefficient_bytes: u64,
}

/// Walks the markers from the first to the end of the image, `None` where there is no end.
///
/// Within entropy-coded data every 0xFF byte is followed by 0x00 or a restart marker
/// (ITU-T T.81, B.1.1.5), so that the walk needs no decoding.
pub(super) fn outline(bytes: &[u8]) -> Option<Outline> {
    let mut coefficient_bytes = 0;
    let mut at = 2;
    loop {
        let marker = next_marker(bytes, &mut at)?;
        match marker {
            0xD9 => return Some(Outline { coefficient_bytes }),
            0x00 | 0x01 | 0xD0..=0xD8 | 0xFF => {}
            _ => {
                let length =
                    usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
                let segment = bytes.get(at..at + length.max(2))?;
                if matches!(marker, 0xC2 | 0xC6 | 0xCA | 0xCE) {
                    coefficient_bytes = coefficients(segment)?;
                }
                at += length.max(2);
            }
        }
    }
}

/// Moves `at` behind the next 0xFF and its marker byte.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let rest = bytes.get(*at..)?;
    let start = rest.windows(2).position(|pair| {
        let &[first, second] = pair else { return false };
        first == 0xFF && second != 0xFF && second != 0x00
    })?;
    *at += start + 2;
    rest.get(start + 1).copied()
}

/// Two bytes for each coefficient of each component of a frame header (T.81, B.2.2).
fn coefficients(frame: &[u8]) -> Option<u64> {
    let side =
        |at: usize| Some(u64::from(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?])));
    let (height, width) = (side(3)?, side(5)?);
    let sampling =
        |component: &[u8]| component.get(1).map(|hv| (u64::from(hv >> 4), u64::from(hv & 15)));
    let components: Vec<_> = frame.get(8..)?.chunks_exact(3).filter_map(sampling).collect();
    let widest = components.iter().map(|c| c.0).max()?.max(1);
    let tallest = components.iter().map(|c| c.1).max()?.max(1);
    let samples: u64 =
        components.iter().map(|(h, v)| width * height * h * v / (widest * tallest)).sum();
    Some(2 * samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start of image, a frame header of 400 x 300 with 4:2:0 sampling, a scan, the end.
    fn image(frame_marker: u8) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xD8, 0xFF, frame_marker, 0, 17, 8, 1, 44, 1, 144, 3];
        bytes.extend([1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]);
        bytes.extend([0xFF, 0xDA, 0, 4, 0, 0, 12, 0xFF, 0x00, 34, 0xFF, 0xD3, 56, 0xFF, 0xD9]);
        bytes
    }

    #[test]
    fn a_progressive_file_counts_its_coefficients() {
        assert_eq!(outline(&image(0xC0)).unwrap().coefficient_bytes, 0);
        let samples = 400 * 300 + 2 * 200 * 150;
        assert_eq!(outline(&image(0xC2)).unwrap().coefficient_bytes, 2 * samples);
    }

    #[test]
    fn every_truncation_is_seen_and_a_trailer_is_not_minded() {
        let whole = image(0xC0);
        for length in 0..whole.len() {
            assert!(outline(whole.get(..length).unwrap()).is_none(), "cut at {length}");
        }
        let with_trailer = [whole.as_slice(), b"motion photo"].concat();
        assert!(outline(&with_trailer).is_some());
    }
}
