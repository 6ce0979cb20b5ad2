//! 8-bit convolutions with 32-bit sums, requantized to 8 bits; bit-identical on every processor.
//!
//! Four channels of a position are interleaved in 32 bits, which one VNNI instruction multiplies
//! and sums.

use super::Bytes;
use super::dot::{self, Chunk, Rows};
use super::layer::{INTERLEAVED, Layer, Order};
use super::planes::{Four, Planes};
use super::products::{self, Block, Group, Isa, OUTPUTS};
use super::values::Value;
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::shape::{self, Shape};

/// The bytes of weights that are read again for each block of positions: a part of a core's second
/// cache.
const WEIGHTS_IN_CACHE: usize = 1 << 18;

/// A convolution with its weights laid out for the kernel of this processor.
#[derive(Debug)]
pub struct Convolution {
    isa: Isa,
    shape: Shape,
    order: Order,
    from: Bytes,
    to: Bytes,
    kind: Kind,
    /// Positions of a computed line.
    length: usize,
    /// The first position and the vectors of each block of a line.
    blocks: Vec<(usize, usize)>,
}

/// How the input is read.
#[derive(Debug)]
enum Kind {
    /// The kernel covers the whole map: dot products of the input's bytes.
    Whole(Vec<Rows>),
    /// All channels are laid out at once.
    Dense(Planes, Vec<Group>),
    /// Four channels are laid out at a time, for four outputs.
    Depthwise(Planes, Vec<Group>),
}

impl Convolution {
    /// Prepares a layer for this processor.
    ///
    /// # Panics
    /// If a size or stride of the shape is zero, if a depthwise layer has not as many outputs as
    /// inputs, if an output has more than [`MOST_WEIGHTS`](super::MOST_WEIGHTS) weights, if a scale
    /// is not finite, or if the slices have not as many values as the shape says.
    pub fn new(layer: &Layer<'_>) -> Self {
        layer.check();
        Self::with(Isa::detected()[0], layer)
    }

    fn with(isa: Isa, layer: &Layer<'_>) -> Self {
        let Layer { shape, order, from, to, depthwise, .. } = *layer;
        let Shape { input, output, kernel, before, .. } = shape;
        let fours = shape.inputs.div_ceil(INTERLEAVED);
        let firsts = (0..shape.outputs).step_by(OUTPUTS);
        let [lanes, most] = isa.sizes();
        // A short line is padded to whole vectors, so that one block computes it.
        let at_once = if shape.positions() < lanes * most { lanes } else { 1 };
        let length = shape.positions().next_multiple_of(at_once);
        let kind = if depthwise {
            let steps = |four| shape.steps(1).map(move |(_, tap)| (four, tap));
            let group = |first| Group::new(isa, layer, first, steps(first / INTERLEAVED));
            Kind::Depthwise(Planes::new(layer, 1, at_once), firsts.map(group).collect())
        } else if (kernel, output, before) == (input, [1, 1], [0, 0]) {
            Kind::Whole(firsts.map(|first| Rows::new(layer, first)).collect())
        } else {
            let group = |first| Group::new(isa, layer, first, shape.steps(fours));
            Kind::Dense(Planes::new(layer, fours, at_once), firsts.map(group).collect())
        };
        let blocks = shape::blocks(length, lanes, most).collect();
        Self { isa, shape, order, from, to, kind, length, blocks }
    }

    /// Computes the output map of the input map, both in the layer's order.
    ///
    /// # Panics
    /// If the slices have not as many values as the layer's shape and order say.
    pub fn run(&self, input: &[u8], output: &mut [u8]) {
        let Shape { outputs, output: size, .. } = self.shape;
        assert_eq!(output.len(), self.order.values(outputs, size), "values of the output");
        match self.order {
            Order::Planar => self.dispatch(input, output),
            Order::Interleaved => self.dispatch(input, output.as_chunks_mut::<INTERLEAVED>().0),
        }
    }

    /// Computes the scaled sums instead of bytes: `(sum + bias) * scale` of each output, not
    /// rounded. The result is planar (outputs x height x width), also if the input is interleaved.
    ///
    /// # Panics
    /// If the slices have not as many values as the layer's shape and order say.
    pub fn run_to_floats(&self, input: &[u8], output: &mut [f32]) {
        let Shape { outputs, output: size, .. } = self.shape;
        assert_eq!(output.len(), Order::Planar.values(outputs, size), "values of the output");
        self.dispatch(input, output);
    }

    fn dispatch<T: Value>(&self, input: &[u8], output: &mut [T]) {
        let Shape { inputs, input: size, .. } = self.shape;
        assert_eq!(input.len(), self.order.values(inputs, size), "values of the input");
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
            Isa::Scalar => self.run_by(input, output, products::scalar, dot::scalar),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn run_avx512_vnni<T: Value>(&self, input: &[u8], output: &mut [T]) {
        let block = |block: Block<'_, T>| x86::avx512_vnni(block);
        self.run_by(input, output, block, |input, rows| dot::x86::avx512_vnni(input, rows));
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,avxvnni")]
    fn run_avx_vnni<T: Value>(&self, input: &[u8], output: &mut [T]) {
        let block = |block: Block<'_, T>| x86::avx_vnni(block);
        self.run_by(input, output, block, |input, rows| dot::x86::avx_vnni(input, rows));
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2<T: Value>(&self, input: &[u8], output: &mut [T]) {
        let block = |block: Block<'_, T>| x86::avx2(block);
        self.run_by(input, output, block, |input, rows| dot::x86::avx2(input, rows));
    }

    #[inline(always)]
    fn run_by<T: Value>(
        &self,
        input: &[u8],
        output: &mut [T],
        compute: impl Fn(Block<'_, T>),
        dot: impl Fn(&[Chunk], &Rows) -> [i32; OUTPUTS],
    ) {
        let Shape { output: [height, width], .. } = self.shape;
        let values = OUTPUTS / T::CHANNELS;
        let mut lines = Vec::new();
        match &self.kind {
            Kind::Whole(rows) => {
                let input = dot::chunks(input, self.from.flip());
                for (rows, values) in rows.iter().zip(output.chunks_mut(values)) {
                    let sums = dot(&input, rows).map(|sum| [sum]);
                    T::write(self.to, &rows.scales, &sums, values, 1, 0);
                }
            }
            Kind::Dense(planes, groups) => {
                let mut padded = planes.empty();
                let positions = planes.of(input, 0, &mut padded);
                let steps = planes.offsets();
                self.run_groups(positions, steps, groups, &mut lines, output, compute);
            }
            Kind::Depthwise(planes, groups) => {
                let mut padded = planes.empty();
                let maps = output.chunks_mut(values * height * width);
                for (four, (group, maps)) in groups.chunks(1).zip(maps).enumerate() {
                    let positions = planes.of(input, four, &mut padded);
                    let steps = planes.offsets();
                    self.run_groups(positions, steps, group, &mut lines, maps, &compute);
                }
            }
        }
    }

    /// Computes the maps of groups of outputs.
    #[inline(always)]
    fn run_groups<T: Value>(
        &self,
        positions: &[Four],
        steps: &[usize],
        groups: &[Group],
        lines: &mut Vec<T>,
        output: &mut [T],
        compute: impl Fn(Block<'_, T>),
    ) {
        let Shape { output: [height, width], .. } = self.shape;
        let (area, values) = (height * width, OUTPUTS / T::CHANNELS);
        let length = self.length;
        let together = (WEIGHTS_IN_CACHE / groups[0].size()).max(1);
        for (groups, maps) in
            groups.chunks(together).zip(output.chunks_mut(together * values * area))
        {
            let run = |lines: &mut [T]| {
                for &(first, vectors) in &self.blocks {
                    let (positions, to) = (&positions[first..], self.to);
                    for (group, lines) in groups.iter().zip(lines.chunks_mut(values * length)) {
                        let block =
                            Block { positions, steps, vectors, group, to, lines, length, first };
                        compute(block);
                    }
                }
            };
            if length == area {
                run(maps);
            } else {
                lines.resize(groups.len() * values * length, T::default());
                run(lines);
                for (map, line) in maps.chunks_exact_mut(area).zip(lines.chunks_exact(length)) {
                    self.shape.keep(map, line);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::MOST_WEIGHTS;
    use crate::shape::tests::{SMALL, as_pointwise, panics, shapes, with_a_zero};

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
            Layer { scales: &[1.0, f32::NAN, 1.0], ..fits },
            Layer { negative_scales: Some(&[1.0, 1.0, f32::INFINITY]), ..fits },
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
        let most = |inputs: usize, width: usize| {
            let bytes = Bytes { zero: 0, signed: false };
            let shape = Shape {
                inputs,
                outputs: 1,
                input: [1, width],
                output: [1, width],
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
            let input = vec![255; inputs * width];
            let expected = reference(&layer, &input);
            for isa in Isa::detected() {
                let mut output = vec![0; width];
                Convolution::with(isa, &layer).run(&input, &mut output);
                assert_eq!(output, expected, "{isa:?}");
            }
            Convolution::new(&layer)
        };
        // A single position is computed by other kernels.
        most(MOST_WEIGHTS, 1);
        most(MOST_WEIGHTS, 2);
        assert!(panics(|| most(MOST_WEIGHTS + 1, 1)));
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

    /// Shapes for each kind of kernel.
    fn shapes_of_all_kinds() -> impl Strategy<Value = Shape> {
        let connected =
            |shape: Shape| Shape { output: [1; 2], kernel: shape.input, before: [0; 2], ..shape };
        prop_oneof![
            2 => shapes(),
            1 => shapes().prop_map(as_pointwise),
            1 => shapes().prop_map(connected),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn kernels_match_the_reference_exactly(
            shape in shapes_of_all_kinds(),
            depthwise in any::<bool>(),
            order in prop_oneof![Just(Order::Planar), Just(Order::Interleaved)],
            zeros in (0_i32..256, 0_i32..256),
            signed in any::<(bool, bool)>(),
            // Now and then results are greater than any integer.
            scale in prop_oneof![9 => 0.0001_f32..0.01, 1 => Just(1e35_f32)],
            slope in proptest::option::of(-0.5_f32..2.0),
            seed in any::<u64>(),
        ) {
            let bytes = |zero: i32, signed: bool| {
                Bytes { zero: if signed { zero - 128 } else { zero }, signed }
            };
            let (from, to) = (bytes(zeros.0, signed.0), bytes(zeros.1, signed.1));
            let outputs = if depthwise { shape.inputs } else { shape.outputs };
            let shape = Shape { outputs, ..shape };
            let area = |[height, width]: [usize; 2]| height * width;
            let mut some = some(seed);
            let planar = some(shape.inputs * area(shape.input));
            let of_output = if depthwise { 1 } else { shape.inputs } * shape.taps().count();
            let weights = some(outputs * of_output);
            let weights: Vec<i8> = weights.into_iter().map(u8::cast_signed).collect();
            let biases: Vec<i32> = some(outputs).into_iter().map(|b| 50 * i32::from(b)).collect();
            let scales = vec![scale; outputs];
            let negative = slope.map(|slope| vec![scale * slope; outputs]);
            let layer = Layer {
                shape, depthwise, order, from, to,
                weights: &weights, biases: &biases, scales: &scales,
                negative_scales: negative.as_deref(),
            };
            let expected = reference(&layer, &planar);
            let sums = sums_and_scales(&layer, &planar);
            let floats: Vec<f32> = sums.into_iter().map(|[sum, scale]| sum * scale).collect();
            // Values of channels beyond the last must not matter.
            let mut input = some(order.values(shape.inputs, shape.input));
            for (k, value) in planar.iter().enumerate() {
                let area = area(shape.input);
                input[order.index(k / area, k % area, area)] = *value;
            }
            for isa in Isa::detected() {
                let conv = Convolution::with(isa, &layer);
                let mut output = vec![0; order.values(outputs, shape.output)];
                conv.run(&input, &mut output);
                let area = area(shape.output);
                let planar = |k: usize| output[order.index(k / area, k % area, area)];
                let planar: Vec<u8> = (0..outputs * area).map(planar).collect();
                prop_assert_eq!(&planar, &expected, "{:?}", isa);
                let mut numbers = vec![f32::NAN; outputs * area];
                conv.run_to_floats(&input, &mut numbers);
                prop_assert_eq!(&numbers, &floats, "{:?}", isa);
            }
        }
    }
}
