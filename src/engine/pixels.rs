//! Converts pixels to a network's input, as its manifest specifies.

use image::RgbImage;
use serde::Deserialize;

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Color {
    Bgr,
    Grey,
    Rgb,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Layout {
    Nchw,
    Nhwc,
}

/// The conversion of pixels to a network's input: (pixel - mean) * scale for each channel.
#[derive(Clone, Debug)]
pub(super) struct PixelFormat {
    colour: Color,
    layout: Layout,
    mean: Vec<f32>,
    scale: Vec<f32>,
}

/// A factor for all channels, or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Scale {
    All(f32),
    Each(Vec<f32>),
}

impl PixelFormat {
    /// Creates a format; fails with the reason if its parameters are inconsistent.
    pub(super) fn new(
        channels: usize,
        colour: Color,
        layout: Layout,
        mean: Vec<f32>,
        scale: Scale,
    ) -> Result<Self, String> {
        let expected = if colour == Color::Grey { 1 } else { 3 };
        if channels != expected {
            return Err(format!("colour = {colour:?} has {expected} channels, not {channels}"));
        }
        if mean.len() != channels || !mean.iter().all(|m| m.is_finite()) {
            return Err(format!("mean must be {channels} finite numbers, one per channel"));
        }
        let scale = match scale {
            Scale::All(scale) => vec![scale; channels],
            Scale::Each(scales) => scales,
        };
        if scale.len() != channels || !scale.iter().all(|s| s.is_finite() && *s != 0.0) {
            return Err(format!(
                "scale must be finite and not 0, one number or {channels}, one a channel"
            ));
        }
        Ok(Self { colour, layout, mean, scale })
    }

    /// Returns whether each channel is a plane of its own.
    pub(super) fn is_planar(&self) -> bool {
        self.layout == Layout::Nchw
    }

    /// Returns the input shape for an image of this size.
    pub(super) fn shape(&self, width: u32, height: u32) -> [usize; 4] {
        let (width, height, channels) = (width as usize, height as usize, self.mean.len());
        match self.layout {
            Layout::Nchw => [1, channels, height, width],
            Layout::Nhwc => [1, height, width, channels],
        }
    }

    /// Returns the network's input for an image, in the order of [`shape`](Self::shape).
    pub(super) fn values(&self, image: &RgbImage) -> Vec<f32> {
        let (pixels, _) = image.as_raw().as_chunks();
        match self.colour {
            Color::Rgb => self.ordered(pixels, |pixel| pixel),
            Color::Bgr => self.ordered(pixels, |[r, g, b]| [b, g, r]),
            Color::Grey => self.ordered(pixels, |pixel| [luma(pixel)]),
        }
    }

    /// Converts pixels; `order` permutes their channels. Monomorphized for each order, so that the
    /// loops have no branch on it: they run for every pixel of every pass.
    fn ordered<const CHANNELS: usize>(
        &self,
        pixels: &[[u8; 3]],
        order: impl Fn([u8; 3]) -> [u8; CHANNELS],
    ) -> Vec<f32> {
        let mut values = vec![0.0; pixels.len() * CHANNELS];
        match self.layout {
            Layout::Nchw => {
                for (channel, plane) in values.chunks_exact_mut(pixels.len()).enumerate() {
                    let (mean, scale) = (self.mean[channel], self.scale[channel]);
                    for (value, &pixel) in plane.iter_mut().zip(pixels) {
                        *value = (f32::from(order(pixel)[channel]) - mean) * scale;
                    }
                }
            }
            Layout::Nhwc => {
                for (place, &pixel) in values.chunks_exact_mut(CHANNELS).zip(pixels) {
                    let normal = self.mean.iter().zip(&self.scale);
                    let channels = place.iter_mut().zip(order(pixel));
                    for ((value, channel), (mean, scale)) in channels.zip(normal) {
                        *value = (f32::from(channel) - mean) * scale;
                    }
                }
            }
        }
        values
    }
}

/// Returns the ITU-R BT.601 luma, in integers.
fn luma(pixel: [u8; 3]) -> u8 {
    let [r, g, b] = pixel.map(u32::from);
    ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
}

/// Returns the test pattern, for which each manifest contains the golden output: triangle waves,
/// another one in each channel, so that no other color order, scale or layout gives the same
/// output.
pub(super) fn test_pattern(width: u32, height: u32) -> RgbImage {
    let wave = |x: u32, y: u32, [kx, ky, start]: [u32; 3]| {
        ((kx * x + ky * y + start) % 510).abs_diff(255) as u8
    };
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([[5, 2, 0], [3, 7, 80], [1, 5, 200]].map(|k| wave(x, y, k)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(format: &PixelFormat) -> Vec<f32> {
        format.values(&RgbImage::from_raw(2, 1, vec![10, 20, 30, 40, 50, 60]).unwrap())
    }

    #[test]
    fn pixels_are_converted_as_the_manifest_specifies() {
        let format = |colour, layout, mean: &[f32], scale| {
            PixelFormat::new(mean.len(), colour, layout, mean.to_vec(), Scale::All(scale)).unwrap()
        };
        let rgb = format(Color::Rgb, Layout::Nchw, &[0.0; 3], 1.0);
        assert_eq!(values(&rgb), [10.0, 40.0, 20.0, 50.0, 30.0, 60.0]);
        let bgr = format(Color::Bgr, Layout::Nhwc, &[10.0, 0.0, 0.0], 0.5);
        assert_eq!(values(&bgr), [10.0, 10.0, 5.0, 25.0, 25.0, 20.0]);
        let grey = format(Color::Grey, Layout::Nchw, &[0.0], 1.0);
        assert_eq!(values(&grey), [18.0, 48.0]);
        let each = Scale::Each(vec![1.0, 2.0, 0.5]);
        let each = PixelFormat::new(3, Color::Rgb, Layout::Nhwc, vec![0.0; 3], each).unwrap();
        assert_eq!(values(&each), [10.0, 40.0, 15.0, 40.0, 100.0, 30.0]);
    }

    #[test]
    fn inconsistent_format_is_refused() {
        let new = |channels, mean: &[f32], scale| {
            PixelFormat::new(channels, Color::Rgb, Layout::Nchw, mean.to_vec(), Scale::All(scale))
        };
        assert!(new(1, &[0.0], 1.0).is_err());
        assert!(new(3, &[0.0], 1.0).is_err());
        assert!(new(3, &[0.0; 3], 0.0).is_err());
        assert!(new(3, &[f32::NAN, 0.0, 0.0], 1.0).is_err());
        let two = Scale::Each(vec![1.0; 2]);
        assert!(PixelFormat::new(3, Color::Rgb, Layout::Nchw, vec![0.0; 3], two).is_err());
    }
}
