//! The closer look: a face that the detector found becomes exact, or turns out to be none.
//!
//! The detector looks at a whole photo, so it sees a face on few pixels. This network looks at the face
//! alone, aligned by the detector's landmarks, and says where they truly are. It looks at the mirror image too: a face
//! stays a face, and what only looked like one often does no longer.

use std::array;

use anyhow::ensure;
use image::RgbImage;
use image::imageops::flip_horizontal;
use tract_onnx::prelude::*;

use super::error::EngineError;
use super::manifest::LandmarksManifest;
use super::model::{ModelError, ModelSource};
use super::network::{Network, Plan, tensor};
use super::pixels::{PixelFormat, test_pattern};
use crate::face::{self, Face, Point};
use crate::photo::Photo;

/// A landmark network that has shown that it gives what its manifest says.
#[derive(Debug)]
pub(super) struct Landmarks {
    plan: Plan,
    pixels: PixelFormat,
    side: u32,
    score: f32,
}

/// What a look at a square shows: how sure it is of a face, 0..=1, and its landmarks, in pixels of the square.
struct Seen {
    sure: f32,
    places: [Point; 5],
}

impl Landmarks {
    /// Loads the network and lets it look at the test pattern.
    pub(super) fn load(source: &ModelSource) -> Result<Self, ModelError> {
        let LandmarksManifest { about, pixels, side, score, golden } =
            LandmarksManifest::of(source)?;
        let (network, _) = Network::read(source, &about)?;
        let failed = |error: TractError| source.error(format!("{error:#}"));
        let plan = network.plan(&pixels.shape(side, side)).map_err(failed)?;
        let landmarks = Self { plan, pixels, side, score };
        let output = landmarks.run(&test_pattern(side, side)).map_err(failed)?;
        golden.check(&output).map_err(|e| source.error(e))?;
        Ok(landmarks)
    }

    /// Those of the faces that are some, their landmarks exact.
    pub(super) fn look(&self, photo: &Photo, faces: &[Face]) -> Result<Vec<Face>, EngineError> {
        let mut kept = Vec::with_capacity(faces.len());
        for found in faces {
            let square = face::glance(photo, found, self.side);
            let Seen { sure, places } = self.see(square.pixels()).map_err(EngineError::run)?;
            if sure.is_nan() || sure < self.score {
                continue;
            }
            let exact = places.map(|at| square.in_photo(at));
            kept.extend(Face::new(*found.bounds(), exact, found.confidence()));
        }
        Ok(kept)
    }

    /// What the square and its mirror image show.
    fn see(&self, square: &RgbImage) -> TractResult<Seen> {
        let seen = self.seen(self.run(square)?);
        let mirrored = self.seen(self.run(&flip_horizontal(square))?);
        Ok(seen.and(&mirrored.mirrored(self.side)))
    }

    /// The network's answer.
    fn seen(&self, [sure, places @ ..]: [f32; 11]) -> Seen {
        let place = |i: usize| f64::from(places[i]) * f64::from(self.side);
        Seen { sure, places: array::from_fn(|k| Point { x: place(2 * k), y: place(2 * k + 1) }) }
    }

    /// How sure it is of a face, 0..=1, then the landmarks, x before y, in sides of the square.
    fn run(&self, square: &RgbImage) -> TractResult<[f32; 11]> {
        let outputs = self.plan.run(tvec!(tensor(&self.pixels, square)?.into_tvalue()))?;
        let view = outputs[0].to_plain_array_view::<f32>()?;
        ensure!(view.len() == 11, "the output has {} values, not 11", view.len());
        let mut values = view.iter().copied();
        Ok(array::from_fn(|_| values.next().unwrap_or(f32::NAN)))
    }
}

impl Seen {
    /// What was seen of a mirror image, as it is of the image.
    fn mirrored(&self, side: u32) -> Self {
        let [right_eye, left_eye, nose, right_mouth, left_mouth] =
            self.places.map(|at| Point { x: f64::from(side) - 1.0 - at.x, y: at.y });
        Self { sure: self.sure, places: [left_eye, right_eye, nose, left_mouth, right_mouth] }
    }

    /// The mean of two looks: of the landmarks, and of the logits of how sure they are.
    fn and(&self, other: &Self) -> Self {
        let odds = |sure: f32| sure / (1.0 - sure);
        let odds = (odds(self.sure) * odds(other.sure)).sqrt();
        let mean = |a: f64, b: f64| f64::midpoint(a, b);
        let places = array::from_fn(|k| {
            let (a, b) = (self.places[k], other.places[k]);
            Point { x: mean(a.x, b.x), y: mean(a.y, b.y) }
        });
        Self { sure: 1.0 - 1.0 / (1.0 + odds), places }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_looks_meet_in_the_middle() {
        let at = |x: f64, y: f64| Point { x, y };
        let places =
            [at(20.0, 25.0), at(40.0, 26.0), at(30.0, 35.0), at(22.0, 45.0), at(38.0, 46.0)];
        let seen = Seen { sure: 0.2, places };
        let mirrored = seen.mirrored(64);
        assert_eq!(mirrored.places[0], at(23.0, 26.0));
        assert_eq!(mirrored.mirrored(64).places, places);
        let other = Seen { sure: 0.01, places: places.map(|p| at(p.x + 2.0, p.y)) };
        let both = seen.and(&other);
        // Odds of 1/4 and 1/99.
        let odds = (1.0_f32 / 4.0 / 99.0).sqrt();
        assert!((both.sure - odds / (1.0 + odds)).abs() < 1e-6, "{}", both.sure);
        assert_eq!(both.places[2], at(31.0, 35.0));
        let certain = Seen { sure: 1.0, places };
        assert!((certain.and(&certain).sure - 1.0).abs() < 1e-6);
    }
}
