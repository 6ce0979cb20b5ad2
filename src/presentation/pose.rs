//! What five landmarks tell of a turned head, and of a turned picture of one.

use crate::face::Point;
use crate::quality;

/// The pose of a head as its landmarks state it. The network understates both, so only differences between frames of
/// one person are used (`models/measured/turns.md`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Pose {
    /// Degrees to the person's left ([`quality::yaw`]).
    pub(super) yaw: f64,
    /// How far the nose lies from the mouth towards the eyes, as a share of their distance; grows as the head looks up.
    pub(super) lift: f64,
    /// Inter-eye distance over the distance from eyes to mouth; falls as a head or a picture turns to a side.
    pub(super) breadth: f64,
}

impl Pose {
    /// Returns the pose of landmarks, in the order of [`Face::landmarks`](crate::face::Face::landmarks).
    pub(super) fn of(landmarks: &[Point; 5]) -> Self {
        let [right_eye, left_eye, nose, right_mouth, left_mouth] = landmarks;
        let (dx, dy) = (left_eye.x - right_eye.x, left_eye.y - right_eye.y);
        let eyes = f64::hypot(dx, dy);
        // Downwards from the line of the eyes, in pixels.
        let down = |p: &Point| (p.y * dx - p.x * dy) / eyes;
        let eye = f64::midpoint(down(right_eye), down(left_eye));
        let mouth = f64::midpoint(down(right_mouth), down(left_mouth));
        let height = mouth - eye;
        Self {
            yaw: quality::yaw(landmarks),
            lift: (mouth - down(nose)) / height,
            breadth: eyes / height,
        }
    }

    /// Returns the mean of several poses.
    pub(super) fn mean(poses: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| poses.iter().map(of).sum::<f64>() / poses.len() as f64;
        Self { yaw: mean(|p| p.yaw), lift: mean(|p| p.lift), breadth: mean(|p| p.breadth) }
    }
}

/// Returns the distance between the eyes, in pixels.
pub(super) fn eye_distance(landmarks: &[Point; 5]) -> f64 {
    let [right_eye, left_eye, ..] = landmarks;
    f64::hypot(left_eye.x - right_eye.x, left_eye.y - right_eye.y)
}

/// Returns the center of the landmarks.
pub(super) fn center(landmarks: &[Point; 5]) -> Point {
    Point {
        x: landmarks.iter().map(|p| p.x).sum::<f64>() / 5.0,
        y: landmarks.iter().map(|p| p.y).sum::<f64>() / 5.0,
    }
}

/// Returns the mean distance between the landmarks `to` and the image of `from` under the affine map that fits best, in
/// inter-eye distances of `to`. Views of a plane differ by an affine map but for perspective; those of a head do not.
/// It is 0 where the landmarks of `from` lie on a line.
pub(super) fn affine_residual(from: &[Point; 5], to: &[Point; 5]) -> f64 {
    let (from_center, to_center) = (center(from), center(to));
    let pairs = from.iter().zip(to).map(|(p, q)| {
        [p.x - from_center.x, p.y - from_center.y, q.x - to_center.x, q.y - to_center.y]
    });
    let pairs: Vec<_> = pairs.collect();
    let sum = |i: usize, k: usize| pairs.iter().map(|pair| pair[i] * pair[k]).sum::<f64>();
    let (xx, xy, yy) = (sum(0, 0), sum(0, 1), sum(1, 1));
    let determinant = xx * yy - xy * xy;
    if determinant <= 1e-9 * xx * yy {
        return 0.0;
    }
    // Least squares: the row of the map that gives coordinate `to`.
    let row = |to: usize| {
        let (x, y) = (sum(0, to), sum(1, to));
        [(x * yy - y * xy) / determinant, (y * xx - x * xy) / determinant]
    };
    let (across, down) = (row(2), row(3));
    let off = |[x, y, u, v]: &[f64; 4]| {
        f64::hypot(across[0] * x + across[1] * y - u, down[0] * x + down[1] * y - v)
    };
    pairs.iter().map(off).sum::<f64>() / 5.0 / eye_distance(to)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FACE: [Point; 5] = [
        Point { x: 38.0, y: 51.0 },
        Point { x: 74.0, y: 52.0 },
        Point { x: 56.0, y: 72.0 },
        Point { x: 41.0, y: 92.0 },
        Point { x: 71.0, y: 93.0 },
    ];

    proptest! {
        #[test]
        fn an_affine_map_leaves_no_residual(
            a in 0.3_f64..3.0, b in -0.5_f64..0.5, c in -0.1_f64..0.1, d in 0.3_f64..3.0, x in -99.0_f64..99.0,
        ) {
            let moved = FACE.map(|p| Point { x: a * p.x + b * p.y + x, y: c * p.x + d * p.y - x });
            prop_assert!(affine_residual(&moved, &FACE) < 1e-9);
            prop_assert!(affine_residual(&FACE, &moved) < 1e-9);
        }

        #[test]
        fn rotation_in_the_picture_changes_no_pose(angle in -1.0_f64..1.0, scale in 0.1_f64..9.0) {
            let (sin, cos) = angle.sin_cos();
            let turned = FACE.map(|p| Point {
                x: scale * (p.x * cos - p.y * sin),
                y: scale * (p.x * sin + p.y * cos),
            });
            let (pose, before) = (Pose::of(&turned), Pose::of(&FACE));
            prop_assert!((pose.yaw - before.yaw).abs() < 1e-6);
            prop_assert!((pose.lift - before.lift).abs() < 1e-9);
            prop_assert!((pose.breadth - before.breadth).abs() < 1e-9);
        }
    }

    #[test]
    fn a_nose_that_moves_leaves_a_residual() {
        let mut turned = FACE;
        turned[2].x += 9.0;
        let residual = affine_residual(&turned, &FACE);
        assert!((0.04..0.15).contains(&residual), "{residual}");
        assert!(affine_residual(&[Point { x: 1.0, y: 2.0 }; 5], &FACE).abs() < 1e-9);
    }
}
