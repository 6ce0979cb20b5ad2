//! A convolution of bytes with bytes, summed in 32 bits and brought to bytes again: the same numbers on every processor.
//!
//! Four channels of a place stand side by side, which one instruction multiplies and sums (VNNI).

use super::Bytes;
#[cfg(target_arch = "x86_64")]
use super::products::x86;
use super::products::{OUTPUTS, PLACES, Row, SIDE_BY_SIDE, Sums, Way, plain};
use crate::shape::{Layout, Shape, Tap};

/// A convolution as a file gives it.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Its maps and kernel.
    pub shape: Shape,
    /// What the input's bytes stand for.
    pub from: Bytes,
    /// What the output's bytes stand for.
    pub to: Bytes,
    /// Outputs x inputs x kernel, at most [`MOST_WEIGHTS`] for an output.
    pub weights: &'a [i8],
    /// In units of the sums, one for each output.
    pub biases: &'a [i32],
    /// The output's steps for a sum of 1, one for each output.
    pub scales: &'a [f32],
}

/// Weights for one output value: 32 bits hold the sum of as many products.
pub const MOST_WEIGHTS: usize = 65_536;

impl Layer<'_> {
    /// A weight, 0 where there is none.
    fn weight(&self, output: usize, input: usize, [y, x]: Tap) -> i8 {
        let Shape { inputs, outputs, kernel: [height, width], .. } = self.shape;
        if output >= outputs || input >= inputs {
            return 0;
        }
        self.weights[((output * inputs + input) * height + y) * width + x]
    }

    /// The sum of an output's weights.
    fn total(&self, output: usize) -> i32 {
        let inputs = 0..self.shape.inputs;
        let of_tap = |tap| inputs.clone().map(move |input| self.weight(output, input, tap));
        self.shape.taps().flat_map(of_tap).map(i32::from).sum()
    }
}

/// Outputs that are computed together.
#[derive(Debug)]
struct Group {
    /// For each step the four weights of each output, as they are multiplied.
    weights: Vec<Row>,
    /// The bias, less what the input's zero adds to each sum.
    starts: [i32; OUTPUTS],
    /// Steps of the output byte that a sum of 1 stands for.
    scales: [f32; OUTPUTS],
}

/// A convolution whose weights are laid out for it.
#[derive(Debug)]
pub struct Convolution {
    way: Way,
    shape: Shape,
    from: Bytes,
    to: Bytes,
    layout: Layout,
    groups: Vec<Group>,
}

impl Convolution {
    /// The layer, laid out for this processor.
    pub fn new(layer: &Layer<'_>) -> Self {
        Self::with(Way::all_of_this_processor()[0], layer)
    }

    fn with(way: Way, layer: &Layer<'_>) -> Self {
        let Layer { shape, from, to, .. } = *layer;
        let fours = shape.inputs.div_ceil(SIDE_BY_SIDE);
        let layout = Layout::new(shape, fours, PLACES);
        let group = |first: usize| {
            let outputs: [usize; OUTPUTS] = std::array::from_fn(|k| first + k);
            let laid_out =
                |(four, tap): (usize, Tap)| {
                    let channel = |k| four * SIDE_BY_SIDE + k;
                    way.laid_out(outputs.map(|output| {
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
        Self { way, shape, from, to, layout, groups }
    }

    /// `input`: inputs x height x width; `output`: outputs x height x width.
    pub fn run(&self, input: &[u8], output: &mut [u8]) {
        match self.way {
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "the processor was asked")]
            Way::Fours => unsafe { self.run_fours(input, output) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "the processor was asked")]
            Way::HalfFours => unsafe { self.run_half_fours(input, output) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "the processor was asked")]
            Way::Pairs => unsafe { self.run_pairs(input, output) },
            Way::Plain => self.run_by(input, output, plain),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn run_fours(&self, input: &[u8], output: &mut [u8]) {
        self.run_by(input, output, |planes, steps, weights| x86::fours(planes, steps, weights));
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,avxvnni")]
    fn run_half_fours(&self, input: &[u8], output: &mut [u8]) {
        self.run_by(input, output, |planes, steps, weights| {
            x86::half_fours(planes, steps, weights)
        });
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_pairs(&self, input: &[u8], output: &mut [u8]) {
        self.run_by(input, output, |planes, steps, weights| x86::pairs(planes, steps, weights));
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
        let length = self.shape.places().next_multiple_of(PLACES);
        let mut lines = vec![0; OUTPUTS * length];
        for (group, maps) in self.groups.iter().zip(output.chunks_mut(OUTPUTS * height * width)) {
            for first in (0..length).step_by(PLACES) {
                let sums = sums(&planes[first..], &self.layout.offsets, &group.weights);
                for (k, line) in lines.chunks_exact_mut(length).enumerate() {
                    let bytes = &mut line[first..][..PLACES];
                    self.to.requantise(&sums[k], group.starts[k], group.scales[k], bytes);
                }
            }
            let maps = maps.chunks_exact_mut(height * width);
            for (map, line) in maps.zip(lines.chunks_exact(length)) {
                self.shape.keep(map, line);
            }
        }
    }

    /// The input's planes: for each phase of the stride and each four channels the places, row behind row.
    #[inline(always)]
    fn laid_out(&self, input: &[u8]) -> Vec<u32> {
        let Shape { inputs, input: [height, width], stride: [_, right], .. } = self.shape;
        let zero = u32::from_le_bytes([self.from.unsigned_zero() as u8; SIDE_BY_SIDE]);
        let flip = u32::from_le_bytes([self.from.flip(); SIDE_BY_SIDE]);
        let mut planes = self.layout.empty(zero);
        self.layout.fill(&mut planes, |line, layer, y, x| {
            let first = layer * SIDE_BY_SIDE;
            // A channel that there is not is multiplied by nothing.
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

/// Every `stride`-th place of four channels, side by side.
#[inline(always)]
fn interleave(line: &mut [u32], four: [&[u8]; SIDE_BY_SIDE], stride: usize, flip: u32) {
    let places = four[0].len().div_ceil(stride).min(line.len());
    let [a, b, c, d] = four;
    for (k, place) in line[..places].iter_mut().enumerate() {
        let k = k * stride;
        *place = u32::from_le_bytes([a[k], b[k], c[k], d[k]]) ^ flip;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shape::tests::shapes;

    /// What the formula says, value by value.
    fn by_the_formula(layer: &Layer<'_>, input: &[u8]) -> Vec<u8> {
        let Layer { shape, from, to, weights, biases, scales } = *layer;
        let mut output = Vec::new();
        for (o, bias) in biases.iter().enumerate() {
            for place in 0..shape.output[0] * shape.output[1] {
                let mut sum = *bias;
                let of_output = &weights[o * shape.inputs * shape.taps().count()..];
                for ((channel, tap), weight) in shape.steps(shape.inputs).zip(of_output) {
                    let Some(byte) = shape.value(input, channel, place, tap) else { continue };
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

    proptest! {
        #[test]
        fn every_way_says_what_the_formula_says(
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
            let expected = by_the_formula(&layer, &input);
            for way in Way::all_of_this_processor() {
                let conv = Convolution::with(way, &layer);
                let mut output = vec![0; expected.len()];
                conv.run(&input, &mut output);
                prop_assert_eq!(&output, &expected, "{:?}", way);
            }
        }
    }
}
