//! 8-bit convolutions with 32-bit sums, requantized to 8 bits; bit-identical on every processor.
//!
//! Four channels of a position are interleaved in 32 bits, which one VNNI instruction multiplies
//! and sums.

use super::Bytes;
#[cfg(target_arch = "x86_64")]
use super::products::x86;
use super::products::{INTERLEAVED, Isa, OUTPUTS, POSITIONS, Row, Sums, scalar};
use crate::shape::{Layout, Shape, Tap};

/// The order of a map's channels in memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// Channels x height x width, as in ONNX.
    Planar,
    /// Fours of channels x height x width x 4. Bytes of channels beyond the last have no meaning.
    Interleaved,
}

/// The parameters of a convolution, as `QLinearConv` has them.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Sizes of the maps and the kernel.
    pub shape: Shape,
    /// The quantization of the input.
    pub from: Bytes,
    /// The quantization of the output.
    pub to: Bytes,
    /// Whether each output depends on the input of the same number only. Such a layer has as many
    /// outputs as inputs.
    pub depthwise: bool,
    /// The order of the input and of the output.
    pub order: Order,
    /// Weights in OIHW order: outputs x inputs (1 if depthwise) x kernel, at most [`MOST_WEIGHTS`]
    /// for each output.
    pub weights: &'a [i8],
    /// One bias for each output, in units of the sums.
    pub biases: &'a [i32],
    /// One scale for each output: the steps of the output for a sum of 1.
    pub scales: &'a [f32],
    /// The scales where the sum with its bias is negative (`scales` times the slopes of a `PReLU`);
    /// `None` if they are `scales`.
    pub negative_scales: Option<&'a [f32]>,
}

/// The most weights of one output: 65,536 x 255 x 128 fits in 32 bits.
pub const MOST_WEIGHTS: usize = 65_536;

impl Layer<'_> {
    #[track_caller]
    fn check(&self) {
        let Self { shape, depthwise, weights, biases, scales, .. } = *self;
        shape.check();
        assert!(!depthwise || shape.inputs == shape.outputs, "a depthwise layer: {shape:?}");
        let of_output = if depthwise { 1 } else { shape.inputs } * shape.taps().count();
        assert!(of_output <= MOST_WEIGHTS, "{of_output} weights of an output");
        assert_eq!(weights.len(), shape.outputs * of_output, "weights");
        assert_eq!(biases.len(), shape.outputs, "biases");
        assert_eq!(scales.len(), shape.outputs, "scales");
        assert_eq!(self.negative_scales().len(), shape.outputs, "negative scales");
    }

    fn negative_scales(&self) -> &[f32] {
        self.negative_scales.unwrap_or(self.scales)
    }

    /// A weight; 0 beyond the last output or input, and for other inputs of a depthwise layer.
    fn weight(&self, output: usize, input: usize, [y, x]: Tap) -> i8 {
        let Shape { inputs, outputs, kernel: [height, width], .. } = self.shape;
        if output >= outputs || input >= inputs {
            return 0;
        }
        let plane = match self.depthwise {
            true if output == input => output,
            true => return 0,
            false => output * inputs + input,
        };
        self.weights[(plane * height + y) * width + x]
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
    /// Steps of the output for a sum of 1, and for a sum of -1.
    scales: [[f32; 2]; OUTPUTS],
}

/// A convolution with its weights laid out for the kernel of this processor.
#[derive(Debug)]
pub struct Convolution {
    isa: Isa,
    shape: Shape,
    order: Order,
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
        let Layer { shape, order, from, to, .. } = *layer;
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
            let scales = |output| {
                [layer.scales, layer.negative_scales()]
                    .map(|scales| scales.get(output).copied().unwrap_or(0.0))
            };
            Group {
                weights: shape.steps(fours).flat_map(laid_out).collect(),
                starts: outputs.map(start),
                scales: outputs.map(scales),
            }
        };
        let groups = (0..shape.outputs).step_by(OUTPUTS).map(group).collect();
        Self { isa, shape, order, from, to, layout, groups }
    }

    /// Computes the output map of the input map, both in the layer's order.
    ///
    /// # Panics
    /// If the slices have not as many values as the layer's shape and order say.
    pub fn run(&self, input: &[u8], output: &mut [u8]) {
        let Shape { outputs, output: [height, width], .. } = self.shape;
        let bytes = |sums: &[i32; POSITIONS], start, scales, bytes: &mut [u8]| {
            self.to.requantize(sums, start, scales, bytes);
        };
        match self.order {
            Order::Planar => self.run_on(input, output, bytes),
            Order::Interleaved => {
                let mut planar = vec![0; outputs * height * width];
                self.run_on(&self.planar(input), &mut planar, bytes);
                interleave_maps(&planar, height * width, output);
            }
        }
    }

    /// Computes the scaled sums instead of bytes: `(sum + bias) * scale` of each output, not
    /// rounded. The result is planar (outputs x height x width) in either order of the input.
    ///
    /// # Panics
    /// If the slices have not as many values as the layer's shape and order say.
    pub fn run_to_floats(&self, input: &[u8], output: &mut [f32]) {
        let scaled =
            |sums: &[i32; POSITIONS], start, [positive, negative]: [f32; 2], floats: &mut [f32]| {
                for (sum, float) in sums.iter().zip(floats) {
                    let sum = sum.wrapping_add(start);
                    *float = sum as f32 * if sum < 0 { negative } else { positive };
                }
            };
        match self.order {
            Order::Planar => self.run_on(input, output, scaled),
            Order::Interleaved => self.run_on(&self.planar(input), output, scaled),
        }
    }

    /// The planar map of an interleaved input.
    fn planar(&self, input: &[u8]) -> Vec<u8> {
        let Shape { inputs, input: [height, width], .. } = self.shape;
        let area = height * width;
        let fours = inputs.div_ceil(INTERLEAVED);
        assert_eq!(input.len(), fours * area * INTERLEAVED, "values of the input");
        (0..inputs * area).map(|k| input[place(k / area, k % area, area)]).collect()
    }

    fn run_on<T: Copy + Default>(
        &self,
        input: &[u8],
        output: &mut [T],
        finish: impl Fn(&[i32; POSITIONS], i32, [f32; 2], &mut [T]),
    ) {
        let Shape { inputs, outputs, input: from, output: to, .. } = self.shape;
        assert_eq!(input.len(), inputs * from[0] * from[1], "values of the input");
        assert_eq!(output.len(), outputs * to[0] * to[1], "values of the output");
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "Isa::detected found the instruction set")]
            Isa::Avx512Vnni => unsafe { self.run_avx512_vnni(input, output, finish) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "Isa::detected found the instruction set")]
            Isa::AvxVnni => unsafe { self.run_avx_vnni(input, output, finish) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "Isa::detected found the instruction set")]
            Isa::Avx2 => unsafe { self.run_avx2(input, output, finish) },
            Isa::Scalar => self.run_by(input, output, scalar, finish),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn run_avx512_vnni<T: Copy + Default>(
        &self,
        input: &[u8],
        output: &mut [T],
        finish: impl Fn(&[i32; POSITIONS], i32, [f32; 2], &mut [T]),
    ) {
        let sums = |planes: &_, steps: &_, weights: &_| x86::avx512_vnni(planes, steps, weights);
        self.run_by(input, output, sums, finish);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,avxvnni")]
    fn run_avx_vnni<T: Copy + Default>(
        &self,
        input: &[u8],
        output: &mut [T],
        finish: impl Fn(&[i32; POSITIONS], i32, [f32; 2], &mut [T]),
    ) {
        let sums = |planes: &_, steps: &_, weights: &_| x86::avx_vnni(planes, steps, weights);
        self.run_by(input, output, sums, finish);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2<T: Copy + Default>(
        &self,
        input: &[u8],
        output: &mut [T],
        finish: impl Fn(&[i32; POSITIONS], i32, [f32; 2], &mut [T]),
    ) {
        let sums = |planes: &_, steps: &_, weights: &_| x86::avx2(planes, steps, weights);
        self.run_by(input, output, sums, finish);
    }

    #[inline(always)]
    fn run_by<T: Copy + Default>(
        &self,
        input: &[u8],
        output: &mut [T],
        sums: impl Fn(&[u32], &[usize], &[Row]) -> Sums,
        finish: impl Fn(&[i32; POSITIONS], i32, [f32; 2], &mut [T]),
    ) {
        let Shape { output: [height, width], .. } = self.shape;
        let planes = self.laid_out(input);
        let length = self.shape.positions().next_multiple_of(POSITIONS);
        let mut lines = vec![T::default(); OUTPUTS * length];
        for (group, maps) in self.groups.iter().zip(output.chunks_mut(OUTPUTS * height * width)) {
            for first in (0..length).step_by(POSITIONS) {
                let sums = sums(&planes[first..], &self.layout.offsets, &group.weights);
                for (k, line) in lines.chunks_exact_mut(length).enumerate() {
                    let line = &mut line[first..][..POSITIONS];
                    finish(&sums[k], group.starts[k], group.scales[k], line);
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

/// The place of a channel's value in an interleaved map of `area` positions.
fn place(channel: usize, position: usize, area: usize) -> usize {
    (channel / INTERLEAVED * area + position) * INTERLEAVED + channel % INTERLEAVED
}

/// Interleaves planar maps of `area` positions.
fn interleave_maps(planar: &[u8], area: usize, interleaved: &mut [u8]) {
    let fours = (planar.len() / area).div_ceil(INTERLEAVED);
    assert_eq!(interleaved.len(), fours * area * INTERLEAVED, "values of the output");
    for (k, byte) in planar.iter().enumerate() {
        interleaved[place(k / area, k % area, area)] = *byte;
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
        let to = layer.to;
        let scaled = |[sum, scale]: [f32; 2]| {
            let byte = (sum * scale).round_ties_even() + to.zero as f32;
            if to.signed {
                (byte.clamp(-128.0, 127.0) as i8).cast_unsigned()
            } else {
                byte.clamp(0.0, 255.0) as u8
            }
        };
        sums_and_scales(layer, input).into_iter().map(scaled).collect()
    }

    /// The sum of each value of the output with its bias, and its scale, by the definition.
    fn sums_and_scales(layer: &Layer<'_>, input: &[u8]) -> Vec<[f32; 2]> {
        let Layer { shape, from, weights, biases, scales, .. } = *layer;
        let mut output = Vec::new();
        for (o, bias) in biases.iter().enumerate() {
            let channels = if layer.depthwise { o..o + 1 } else { 0..shape.inputs };
            let of_output = &weights[o * channels.len() * shape.taps().count()..];
            for position in 0..shape.output[0] * shape.output[1] {
                let mut sum = *bias;
                for ((channel, tap), weight) in shape.steps(channels.len()).zip(of_output) {
                    let channel = channels.start + channel;
                    let Some(byte) = shape.value(input, channel, position, tap) else { continue };
                    let value: i32 =
                        if from.signed { byte.cast_signed().into() } else { byte.into() };
                    sum += (value - from.zero) * i32::from(*weight);
                }
                let scales = if sum < 0 { layer.negative_scales() } else { scales };
                output.push([sum as f32, scales[o]]);
            }
        }
        output
    }

    #[test]
    fn arguments_are_checked() {
        let bytes = Bytes { zero: 0, signed: false };
        let fits = Layer {
            shape: SMALL,
            depthwise: false,
            order: Order::Planar,
            from: bytes,
            to: bytes,
            weights: &[1; 54],
            biases: &[0; 3],
            scales: &[1.0; 3],
            negative_scales: None,
        };
        for shape in with_a_zero() {
            assert!(panics(|| Convolution::new(&Layer { shape, ..fits })), "{shape:?}");
        }
        let wrong = [
            Layer { weights: &[1; 53], ..fits },
            Layer { biases: &[0; 2], ..fits },
            Layer { scales: &[1.0; 4], ..fits },
            Layer { negative_scales: Some(&[1.0; 2]), ..fits },
            Layer { depthwise: true, weights: &[1; 27], ..fits },
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
        let conv = Convolution::new(&Layer { order: Order::Interleaved, ..fits });
        for (inputs, outputs) in [(40, 80), (80, 60), (79, 80), (80, 81)] {
            let run = || conv.run(&vec![0; inputs], &mut vec![0; outputs]);
            assert!(panics(run), "interleaved {inputs} {outputs}");
        }
        conv.run(&[0; 80], &mut [0; 80]);
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
                depthwise: false,
                order: Order::Planar,
                from: bytes,
                to: bytes,
                weights: &weights,
                biases: &[0],
                scales: &scales,
                negative_scales: None,
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

    /// Numbers that depend on the seed only.
    fn some(seed: u64) -> impl FnMut(usize) -> Vec<u8> {
        let mut state = seed | 1;
        move |count| {
            let next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            };
            std::iter::repeat_with(next).take(count).collect()
        }
    }

    proptest! {
        #[test]
        fn kernels_match_the_reference_exactly(
            shape in shapes(),
            depthwise in any::<bool>(),
            interleaved in any::<bool>(),
            zeros in (0_i32..256, 0_i32..256),
            signed in any::<(bool, bool)>(),
            scale in 0.0001_f32..0.01,
            slope in proptest::option::of(-0.5_f32..2.0),
            seed in any::<u64>(),
        ) {
            let bytes = |zero: i32, signed: bool| {
                Bytes { zero: if signed { zero - 128 } else { zero }, signed }
            };
            let (from, to) = (bytes(zeros.0, signed.0), bytes(zeros.1, signed.1));
            let outputs = if depthwise { shape.inputs } else { shape.outputs };
            let shape = Shape { outputs, ..shape };
            let area = shape.input[0] * shape.input[1];
            let mut some = some(seed);
            let planar = some(shape.inputs * area);
            let of_output = if depthwise { 1 } else { shape.inputs } * shape.taps().count();
            let weights = some(outputs * of_output);
            let weights: Vec<i8> = weights.into_iter().map(u8::cast_signed).collect();
            let biases: Vec<i32> = some(outputs).into_iter().map(|b| 50 * i32::from(b)).collect();
            let scales = vec![scale; outputs];
            let negative = slope.map(|slope| vec![scale * slope; outputs]);
            let order = if interleaved { Order::Interleaved } else { Order::Planar };
            let layer = Layer {
                shape, depthwise, order, from, to,
                weights: &weights, biases: &biases, scales: &scales,
                negative_scales: negative.as_deref(),
            };
            let expected = reference(&layer, &planar);
            let floats = sums_and_scales(&layer, &planar).into_iter().map(|[sum, scale]| sum * scale);
            let floats: Vec<f32> = floats.collect();
            let mut input = planar.clone();
            if interleaved {
                // Values of channels beyond the last must not matter.
                input = some(shape.inputs.next_multiple_of(INTERLEAVED) * area);
                interleave_maps(&planar, area, &mut input);
            }
            for isa in Isa::detected() {
                let conv = Convolution::with(isa, &layer);
                let area = shape.output[0] * shape.output[1];
                let channels = if interleaved { outputs.next_multiple_of(INTERLEAVED) } else { outputs };
                let mut output = vec![0; channels * area];
                conv.run(&input, &mut output);
                if interleaved {
                    let place = |k: usize| place(k / area, k % area, area);
                    output = (0..outputs * area).map(|k| output[place(k)]).collect();
                }
                prop_assert_eq!(&output, &expected, "{:?}", isa);
                let mut numbers = vec![f32::NAN; outputs * area];
                conv.run_to_floats(&input, &mut numbers);
                prop_assert_eq!(&numbers, &floats, "{:?}", isa);
            }
        }
    }
}
