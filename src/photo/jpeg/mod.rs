//! Checks of a JPEG before decoding: how much memory it takes, which decoder reads it correctly,
//! and whether its image data are complete.
//!
//! The fast decoder is image's (zune-jpeg). Its version 0.5 decodes wrongly, without an error,
//! sequential JPEGs with a scan for each component and those with finer chroma than luma, and
//! refuses sampling by threes. The general decoder (jpeg-decoder) is slower and reads all of them.

mod entropy;
mod general;
mod huffman;
mod tables;

use std::ops::Range;

use bytes::Bytes;
use image::RgbImage;

use super::error::{Damage, PhotoError};

/// Maximum number of scans. Programs write about ten; each costs a pass over the whole image, even
/// if it has few bytes.
const MOST_SCANS: usize = 100;

/// Minimum part of the image that must be in the file: cameras lose at most a few rows at the end.
const LEAST_HELD: f64 = 0.95;

/// The contents of a JPEG's headers.
#[derive(Clone, Debug)]
pub(super) struct Outline {
    frame: Frame,
    /// Whether a Huffman table is defined before the first scan.
    has_tables: bool,
    /// Whether the end marker is present.
    ends: bool,
    /// Whether only the general decoder reads the file correctly.
    general: bool,
    exif: Option<Range<usize>>,
}

/// The frame header (ITU-T T.81, B.2.2).
#[derive(Clone, Debug)]
struct Frame {
    progressive: bool,
    width: u32,
    height: u32,
    components: Vec<Component>,
}

/// A component of the image, with its sampling factors.
#[derive(Clone, Copy, Debug)]
struct Component {
    id: u8,
    h: u32,
    v: u32,
}

impl Outline {
    /// Reads the markers up to the end of the image.
    ///
    /// In entropy-coded data, each byte 0xFF is followed by 0x00 or a restart marker (T.81,
    /// B.1.1.5), so that nothing is decoded.
    ///
    /// # Errors
    /// [`PhotoError`] for an unsupported coding, or if there is no frame or no scan.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PhotoError> {
        let mut walk = Walk::default();
        let mut at = 2;
        while let Some(marker) = next_marker(bytes, &mut at) {
            if marker == 0xD9 {
                walk.ends = true;
                break;
            }
            if matches!(marker, 0x01 | 0xD0..=0xD8) {
                continue;
            }
            let start = at + 2;
            let Some(body) = body(bytes, &mut at) else { break };
            walk.take(marker, body, start)?;
        }
        walk.outline()
    }

    pub(super) fn dimensions(&self) -> (u32, u32) {
        (self.frame.width, self.frame.height)
    }

    /// Returns the estimated memory of decoding, in bytes.
    pub(super) fn decoded_bytes(&self) -> u64 {
        let Frame { progressive, width, height, ref components } = self.frame;
        let pixels = u64::from(width) * u64::from(height);
        let samples = self.frame.samples();
        let of_pixel = components.len() as u64;
        // All coefficients are held, 16 bits each, until the last scan is read.
        let coefficients = if progressive { 2 * samples } else { 0 };
        if self.general {
            // Rows of coefficients may wait for the thread that converts them; then pixels and RGB
            // pixels.
            return coefficients + 3 * samples + (of_pixel + 3) * pixels;
        }
        let converted = if of_pixel == 1 { pixels } else { 0 };
        coefficients + 3 * pixels + converted
    }

    /// Returns the bytes with what decoders require: the end marker, and the tables that Motion
    /// JPEG omits.
    pub(super) fn mended(&self, bytes: &Bytes) -> Bytes {
        if self.has_tables && self.ends {
            return bytes.clone();
        }
        let tables = if self.has_tables { Vec::new() } else { tables::standard() };
        let end: &[u8] = if self.ends { &[] } else { &[0xFF, 0xD9] };
        let (start, rest) = bytes.split_at(2);
        [start, &tables, rest, end].concat().into()
    }

    /// Refuses an image that lacks more than a few rows; `bytes` are those that decoders get.
    ///
    /// # Errors
    /// [`Damage::CutOff`] or [`Damage::Incomplete`].
    pub(super) fn check_complete(&self, bytes: &[u8]) -> Result<(), Damage> {
        if entropy::held(bytes, &self.frame) >= LEAST_HELD {
            return Ok(());
        }
        Err(if self.ends { Damage::Incomplete } else { Damage::CutOff })
    }

    /// Decodes with the general decoder; `None` if the fast decoder reads the file correctly.
    pub(super) fn decode_by_general(&self, bytes: &[u8]) -> Option<Result<RgbImage, PhotoError>> {
        self.general.then(|| general::decode(bytes))
    }

    /// Returns the EXIF data; `bytes` are those that the headers were read from.
    pub(super) fn exif<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(self.exif.clone()?)
    }
}

/// The state at a marker.
#[derive(Default)]
struct Walk {
    frame: Option<Frame>,
    scans: usize,
    /// Whether the first scan lacks a component.
    partial: bool,
    has_tables: bool,
    ends: bool,
    exif: Option<Range<usize>>,
}

impl Walk {
    fn take(&mut self, marker: u8, body: &[u8], start: usize) -> Result<(), PhotoError> {
        match marker {
            0xC0..=0xC2 if self.frame.is_some() => return Err(Damage::Inconsistent.into()),
            0xC0..=0xC2 => self.frame = Some(Frame::read(body, marker == 0xC2)?),
            0xC3 => return Err(PhotoError::ForeignCoding("lossless JPEGs")),
            0xC5..=0xC7 | 0xCD..=0xCF | 0xDE => {
                return Err(PhotoError::ForeignCoding("hierarchical JPEGs"));
            }
            0xC9..=0xCC => return Err(PhotoError::ForeignCoding("JPEGs with arithmetic coding")),
            0xC4 if self.scans == 0 => self.has_tables = true,
            0xDA => self.take_scan(body)?,
            0xE1 if self.exif.is_none() && body.starts_with(b"Exif\0") => {
                self.exif = Some(start..start + body.len());
            }
            _ => {}
        }
        Ok(())
    }

    fn take_scan(&mut self, body: &[u8]) -> Result<(), PhotoError> {
        let frame = self.frame.as_ref().ok_or(Damage::Inconsistent)?;
        self.scans += 1;
        if self.scans > MOST_SCANS {
            return Err(Damage::Scans.into());
        }
        let components = body.first().map_or(0, |count| usize::from(*count));
        if self.scans == 1 && components < frame.components.len() {
            self.partial = true;
        }
        Ok(())
    }

    fn outline(self) -> Result<Outline, PhotoError> {
        let damage = if self.ends { Damage::Inconsistent } else { Damage::CutOff };
        let frame = self.frame.filter(|_| self.scans > 0).ok_or(damage)?;
        let general = frame.is_unusual() || (self.partial && !frame.progressive);
        if general && !frame.is_whole() {
            return Err(PhotoError::ForeignCoding("JPEGs with fractional color subsampling"));
        }
        let Self { has_tables, ends, exif, .. } = self;
        Ok(Outline { frame, has_tables, ends, general, exif })
    }
}

impl Frame {
    fn read(body: &[u8], progressive: bool) -> Result<Self, PhotoError> {
        let &[bits, h1, h0, w1, w0, count] = body.first_chunk().ok_or(Damage::Inconsistent)?;
        if bits != 8 {
            return Err(PhotoError::ForeignCoding("JPEGs with more than 8 bits"));
        }
        let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
        if height == 0 {
            return Err(PhotoError::ForeignCoding("JPEGs with their height in a DNL marker"));
        }
        let (components, _) = body.get(6..).unwrap_or_default().as_chunks::<3>();
        let components = components.get(..usize::from(count)).ok_or(Damage::Inconsistent)?;
        let read = |&[id, sampling, _]: &[u8; 3]| {
            let (h, v) = (u32::from(sampling >> 4), u32::from(sampling & 15));
            ((1..=4).contains(&h) && (1..=4).contains(&v)).then_some(Component { id, h, v })
        };
        let components: Option<Vec<_>> = components.iter().map(read).collect();
        let mut components = components.filter(|_| width > 0).ok_or(Damage::Inconsistent)?;
        match components.as_mut_slice() {
            // A single component is never interleaved, whatever its factors (T.81, A.2).
            [alone] => (alone.h, alone.v) = (1, 1),
            [_, _, _] | [_, _, _, _] => {}
            _ => return Err(PhotoError::ForeignCoding("JPEGs without 1, 3 or 4 components")),
        }
        Ok(Self { progressive, width: width.into(), height: height.into(), components })
    }

    /// Returns the maximum sampling factors.
    fn most(&self) -> [u32; 2] {
        let most = |of: fn(&Component) -> u32| self.components.iter().map(of).max().unwrap_or(1);
        [most(|component| component.h), most(|component| component.v)]
    }

    /// Returns the number of interleaved MCUs: columns and rows.
    fn mcus(&self) -> [u32; 2] {
        let [h, v] = self.most();
        [self.width.div_ceil(8 * h), self.height.div_ceil(8 * v)]
    }

    /// Returns the number of a component's blocks with a part of the image: columns and rows.
    fn blocks(&self, number: usize) -> [u32; 2] {
        let ([most_h, most_v], Component { h, v, .. }) = (self.most(), self.components[number]);
        [(self.width * h).div_ceil(8 * most_h), (self.height * v).div_ceil(8 * most_v)]
    }

    /// Returns the number of samples of all components, with the padding of the last MCUs.
    fn samples(&self) -> u64 {
        let [columns, rows] = self.mcus().map(u64::from);
        let of_mcu: u32 =
            self.components.iter().map(|component| 64 * component.h * component.v).sum();
        columns * rows * u64::from(of_mcu)
    }

    /// Returns whether the fast decoder reads the sampling wrongly or refuses it.
    fn is_unusual(&self) -> bool {
        let [h, v] = self.most();
        let first = self.components[0];
        let by_threes = |component: &Component| component.h == 3 || component.v == 3;
        (first.h, first.v) != (h, v) || self.components.iter().any(by_threes)
    }

    /// Returns whether a sample of each component covers a whole number of pixels.
    fn is_whole(&self) -> bool {
        let [h, v] = self.most();
        self.components.iter().all(|component| h % component.h == 0 && v % component.v == 0)
    }
}

/// Moves `at` past the next 0xFF and its marker byte.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let rest = bytes.get(*at..)?;
        *at += rest.iter().position(|byte| *byte == 0xFF)? + 1;
        match *bytes.get(*at)? {
            0x00 => *at += 1,
            // Any number of bytes 0xFF may precede a marker (T.81, B.1.1.2).
            0xFF => {}
            marker => {
                *at += 1;
                return Some(marker);
            }
        }
    }
}

/// Returns the contents of a segment after its length; moves `at` past it.
fn body<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = usize::from(u16::from_be_bytes(*bytes.get(*at..)?.first_chunk()?)).max(2);
    let body = bytes.get(*at + 2..*at + length)?;
    *at += length;
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a JPEG: start of image, a frame of 400 x 300 with 4:2:0 sampling, a scan, end of
    /// image.
    fn image(frame_marker: u8) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xD8, 0xFF, frame_marker, 0, 17, 8, 1, 44, 1, 144, 3];
        bytes.extend([1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]);
        bytes.extend([0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0, 12, 0xFF, 0x00, 34]);
        bytes.extend([0xFF, 0xD3, 56, 0xFF, 0xD9]);
        bytes
    }

    fn outline(bytes: &[u8]) -> Result<Outline, PhotoError> {
        Outline::read(bytes)
    }

    #[test]
    fn memory_of_progressive_jpeg_includes_coefficients() {
        assert_eq!(outline(&image(0xC0)).unwrap().decoded_bytes(), 3 * 400 * 300);
        // Padded to whole MCUs of 16 x 16.
        let samples = 400 * 304 * 3 / 2;
        let counted = outline(&image(0xC2)).unwrap().decoded_bytes();
        assert_eq!(counted, 3 * 400 * 300 + 2 * samples);
    }

    #[test]
    fn missing_end_marker_is_noted_and_trailer_is_ignored() {
        let whole = image(0xC0);
        let without = outline(&whole[..whole.len() - 2]).unwrap();
        assert!(!without.ends && outline(&whole).unwrap().ends);
        let mended = without.mended(&whole[..whole.len() - 2].to_vec().into());
        assert!(mended.ends_with(&[0xFF, 0xD9]));
        let with_trailer = [whole.as_slice(), b"motion photo"].concat();
        assert!(outline(&with_trailer).unwrap().ends);
    }

    #[test]
    fn truncated_headers_are_reported() {
        let whole = image(0xC0);
        for length in 2..34 {
            let cut = outline(&whole[..length]).unwrap_err();
            assert_eq!(cut, Damage::CutOff.into(), "cut at {length}");
        }
    }

    #[test]
    fn unsupported_codings_are_named() {
        for (marker, named) in [
            (0xC3, "lossless"),
            (0xC5, "hierarchical"),
            (0xC9, "arithmetic"),
            (0xCA, "arithmetic"),
            (0xCE, "hierarchical"),
        ] {
            let said = outline(&image(marker)).unwrap_err().to_string();
            assert!(said.contains(named) && said.contains("save the photo as"), "{said}");
        }
        let mut bits = image(0xC1);
        bits[6] = 12;
        assert!(outline(&bits).unwrap_err().to_string().contains("8 bits"));
        let mut none = image(0xC0);
        none[7..9].fill(0);
        assert!(outline(&none).unwrap_err().to_string().contains("height"));
    }

    #[test]
    fn jpeg_that_fast_decoder_misreads_uses_general_decoder() {
        assert!(!outline(&image(0xC0)).unwrap().general);
        let sampled = |sampling: [u8; 3]| {
            let mut bytes = image(0xC0);
            (0..3).for_each(|k| bytes[13 + 3 * k] = sampling[k]);
            outline(&bytes)
        };
        for usual in [[0x11; 3], [0x21, 0x11, 0x11], [0x41, 0x11, 0x11], [0x22, 0x12, 0x12]] {
            assert!(!sampled(usual).unwrap().general, "{usual:x?}");
        }
        for unusual in [[0x11, 0x22, 0x22], [0x31, 0x11, 0x11], [0x21, 0x22, 0x11]] {
            assert!(sampled(unusual).unwrap().general, "{unusual:x?}");
        }
        assert!(sampled([0x31, 0x21, 0x11]).unwrap_err().to_string().contains("fractional"));
        let mut one_scan_each = image(0xC0);
        one_scan_each[25] = 1;
        assert!(outline(&one_scan_each).unwrap().general);
        let mut progressive = image(0xC2);
        progressive[25] = 1;
        assert!(!outline(&progressive).unwrap().general);
    }

    #[test]
    fn too_many_scans_are_refused() {
        let mut bytes = image(0xC2);
        bytes.truncate(21);
        let scan = [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0];
        bytes.extend(scan.repeat(MOST_SCANS));
        assert!(outline(&bytes).is_ok());
        bytes.extend(scan);
        assert_eq!(outline(&bytes).unwrap_err(), Damage::Scans.into());
    }
}
