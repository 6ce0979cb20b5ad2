//! Decodes JPEGs with libjpeg-turbo, a large one at a half, a quarter or an eighth of its size.

use image::RgbImage;
use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat, ScalingFactor};

/// Decodes at the smallest size whose longer side is at least `side` pixels, or at full size if it
/// is shorter; `None` for CMYK, which this decoder does not convert.
///
/// # Errors
/// The error of libjpeg-turbo for a damaged file.
pub(super) fn decode(jpeg: &[u8], side: u32) -> Result<Option<RgbImage>, turbojpeg::Error> {
    let mut decompressor = Decompressor::new()?;
    let header = decompressor.read_header(jpeg)?;
    if matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK) {
        return Ok(None);
    }
    let longer = header.width.max(header.height);
    let divisor = [8, 4, 2].into_iter().find(|divisor| longer / divisor >= side as usize);
    let scale = ScalingFactor::new(1, divisor.unwrap_or(1));
    decompressor.set_scaling_factor(scale)?;
    let header = header.scaled(scale);
    let mut image = RgbImage::new(header.width as u32, header.height as u32);
    let pixels = Image {
        pixels: &mut *image,
        width: header.width,
        pitch: 3 * header.width,
        height: header.height,
        format: PixelFormat::RGB,
    };
    decompressor.decompress(jpeg, pixels)?;
    Ok(Some(image))
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use image::codecs::jpeg::JpegEncoder;

    use super::*;

    #[test]
    fn large_photo_is_decoded_at_half_its_size() {
        let colour = |x: u32, y: u32| Rgb([(x / 8) as u8, (y / 6) as u8, ((x + y) / 14) as u8]);
        let mut jpeg = Vec::new();
        let photo = RgbImage::from_fn(2000, 1500, colour);
        JpegEncoder::new_with_quality(&mut jpeg, 95).encode_image(&photo).unwrap();
        let half = decode(&jpeg, 900).unwrap().unwrap();
        assert_eq!(half.dimensions(), (1000, 750));
        for (x, y, pixel) in half.enumerate_pixels() {
            let Rgb(wanted) = colour(2 * x, 2 * y);
            let apart = pixel.0.iter().zip(wanted).map(|(a, b)| a.abs_diff(b)).max();
            assert!(apart.is_some_and(|apart| apart <= 6), "{pixel:?} at {x}, {y}, not {wanted:?}");
        }
        assert_eq!(decode(&jpeg, 1344).unwrap().unwrap().dimensions(), (2000, 1500));
        assert!(decode(&jpeg[..jpeg.len() / 2], 900).is_err());
    }
}
