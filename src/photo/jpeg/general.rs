//! The decoder for JPEGs that the fast decoder reads wrongly.

use image::RgbImage;
use jpeg_decoder::{Decoder, Error, PixelFormat};

use super::super::error::{Damage, PhotoError};

/// Decodes a JPEG whose header is within the limits.
///
/// For each component of a scan, a thread computes pixels while the next rows are read: two or
/// three threads for a short time, while the calling thread waits.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, PhotoError> {
    let mut decoder = Decoder::new(bytes);
    let pixels = decoder.decode().map_err(|error| match error {
        Error::Unsupported(_) => PhotoError::ForeignCoding("JPEGs with this coding"),
        Error::Format(_) | Error::Io(_) | Error::Internal(_) => Damage::Inconsistent.into(),
    })?;
    let info = decoder.info().ok_or(Damage::Inconsistent)?;
    let pixels = match info.pixel_format {
        PixelFormat::RGB24 => pixels,
        PixelFormat::L8 => pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
        PixelFormat::CMYK32 => pixels.as_chunks().0.iter().copied().flat_map(rgb).collect(),
        PixelFormat::L16 => return Err(PhotoError::ForeignCoding("JPEGs with more than 8 bits")),
    };
    let image = RgbImage::from_raw(info.width.into(), info.height.into(), pixels);
    image.ok_or_else(|| Damage::Inconsistent.into())
}

/// Converts CMYK to RGB.
fn rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    [cyan, magenta, yellow].map(|ink| (u16::from(255 - ink) * u16::from(255 - black) / 255) as u8)
}
