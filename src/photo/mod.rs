//! From bytes to pixels: the first arrow of the flow, and the one that meets strangers.
//!
//! A photo is sniffed, its header read and every limit applied before a pixel is allocated
//! ([`EncodedPhoto::inspect`]); then it is decoded once, shrunk at once to what the later steps
//! need and turned upright ([`EncodedPhoto::decode`]). This module knows nothing of faces.

mod jpeg;
#[cfg(feature = "turbojpeg")]
mod turbo;
mod webp;

use std::borrow::Cow;
use std::io::Cursor;

use bytes::Bytes;
use fast_image_resize as fir;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

/// The longest side, in pixels, that is kept of a decoded photo. A face of a fifth of the width
/// still has twice the pixels that an encoder's 112 x 112 input takes.
const WORKING_SIDE: u32 = 1344;

/// What a decoder may hold beside pixels, in bytes: a few rows, a colour profile, texts. Some megabytes of a
/// profile are seen in earnest; what is inflated or copied beyond that is not.
const MOST_METADATA: u64 = 8_000_000;

/// What a photo may be before anything is allocated for it.
#[derive(Clone, Copy, Debug)]
pub struct PhotoLimits {
    /// Width times height.
    pub max_pixels: u64,
    /// The longer side, in pixels.
    pub max_side: u32,
    /// The shorter side, in pixels; below it no face can be recognised.
    pub min_side: u32,
    /// What the decoder is expected to hold at once, in bytes.
    pub max_decoded_bytes: u64,
}

impl Default for PhotoLimits {
    fn default() -> Self {
        Self {
            max_pixels: 50_000_000,
            max_side: 12_000,
            min_side: 32,
            max_decoded_bytes: 150_000_000,
        }
    }
}

/// Why bytes are not a photo that can be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PhotoError {
    /// An image of a kind that is recognised but not read.
    #[error("{0} photos are not read; convert it to JPEG, PNG or WebP first")]
    ForeignFormat(&'static str),
    /// More pixels, a longer side or more memory than allowed.
    #[error("the photo is too large ({width} x {height} pixels); send at most {max_pixels} pixels")]
    TooManyPixels {
        /// Stored width, in pixels.
        width: u32,
        /// Stored height, in pixels.
        height: u32,
        /// How many pixels a photo of this kind may have.
        max_pixels: u64,
    },
    /// Too small to hold a face.
    #[error("the photo is too small to hold a face ({width} x {height} pixels)")]
    TooSmall {
        /// Stored width, in pixels.
        width: u32,
        /// Stored height, in pixels.
        height: u32,
    },
    /// Nothing that looks like an image.
    #[error("this is not a JPEG, PNG or WebP image")]
    UnknownFormat,
    /// An image of a known kind that is empty, damaged or cut off.
    #[error("the photo cannot be read: {0}")]
    Unreadable(String),
}

/// Bytes that were found to be a photo within the limits; nothing is decoded yet.
#[derive(Debug)]
pub struct EncodedPhoto {
    bytes: Bytes,
    format: ImageFormat,
    decoded_bytes: u64,
}

impl EncodedPhoto {
    /// Sniffs the format, reads the header and applies `limits`.
    ///
    /// # Errors
    /// Any [`PhotoError`]; damage behind the header shows in [`decode`](Self::decode) only.
    pub fn inspect(mut bytes: Bytes, limits: &PhotoLimits) -> Result<Self, PhotoError> {
        let format = sniff(&bytes)?;
        if format == ImageFormat::WebP {
            bytes.truncate(webp::length(&bytes).map_err(unreadable)?);
        }
        let decoder = open(&bytes, format)?;
        let (width, height) = decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        let beside_the_output = match format {
            // A progressive JPEG keeps every coefficient until its last scan.
            ImageFormat::Jpeg => jpeg::outline(&bytes).ok_or_else(cut_off)?.coefficient_bytes,
            ImageFormat::WebP => {
                webp::bytes_beside_pixels(&bytes, (width, height)).map_err(unreadable)?
            }
            _ => 0,
        };
        let converted = if decoder.color_type() == image::ColorType::Rgb8 { 0 } else { 3 };
        let decoded_bytes = decoder
            .total_bytes()
            .saturating_add(beside_the_output)
            .saturating_add(pixels.saturating_mul(converted));
        if width.min(height) < limits.min_side {
            return Err(PhotoError::TooSmall { width, height });
        }
        if pixels > limits.max_pixels
            || width.max(height) > limits.max_side
            || decoded_bytes > limits.max_decoded_bytes
        {
            let share = limits.max_decoded_bytes as f64 / decoded_bytes.max(1) as f64;
            let max_pixels = limits.max_pixels.min((share * pixels as f64) as u64);
            return Err(PhotoError::TooManyPixels { width, height, max_pixels });
        }
        drop(decoder);
        Ok(Self { bytes, format, decoded_bytes })
    }

    /// About how many bytes decoding holds at once.
    pub fn decoded_bytes(&self) -> u64 {
        self.decoded_bytes
    }

    /// Decodes the photo, shrinks it to the working size and turns it upright.
    ///
    /// # Errors
    /// [`PhotoError::Unreadable`] for a damaged file.
    pub fn decode(self) -> Result<Photo, PhotoError> {
        let mut decoder = open(&self.bytes, self.format)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let (mut width, mut height) = decoder.dimensions();
        let stored = pixels(&self.bytes, self.format, decoder)?;
        drop(self.bytes);
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

/// An upright photo: its true size, and a copy of its pixels of at most 1344 a side.
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

    /// Width of the upright photo as it was sent, in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height of the upright photo as it was sent, in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The upright RGB pixels that the later steps sample.
    pub fn working(&self) -> &RgbImage {
        &self.working
    }

    /// Pixels of [`working`](Self::working) for each pixel of the photo as sent; at most 1.
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

/// Shrinks by area-true bilinear convolution so that the longer side is at most `side`;
/// a smaller image stays as it is.
pub(crate) fn shrink_to_fit(image: &RgbImage, side: u32) -> Cow<'_, RgbImage> {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    if longer <= side {
        return Cow::Borrowed(image);
    }
    let shrunk = |length: u32| {
        let exact = f64::from(length) * f64::from(side) / f64::from(longer);
        (exact.round() as u32).max(1)
    };
    let filter = fir::ResizeAlg::Convolution(fir::FilterType::Bilinear);
    let options = fir::ResizeOptions::new().resize_alg(filter);
    Cow::Owned(resize(image, (shrunk(width), shrunk(height)), &options))
}

/// Shrinks a part of an image: a pixel is the mean of `cell` x `cell`. The part starts at `left` and `top`, lies
/// within the image, and holds `width` x `height` such cells, at least one.
pub(crate) fn shrink_part(
    image: &RgbImage,
    (left, top): (u32, u32),
    (width, height): (u32, u32),
    cell: u32,
) -> RgbImage {
    let filter = fir::ResizeAlg::Convolution(fir::FilterType::Box);
    let [left, top, wide, high] = [left, top, width * cell, height * cell].map(f64::from);
    let options = fir::ResizeOptions::new().resize_alg(filter).crop(left, top, wide, high);
    resize(image, (width, height), &options)
}

fn resize(image: &RgbImage, (width, height): (u32, u32), options: &fir::ResizeOptions) -> RgbImage {
    const PIXELS: fir::PixelType = fir::PixelType::U8x3;
    let mut small = RgbImage::new(width, height);
    let from = fir::images::ImageRef::new(image.width(), image.height(), image, PIXELS);
    let to = fir::images::Image::from_slice_u8(width, height, &mut small, PIXELS);
    from.map_err(drop)
        .and_then(|from| {
            let mut to = to.map_err(drop)?;
            fir::Resizer::new().resize(&from, &mut to, options).map_err(drop)
        })
        .expect("both buffers have three bytes a pixel, since RgbImage made them, and what is cropped lies within");
    small
}

fn sniff(bytes: &[u8]) -> Result<ImageFormat, PhotoError> {
    match bytes {
        [] => Err(PhotoError::Unreadable("it is empty".to_owned())),
        [0xFF, 0xD8, 0xFF, ..] => Ok(ImageFormat::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Ok(ImageFormat::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(ImageFormat::WebP),
        // ISO base media: the brand behind `ftyp` tells the codec.
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.get(..4) {
            Some(b"avif" | b"avis") => Err(PhotoError::ForeignFormat("AVIF")),
            Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1") => {
                Err(PhotoError::ForeignFormat("HEIC"))
            }
            _ => Err(PhotoError::UnknownFormat),
        },
        [b'G', b'I', b'F', b'8', ..] => Err(PhotoError::ForeignFormat("GIF")),
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => {
            Err(PhotoError::ForeignFormat("TIFF"))
        }
        _ => Err(PhotoError::UnknownFormat),
    }
}

/// Opens a decoder; of those that are read only PNG has metadata that swells, and only there the bound counts.
fn open(bytes: &[u8], format: ImageFormat) -> Result<impl ImageDecoder + '_, PhotoError> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MOST_METADATA);
    reader.limits(limits);
    reader.into_decoder().map_err(unreadable)
}

/// The pixels as they are stored; with the feature `turbojpeg` fewer of a JPEG that is to be shrunk anyway.
#[cfg_attr(not(feature = "turbojpeg"), expect(unused_variables, reason = "one decoder for all"))]
fn pixels(
    bytes: &[u8],
    format: ImageFormat,
    decoder: impl ImageDecoder,
) -> Result<RgbImage, PhotoError> {
    #[cfg(feature = "turbojpeg")]
    if format == ImageFormat::Jpeg
        && let Some(image) = turbo::decode(bytes, WORKING_SIDE).map_err(unreadable)?
    {
        return Ok(image);
    }
    Ok(DynamicImage::from_decoder(decoder).map_err(unreadable)?.into_rgb8())
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

fn unreadable(error: impl std::fmt::Display) -> PhotoError {
    PhotoError::Unreadable(error.to_string())
}

fn cut_off() -> PhotoError {
    PhotoError::Unreadable("it is cut off before its end".to_owned())
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
    fn a_large_photo_keeps_its_size_and_a_smaller_copy_of_its_pixels() {
        let photo = inspect(png(2688, 1000)).unwrap().decode().unwrap();
        assert_eq!((photo.width(), photo.height()), (2688, 1000));
        assert_eq!(photo.working().dimensions(), (1344, 500));
        assert!((photo.scale() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn foreign_formats_are_named() {
        let heic = b"\0\0\0\x18ftypheic\0\0\0\0";
        assert_eq!(inspect(&heic[..]).unwrap_err(), PhotoError::ForeignFormat("HEIC"));
        let avif = b"\0\0\0\x18ftypavif\0\0\0\0";
        assert_eq!(inspect(&avif[..]).unwrap_err(), PhotoError::ForeignFormat("AVIF"));
        assert_eq!(inspect(&b"hello"[..]).unwrap_err(), PhotoError::UnknownFormat);
        assert!(matches!(inspect(&b""[..]), Err(PhotoError::Unreadable(_))));
    }

    #[test]
    fn limits_are_applied_to_the_header() {
        let tiny = PhotoLimits { max_pixels: 99 * 99, ..PhotoLimits::default() };
        assert!(matches!(
            EncodedPhoto::inspect(png(100, 100), &tiny),
            Err(PhotoError::TooManyPixels { width: 100, height: 100, max_pixels: 9801 })
        ));
        assert!(matches!(inspect(png(1, 1)), Err(PhotoError::TooSmall { width: 1, height: 1 })));
    }

    #[test]
    fn every_truncation_of_a_png_is_refused() {
        let whole = png(64, 64);
        for length in (0..whole.len() - 12).step_by(7) {
            let cut = inspect(whole.slice(..length)).and_then(EncodedPhoto::decode);
            assert!(cut.is_err(), "{length} of {} bytes were taken for a photo", whole.len());
        }
    }
}
