//! A network that reads one square of pixels and gives a fixed number of values.

use std::array;

use anyhow::ensure;
use image::RgbImage;
use tract_onnx::prelude::*;

use super::manifest::{About, Golden};
use super::model::{ModelError, ModelSource};
use super::network::{Network, Plan, tensor};
use super::pixels::{PixelFormat, test_pattern};

/// A network with `N` output values that reproduced the golden output of its manifest.
#[derive(Debug)]
pub(super) struct SquareNetwork<const N: usize> {
    plan: Plan,
    pixels: PixelFormat,
    /// The side of the square, in pixels.
    pub(super) side: u32,
}

impl<const N: usize> SquareNetwork<N> {
    /// Loads the network and runs it on the test pattern.
    ///
    /// # Errors
    /// [`ModelError`] saying what does not fit.
    pub(super) fn load(
        source: &ModelSource,
        about: &About,
        (side, pixels): (u32, PixelFormat),
        golden: &Golden,
    ) -> Result<Self, ModelError> {
        let (network, _) = Network::read(source, about)?;
        let failed = |error: TractError| source.error(format!("{error:#}"));
        let plan = network.plan(&pixels.shape(side, side)).map_err(failed)?;
        let network = Self { plan, pixels, side };
        let output = network.run(&test_pattern(side, side)).map_err(failed)?;
        golden.check(&output).map_err(|e| source.error(e))?;
        Ok(network)
    }

    /// Returns the output for a square of this side.
    pub(super) fn run(&self, square: &RgbImage) -> TractResult<[f32; N]> {
        let outputs = self.plan.run(tvec!(tensor(&self.pixels, square)?.into_tvalue()))?;
        let view = outputs[0].to_plain_array_view::<f32>()?;
        ensure!(view.len() == N, "the output has {} values, not {N}", view.len());
        let mut values = view.iter().copied();
        Ok(array::from_fn(|_| values.next().unwrap_or(f32::NAN)))
    }
}
