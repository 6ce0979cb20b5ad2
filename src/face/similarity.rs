//! Similarity transforms of the plane, and the landmark template for alignment.

use super::Point;

/// Positions of the five landmarks in an aligned face of 112 x 112 pixels: right eye, left eye,
/// nose, right and left corner of the mouth. The template of `ArcFace` (Deng et al. 2019), which
/// SFace shares.
pub(super) const TEMPLATE: [Point; 5] = [
    Point { x: 38.2946, y: 51.6963 },
    Point { x: 73.5318, y: 51.5014 },
    Point { x: 56.0252, y: 71.7366 },
    Point { x: 41.5493, y: 92.3655 },
    Point { x: 70.7299, y: 92.2041 },
];

/// The side of the template's square, in pixels.
pub(super) const TEMPLATE_SIDE: f64 = 112.0;

/// A similarity transform: rotation, scaling and translation, z -> a z + b in complex numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Similarity {
    pub(super) a: Point,
    pub(super) b: Point,
}

impl Similarity {
    /// Returns the least-squares similarity transform from `from` to `to`: Umeyama 1991 without
    /// reflection, which in the plane is the quotient of two complex inner products.
    pub(super) fn fit(from: &[Point; 5], to: &[Point; 5]) -> Self {
        let mean = |points: &[Point; 5]| Point {
            x: points.iter().map(|p| p.x).sum::<f64>() / 5.0,
            y: points.iter().map(|p| p.y).sum::<f64>() / 5.0,
        };
        let (from_mean, to_mean) = (mean(from), mean(to));
        let (mut real, mut imaginary, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py) = (p.x - from_mean.x, p.y - from_mean.y);
            let (qx, qy) = (q.x - to_mean.x, q.y - to_mean.y);
            real += px * qx + py * qy;
            imaginary += px * qy - py * qx;
            spread += px * px + py * py;
        }
        let a = Point { x: real / spread, y: imaginary / spread };
        let turned = Self { a, b: Point { x: 0.0, y: 0.0 } }.apply(from_mean);
        Self { a, b: Point { x: to_mean.x - turned.x, y: to_mean.y - turned.y } }
    }

    pub(super) fn scale(&self) -> f64 {
        f64::hypot(self.a.x, self.a.y)
    }

    pub(super) fn apply(&self, p: Point) -> Point {
        Point {
            x: self.a.x * p.x - self.a.y * p.y + self.b.x,
            y: self.a.y * p.x + self.a.x * p.y + self.b.y,
        }
    }

    /// Returns the transform to a copy that begins at `origin` and has one pixel for each `cell` x
    /// `cell` pixels. Coordinates of a pixel are those of its center, half a pixel from its edges.
    pub(super) fn onto(&self, origin: Point, cell: f64) -> Self {
        let within = |at: f64, from: f64| (at + 0.5 - from) / cell - 0.5;
        Self {
            a: Point { x: self.a.x / cell, y: self.a.y / cell },
            b: Point { x: within(self.b.x, origin.x), y: within(self.b.y, origin.y) },
        }
    }

    pub(super) fn inverse(&self) -> Self {
        let square = self.a.x * self.a.x + self.a.y * self.a.y;
        let a = Point { x: self.a.x / square, y: -self.a.y / square };
        let shifted = Self { a, b: Point { x: 0.0, y: 0.0 } }.apply(self.b);
        Self { a, b: Point { x: -shifted.x, y: -shifted.y } }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn alignment_undoes_any_similarity_of_the_landmarks(
            angle in -3.1_f64..3.1, scale in 0.1_f64..20.0, dx in -500.0_f64..500.0, dy in -500.0_f64..500.0,
        ) {
            let moved = Similarity {
                a: Point { x: scale * angle.cos(), y: scale * angle.sin() },
                b: Point { x: dx, y: dy },
            };
            let back = Similarity::fit(&TEMPLATE.map(|p| moved.apply(p)), &TEMPLATE);
            for p in TEMPLATE {
                let q = back.apply(moved.apply(p));
                prop_assert!((p.x - q.x).abs() < 1e-6 && (p.y - q.y).abs() < 1e-6);
                let r = moved.inverse().apply(moved.apply(p));
                prop_assert!((p.x - r.x).abs() < 1e-6 && (p.y - r.y).abs() < 1e-6);
            }
        }
    }
}
