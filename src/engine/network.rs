//! The network of a model: checks its digest against the manifest, and loads it into tract.

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::RgbImage;
use sha2::{Digest, Sha256};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::bail;

use super::inspection::{Port, network_inputs};
use super::manifest::About;
use super::model::{EXPORT_THE_ENCODER, ModelError, ModelSource};
use super::operators::{self, Map};
use super::pixels::PixelFormat;
use super::quantization::Ranges;
use crate::embedding::ModelId;
use crate::employee::ModelName;

/// A network, optimized for one input size.
pub(super) type Plan = Arc<TypedRunnableModel>;

/// A parsed network, not yet bound to an input size.
pub(super) struct Network {
    proto: ModelProto,
}

impl Network {
    /// Parses the network, after checking its digest against the manifest.
    pub(super) fn read(
        source: &ModelSource,
        about: &About,
    ) -> Result<(Self, ModelName), ModelError> {
        let digest = ModelId::from_digest(Sha256::digest(source.onnx()).into());
        if digest.to_string() != about.sha256.to_ascii_lowercase() {
            return Err(source.error(format!(
                "its file has the SHA-256 {digest}, its manifest says {}",
                about.sha256
            )));
        }
        let proto = operators::reader().proto_model_for_read(&mut source.onnx());
        let proto = proto.map_err(|e| source.error(format!("it is not an ONNX file: {e:#}")))?;
        let inputs = network_inputs(&proto).count();
        if inputs != 1 {
            return Err(source.error(format!("it has {inputs} inputs. {EXPORT_THE_ENCODER}")));
        }
        Ok((Self { proto }, ModelName { name: about.name.as_str().into(), id: digest }))
    }

    /// Returns the names of the outputs, in the order of a plan's results.
    pub(super) fn outputs(&self) -> Vec<&str> {
        let graph = self.proto.graph.as_ref();
        graph.map(|g| g.output.iter().map(|o| o.name.as_str()).collect()).unwrap_or_default()
    }

    /// Returns the input, as the file describes it.
    pub(super) fn input(&self) -> Option<Port> {
        network_inputs(&self.proto).next().map(Port::from)
    }

    /// Optimizes the network for one input shape.
    pub(super) fn plan(&self, shape: &[usize]) -> TractResult<Plan> {
        runnable(self.typed(shape)?)
    }

    /// Optimizes the network in 8 bits; returns the plan, and whether it gives the same numbers on every
    /// processor.
    pub(super) fn plan_in_bytes(
        &self,
        shape: &[usize],
        ranges: &Ranges,
    ) -> TractResult<(Plan, bool)> {
        let lowered = operators::lower(&self.typed(shape)?, ranges)?;
        let is_exact = operators::is_exact(&lowered);
        Ok((runnable(lowered)?, is_exact))
    }

    /// Returns a plan whose results are the network's, and then these maps.
    pub(super) fn plan_with_maps(&self, shape: &[usize]) -> TractResult<(Plan, Vec<Map>)> {
        let mut model = self.typed(shape)?;
        let maps = operators::maps(&model)?;
        let own = model.output_outlets()?.iter().copied();
        let outputs: Vec<_> = own.chain(maps.iter().map(|map| map.outlet)).collect();
        model.select_output_outlets(&outputs)?;
        Ok((runnable(model)?, maps))
    }

    fn typed(&self, shape: &[usize]) -> TractResult<TypedModel> {
        let mut model = operators::reader()
            .with_ignore_output_shapes(true)
            .with_ignore_value_info(true)
            .model_for_proto_model(&self.proto)?
            .with_input_fact(0, f32::fact(shape).into())?
            .into_typed()?;
        no_nan_within(&model)?;
        model.prop_consts()?;
        Ok(model)
    }
}

fn runnable(mut model: TypedModel) -> TractResult<Plan> {
    operators::replace(&mut model)?;
    model.into_optimized()?.into_runnable()
}

/// Refuses a network with NaN among its constants. NaN need not reach the output: a later maximum
/// or quantization may hide it.
fn no_nan_within(model: &TypedModel) -> TractResult<()> {
    for node in model.nodes() {
        let known = node.outputs.iter().filter_map(|output| output.fact.konst.as_ref());
        for tensor in known.filter(|tensor| tensor.datum_type() == f32::datum_type()) {
            let values = tensor.try_as_plain_ram()?;
            if values.as_slice::<f32>()?.iter().any(|value| value.is_nan()) {
                bail!("{} contains NaN", node.name);
            }
        }
    }
    Ok(())
}

/// Returns the median time of `rounds` runs, at least one.
pub(super) fn median_time(
    rounds: usize,
    mut run: impl FnMut() -> TractResult<()>,
) -> TractResult<Duration> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds.max(1) {
        let started = Instant::now();
        run()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// Returns the input tensor for an image.
pub(super) fn tensor(pixels: &PixelFormat, image: &RgbImage) -> TractResult<Tensor> {
    Tensor::from_shape(&pixels.shape(image.width(), image.height()), &pixels.values(image))
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Network({:?})", self.outputs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_of_another_manifest_is_refused() {
        let source = ModelSource::new("test".to_owned(), b"not a network".to_vec(), String::new());
        let refused = |sha256: &str| {
            let about =
                format!("name = 'test'\nsha256 = '{sha256}'\nlicence = ''\nprovenance = ''");
            let about: About = toml::from_str(&about).unwrap();
            Network::read(&source, &about).err().unwrap().to_string()
        };
        assert!(refused(&"00".repeat(32)).contains("its manifest says 0000"));
        let own = ModelId::from_digest(Sha256::digest(b"not a network").into()).to_string();
        assert!(refused(&own).contains("not an ONNX file"));
    }
}
