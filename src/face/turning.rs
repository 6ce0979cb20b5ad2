//! A face as it would look with the head turned aside: no photograph comes out, but the far half goes out of sight, the
//! nose stands out, and the near half grows.

use image::{Rgb, RgbImage};

use super::Point;
use super::similarity::{Similarity, TEMPLATE, TEMPLATE_SIDE};

/// The middle of the template.
const MIDDLE: f64 = TEMPLATE_SIDE / 2.0;

/// So far from the middle the model of depth reaches, in the template's pixels, as do the constants below.
const REACH: i32 = 66;

/// How deep the axis lies about which a head turns.
const AXIS: f64 = 30.0;

/// Turns aligned faces of one size by one angle.
#[derive(Debug)]
pub(crate) struct Turn {
    width: u32,
    height: u32,
    /// Where each pixel of the turned face is seen in the face, in pixels.
    seen: Vec<Point>,
}

impl Turn {
    /// To the photo's left, by `degrees` between 0 and 75. The turned face is aligned anew, as its landmarks would have it.
    pub(crate) fn new(degrees: f64, width: u32, height: u32) -> Self {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let rows: Vec<_> = (-REACH..=REACH).map(|y| Row::new(f64::from(y), sine, cosine)).collect();
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

    /// A face of this size, turned. What lies beyond its edge is as the edge is.
    pub(crate) fn of(&self, face: &RgbImage) -> RgbImage {
        let last = [face.width() - 1, face.height() - 1];
        let mut turned = RgbImage::new(self.width, self.height);
        for (pixel, at) in turned.pixels_mut().zip(&self.seen) {
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
        turned
    }
}

/// A row of the face: how far to the right each of its places has come, where nothing nearer hides it.
struct Row(Vec<f64>);

impl Row {
    fn new(y: f64, sine: f64, cosine: f64) -> Self {
        let mut furthest = f64::NEG_INFINITY;
        let come = (-REACH..=REACH).map(f64::from).map(|x| {
            // Places that are hidden still differ by a trifle, so that each is found.
            furthest = (furthest + 1e-4).max(x * cosine + depth(x, y) * sine);
            furthest
        });
        Self(come.collect())
    }

    /// The place that has come to `at`.
    fn source(&self, at: f64) -> f64 {
        let next = self.0.partition_point(|come| *come < at);
        let (Some(before), Some(come)) = (next.checked_sub(1), self.0.get(next)) else {
            return f64::from(if next == 0 { -REACH } else { REACH });
        };
        let start = self.0[before];
        before as f64 - f64::from(REACH) + (at - start) / (come - start)
    }
}

/// How far a face stands out at a place relative to its middle: a rounded head with a nose. The encoder's training turns
/// heads by the same model (`models/train/common/yaw.py`).
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
    fn a_face_that_is_not_turned_stays_as_it_is() {
        let face = slope(112);
        let turned = Turn::new(0.0, 112, 112).of(&face);
        for (x, y, pixel) in turned.enumerate_pixels() {
            let near = pixel.0.iter().zip(face.get_pixel(x, y).0).all(|(a, b)| a.abs_diff(b) <= 1);
            assert!(near, "{x} {y}");
        }
    }

    #[test]
    fn of_a_head_that_is_turned_the_near_half_is_seen_and_the_landmarks_stay_in_place() {
        for side in [56, 112, 160] {
            let face = slope(side);
            let turned = Turn::new(45.0, side, side).of(&face);
            let middle = |image: &RgbImage| image.get_pixel(side / 2, side / 2).0;
            assert!(middle(&turned)[0] < middle(&face)[0], "{side}: the left half comes forward");
            // Heights hardly change: eyes and mouth are where the template has them.
            for y in [side * 46 / 100, side * 82 / 100] {
                let (before, after) =
                    (face.get_pixel(side / 2, y)[1], turned.get_pixel(side / 2, y)[1]);
                assert!(before.abs_diff(after) < 12, "{side} {y}: {before} {after}");
            }
        }
    }
}
