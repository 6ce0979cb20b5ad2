//! The face turned upright and sampled at the size that an encoder takes.

use std::array;

use image::RgbImage;

use super::similarity::{Similarity, TEMPLATE, TEMPLATE_SIDE};
use super::{Face, Point};
use crate::photo::{Photo, shrink_part};

/// Samples lie at most this many photo pixels apart; bilinear sampling then skips none.
const SAMPLE_SPACING: f64 = 1.5;

/// A large face is sampled from a shrunk copy in which its pixels still lie so far apart: the copy takes most of
/// the average at a fraction of the cost.
const SPACING_IN_COPY: f64 = 2.0;

/// A face turned upright and scaled so that its landmarks lie where the encoder expects them.
pub struct AlignedFace {
    pixels: RgbImage,
    onto_photo: Similarity,
    photo: (u32, u32),
    to_working: f64,
}

impl AlignedFace {
    /// Pixels that somebody else has aligned.
    #[cfg(test)]
    pub(crate) fn from_pixels(pixels: RgbImage) -> Self {
        let photo = pixels.dimensions();
        let here = Similarity { a: Point { x: 1.0, y: 0.0 }, b: Point { x: 0.0, y: 0.0 } };
        Self { pixels, onto_photo: here, photo, to_working: 1.0 }
    }

    /// The RGB pixels, of the size that was asked for.
    pub(crate) fn pixels(&self) -> &RgbImage {
        &self.pixels
    }

    /// Where a place in the square, in its pixels, lies in the photo, in pixels as it was sent.
    pub(crate) fn in_photo(&self, at: Point) -> Point {
        let Point { x, y } = self.onto_photo.apply(at);
        Point { x: x / self.to_working, y: y / self.to_working }
    }

    /// Whether a pixel was sampled from the photo alone, nothing of it from beyond the edge.
    pub(crate) fn covers(&self, x: u32, y: u32) -> bool {
        let at = self.onto_photo.apply(Point { x: f64::from(x), y: f64::from(y) });
        let margin = self.onto_photo.scale() / 2.0;
        let within =
            |value: f64, length: u32| value >= margin && value <= f64::from(length) - 1.0 - margin;
        within(at.x, self.photo.0) && within(at.y, self.photo.1)
    }
}

impl std::fmt::Debug for AlignedFace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedFace({} x {})", self.pixels.width(), self.pixels.height())
    }
}

/// Samples the face from the photo's working pixels at `width` x `height`, without aliasing.
///
/// What lies outside the photo is black.
pub fn align(photo: &Photo, face: &Face, width: u32, height: u32) -> AlignedFace {
    let to_working = photo.scale();
    let landmarks = face.landmarks.map(|p| Point { x: p.x * to_working, y: p.y * to_working });
    let target = TEMPLATE.map(|p| Point {
        x: p.x * f64::from(width) / TEMPLATE_SIDE,
        y: p.y * f64::from(height) / TEMPLATE_SIDE,
    });
    let onto_photo = Similarity::fit(&landmarks, &target).inverse();
    let working = photo.working();
    let cell = (onto_photo.scale() / SPACING_IN_COPY) as u32;
    let pixels = match shrunk(working, &onto_photo, (width, height), cell) {
        Some((copy, onto_copy)) => sample(&copy, &onto_copy, width, height),
        None => sample(working, &onto_photo, width, height),
    };
    AlignedFace { pixels, onto_photo, photo: working.dimensions(), to_working }
}

/// A copy of the part of an image that the face lies in, `cell` times smaller, and the way onto it; `None` where
/// there is nothing to shrink.
fn shrunk(
    image: &RgbImage,
    onto_image: &Similarity,
    (width, height): (u32, u32),
    cell: u32,
) -> Option<(RgbImage, Similarity)> {
    if cell < 2 {
        return None;
    }
    let (right, bottom) = (f64::from(width), f64::from(height));
    let corners = [(0.0, 0.0), (right, 0.0), (0.0, bottom), (right, bottom)]
        .map(|(x, y)| onto_image.apply(Point { x, y }));
    // Where cells begin along one side of the image, and how many; a cell more on each side for what lies between two.
    let cells = |at: fn(&Point) -> f64, length: u32| {
        let first = corners.iter().map(at).fold(f64::INFINITY, f64::min) / f64::from(cell) - 1.0;
        let last = corners.iter().map(at).fold(f64::NEG_INFINITY, f64::max) / f64::from(cell) + 1.0;
        // A cast saturates, so nothing begins before the image.
        let first = first as u32;
        let count = (last.ceil() as u32).min(length / cell).checked_sub(first)?;
        (count > 0).then_some((first * cell, count))
    };
    let (left, columns) = cells(|p| p.x, image.width())?;
    let (top, rows) = cells(|p| p.y, image.height())?;
    let copy = shrink_part(image, (left, top), (columns, rows), cell);
    Some((copy, onto_image.onto(Point { x: f64::from(left), y: f64::from(top) }, f64::from(cell))))
}

/// `width` x `height` pixels, each the mean of a small grid of samples as wide as the pixel.
fn sample(image: &RgbImage, onto_image: &Similarity, width: u32, height: u32) -> RgbImage {
    let per_side = (onto_image.scale() / SAMPLE_SPACING).ceil().clamp(1.0, 12.0);
    let offsets: Vec<f64> =
        (0..per_side as u32).map(|k| (f64::from(k) + 0.5) / per_side - 0.5).collect();
    let share = 1.0 / (per_side * per_side) as f32;
    RgbImage::from_fn(width, height, |x, y| {
        let mut sum = [0.0_f32; 3];
        for dy in &offsets {
            for dx in &offsets {
                let at = Point { x: f64::from(x) + dx, y: f64::from(y) + dy };
                let sample = bilinear(image, onto_image.apply(at));
                sum = array::from_fn(|c| sum[c] + sample[c]);
            }
        }
        image::Rgb(sum.map(|c| (c * share + 0.5) as u8))
    })
}

/// The colour at a place between pixels, 0..=255 a channel; black outside the image.
fn bilinear(image: &RgbImage, at: Point) -> [f32; 3] {
    // A cast towards zero is one instruction where `floor` is a call.
    let floor = |v: f64| v as i64 - i64::from(v < 0.0);
    let (left, top) = (floor(at.x), floor(at.y));
    let (right_share, bottom_share) = ((at.x - left as f64) as f32, (at.y - top as f64) as f32);
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    let pixel = |x: i64, y: i64| {
        let inside = (0..width).contains(&x) && (0..height).contains(&y);
        if !inside {
            return [0.0; 3];
        }
        let at = 3 * (y * width + x) as usize;
        let found = image.as_raw().get(at..at + 3);
        found.map_or([0.0; 3], |p| array::from_fn(|c| f32::from(p[c])))
    };
    let mix = |a: [f32; 3], b: [f32; 3], share: f32| -> [f32; 3] {
        array::from_fn(|c| a[c] + (b[c] - a[c]) * share)
    };
    let above = mix(pixel(left, top), pixel(left + 1, top), right_share);
    let below = mix(pixel(left, top + 1), pixel(left + 1, top + 1), right_share);
    mix(above, below, bottom_share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{face_at, photo};
    use super::*;

    #[test]
    fn a_face_already_in_place_is_copied_pixel_by_pixel() {
        let photo = photo(112, 112);
        let aligned = align(&photo, &face_at(0.0, 0.0, 112.0), 112, 112);
        assert_eq!(aligned.pixels(), photo.working());
    }

    #[test]
    fn a_large_face_is_averaged_not_skipped_through() {
        // Stripes one pixel wide become an even grey at a sixth of the size.
        let stripes = RgbImage::from_fn(672, 672, |x, _| image::Rgb([(x % 2 * 255) as u8; 3]));
        let aligned = align(&Photo::from_working(stripes), &face_at(0.0, 0.0, 672.0), 112, 112);
        let inner = aligned
            .pixels()
            .enumerate_pixels()
            .filter(|(x, y, _)| (4..108).contains(x) && (4..108).contains(y));
        for (x, y, pixel) in inner {
            assert!(pixel.0[0].abs_diff(127) < 20, "{pixel:?} at {x}, {y}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_large_face_looks_the_same_in_a_shrunk_copy(
            angle in -3.1_f64..3.1, scale in 4.0_f64..9.0, dx in -300.0_f64..900.0, dy in -300.0_f64..900.0,
        ) {
            let wave = |at: u32, length: f64| 100.0 * (f64::from(at) / length).sin();
            let photo = RgbImage::from_fn(901, 757, |x, y| {
                image::Rgb([128.0 + wave(x, 37.0), 128.0 + wave(y, 53.0), 128.0 + wave(x + y, 71.0)].map(|v| v as u8))
            });
            let onto_photo = Similarity {
                a: Point { x: scale * angle.cos(), y: scale * angle.sin() },
                b: Point { x: dx, y: dy },
            };
            let cell = (scale / SPACING_IN_COPY) as u32;
            let seen = shrunk(&photo, &onto_photo, (112, 112), cell);
            let direct = sample(&photo, &onto_photo, 112, 112);
            let aligned = AlignedFace { pixels: direct, onto_photo, photo: photo.dimensions(), to_working: 1.0 };
            let inner = (1..111).flat_map(|y| (1..111).map(move |x| (x, y))).filter(|&(x, y)| {
                [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)].iter().all(|&(x, y)| aligned.covers(x, y))
            });
            let copied = seen.map(|(copy, onto_copy)| sample(&copy, &onto_copy, 112, 112));
            for (x, y) in inner {
                let (direct, copied) = (aligned.pixels.get_pixel(x, y), copied.as_ref().unwrap().get_pixel(x, y));
                for (a, b) in direct.0.iter().zip(copied.0) {
                    prop_assert!(a.abs_diff(b) <= 4, "{direct:?} {copied:?} at {x}, {y}");
                }
            }
        }
    }
}
