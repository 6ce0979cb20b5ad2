//! Photos: from bytes to pixels. This is the only stage that parses untrusted bytes.
//!
//! [`EncodedPhoto::inspect`] detects the format, reads the header and applies all limits before a
//! pixel is allocated; [`EncodedPhoto::decode`] decodes once, shrinks to the working size and
//! rotates upright.

mod error;
mod exif;
mod format;
mod jpeg;
mod resizing;
#[cfg(feature = "turbojpeg")]
mod turbo;
mod vp8l;
mod webp;

use std::borrow::Cow;
use std::io::Cursor;

use bytes::Bytes;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

pub use self::error::{Damage, PhotoError};
pub(crate) use self::resizing::{resize_part, shrink_part, shrink_to_fit};

/// Longest side of a decoded photo, in pixels. A face a fifth as wide still has twice the pixels of
/// an encoder's 112 x 112 input.
const WORKING_SIDE: u32 = 1344;

/// Memory of a decoder besides pixels, in bytes: rows, a color profile, texts. Real profiles have
/// at most a few megabytes.
const MOST_METADATA: u64 = 8_000_000;

/// Limits that are applied before anything is allocated.
#[derive(Clone, Copy, Debug)]
pub struct PhotoLimits {
    /// Width times height.
    pub max_pixels: u64,
    /// The longer side, in pixels.
    pub max_side: u32,
    /// The shorter side, in pixels; below it no face can be recognized.
    pub min_side: u32,
    /// The estimated memory of the decoder, in bytes.
    pub max_decoded_bytes: u64,
    /// The memory of the decoders of all photos together, in bytes. A photo that needs more is
    /// decoded alone.
    pub max_shared_bytes: u64,
}

impl Default for PhotoLimits {
    fn default() -> Self {
        Self {
            // Sensors of professional cameras have up to 61 million pixels.
            max_pixels: 65_000_000,
            max_side: 12_000,
            min_side: 32,
            // A progressive JPEG takes 9 bytes for each pixel: three colors, and a coefficient of
            // each.
            max_decoded_bytes: 600_000_000,
            max_shared_bytes: 150_000_000,
        }
    }
}

/// An encoded photo within the limits; not decoded yet.
#[derive(Debug)]
pub struct EncodedPhoto {
    bytes: Bytes,
    coding: Coding,
    width: u32,
    height: u32,
    decoded_bytes: u64,
}

/// A supported format.
#[derive(Debug)]
enum Coding {
    Jpeg(jpeg::Outline),
    Png,
    WebP,
}

impl EncodedPhoto {
    /// Detects the format, reads the header and applies `limits`.
    ///
    /// # Errors
    /// Any [`PhotoError`]; damage after the header is found by [`decode`](Self::decode) only.
    pub fn inspect(mut bytes: Bytes, limits: &PhotoLimits) -> Result<Self, PhotoError> {
        let format = format::sniff(&bytes)?;
        if format == ImageFormat::WebP {
            bytes.truncate(webp::length(&bytes)?);
        }
        let (coding, (width, height), decoded_bytes) = match format {
            ImageFormat::Jpeg => {
                let outline = jpeg::Outline::read(&bytes)?;
                let (size, decoded_bytes) = (outline.dimensions(), outline.decoded_bytes());
                (Coding::Jpeg(outline), size, decoded_bytes)
            }
            ImageFormat::WebP => {
                let (size, decoded_bytes) = header(&bytes, format)?;
                let beside = webp::bytes_beside_pixels(&bytes, size)?;
                (Coding::WebP, size, decoded_bytes.saturating_add(beside))
            }
            _ => {
                let (size, decoded_bytes) = header(&bytes, format)?;
                (Coding::Png, size, decoded_bytes)
            }
        };
        limits.apply((width, height), decoded_bytes)?;
        Ok(Self { bytes, coding, width, height, decoded_bytes })
    }

    /// Returns the estimated memory of decoding, in bytes.
    pub fn decoded_bytes(&self) -> u64 {
        self.decoded_bytes
    }

    /// Decodes the photo, shrinks it to the working size and rotates it upright.
    ///
    /// # Errors
    /// [`PhotoError::Unreadable`] for a damaged file, [`PhotoError::ForeignCoding`] for an
    /// unsupported coding.
    pub fn decode(self) -> Result<Photo, PhotoError> {
        let Self { bytes, coding, mut width, mut height, .. } = self;
        let exif = match &coding {
            Coding::Jpeg(outline) => outline.exif(&bytes).map(Cow::Borrowed),
            Coding::Png => exif::of_png(&bytes),
            Coding::WebP => webp::exif(&bytes).map(Cow::Borrowed),
        };
        let orientation = exif.and_then(|exif| exif::orientation(&exif));
        let orientation = orientation.unwrap_or(Orientation::NoTransforms);
        let stored = match coding {
            Coding::Jpeg(outline) => jpeg_pixels(&outline, &bytes)?,
            Coding::Png => pixels(&bytes, ImageFormat::Png)?,
            Coding::WebP => pixels(&bytes, ImageFormat::WebP)?,
        };
        drop(bytes);
        let mut working =
            DynamicImage::ImageRgb8(shrink_to_fit(&stored, WORKING_SIDE).into_owned());
        drop(stored);
        working.apply_orientation(orientation);
        if turns_on_its_side(orientation) {
            std::mem::swap(&mut width, &mut height);
        }
        Ok(Photo { width, height, working: working.into_rgb8() })
    }
}

impl PhotoLimits {
    fn apply(&self, (width, height): (u32, u32), decoded_bytes: u64) -> Result<(), PhotoError> {
        let pixels = u64::from(width) * u64::from(height);
        if width.min(height) < self.min_side {
            return Err(PhotoError::TooSmall { width, height });
        }
        if pixels > self.max_pixels
            || width.max(height) > self.max_side
            || decoded_bytes > self.max_decoded_bytes
        {
            let share = self.max_decoded_bytes as f64 / decoded_bytes.max(1) as f64;
            let max_pixels = self.max_pixels.min((share * pixels as f64) as u64);
            let max_side = self.max_side;
            return Err(PhotoError::TooManyPixels { width, height, max_pixels, max_side });
        }
        Ok(())
    }
}

/// An upright photo: its original size, and its pixels shrunk to at most 1344 a side.
pub struct Photo {
    width: u32,
    height: u32,
    working: RgbImage,
}

impl Photo {
    #[cfg(test)]
    pub(crate) fn from_working(working: RgbImage) -> Self {
        Self { width: working.width(), height: working.height(), working }
    }

    /// Returns the width of the original upright photo, in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Returns the height of the original upright photo, in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Returns the upright RGB pixels at the working size.
    pub fn working(&self) -> &RgbImage {
        &self.working
    }

    /// Returns the scale of [`working`](Self::working) relative to the original; at most 1.
    pub fn scale(&self) -> f64 {
        f64::from(self.working.width().max(self.working.height()))
            / f64::from(self.width.max(self.height))
    }
}

impl std::fmt::Debug for Photo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Photo({} x {})", self.width, self.height)
    }
}

/// Returns the size of a PNG or WebP, and the memory of its pixels, in bytes: as stored, and as
/// RGB.
fn header(bytes: &[u8], format: ImageFormat) -> Result<((u32, u32), u64), PhotoError> {
    let decoder = open(bytes, format)?;
    let size = decoder.dimensions();
    let pixels = u64::from(size.0) * u64::from(size.1);
    let converted = if decoder.color_type() == image::ColorType::Rgb8 { 0 } else { 3 };
    Ok((size, decoder.total_bytes().saturating_add(pixels.saturating_mul(converted))))
}

/// Opens a decoder. The bound matters only for PNG, the only supported format with compressed
/// metadata.
fn open(bytes: &[u8], format: ImageFormat) -> Result<impl ImageDecoder + '_, PhotoError> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST_METADATA);
    reader.limits(limits);
    Ok(reader.into_decoder()?)
}

/// Decodes the pixels as they are stored.
fn pixels(bytes: &[u8], format: ImageFormat) -> Result<RgbImage, PhotoError> {
    Ok(DynamicImage::from_decoder(open(bytes, format)?)?.into_rgb8())
}

/// Decodes the pixels of a JPEG; with the feature `turbojpeg`, at a reduced size if it is shrunk
/// anyway.
fn jpeg_pixels(outline: &jpeg::Outline, bytes: &Bytes) -> Result<RgbImage, PhotoError> {
    let bytes = outline.mended(bytes);
    outline.check_complete(&bytes)?;
    // If libjpeg-turbo warns, the other decoders read as much as can be read.
    #[cfg(feature = "turbojpeg")]
    if let Ok(Some(image)) = turbo::decode(&bytes, WORKING_SIDE) {
        return Ok(image);
    }
    match outline.decode_by_general(&bytes) {
        Some(decoded) => decoded,
        None => pixels(&bytes, ImageFormat::Jpeg),
    }
}

fn turns_on_its_side(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Bytes {
        let mut out = Cursor::new(Vec::new());
        RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 7]))
            .write_to(&mut out, ImageFormat::Png)
            .unwrap();
        out.into_inner().into()
    }

    fn inspect(bytes: impl Into<Bytes>) -> Result<EncodedPhoto, PhotoError> {
        EncodedPhoto::inspect(bytes.into(), &PhotoLimits::default())
    }

    #[test]
    fn large_photo_keeps_its_original_size_and_shrunk_pixels() {
        let photo = inspect(png(2688, 1000)).unwrap().decode().unwrap();
        assert_eq!((photo.width(), photo.height()), (2688, 1000));
        assert_eq!(photo.working().dimensions(), (1344, 500));
        assert!((photo.scale() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn limits_are_applied_to_the_header() {
        let tiny = PhotoLimits { max_pixels: 99 * 99, ..PhotoLimits::default() };
        assert!(matches!(
            EncodedPhoto::inspect(png(100, 100), &tiny),
            Err(PhotoError::TooManyPixels { width: 100, height: 100, max_pixels: 9801, .. })
        ));
        assert!(matches!(inspect(png(1, 1)), Err(PhotoError::TooSmall { width: 1, height: 1 })));
    }

    #[test]
    fn truncated_png_is_refused() {
        let whole = png(64, 64);
        for length in (0..whole.len() - 12).step_by(7) {
            let cut = inspect(whole.slice(..length)).and_then(EncodedPhoto::decode);
            assert!(cut.is_err(), "{length} of {} bytes were accepted as a photo", whole.len());
        }
    }
}
