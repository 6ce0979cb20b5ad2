//! The landmark refiner: makes the landmarks of a detected face exact, or rejects it.
//!
//! The detector reads a whole photo, in which a face has few pixels. This network reads the face alone, aligned by the
//! detector's landmarks, and its mirror image: a false detection often scores low in one of the two.

use std::array;

use image::RgbImage;
use image::imageops::flip_horizontal;
use tract_onnx::prelude::*;

use super::error::EngineError;
use super::manifest::LandmarksManifest;
use super::model::{ModelError, ModelSource};
use super::square_network::SquareNetwork;
use crate::face::{self, Face, Point};
use crate::photo::Photo;

/// A landmark network that reproduced the golden output of its manifest.
#[derive(Debug)]
pub(super) struct LandmarkRefiner {
    /// The confidence, 0..=1, then the landmarks, x before y, in sides of the square.
    network: SquareNetwork<11>,
    score: f32,
}

/// The network's estimate for an aligned square.
struct Estimate {
    /// Confidence that it shows a face, 0..=1.
    confidence: f32,
    /// In pixels of the square.
    landmarks: [Point; 5],
}

impl LandmarkRefiner {
    /// Loads the network and runs it on the test pattern.
    pub(super) fn load(source: &ModelSource) -> Result<Self, ModelError> {
        let LandmarksManifest { about, pixels, side, score, golden } =
            LandmarksManifest::of(source)?;
        let network = SquareNetwork::load(source, &about, (side, pixels), &golden)?;
        Ok(Self { network, score })
    }

    /// Returns the faces that the network confirms, with refined landmarks.
    pub(super) fn refine(&self, photo: &Photo, faces: &[Face]) -> Result<Vec<Face>, EngineError> {
        let mut kept = Vec::with_capacity(faces.len());
        for found in faces {
            let square = face::align_square(photo, found, self.network.side);
            let Estimate { confidence, landmarks } =
                self.estimate(square.pixels()).map_err(EngineError::run)?;
            if confidence.is_nan() || confidence < self.score {
                continue;
            }
            let exact = landmarks.map(|at| square.in_photo(at));
            kept.extend(Face::new(*found.bounds(), exact, found.confidence()));
        }
        Ok(kept)
    }

    /// Returns the mean estimate of the square and its mirror image.
    fn estimate(&self, square: &RgbImage) -> TractResult<Estimate> {
        let estimate = self.read(self.network.run(square)?);
        let mirrored = self.read(self.network.run(&flip_horizontal(square))?);
        Ok(estimate.and(&mirrored.mirrored(self.network.side)))
    }

    /// Reads the output of the network.
    fn read(&self, [confidence, landmarks @ ..]: [f32; 11]) -> Estimate {
        let place = |i: usize| f64::from(landmarks[i]) * f64::from(self.network.side);
        Estimate {
            confidence,
            landmarks: array::from_fn(|k| Point { x: place(2 * k), y: place(2 * k + 1) }),
        }
    }
}

impl Estimate {
    /// Returns the estimate for the mirror image of the square.
    fn mirrored(&self, side: u32) -> Self {
        let [right_eye, left_eye, nose, right_mouth, left_mouth] =
            self.landmarks.map(|at| Point { x: f64::from(side) - 1.0 - at.x, y: at.y });
        Self {
            confidence: self.confidence,
            landmarks: [left_eye, right_eye, nose, left_mouth, right_mouth],
        }
    }

    /// Returns the mean of two estimates: of the landmarks, and of the logits of the confidences.
    fn and(&self, other: &Self) -> Self {
        let odds = |confidence: f32| confidence / (1.0 - confidence);
        let odds = (odds(self.confidence) * odds(other.confidence)).sqrt();
        let mean = |a: f64, b: f64| f64::midpoint(a, b);
        let landmarks = array::from_fn(|k| {
            let (a, b) = (self.landmarks[k], other.landmarks[k]);
            Point { x: mean(a.x, b.x), y: mean(a.y, b.y) }
        });
        Self { confidence: 1.0 - 1.0 / (1.0 + odds), landmarks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrored_landmarks_are_averaged() {
        let at = |x: f64, y: f64| Point { x, y };
        let landmarks =
            [at(20.0, 25.0), at(40.0, 26.0), at(30.0, 35.0), at(22.0, 45.0), at(38.0, 46.0)];
        let estimate = Estimate { confidence: 0.2, landmarks };
        let mirrored = estimate.mirrored(64);
        assert_eq!(mirrored.landmarks[0], at(23.0, 26.0));
        assert_eq!(mirrored.mirrored(64).landmarks, landmarks);
        let other = Estimate { confidence: 0.01, landmarks: landmarks.map(|p| at(p.x + 2.0, p.y)) };
        let both = estimate.and(&other);
        // Odds of 1/4 and 1/99.
        let odds = (1.0_f32 / 4.0 / 99.0).sqrt();
        assert!((both.confidence - odds / (1.0 + odds)).abs() < 1e-6, "{}", both.confidence);
        assert_eq!(both.landmarks[2], at(31.0, 35.0));
        let certain = Estimate { confidence: 1.0, landmarks };
        assert!((certain.and(&certain).confidence - 1.0).abs() < 1e-6);
    }
}
