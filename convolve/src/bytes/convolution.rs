//! 8-bit convolutions with 32-bit sums, requantized to 8 bits; bit-identical on every processor.
//!
//! Four channels of a position are interleaved in 32 bits, which one VNNI instruction multiplies
//! and sums.

use super::Bytes;
#[cfg(target_arch = "x86_64")]
use super::products::x86;
use super::products::{INTERLEAVED, Isa, OUTPUTS, POSITIONS, Row, Sums, scalar};
use crate::shape::{Layout, Shape, Tap};

/// The parameters of a convolution, as `QLinearConv` has them.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Sizes of the maps and the kernel.
    pub shape: Shape,
    /// The quantization of the input.
    pub from: Bytes,
    /// The quantization of the output.
    pub to: Bytes,
    /// Weights in OIHW order: outputs x inputs x kernel, at most [`MOST_WEIGHTS`] for each output.
    pub weights: &'a [i8],
    /// One bias for each output, in units of the sums.
    pub biases: &'a [i32],
    /// One scale for each output: the steps of the output for a sum of 1.
    pub scales: &'a [f32],
}

/// The most weights of one output: 65,536 x 255 x 128 fits in 32 bits.
pub const MOST_WEIGHTS: usize = 65_536;

impl Layer<'_> {
    #[track_caller]
    fn check(&self) {
        let Self { shape, weights, biases, scales, .. } = *self;
        shape.check();
        let of_output = shape.inputs * shape.taps().count();
        assert!(of_output <= MOST_WEIGHTS, "{of_output} weights of an output");
        assert_eq!(weights.len(), shape.outputs * of_output, "weights");
        assert_eq!(biases.len(), shape.outputs, "biases");
        assert_eq!(scales.len(), shape.outputs, "scales");
    }

    /// A weight; 0 beyond the last output or input.
    fn weight(&self, output: usize, input: usize, [y, x]: Tap) -> i8 {
        let Shape { inputs, outputs, kernel: [height, width], .. } = self.shape;
        if output >= outputs || input >= inputs {
            return 0;
        }
        self.weights[((output * inputs + input) * height + y) * width + x]
    }

    /// The sum of the weights of an output.
    fn total(&self, output: usize) -> i32 {
        let inputs = 0..self.shape.inputs;
        let of_tap = |tap| inputs.clone().map(move |input| self.weight(output, input, tap));
        self.shape.taps().flat_map(of_tap).map(i32::from).sum()
    }
}

/// The parameters of outputs that are computed together.
#[derive(Debug)]
struct Group {
    /// Four weights of each output, for each step, as the kernel reads them.
    weights: Vec<Row>,
    /// The bias minus the contribution of the input's zero point.
    starts: [i32; OUTPUTS],
    /// Steps of the output for a sum of 1.
    scales: [f32; OUTPUTS],
}

/// A convolution with its weights laid out for the kernel of this processor.
#[derive(Debug)]
pub struct Convolution {
    isa: Isa,
    shape: Shape,
    from: Bytes,
    to: Bytes,
    layout: Layout,
    groups: Vec<Group>,
}

impl Convolution {
    /// Prepares a layer for this processor.
    ///
    /// # Panics
    /// If a size or stride of the shape is zero, if an output has more than [`MOST_WEIGHTS`]
    /// weights, or if the slices have not as many values as the shape says.
    pub fn new(layer: &Layer<'_>) -> Self {
        layer.check();
        Self::with(Isa::detected()[0], layer)
    }

    fn with(isa: Isa, layer: &Layer<'_>) -> Self {
        let Layer { shape, from, to, .. } = *layer;
        let fours = shape.inputs.div_ceil(INTERLEAVED);
        let layout = Layout::new(shape, fours, POSITIONS);
        let group = |first: usize| {
            let outputs: [usize; OUTPUTS] = std::array::from_fn(|k| first + k);
            let laid_out =
                |(four, tap): (usize, Tap)| {
                    let channel = |k| four * INTERLEAVED + k;
                    isa.laid_out(outputs.map(|output| {
                        std::array::from_fn(|k| layer.weight(output, channel(k), tap))
                    }))
                };
            let start = |output| {
                let bias: i32 = layer.biases.get(output).copied().unwrap_or(0);
                bias.wrapping_sub(from.unsigned_zero() * layer.total(output))
            };
            let scale = |output| layer.scales.get(output).copied().unwrap_or(0.0);
            Group {
                weights: shape.steps(fours).flat_map(laid_out).collect(),
                starts: outputs.map(start),
                scales: outputs.map(scale),
            }
        };
        let groups = (0..shape.outputs).step_by(OUTPUTS).map(group).collect();
        Self { isa, shape, from, to, layout, groups }
    }

    /// Computes the output maps (outputs x height x width) of the input maps (inputs x height x
    /// width).
    ///
    /// # Panics
    /// If the slices have not as many values as the layer's shape says.
    pub fn run(&self, input: &[u8], output: &mut [u8]) {
        self.shape.check_maps(input, output);
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "Isa::detected found the instruction set")]
            Isa::Avx512Vnni => unsafe { self.run_avx512_vnni(input, output) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "Isa::detected found the instruction set")]
            Isa::AvxVnni => unsafe { self.run_avx_vnni(input, output) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "Isa::detected found the instruction set")]
            Isa::Avx2 => unsafe { self.run_avx2(input, output) },
            Isa::Scalar => self.run_by(input, output, scalar),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn run_avx512_vnni(&self, input: &[u8], output: &mut [u8]) {
        self.run_by(input, output, |planes, steps, weights| {
            x86::avx512_vnni(planes, steps, weights)
        });
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,avxvnni")]
    fn run_avx_vnni(&self, input: &[u8], output: &mut [u8]) {
        self.run_by(input, output, |planes, steps, weights| x86::avx_vnni(planes, steps, weights));
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2(&self, input: &[u8], output: &mut [u8]) {
        self.run_by(input, output, |planes, steps, weights| x86::avx2(planes, steps, weights));
    }

    #[inline(always)]
    fn run_by(
        &self,
        input: &[u8],
        output: &mut [u8],
        sums: impl Fn(&[u32], &[usize], &[Row]) -> Sums,
    ) {
        let Shape { output: [height, width], .. } = self.shape;
        let planes = self.laid_out(input);
        let length = self.shape.positions().next_multiple_of(POSITIONS);
        let mut lines = vec![0; OUTPUTS * length];
        for (group, maps) in self.groups.iter().zip(output.chunks_mut(OUTPUTS * height * width)) {
            for first in (0..length).step_by(POSITIONS) {
                let sums = sums(&planes[first..], &self.layout.offsets, &group.weights);
                for (k, line) in lines.chunks_exact_mut(length).enumerate() {
                    let bytes = &mut line[first..][..POSITIONS];
                    self.to.requantize(&sums[k], group.starts[k], group.scales[k], bytes);
                }
            }
            let maps = maps.chunks_exact_mut(height * width);
            for (map, line) in maps.zip(lines.chunks_exact(length)) {
                self.shape.keep(map, line);
            }
        }
    }

    /// Lays out the input: a plane for each phase of the stride and each four channels.
    #[inline(always)]
    fn laid_out(&self, input: &[u8]) -> Vec<u32> {
        let Shape { inputs, input: [height, width], stride: [_, right], .. } = self.shape;
        let zero = u32::from_le_bytes([self.from.unsigned_zero() as u8; INTERLEAVED]);
        let flip = u32::from_le_bytes([self.from.flip(); INTERLEAVED]);
        let mut planes = self.layout.empty(zero);
        self.layout.fill(&mut planes, |line, layer, y, x| {
            let first = layer * INTERLEAVED;
            // The weights of a channel beyond the last are 0, so its values don't matter.
            let channel = |k| {
                let channel = if first + k < inputs { first + k } else { first };
                &input[(channel * height + y) * width..][x..width]
            };
            let four = [channel(0), channel(1), channel(2), channel(3)];
            interleave(line, four, right, flip);
        });
        planes
    }
}

/// Interleaves every `stride`-th value of four channels.
#[inline(always)]
fn interleave(line: &mut [u32], four: [&[u8]; INTERLEAVED], stride: usize, flip: u32) {
    let positions = four[0].len().div_ceil(stride).min(line.len());
    let [a, b, c, d] = four;
    for (k, position) in line[..positions].iter_mut().enumerate() {
        let k = k * stride;
        *position = u32::from_le_bytes([a[k], b[k], c[k], d[k]]) ^ flip;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shape::tests::{SMALL, panics, shapes, with_a_zero};

    /// The convolution by its definition.
    fn reference(layer: &Layer<'_>, input: &[u8]) -> Vec<u8> {
        let Layer { shape, from, to, weights, biases, scales } = *layer;
        let mut output = Vec::new();
        for (o, bias) in biases.iter().enumerate() {
            for position in 0..shape.output[0] * shape.output[1] {
                let mut sum = *bias;
                let of_output = &weights[o * shape.inputs * shape.taps().count()..];
                for ((channel, tap), weight) in shape.steps(shape.inputs).zip(of_output) {
                    let Some(byte) = shape.value(input, channel, position, tap) else { continue };
                    let value: i32 =
                        if from.signed { byte.cast_signed().into() } else { byte.into() };
                    sum += (value - from.zero) * i32::from(*weight);
                }
                let byte = (sum as f32 * scales[o]).round_ties_even() + to.zero as f32;
                output.push(if to.signed {
                    (byte.clamp(-128.0, 127.0) as i8).cast_unsigned()
                } else {
                    byte.clamp(0.0, 255.0) as u8
                });
            }
        }
        output
    }

    #[test]
    fn arguments_are_checked() {
        let bytes = Bytes { zero: 0, signed: false };
        let fits = Layer {
            shape: SMALL,
            from: bytes,
            to: bytes,
            weights: &[1; 54],
            biases: &[0; 3],
            scales: &[1.0; 3],
        };
        for shape in with_a_zero() {
            assert!(panics(|| Convolution::new(&Layer { shape, ..fits })), "{shape:?}");
        }
        let wrong = [
            Layer { weights: &[1; 53], ..fits },
            Layer { biases: &[0; 2], ..fits },
            Layer { scales: &[1.0; 4], ..fits },
        ];
        for layer in wrong {
            assert!(panics(|| Convolution::new(&layer)), "{layer:?}");
        }
        let conv = Convolution::new(&fits);
        for (inputs, outputs) in [(39, 60), (41, 60), (40, 59), (40, 61)] {
            let run = || conv.run(&vec![0; inputs], &mut vec![0; outputs]);
            assert!(panics(run), "{inputs} {outputs}");
        }
        conv.run(&[0; 40], &mut [0; 60]);
    }

    #[test]
    fn sums_of_the_most_weights_do_not_overflow() {
        let most = |inputs: usize| {
            let bytes = Bytes { zero: 0, signed: false };
            let shape = Shape {
                inputs,
                outputs: 1,
                input: [1, 1],
                output: [1, 1],
                kernel: [1, 1],
                stride: [1, 1],
                before: [0, 0],
            };
            let (weights, scales) = (vec![-128; inputs], [-1.0 / 16_777_216.0]);
            let layer = Layer {
                shape,
                from: bytes,
                to: bytes,
                weights: &weights,
                biases: &[0],
                scales: &scales,
            };
            let expected = reference(&layer, &vec![255; inputs]);
            for isa in Isa::detected() {
                let mut output = [0];
                Convolution::with(isa, &layer).run(&vec![255; inputs], &mut output);
                assert_eq!(output[..], expected, "{isa:?}");
            }
            Convolution::new(&layer)
        };
        most(MOST_WEIGHTS);
        assert!(panics(|| most(MOST_WEIGHTS + 1)));
    }

    proptest! {
        #[test]
        fn kernels_match_the_reference_exactly(
            shape in shapes(),
            zeros in (0_i32..256, 0_i32..256),
            signed in any::<(bool, bool)>(),
            scale in 0.0001_f32..0.01,
            seed in any::<u64>(),
        ) {
            let bytes = |zero: i32, signed: bool| {
                Bytes { zero: if signed { zero - 128 } else { zero }, signed }
            };
            let (from, to) = (bytes(zeros.0, signed.0), bytes(zeros.1, signed.1));
            let mut state = seed | 1;
            let mut next = move || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            };
            let mut some = |count: usize| (0..count).map(|_| next()).collect::<Vec<_>>();
            let input = some(shape.inputs * shape.input[0] * shape.input[1]);
            let weights = some(shape.outputs * shape.inputs * shape.kernel[0] * shape.kernel[1]);
            let weights: Vec<i8> = weights.into_iter().map(u8::cast_signed).collect();
            let biases: Vec<i32> = some(shape.outputs).into_iter().map(|b| 50 * i32::from(b)).collect();
            let scales = vec![scale; shape.outputs];
            let (weights, biases, scales) = (&weights[..], &biases[..], &scales[..]);
            let layer = Layer { shape, from, to, weights, biases, scales };
            let expected = reference(&layer, &input);
            for isa in Isa::detected() {
                let conv = Convolution::with(isa, &layer);
                let mut output = vec![0; expected.len()];
                conv.run(&input, &mut output);
                prop_assert_eq!(&output, &expected, "{:?}", isa);
            }
        }
    }
}
