//! Time of the convolutions of `SFace` in 8 bits, for one view: `cargo bench --bench encoder`.

use std::time::Duration;

use convolve::Shape;
use convolve::bytes::{Bytes, Convolution, Layer, Order};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// A layer with a square map and kernel.
#[derive(Clone, Copy)]
struct Geometry {
    channels: [usize; 2],
    /// Sides of the input, the output and the kernel.
    sides: [usize; 3],
    stride: usize,
    depthwise: bool,
}

const fn dense(channels: [usize; 2], side: usize, kernel: usize) -> Geometry {
    Geometry { channels, sides: [side, side, kernel], stride: 1, depthwise: false }
}

const fn depthwise(channels: usize, side: usize, stride: usize) -> Geometry {
    let sides = [side, side.div_ceil(stride), 3];
    Geometry { channels: [channels; 2], sides, stride, depthwise: true }
}

/// The first layer and the 1 x 1 layers.
const DENSE: [Geometry; 14] = [
    dense([3, 32], 112, 3),
    dense([32, 64], 112, 1),
    dense([64, 128], 56, 1),
    dense([128, 128], 56, 1),
    dense([128, 256], 28, 1),
    dense([256, 256], 28, 1),
    dense([256, 512], 14, 1),
    dense([512, 512], 14, 1),
    dense([512, 512], 14, 1),
    dense([512, 512], 14, 1),
    dense([512, 512], 14, 1),
    dense([512, 512], 14, 1),
    dense([512, 1024], 7, 1),
    dense([1024, 1024], 7, 1),
];

const DEPTHWISE: [Geometry; 13] = [
    depthwise(32, 112, 1),
    depthwise(64, 112, 2),
    depthwise(128, 56, 1),
    depthwise(128, 56, 2),
    depthwise(256, 28, 1),
    depthwise(256, 28, 2),
    depthwise(512, 14, 1),
    depthwise(512, 14, 1),
    depthwise(512, 14, 1),
    depthwise(512, 14, 1),
    depthwise(512, 14, 1),
    depthwise(512, 14, 2),
    depthwise(1024, 7, 1),
];

/// The last layer, whose kernel covers the map.
const CONNECTED: [Geometry; 1] =
    [Geometry { channels: [1024, 128], sides: [7, 1, 7], stride: 1, depthwise: false }];

impl Geometry {
    fn shape(self) -> Shape {
        let Self { channels: [inputs, outputs], sides: [input, output, kernel], stride, .. } = self;
        let before = if output == 1 { 0 } else { kernel / 2 };
        Shape {
            inputs,
            outputs,
            input: [input; 2],
            output: [output; 2],
            kernel: [kernel; 2],
            stride: [stride; 2],
            before: [before; 2],
        }
    }

    fn weights(self) -> usize {
        let [inputs, outputs] = self.channels;
        outputs * if self.depthwise { 1 } else { inputs } * self.sides[2].pow(2)
    }

    /// The convolution with its input and its output.
    fn prepared(self) -> (Convolution, Vec<u8>, Vec<u8>) {
        let shape = self.shape();
        let mut state = 1_u64;
        let mut number = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        // Means of four numbers: bell-shaped, as weights of trained networks are.
        let mut weight = || (0..4).map(|_| i32::from(number().cast_signed())).sum::<i32>() / 4;
        let weights: Vec<i8> = (0..self.weights()).map(|_| weight() as i8).collect();
        let scale = 0.005 / ((weights.len() / shape.outputs) as f32).sqrt();
        let bytes = Bytes { zero: 100, signed: false };
        let convolution = Convolution::new(&Layer {
            shape,
            depthwise: self.depthwise,
            order: Order::Interleaved,
            from: bytes,
            to: bytes,
            weights: &weights,
            biases: &vec![0; shape.outputs],
            scales: &vec![scale; shape.outputs],
            negative_scales: Some(&vec![0.25 * scale; shape.outputs]),
        });
        let size = |channels: usize, side: usize| channels.next_multiple_of(4) * side * side;
        let [inputs, outputs] = self.channels;
        let input = (0..size(inputs, self.sides[0])).map(|_| number()).collect();
        (convolution, input, vec![0; size(outputs, self.sides[1])])
    }
}

fn encoder(c: &mut Criterion) {
    let kinds = [("dense", &DENSE[..]), ("depthwise", &DEPTHWISE), ("fully connected", &CONNECTED)];
    let mut group = c.benchmark_group("8-bit layers of SFace");
    group.sample_size(50).measurement_time(Duration::from_secs(3));
    for (kind, layers) in kinds {
        let products: usize =
            layers.iter().map(|layer| layer.weights() * layer.sides[1].pow(2)).sum();
        let mut layers: Vec<_> = layers.iter().map(|layer| layer.prepared()).collect();
        group.throughput(Throughput::Elements(products as u64)).bench_function(kind, |b| {
            b.iter(|| {
                for (convolution, input, output) in &mut layers {
                    convolution.run(input, output);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encoder);
criterion_main!(benches);
