//! The closer look: a face that the detector found becomes exact, or turns out to be none.
//!
//! The detector looks at a whole photo, so it sees a face on few pixels. This network looks at the face
//! alone, aligned by the detector's landmarks, and says where they truly are.

use std::array;

use anyhow::ensure;
use tract_onnx::prelude::*;

use super::EngineError;
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
            let [score, places @ ..] = self.run(square.pixels()).map_err(EngineError::run)?;
            if score.is_nan() || score < self.score {
                continue;
            }
            let place = |i: usize| f64::from(places[i]) * f64::from(self.side);
            let exact =
                array::from_fn(|k| square.in_photo(Point { x: place(2 * k), y: place(2 * k + 1) }));
            kept.extend(Face::new(*found.bounds(), exact, found.confidence()));
        }
        Ok(kept)
    }

    /// How sure it is of a face, 0..=1, then the landmarks, x before y, in sides of the square.
    fn run(&self, square: &image::RgbImage) -> TractResult<[f32; 11]> {
        let outputs = self.plan.run(tvec!(tensor(&self.pixels, square)?.into_tvalue()))?;
        let view = outputs[0].to_plain_array_view::<f32>()?;
        ensure!(view.len() == 11, "the output has {} values, not 11", view.len());
        let mut values = view.iter().copied();
        Ok(array::from_fn(|_| values.next().unwrap_or(f32::NAN)))
    }
}
