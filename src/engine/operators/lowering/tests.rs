//! Tests of lowering on small networks.

use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math::{add, max, min, mul, tanh};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::*;

const CHANNELS: usize = 6;
const SIDE: usize = 12;

/// Builds a network operator by operator; constants are numbers without a regular pattern.
struct Builder {
    model: TypedModel,
    state: u32,
}

impl Builder {
    /// Returns the builder and an image of three channels.
    fn new() -> TractResult<(Self, OutletId)> {
        let mut model = TypedModel::default();
        let image = model.add_source("image", f32::fact([1, 3, SIDE, SIDE]))?;
        Ok((Self { model, state: 1 }, image))
    }

    /// Returns numbers between two bounds.
    fn numbers(&mut self, count: usize, low: f32, high: f32) -> Vec<f32> {
        let mut number = || {
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            low + (self.state >> 8) as f32 / 16_777_216.0 * (high - low)
        };
        (0..count).map(|_| number()).collect()
    }

    fn constant(&mut self, shape: &[usize], low: f32, high: f32) -> TractResult<OutletId> {
        let numbers = self.numbers(shape.iter().product(), low, high);
        let name = format!("constant {}", self.model.nodes().len());
        self.model.add_const(name, Tensor::from_shape(shape, &numbers)?)
    }

    fn wire(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        Ok(self.model.wire_node(name, op, inputs)?[0])
    }

    /// A 3 x 3 convolution, padded to the size of its input.
    fn conv(
        &mut self,
        name: &str,
        input: OutletId,
        outputs: usize,
        depthwise: bool,
    ) -> TractResult<OutletId> {
        let inputs = self.channels(input)?;
        let in_group = if depthwise { 1 } else { inputs };
        let kernel = self.constant(&[outputs, in_group, 3, 3], -0.4, 0.4)?;
        let bias = self.constant(&[outputs], -0.5, 0.5)?;
        let pool = PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: tvec!(3, 3),
            padding: PaddingSpec::SameUpper,
            dilations: None,
            strides: None,
            input_channels: inputs,
            output_channels: outputs,
        };
        let groups = if depthwise { inputs } else { 1 };
        let conv = Conv::new(pool, KernelFormat::OIHW, groups, None);
        self.wire(name, conv, &[input, kernel, bias])
    }

    fn batch_norm(&mut self, name: &str, input: OutletId) -> TractResult<OutletId> {
        let shape = [1, self.channels(input)?, 1, 1];
        let (scale, shift) = (self.constant(&shape, 0.5, 1.5)?, self.constant(&shape, -0.5, 0.5)?);
        let scaled = self.wire(&format!("{name} scaled"), mul(), &[scale, input])?;
        self.wire(name, add(), &[shift, scaled])
    }

    fn prelu(&mut self, name: &str, input: OutletId) -> TractResult<OutletId> {
        let slopes = [self.channels(input)?, 1, 1];
        let values = self.model.outlet_fact(input)?.shape.as_concrete().unwrap().to_vec();
        let slopes_of = self.constant(&slopes, 0.0, 0.4)?;
        self.wire(name, PRelu::new(&slopes, &values)?, &[input, slopes_of])
    }

    /// A bound by a constant.
    fn bound(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        input: OutletId,
        bound: f32,
    ) -> TractResult<OutletId> {
        let bound = self.constant(&[1, 1, 1, 1], bound, bound)?;
        self.wire(name, op, &[input, bound])
    }

    /// A fully connected layer on the flattened map.
    fn connected(&mut self, name: &str, input: OutletId, outputs: usize) -> TractResult<OutletId> {
        let channels = self.channels(input)?;
        let length = channels * SIDE * SIDE;
        let dims = [channels, SIDE, SIDE].iter().map(ToDim::to_dim).collect();
        let flat = AxisOp::Reshape(1, dims, tvec!(length.to_dim()));
        let flat = self.wire(&format!("{name} flat"), flat, &[input])?;
        let matrix = self.constant(&[outputs, length], -0.1, 0.1)?;
        let op = EinSum::new("mk,nk->mn".parse()?, f32::datum_type());
        self.wire(name, op, &[flat, matrix])
    }

    fn channels(&self, outlet: OutletId) -> TractResult<usize> {
        Ok(self.model.outlet_fact(outlet)?.shape.as_concrete().unwrap()[1])
    }

    fn done(mut self, output: OutletId) -> TractResult<TypedModel> {
        self.model.select_output_outlets(&[output])?;
        Ok(self.model)
    }
}

fn images() -> TractResult<Vec<Tensor>> {
    let (mut builder, _) = Builder::new()?;
    let mut image = || {
        let values: Vec<f32> =
            builder.numbers(3 * SIDE * SIDE, -1.0, 1.0).iter().map(|value| value * 0.9).collect();
        Tensor::from_shape(&[1, 3, SIDE, SIDE], &values)
    };
    (0..8).map(|_| image()).collect()
}

fn run(model: &TypedModel, image: &Tensor) -> TractResult<Vec<f32>> {
    let outputs =
        model.clone().into_optimized()?.into_runnable()?.run(tvec!(image.clone().into()))?;
    Ok(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

/// Returns the extremes of all maps over the images, as the manifest has them.
fn ranges(model: &TypedModel) -> TractResult<toml::Table> {
    let (mut ranges, images) = (toml::Table::new(), images()?);
    for map in maps(model)? {
        let mut alone = model.clone();
        alone.select_output_outlets(&[map.outlet])?;
        let values = images.iter().map(|image| run(&alone, image));
        let values = values.collect::<TractResult<Vec<_>>>()?.concat();
        let low = values.iter().copied().fold(0.0, f32::min);
        let high = values.iter().copied().fold(0.0, f32::max);
        ranges.insert(map.name, toml::Value::from(vec![low, high]));
    }
    Ok(ranges)
}

fn lowered(model: &TypedModel, ranges: toml::Table) -> TractResult<TypedModel> {
    lower(model, &ranges.try_into()?)
}

/// Returns the names of the operators without constants, in the order of the graph.
fn operators(model: &TypedModel) -> TractResult<Vec<String>> {
    let order = model.eval_order()?.into_iter().map(|id| model.node(id).op().name().to_string());
    Ok(order.filter(|name| !["Source", "Const"].contains(&name.as_str())).collect())
}

/// Returns the least cosine between the outputs of two networks for the images.
fn cosine(a: &TypedModel, b: &TypedModel) -> TractResult<f32> {
    let mut least = 1.0_f32;
    for image in images()? {
        let (a, b) = (run(a, &image)?, run(b, &image)?);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        least = least.min(dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt());
    }
    Ok(least)
}

/// A network of the kinds of layers that face encoders have.
fn encoder() -> TractResult<TypedModel> {
    let (mut net, image) = Builder::new()?;
    let first = net.conv("first", image, CHANNELS, false)?;
    let first = net.batch_norm("first norm", first)?;
    let first = net.prelu("first active", first)?;
    let depthwise = net.conv("depthwise", first, CHANNELS, true)?;
    let depthwise = net.batch_norm("depthwise norm", depthwise)?;
    let depthwise = net.prelu("depthwise active", depthwise)?;
    // As in residual networks after ArcFace: batch norm before the convolution.
    let before = net.batch_norm("before", depthwise)?;
    let body = net.conv("body", before, CHANNELS, false)?;
    let sum = net.wire("sum", add(), &[depthwise, body])?;
    let last = net.batch_norm("last norm", sum)?;
    let output = net.connected("output", last, 32)?;
    net.done(output)
}

#[test]
fn lowered_encoder_agrees_with_floats() -> TractResult<()> {
    let floats = encoder()?;
    let bytes = lowered(&floats, ranges(&floats)?)?;
    let expected = [
        "ByteQuantize",
        "ByteConv",
        "ByteConv",
        "ByteTable",
        "ByteConv",
        "ByteSum",
        "ByteConnected",
    ];
    assert_eq!(operators(&bytes)?, expected, "no operator in floats is left");
    assert!(is_exact(&bytes));
    let cosine = cosine(&floats, &bytes)?;
    assert!(cosine > 0.999, "{cosine}");
    Ok(())
}

#[test]
fn map_without_a_range_stays_in_floats() -> TractResult<()> {
    let floats = encoder()?;
    let mut some = ranges(&floats)?;
    assert!(some.remove("first active").is_some());
    let bytes = lowered(&floats, some)?;
    let names = operators(&bytes)?;
    let kept = ["Conv", "Mul", "Add", "PRelu", "Conv", "Mul", "Add", "PRelu"];
    assert_eq!(names[..kept.len()], kept);
    assert!(!is_exact(&bytes));
    assert!(["ByteConv", "ByteSum"].iter().all(|name| names.iter().any(|own| own == name)));
    assert!(cosine(&floats, &bytes)? > 0.999);
    let only_the_image = ranges(&floats)?.into_iter().filter(|(name, _)| name == "image").collect();
    let bytes = lowered(&floats, only_the_image)?;
    assert!(operators(&bytes)?.iter().all(|name| !name.starts_with("Byte")));
    Ok(())
}

#[test]
fn range_of_an_unknown_map_is_refused() -> TractResult<()> {
    let floats = encoder()?;
    let mut ranges = ranges(&floats)?;
    ranges.insert("first norm".to_owned(), toml::Value::from(vec![-1.0, 1.0]));
    let error = lowered(&floats, ranges).unwrap_err().to_string();
    assert!(error.contains("a range of first norm, which is no map"), "{error}");
    Ok(())
}

#[test]
fn activations_are_part_of_the_layer_before() -> TractResult<()> {
    let (mut net, image) = Builder::new()?;
    let first = net.conv("first", image, CHANNELS, false)?;
    let first = net.bound("rectified", max(), first, 0.0)?;
    let first = net.bound("bounded", min(), first, 0.4)?;
    let second = net.conv("second", first, CHANNELS, false)?;
    let sum = net.wire("sum", add(), &[first, second])?;
    let sum = net.bound("sum rectified", max(), sum, 0.0)?;
    let output = net.connected("output", sum, 32)?;
    let floats = net.done(output)?;
    let bytes = lowered(&floats, ranges(&floats)?)?;
    let expected = ["ByteQuantize", "ByteConv", "ByteConv", "ByteSum", "ByteConnected"];
    assert_eq!(operators(&bytes)?, expected);
    assert!(cosine(&floats, &bytes)? > 0.999);
    // A range beyond the bound does not lift it.
    let mut wide = ranges(&floats)?;
    wide.insert("bounded".to_owned(), toml::Value::from(vec![-2.0, 2.0]));
    wide.insert("sum rectified".to_owned(), toml::Value::from(vec![-2.0, 5.0]));
    assert!(cosine(&floats, &lowered(&floats, wide)?)? > 0.99);
    Ok(())
}

#[test]
fn other_functions_of_bytes_become_tables() -> TractResult<()> {
    let (mut net, image) = Builder::new()?;
    let first = net.conv("first", image, CHANNELS, false)?;
    let first = net.wire("tanh", tanh(), &[first])?;
    let first = net.bound("least", max(), first, -0.7)?;
    let output = net.connected("output", first, 32)?;
    let floats = net.done(output)?;
    let bytes = lowered(&floats, ranges(&floats)?)?;
    let expected = ["ByteQuantize", "ByteConv", "ByteTable", "ByteConnected"];
    assert_eq!(operators(&bytes)?, expected);
    assert!(cosine(&floats, &bytes)? > 0.999);
    Ok(())
}

#[test]
fn network_without_convolutions_has_no_maps() -> TractResult<()> {
    let (mut net, image) = Builder::new()?;
    let output = net.wire("tanh", tanh(), &[image])?;
    let floats = net.done(output)?;
    assert!(maps(&floats)?.is_empty());
    Ok(())
}
