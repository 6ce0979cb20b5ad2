//! Synthetic yaw views: an aligned face, warped as if the head were turned to the side. The result is not photorealistic,
//! but the far half disappears, the nose protrudes, and the near half grows.

use image::{Rgb, RgbImage};

use super::Point;
use super::similarity::{Similarity, TEMPLATE, TEMPLATE_SIDE};

/// The middle of the template.
const MIDDLE: f64 = TEMPLATE_SIDE / 2.0;

/// The extent of the depth model from the middle, in pixels of the template, as are the constants below.
const REACH: i32 = 66;

/// The depth of the rotation axis of a head.
const AXIS: f64 = 30.0;

/// A warp of aligned faces of one size by one yaw angle.
#[derive(Debug)]
pub(crate) struct SyntheticYaw {
    width: u32,
    height: u32,
    /// The position in the face, in pixels, of each pixel of the view.
    seen: Vec<Point>,
}

impl SyntheticYaw {
    /// Creates the warp for a yaw of `degrees`, 0 to 75, to the photo's left. The view is aligned again by its landmarks.
    pub(crate) fn new(degrees: f64, width: u32, height: u32) -> Self {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let rows: Vec<_> =
            (-REACH..=REACH).map(|y| DepthRow::new(f64::from(y), sine, cosine)).collect();
        let moved = TEMPLATE.map(|p| {
            let (x, y) = (p.x - MIDDLE, p.y - MIDDLE);
            Point { x: x * cosine + (depth(x, y) - AXIS) * sine, y }
        });
        let back = Similarity::fit(&moved, &TEMPLATE).inverse();
        let [across, down] = [width, height].map(|side| f64::from(side) / TEMPLATE_SIDE);
        let source = |(x, y): (u32, u32)| {
            let at = back.apply(Point { x: f64::from(x) / across, y: f64::from(y) / down });
            let row = (at.y + f64::from(REACH)).clamp(0.0, 2.0 * f64::from(REACH) - 0.001);
            let [above, below] = [0, 1].map(|k| rows[row as usize + k].source(at.x + AXIS * sine));
            let x = above + (below - above) * row.fract();
            Point { x: (x + MIDDLE) * across, y: (at.y + MIDDLE) * down }
        };
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Self { width, height, seen: pixels.map(source).collect() }
    }

    /// Returns the view of a face. Pixels beyond the edge of the face repeat the edge.
    pub(crate) fn of(&self, face: &RgbImage) -> RgbImage {
        let last = [face.width() - 1, face.height() - 1];
        let mut view = RgbImage::new(self.width, self.height);
        for (pixel, at) in view.pixels_mut().zip(&self.seen) {
            let [x, y] =
                [(at.x, last[0]), (at.y, last[1])].map(|(v, last)| v.clamp(0.0, last.into()));
            let [left, top] = [x as u32, y as u32];
            let [right, bottom] = [(left + 1).min(last[0]), (top + 1).min(last[1])];
            let corners = [(left, top), (right, top), (left, bottom), (right, bottom)];
            let corners = corners.map(|(x, y)| face.get_pixel(x, y).0);
            *pixel = Rgb(std::array::from_fn(|c| {
                let [a, b, c, d] = corners.map(|corner| f64::from(corner[c]));
                let (above, below) = (a + (b - a) * x.fract(), c + (d - c) * x.fract());
                (above + (below - above) * y.fract() + 0.5) as u8
            }));
        }
        view
    }
}

/// A row of the face: the horizontal position of each of its points after rotation, or of the point that occludes it.
struct DepthRow(Vec<f64>);

impl DepthRow {
    fn new(y: f64, sine: f64, cosine: f64) -> Self {
        let mut furthest = f64::NEG_INFINITY;
        let come = (-REACH..=REACH).map(f64::from).map(|x| {
            // Occluded points still differ slightly, so that the search finds each.
            furthest = (furthest + 1e-4).max(x * cosine + depth(x, y) * sine);
            furthest
        });
        Self(come.collect())
    }

    /// Returns the point that rotation moves to `at`.
    fn source(&self, at: f64) -> f64 {
        let next = self.0.partition_point(|come| *come < at);
        let (Some(before), Some(come)) = (next.checked_sub(1), self.0.get(next)) else {
            return f64::from(if next == 0 { -REACH } else { REACH });
        };
        let start = self.0[before];
        before as f64 - f64::from(REACH) + (at - start) / (come - start)
    }
}

/// Returns the depth of a face at a point relative to its middle: an ellipsoid with a nose. The encoder's training uses
/// the same model (`models/train/encoder/views.py`).
fn depth(x: f64, y: f64) -> f64 {
    let radius = 50.0 * (1.0 - ((y - 6.0) / 80.0).powi(2)).clamp(0.2, 1.0).sqrt();
    let head = 0.95 * radius * (1.0 - (x / radius).powi(2)).max(0.0).sqrt();
    let bridge = ((y + 8.0) / 24.0).clamp(0.0, 1.0);
    let tip = (x / 6.5).powi(2) / 2.0 + ((y - 15.0).max(0.0) / 4.0).powi(2) / 2.0;
    head + 13.0 * bridge * (-tip).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Brighter to the right and downwards.
    fn slope(side: u32) -> RgbImage {
        RgbImage::from_fn(side, side, |x, y| {
            Rgb([(x * 255 / side) as u8, (y * 255 / side) as u8, 0])
        })
    }

    #[test]
    fn zero_yaw_is_the_identity() {
        let face = slope(112);
        let view = SyntheticYaw::new(0.0, 112, 112).of(&face);
        for (x, y, pixel) in view.enumerate_pixels() {
            let near = pixel.0.iter().zip(face.get_pixel(x, y).0).all(|(a, b)| a.abs_diff(b) <= 1);
            assert!(near, "{x} {y}");
        }
    }

    #[test]
    fn yaw_shows_the_near_half_and_keeps_the_landmarks() {
        for side in [56, 112, 160] {
            let face = slope(side);
            let view = SyntheticYaw::new(45.0, side, side).of(&face);
            let middle = |image: &RgbImage| image.get_pixel(side / 2, side / 2).0;
            assert!(middle(&view)[0] < middle(&face)[0], "{side}: the left half comes forward");
            // Heights hardly change: eyes and mouth are where the template has them.
            for y in [side * 46 / 100, side * 82 / 100] {
                let (before, after) =
                    (face.get_pixel(side / 2, y)[1], view.get_pixel(side / 2, y)[1]);
                assert!(before.abs_diff(after) < 12, "{side} {y}: {before} {after}");
            }
        }
    }
}
