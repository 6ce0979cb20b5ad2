//! Alignment: samples a face upright, at the input size of an encoder.

use std::array;

use image::RgbImage;

use super::similarity::{Similarity, TEMPLATE, TEMPLATE_SIDE};
use super::{Face, Point};
use crate::photo::{Photo, shrink_part};

/// Maximum distance of samples, in photo pixels, so that bilinear sampling skips no pixel.
const SAMPLE_SPACING: f64 = 1.5;

/// Distance of the aligned pixels in the shrunk copy of a large face, in pixels of the copy.
/// Shrinking computes most of the average at a fraction of the cost.
const SPACING_IN_COPY: f64 = 2.0;

/// The same for uses that need positions, but not sharpness.
const SPACING_IN_SQUARE: f64 = 1.0;

/// Fractional bits of fixed-point coordinates.
const FRACTION: u32 = 16;

/// A face, rotated and scaled so that its landmarks are where the encoder expects them.
pub struct AlignedFace {
    pixels: RgbImage,
    onto_photo: Similarity,
    /// Half the side of an aligned pixel, in working pixels of the photo.
    margin: f64,
    photo: (u32, u32),
    to_working: f64,
}

impl AlignedFace {
    /// Wraps pixels that are already aligned.
    #[cfg(test)]
    pub(crate) fn from_pixels(pixels: RgbImage) -> Self {
        let photo = pixels.dimensions();
        let here = Similarity { a: Point { x: 1.0, y: 0.0 }, b: Point { x: 0.0, y: 0.0 } };
        Self { pixels, onto_photo: here, margin: 0.5, photo, to_working: 1.0 }
    }

    /// Returns the RGB pixels at the requested size.
    pub fn pixels(&self) -> &RgbImage {
        &self.pixels
    }

    /// Maps a point of the aligned face to the original photo, both in pixels.
    pub(crate) fn in_photo(&self, at: Point) -> Point {
        let Point { x, y } = self.onto_photo.apply(at);
        Point { x: x / self.to_working, y: y / self.to_working }
    }

    /// Returns whether a pixel was sampled entirely from inside the photo.
    pub(crate) fn covers(&self, x: u32, y: u32) -> bool {
        let at = self.onto_photo.apply(Point { x: f64::from(x), y: f64::from(y) });
        let within = |value: f64, length: u32| {
            value >= self.margin && value <= f64::from(length) - 1.0 - self.margin
        };
        within(at.x, self.photo.0) && within(at.y, self.photo.1)
    }
}

impl std::fmt::Debug for AlignedFace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedFace({} x {})", self.pixels.width(), self.pixels.height())
    }
}

/// Samples the face from the photo's working pixels at `width` x `height`, without aliasing.
/// Outside the photo, pixels are black.
pub fn align(photo: &Photo, face: &Face, width: u32, height: u32) -> AlignedFace {
    aligned(photo, face, (width, height), SPACING_IN_COPY)
}

/// Aligns to a square with fewer samples; a large face becomes slightly less sharp.
pub fn align_square(photo: &Photo, face: &Face, side: u32) -> AlignedFace {
    aligned(photo, face, (side, side), SPACING_IN_SQUARE)
}

fn aligned(photo: &Photo, face: &Face, (width, height): (u32, u32), spacing: f64) -> AlignedFace {
    let to_working = photo.scale();
    let landmarks = face.landmarks.map(|p| Point { x: p.x * to_working, y: p.y * to_working });
    let target = TEMPLATE.map(|p| Point {
        x: p.x * f64::from(width) / TEMPLATE_SIDE,
        y: p.y * f64::from(height) / TEMPLATE_SIDE,
    });
    let onto_photo = Similarity::fit(&landmarks, &target).inverse();
    let working = photo.working();
    let cell = (onto_photo.scale() / spacing) as u32;
    let pixels = match shrunk(working, &onto_photo, (width, height), cell) {
        Some((copy, onto_copy)) => sample(&copy, &onto_copy, width, height),
        None => sample(working, &onto_photo, width, height),
    };
    let margin = onto_photo.scale() / 2.0;
    AlignedFace { pixels, onto_photo, margin, photo: working.dimensions(), to_working }
}

/// Returns a copy of the face's part of an image, `cell` times smaller, and the transform to it;
/// `None` if there is nothing to shrink.
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
    // First pixel and number of cells along one side, with one more cell at each end for
    // interpolation.
    let cells = |at: fn(&Point) -> f64, length: u32| {
        let first = corners.iter().map(at).fold(f64::INFINITY, f64::min) / f64::from(cell) - 1.0;
        let last = corners.iter().map(at).fold(f64::NEG_INFINITY, f64::max) / f64::from(cell) + 1.0;
        // The cast saturates, so that no cell begins before the image.
        let first = first as u32;
        let count = (last.ceil() as u32).min(length / cell).checked_sub(first)?;
        (count > 0).then_some((first * cell, count))
    };
    let (left, columns) = cells(|p| p.x, image.width())?;
    let (top, rows) = cells(|p| p.y, image.height())?;
    let copy = shrink_part(image, (left, top), (columns, rows), cell);
    Some((copy, onto_image.onto(Point { x: f64::from(left), y: f64::from(top) }, f64::from(cell))))
}

/// Returns `width` x `height` pixels, each the mean of a grid of samples over the pixel.
fn sample(image: &RgbImage, onto_image: &Similarity, width: u32, height: u32) -> RgbImage {
    let per_side = (onto_image.scale() / SAMPLE_SPACING).ceil().clamp(1.0, 12.0);
    let offsets = (0..per_side as u32).map(|k| (f64::from(k) + 0.5) / per_side - 0.5);
    let turned = Similarity { a: onto_image.a, b: Point { x: 0.0, y: 0.0 } };
    let grid: Vec<_> = offsets
        .clone()
        .flat_map(|y| offsets.clone().map(move |x| fixed(turned.apply(Point { x, y }))))
        .collect();
    let share = 1.0 / (grid.len() as f32 * (1_u32 << FRACTION) as f32);
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = fixed(onto_image.apply(Point { x: f64::from(x), y: f64::from(y) }));
        let mut sum = [0_u64; 3];
        for (dx, dy) in &grid {
            let sample = bilinear(image, x.saturating_add(*dx), y.saturating_add(*dy));
            sum = array::from_fn(|c| sum[c] + u64::from(sample[c]));
        }
        image::Rgb(sum.map(|c| (c as f32 * share + 0.5) as u8))
    })
}

fn fixed(at: Point) -> (i64, i64) {
    let fixed = |v: f64| (v * f64::from(1_u32 << FRACTION) + 0.5) as i64;
    (fixed(at.x), fixed(at.y))
}

/// Interpolates the color at a point: 0..=255 times 65,536 for each channel, black outside the
/// image. The weights of the four pixels have 8 bits, so that four multiplications weight all
/// channels of two rows.
fn bilinear(image: &RgbImage, x: i64, y: i64) -> [u32; 3] {
    /// Mask of every other byte, so that each has room for a product.
    const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
    let share = |v: i64| (v >> (FRACTION - 8) & 0xff) as u64;
    let (right, lower) = (share(x), share(y));
    let rows = pairs(image, x >> FRACTION, y >> FRACTION).map(u64::from_le_bytes);
    let mix = |shift: u32| {
        let [above, below] = rows.map(|row| row >> shift & EVEN);
        above * (256 - lower) + below * lower
    };
    // Bytes 0 to 2 are the left pixel's channels, bytes 3 to 5 the right one's.
    let (even, odd) = (mix(0), mix(8));
    let column = |lanes: u64, k: u32| (lanes >> (16 * k) & 0xffff) as u32;
    let (left, right) = (256 - right as u32, right as u32);
    [
        column(even, 0) * left + column(odd, 1) * right,
        column(odd, 0) * left + column(even, 2) * right,
        column(even, 1) * left + column(odd, 2) * right,
    ]
}

/// Returns a pixel and its right neighbor, and the two below them; black outside the image. The
/// last two bytes of each row are unspecified.
fn pairs(image: &RgbImage, left: i64, top: i64) -> [[u8; 8]; 2] {
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    if (0..width - 1).contains(&left) && (0..height - 1).contains(&top) {
        let above = 3 * (top * width + left) as usize;
        let row = |first: usize| image.as_raw().get(first..)?.first_chunk();
        if let (Some(above), Some(below)) = (row(above), row(above + 3 * width as usize)) {
            return [*above, *below];
        }
    }
    pairs_at_the_edge(image, left, top)
}

#[cold]
fn pairs_at_the_edge(image: &RgbImage, left: i64, top: i64) -> [[u8; 8]; 2] {
    array::from_fn(|row| {
        let mut pair = [0; 8];
        for (column, place) in pair.chunks_exact_mut(3).enumerate() {
            let within = |v: i64, length: u32| u32::try_from(v).ok().filter(|v| *v < length);
            let x = within(left + column as i64, image.width());
            let y = within(top + row as i64, image.height());
            if let (Some(x), Some(y)) = (x, y) {
                place.copy_from_slice(&image.get_pixel(x, y).0);
            }
        }
        pair
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{face_at, photo};
    use super::*;

    #[test]
    fn aligned_face_is_copied_pixel_by_pixel() {
        let photo = photo(112, 112);
        let aligned = align(&photo, &face_at(0.0, 0.0, 112.0), 112, 112);
        assert_eq!(aligned.pixels(), photo.working());
    }

    #[test]
    fn large_face_is_averaged_without_aliasing() {
        // Stripes one pixel wide become uniform gray at a sixth of the size.
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
        #[test]
        fn between_pixels_each_counts_by_its_nearness_and_outside_is_black(x in -2.0_f64..7.0, y in -2.0_f64..6.0) {
            let image = RgbImage::from_fn(5, 4, |x, y| image::Rgb([x * 60, y * 80, x * y * 20].map(|v| v as u8)));
            let (left, top) = fixed(Point { x, y });
            let found = bilinear(&image, left, top).map(|c| f64::from(c) / 65536.0);
            let mut expected = [0.0; 3];
            for (column, row, pixel) in image.enumerate_pixels() {
                let near = |place: f64, at: u32| (1.0 - (place - f64::from(at)).abs()).max(0.0);
                let share = near(x, column) * near(y, row);
                expected = array::from_fn(|c| expected[c] + share * f64::from(pixel.0[c]));
            }
            for (found, expected) in found.iter().zip(expected) {
                prop_assert!((found - expected).abs() < 1.5, "{found} instead of {expected}");
            }
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
            let aligned =
                AlignedFace { pixels: direct, onto_photo, margin: scale / 2.0, photo: photo.dimensions(), to_working: 1.0 };
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
