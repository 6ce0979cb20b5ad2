//! A convolution of bytes with bytes, summed in 32 bits and brought to bytes again: the same numbers on every processor.
//!
//! Four channels of a place stand side by side, which one instruction multiplies and sums (VNNI). A map's rows are laid
//! out one behind another with their padding, so that what a weight needs for neighbouring places lies at neighbouring
//! addresses, wherever a row ends; what is computed of the padding is dropped.

use crate::Bytes;
#[cfg(target_arch = "x86_64")]
use crate::products::x86;
use crate::products::{OUTPUTS, PLACES, Row, SIDE_BY_SIDE, Sums, Way, plain};

/// Maps, kernel and where it is laid; pairs are of height and width.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// The input's sides.
    pub input: [usize; 2],
    /// The output's sides.
    pub output: [usize; 2],
    /// The sides of what each output value is computed of.
    pub kernel: [usize; 2],
    /// From one output value to the next, in places of the input.
    pub stride: [usize; 2],
    /// Padding above and to the left.
    pub before: [usize; 2],
}

/// A place of the kernel, below and to the right of its top left corner.
type Tap = [usize; 2];

impl Shape {
    /// Groups of channels that stand side by side.
    fn fours(&self) -> usize {
        self.inputs.div_ceil(SIDE_BY_SIDE)
    }

    fn taps(&self) -> impl Iterator<Item = Tap> + Clone {
        let [height, width] = self.kernel;
        (0..height).flat_map(move |y| (0..width).map(move |x| [y, x]))
    }

    /// What is multiplied one after another: four channels at a place of the kernel.
    fn steps(&self) -> impl Iterator<Item = (usize, Tap)> {
        let taps = self.taps();
        (0..self.fours()).flat_map(move |four| taps.clone().map(move |tap| (four, tap)))
    }

    /// How far the kernel reaches beyond a place, in places of one phase of the stride.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) / self.stride[axis]
    }

    /// Places of a laid out row, padding included.
    fn row(&self) -> usize {
        self.output[1] + self.reach(1)
    }

    /// Places that are computed, row behind row.
    fn places(&self) -> usize {
        let places = (self.output[0] - 1) * self.row() + self.output[1];
        places.next_multiple_of(PLACES)
    }

    /// Places of a plane: four channels in one phase of the stride.
    fn plane(&self) -> usize {
        self.places() + self.reach(0) * self.row() + self.reach(1)
    }

    /// Where a step's four channels lie, for the place at the top left.
    fn offset(&self, (four, [y, x]): (usize, Tap)) -> usize {
        let [down, right] = self.stride;
        let phase = (y % down) * right + x % right;
        (phase * self.fours() + four) * self.plane() + y / down * self.row() + x / right
    }
}

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
    /// Where each step's four channels lie.
    offsets: Vec<usize>,
    groups: Vec<Group>,
}

impl Convolution {
    /// The layer, laid out for this processor.
    pub fn new(layer: &Layer<'_>) -> Self {
        Self::with(Way::of_this_processor(), layer)
    }

    fn with(way: Way, layer: &Layer<'_>) -> Self {
        let Layer { shape, from, to, .. } = *layer;
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
                weights: shape.steps().flat_map(laid_out).collect(),
                starts: outputs.map(start),
                scales: outputs.map(scale),
            }
        };
        let groups = (0..shape.outputs).step_by(OUTPUTS).map(group).collect();
        let offsets = shape.steps().map(|step| shape.offset(step)).collect();
        Self { way, shape, from, to, offsets, groups }
    }

    /// `input`: inputs x height x width; `output`: outputs x height x width.
    pub fn run(&self, input: &[u8], output: &mut [u8]) {
        match self.way {
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "the processor was asked")]
            Way::Fours => unsafe { self.run_fours(input, output) },
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
        let (length, whole_row) = (self.shape.places(), self.shape.row());
        let mut lines = vec![0; OUTPUTS * length];
        for (group, maps) in self.groups.iter().zip(output.chunks_mut(OUTPUTS * height * width)) {
            for first in (0..length).step_by(PLACES) {
                let sums = sums(&planes[first..], &self.offsets, &group.weights);
                for (k, line) in lines.chunks_exact_mut(length).enumerate() {
                    let bytes = &mut line[first..][..PLACES];
                    self.to.requantise(&sums[k], group.starts[k], group.scales[k], bytes);
                }
            }
            let maps = maps.chunks_exact_mut(height * width);
            for (map, line) in maps.zip(lines.chunks_exact(length)) {
                for (row, whole) in map.chunks_exact_mut(width).zip(line.chunks(whole_row)) {
                    row.copy_from_slice(&whole[..width]);
                }
            }
        }
    }

    /// The input's planes: for each phase of the stride and each four channels the places, row behind row.
    #[inline(always)]
    fn laid_out(&self, input: &[u8]) -> Vec<u32> {
        let Shape { inputs, input: [height, width], stride: [down, right], before, .. } =
            self.shape;
        let zero = u32::from_le_bytes([self.from.unsigned_zero() as u8; SIDE_BY_SIDE]);
        let flip = u32::from_le_bytes([self.from.flip(); SIDE_BY_SIDE]);
        let (fours, row) = (self.shape.fours(), self.shape.row());
        let mut planes = vec![zero; down * right * fours * self.shape.plane()];
        for (k, plane) in planes.chunks_exact_mut(self.shape.plane()).enumerate() {
            let (phase, first) = (k / fours, k % fours * SIDE_BY_SIDE);
            // How many places of this phase are padding, and where in the map the first is that is not.
            let [top, left] = [(phase / right, down, before[0]), (phase % right, right, before[1])]
                .map(|(phase, stride, before)| {
                    let skipped = before.saturating_sub(phase).div_ceil(stride);
                    (skipped, skipped * stride + phase - before)
                });
            for (line, y) in
                plane.chunks_exact_mut(row).skip(top.0).zip((top.1..height).step_by(down))
            {
                // A channel that there is not is multiplied by nothing.
                let channel = |k| {
                    let channel = if first + k < inputs { first + k } else { first };
                    &input[(channel * height + y) * width..][left.1.min(width)..width]
                };
                let four = [channel(0), channel(1), channel(2), channel(3)];
                interleave(line.get_mut(left.0..).unwrap_or_default(), four, right, flip);
            }
        }
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

    /// What the formula says, value by value.
    fn by_the_formula(layer: &Layer<'_>, input: &[u8]) -> Vec<u8> {
        let Layer { shape, from, to, weights, biases, scales } = *layer;
        let Shape { inputs, input: [height, width], kernel, stride, before, .. } = shape;
        let mut output = Vec::new();
        for (o, bias) in biases.iter().enumerate() {
            for place in 0..shape.output[0] * shape.output[1] {
                let mut sum = *bias;
                for weight in 0..inputs * kernel[0] * kernel[1] {
                    let [ky, kx] = [weight / kernel[1] % kernel[0], weight % kernel[1]];
                    let y = (place / shape.output[1] * stride[0] + ky).checked_sub(before[0]);
                    let x = (place % shape.output[1] * stride[1] + kx).checked_sub(before[1]);
                    let (Some(y), Some(x)) = (y, x) else { continue };
                    if y >= height || x >= width {
                        continue;
                    }
                    let channel = weight / (kernel[0] * kernel[1]);
                    let byte = input[(channel * height + y) * width + x];
                    let value: i32 =
                        if from.signed { byte.cast_signed().into() } else { byte.into() };
                    let weight = weights[o * inputs * kernel[0] * kernel[1] + weight];
                    sum += (value - from.zero) * i32::from(weight);
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

    fn shapes() -> impl Strategy<Value = Shape> {
        let side = || (1_usize..5, 1_usize..4, 0_usize..3, 0_usize..3, 0_usize..12);
        (1_usize..10, 1_usize..20, side(), side()).prop_map(|(inputs, outputs, down, right)| {
            let side =
                |(kernel, stride, before, after, more): (usize, usize, usize, usize, usize)| {
                    let (before, after) = (before.min(kernel - 1), after.min(kernel - 1));
                    let length = kernel.saturating_sub(before + after).max(1) + more;
                    let output = (length + before + after - kernel) / stride + 1;
                    (length, output, kernel, stride, before)
                };
            let (down, right) = (side(down), side(right));
            Shape {
                inputs,
                outputs,
                input: [down.0, right.0],
                output: [down.1, right.1],
                kernel: [down.2, right.2],
                stride: [down.3, right.3],
                before: [down.4, right.4],
            }
        })
    }

    fn ways() -> Vec<Way> {
        let this = Way::of_this_processor();
        #[cfg(target_arch = "x86_64")]
        if this == Way::Fours {
            return vec![this, Way::Pairs, Way::Plain];
        }
        vec![this, Way::Plain]
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
            for way in ways() {
                let conv = Convolution::with(way, &layer);
                let mut output = vec![0; expected.len()];
                conv.run(&input, &mut output);
                prop_assert_eq!(&output, &expected, "{:?}", way);
            }
        }
    }
}
