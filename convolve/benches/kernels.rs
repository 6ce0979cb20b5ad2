//! Time of one convolution, in turn by this crate and by tract: `cargo bench --bench kernels`.

use std::time::Duration;

use convolve::{Shape, bytes};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;

/// A layer of the kind that the networks of the service have: a square map and kernel, padded so
/// that stride 1 keeps the size.
struct Case {
    name: &'static str,
    inputs: usize,
    outputs: usize,
    side: usize,
    kernel: usize,
    stride: usize,
    depthwise: bool,
}

const fn case(name: &'static str, channels: [usize; 2], geometry: [usize; 3]) -> Case {
    let ([inputs, outputs], [side, kernel, stride]) = (channels, geometry);
    Case { name, inputs, outputs, side, kernel, stride, depthwise: false }
}

const CASES: [Case; 4] = [
    case("3x3, 64 to 64, 28x28", [64, 64], [28, 3, 1]),
    case("3x3 stride 2, 64 to 128, 28x28", [64, 128], [28, 3, 2]),
    case("1x1, 128 to 128, 28x28", [128, 128], [28, 1, 1]),
    Case { depthwise: true, ..case("3x3 depthwise, 128, 28x28", [128, 128], [28, 3, 1]) },
];

impl Case {
    fn shape(&self) -> Shape {
        let output = self.side.div_ceil(self.stride);
        Shape {
            inputs: self.inputs,
            outputs: self.outputs,
            input: [self.side; 2],
            output: [output; 2],
            kernel: [self.kernel; 2],
            stride: [self.stride; 2],
            before: [self.kernel / 2; 2],
        }
    }

    /// Outputs x inputs x kernel.
    fn kernel_shape(&self) -> [usize; 4] {
        let inputs = if self.depthwise { 1 } else { self.inputs };
        [self.outputs, inputs, self.kernel, self.kernel]
    }

    fn input_shape(&self) -> [usize; 4] {
        [1, self.inputs, self.side, self.side]
    }

    fn multiply_adds(&self) -> u64 {
        let weights: usize = self.kernel_shape().iter().product();
        (weights * self.shape().output.iter().product::<usize>()) as u64
    }

    /// tract's operator for the same layer.
    fn tract(&self, quantized: Option<DatumType>) -> Conv {
        let padding: TVec<usize> = tvec!(self.kernel / 2, self.kernel / 2);
        let pool = PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: tvec!(self.kernel, self.kernel),
            padding: PaddingSpec::Explicit(padding.clone(), padding),
            dilations: None,
            strides: Some(tvec!(self.stride, self.stride)),
            input_channels: self.inputs,
            output_channels: self.outputs,
        };
        let groups = if self.depthwise { self.inputs } else { 1 };
        Conv::new(pool, KernelFormat::OIHW, groups, quantized)
    }
}

/// Numbers between -1 and 1.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|k| (k * 37 % 101) as f32 / 50.0 - 1.0).collect()
}

/// Benchmarks the same layer by both implementations.
fn compare(
    c: &mut Criterion,
    kind: &str,
    case: &Case,
    mut ours: impl FnMut(),
    model: TypedModel,
    input: &Tensor,
) -> TractResult<()> {
    let mut group = c.benchmark_group(format!("{kind}, {}", case.name));
    group
        .sample_size(50)
        .measurement_time(Duration::from_secs(2))
        .throughput(Throughput::Elements(case.multiply_adds()));
    group.bench_function("convolve", |b| b.iter(&mut ours));
    let model = model.into_optimized()?.into_runnable()?;
    let input = input.clone().into_tvalue();
    group.bench_function("tract", |b| {
        b.iter(|| model.run(tvec!(input.clone())).expect("tract runs the layer"));
    });
    group.finish();
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn float(c: &mut Criterion, case: &Case) -> TractResult<()> {
    use convolve::floats::{Convolution, Layer};

    let (shape, kernel) = (case.shape(), case.kernel_shape());
    let weights = numbers(kernel.iter().product());
    let (biases, slopes) = (numbers(shape.outputs), vec![1.0; shape.outputs]);
    let layer = Layer {
        shape,
        depthwise: case.depthwise,
        weights: &weights,
        biases: &biases,
        slopes: &slopes,
    };
    let Some(conv) = Convolution::new(&layer) else { return Ok(()) };
    let values = numbers(case.input_shape().iter().product());
    let mut output = vec![0.0; shape.outputs * shape.output[0] * shape.output[1]];

    let mut model = TypedModel::default();
    let source = model.add_source("input", f32::fact(case.input_shape()))?;
    let kernel = model.add_const("kernel", Tensor::from_shape(&kernel, &weights)?)?;
    let bias = model.add_const("bias", Tensor::from_shape(&[shape.outputs], &biases)?)?;
    let outlets = model.wire_node("conv", case.tract(None), &[source, kernel, bias])?;
    model.select_output_outlets(&outlets)?;
    let input = Tensor::from_shape(&case.input_shape(), &values)?;
    compare(c, "float", case, || conv.run(&values, &mut output), model, &input)
}

fn byte(c: &mut Criterion, case: &Case) -> TractResult<()> {
    let (shape, kernel) = (case.shape(), case.kernel_shape());
    let weights: Vec<i8> =
        numbers(kernel.iter().product()).iter().map(|w| (w * 127.0) as i8).collect();
    let biases = vec![0; shape.outputs];
    let (scale, zero) = (1.0 / 4096.0, 128);
    let scales = vec![scale; shape.outputs];
    let bytes = bytes::Bytes { zero, signed: false };
    let layer = bytes::Layer {
        shape,
        from: bytes,
        to: bytes,
        weights: &weights,
        biases: &biases,
        scales: &scales,
        negative_scales: None,
        depthwise: case.depthwise,
        order: bytes::Order::Planar,
    };
    let conv = bytes::Convolution::new(&layer);
    let count = case.input_shape().iter().product();
    let values: Vec<u8> = numbers(count).iter().map(|v| (v * 127.0 + 128.0) as u8).collect();
    let mut output = vec![0; shape.outputs * shape.output[0] * shape.output[1]];

    let kind = |scale| DatumType::QU8(QParams::ZpScale { zero_point: zero, scale });
    let mut model = TypedModel::default();
    let source = model.add_source("input", kind(1.0).fact(case.input_shape()))?;
    let mut inputs = vec![source];
    let parameters = [
        ("kernel", Tensor::from_shape(&kernel, &weights)?),
        ("bias", Tensor::from_shape(&[shape.outputs], &biases)?),
        ("from zero", tensor0(zero)),
        ("from scale", tensor0(1_f32)),
        ("kernel zero", tensor0(0_i32)),
        ("kernel scale", tensor0(1_f32)),
        ("to zero", tensor0(zero)),
        ("to scale", tensor0(1.0 / scale)),
    ];
    for (name, tensor) in parameters {
        inputs.push(model.add_const(name, tensor)?);
    }
    let outlets = model.wire_node("conv", case.tract(Some(kind(1.0 / scale))), &inputs)?;
    model.select_output_outlets(&outlets)?;
    let input =
        Tensor::from_shape(&case.input_shape(), &values)?.cast_to_dt(kind(1.0))?.into_owned();
    compare(c, "8-bit", case, || conv.run(&values, &mut output), model, &input)
}

fn kernels(c: &mut Criterion) {
    for case in &CASES {
        #[cfg(target_arch = "x86_64")]
        float(c, case).expect("tract runs the layer");
        byte(c, case).expect("tract runs the layer");
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
