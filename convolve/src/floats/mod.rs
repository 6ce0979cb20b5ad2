//! Float convolutions, fused with the bias and the `ReLU` or `PReLU` that follow them.
//!
//! The sums of several outputs at neighboring positions are kept in registers, so that each weight
//! and each value that is loaded is used several times.
//!
//! Sums are computed in 32 bits with fused multiply-add, so results differ from other
//! implementations by rounding. NaN in a value, a weight or a bias gives NaN in each output that it
//! is part of. The activation is `slope * min(0, sum) + max(0, sum)`: a slope that is NaN gives NaN
//! in all outputs of its channel, an infinite one where the sum isn't negative, and a sum of negative
//! infinity with slope 0 gives NaN.

mod products;

use self::products::{Block, Group, Isa};
use crate::shape::{self, Layout, Line, Shape};

/// The parameters of a convolution and its activation.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Sizes of the maps and the kernel.
    pub shape: Shape,
    /// Whether each output channel reads only the input channel of the same index.
    pub depthwise: bool,
    /// Weights in OIHW order: outputs x inputs (depthwise: 1) x kernel.
    pub weights: &'a [f32],
    /// One bias for each output.
    pub biases: &'a [f32],
    /// The factor for negative sums, one for each output: 0 is a `ReLU`, 1 no activation.
    pub slopes: &'a [f32],
}

impl Layer<'_> {
    #[track_caller]
    fn check(&self) {
        let Self { shape, depthwise, weights, biases, slopes } = *self;
        shape.check();
        assert!(!depthwise || shape.outputs == shape.inputs, "a depthwise layer: {shape:?}");
        let inputs = if depthwise { 1 } else { shape.inputs };
        let expected = shape.outputs * inputs * shape.taps().count();
        assert_eq!(weights.len(), expected, "weights");
        assert_eq!(biases.len(), shape.outputs, "biases");
        assert_eq!(slopes.len(), shape.outputs, "slopes");
    }
}

/// A convolution with its weights laid out for the kernel of this processor.
#[derive(Debug)]
pub struct Convolution {
    isa: Isa,
    shape: Shape,
    kind: Kind,
    groups: Vec<Group>,
}

/// How the input is laid out before it is multiplied.
#[derive(Debug)]
enum Kind {
    /// A 1 x 1 kernel with stride 1: the positions of a block are packed, channel after channel.
    Pointwise,
    /// All channels are laid out at once.
    Dense(Layout),
    /// One channel is laid out after the other.
    Depthwise(Layout),
}

impl Kind {
    fn of(isa: Isa, layer: &Layer<'_>) -> Self {
        let Shape { inputs, input, output, kernel, stride, before, .. } = layer.shape;
        let pointwise = (kernel, stride, before, input) == ([1, 1], [1, 1], [0, 0], output);
        if layer.depthwise {
            Self::Depthwise(Layout::new(layer.shape, 1, isa.lanes()))
        } else if pointwise && output[0] * output[1] >= isa.positions() {
            Self::Pointwise
        } else {
            Self::Dense(Layout::new(layer.shape, inputs, isa.lanes()))
        }
    }

    /// The number of outputs that are computed together.
    fn together(&self, isa: Isa) -> usize {
        if matches!(self, Self::Depthwise(_)) { 1 } else { isa.outputs() }
    }
}

impl Convolution {
    /// Prepares a layer for this processor; `None` if it has neither AVX-512F nor AVX2 and FMA.
    ///
    /// # Panics
    /// If a size or stride of the shape is zero, if a depthwise layer has not as many outputs as
    /// inputs, or if the slices have not as many values as the shape says.
    pub fn new(layer: &Layer<'_>) -> Option<Self> {
        layer.check();
        let isa = Isa::detected().into_iter().next()?;
        Some(Self::with(isa, layer))
    }

    fn with(isa: Isa, layer: &Layer<'_>) -> Self {
        let Layer { shape, weights, biases, slopes, .. } = *layer;
        let kind = Kind::of(isa, layer);
        let together = kind.together(isa);
        let steps = weights.len() / shape.outputs;
        let group = |first: usize| {
            let last = shape.outputs.min(first + together);
            let of_step = |step| {
                let weight = move |output| weights.get(output * steps + step).copied();
                (first..first + together).map(move |output| weight(output).unwrap_or(0.0))
            };
            Group {
                weights: (0..steps).flat_map(of_step).collect(),
                biases: biases[first..last].to_vec(),
                slopes: slopes[first..last].to_vec(),
            }
        };
        let groups = (0..shape.outputs).step_by(together).map(group).collect();
        Self { isa, shape, kind, groups }
    }

    /// Computes the output maps (outputs x height x width) of the input maps (inputs x height x
    /// width).
    ///
    /// # Panics
    /// If the slices have not as many values as the layer's shape says.
    pub fn run(&self, input: &[f32], output: &mut [f32]) {
        let Shape { inputs, outputs, input: [height, width], output: [rows, columns], .. } =
            self.shape;
        assert_eq!(input.len(), inputs * height * width, "values of the input");
        assert_eq!(output.len(), outputs * rows * columns, "values of the output");
        match self.isa {
            #[expect(unsafe_code, reason = "Isa::detected found the instruction set")]
            Isa::Avx512 => unsafe { self.run_avx512(input, output) },
            #[expect(unsafe_code, reason = "Isa::detected found the instruction set")]
            Isa::Avx2 => unsafe { self.run_avx2(input, output) },
        }
    }

    #[target_feature(enable = "avx512f")]
    fn run_avx512(&self, input: &[f32], output: &mut [f32]) {
        self.run_by(input, output, |block| products::avx512::run(block));
    }

    #[target_feature(enable = "avx2,fma")]
    fn run_avx2(&self, input: &[f32], output: &mut [f32]) {
        self.run_by(input, output, |block| products::avx2::run(block));
    }

    #[inline(always)]
    fn run_by(&self, input: &[f32], output: &mut [f32], run: impl Fn(Block<'_>)) {
        let [[height, width], [rows, columns]] = [self.shape.input, self.shape.output];
        let together = self.kind.together(self.isa);
        let groups = self.groups.iter().zip(output.chunks_mut(together * rows * columns));
        let mut lines = Vec::new();
        match &self.kind {
            Kind::Pointwise => self.run_packed(input, output, run),
            Kind::Dense(layout) => {
                let mut planes = layout.empty(0.0);
                self.lay_out(layout, input, &mut planes);
                for (group, maps) in groups {
                    self.run_laid_out(layout, &planes, group, &mut lines, maps, &run);
                }
            }
            Kind::Depthwise(layout) => {
                let mut planes = layout.empty(0.0);
                for ((group, map), channel) in groups.zip(input.chunks_exact(height * width)) {
                    self.lay_out(layout, channel, &mut planes);
                    self.run_laid_out(layout, &planes, group, &mut lines, map, &run);
                }
            }
        }
    }

    /// Computes all outputs of a block of positions, then of the next block.
    #[inline(always)]
    fn run_packed(&self, input: &[f32], output: &mut [f32], run: impl Fn(Block<'_>)) {
        let length = self.shape.positions();
        let mut packed = vec![0.0; self.shape.inputs * self.isa.positions()];
        for (first, operands) in self.isa.blocks(length) {
            let positions = operands * self.isa.lanes();
            let channels = input.chunks_exact(length);
            for (packed, channel) in packed.chunks_exact_mut(positions).zip(channels) {
                packed.copy_from_slice(&channel[first..][..positions]);
            }
            let steps: Vec<usize> = (0..self.shape.inputs).map(|input| input * positions).collect();
            let groups = self.groups.iter().zip(output.chunks_mut(self.isa.outputs() * length));
            for (group, lines) in groups {
                let (positions, steps) = (&packed[..], &steps[..]);
                run(Block { positions, steps, operands, group, lines, length, first });
            }
        }
    }

    /// Computes all positions of a group of outputs.
    #[inline(always)]
    fn run_laid_out(
        &self,
        layout: &Layout,
        planes: &[f32],
        group: &Group,
        lines: &mut Vec<f32>,
        maps: &mut [f32],
        run: impl Fn(Block<'_>),
    ) {
        let length = self.shape.positions().next_multiple_of(self.isa.lanes());
        lines.resize(group.biases.len() * length, 0.0);
        for (first, operands) in self.isa.blocks(length) {
            let (positions, steps, lines) = (&planes[first..], &layout.offsets[..], &mut lines[..]);
            run(Block { positions, steps, operands, group, lines, length, first });
        }
        let [rows, columns] = self.shape.output;
        for (map, line) in maps.chunks_exact_mut(rows * columns).zip(lines.chunks_exact(length)) {
            self.shape.keep(map, line);
        }
    }

    /// Copies the map of each layer into the planes.
    #[inline(always)]
    fn lay_out(&self, layout: &Layout, input: &[f32], planes: &mut [f32]) {
        let Shape { input: [height, width], stride: [_, right], .. } = self.shape;
        for (layer, map) in input.chunks_exact(height * width).enumerate() {
            for Line { stored, row } in layout.lines(layer) {
                let (line, row) = (&mut planes[stored], &map[row]);
                match right {
                    1 => shape::copy_row(row, line),
                    2 => every_other(row, line),
                    _ => line.iter_mut().zip(row.iter().step_by(right)).for_each(|(a, b)| *a = *b),
                }
            }
        }
    }
}

/// Copies every other value, starting with the first: faster than with a variable stride.
#[inline(always)]
fn every_other(values: &[f32], kept: &mut [f32]) {
    let (pairs, last) = values.as_chunks::<2>();
    for (kept, [value, _]) in kept.iter_mut().zip(pairs) {
        *kept = *value;
    }
    if let ([value], Some(kept)) = (last, kept.get_mut(pairs.len())) {
        *kept = *value;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shape::tests::{SMALL, as_pointwise, panics, shapes, with_a_zero};

    /// The convolution by its definition, in 64 bits.
    fn reference(layer: &Layer<'_>, input: &[f32]) -> Vec<f32> {
        let Layer { shape, depthwise, weights, biases, slopes } = *layer;
        let mut output = Vec::new();
        for (o, bias) in biases.iter().enumerate() {
            let channels = if depthwise { o..o + 1 } else { 0..shape.inputs };
            let of_output = &weights[o * channels.len() * shape.taps().count()..];
            for position in 0..shape.output[0] * shape.output[1] {
                let mut sum = f64::from(*bias);
                for ((channel, tap), weight) in shape.steps(channels.len()).zip(of_output) {
                    let channel = channels.start + channel;
                    let value = shape.value(input, channel, position, tap).unwrap_or(0.0);
                    sum += f64::from(value) * f64::from(*weight);
                }
                let slope = if sum < 0.0 { f64::from(slopes[o]) } else { 1.0 };
                output.push((sum * slope) as f32);
            }
        }
        output
    }

    /// The shape of a layer of five channels, and its weights for each output.
    fn nan_layer(kind: &str) -> (Shape, usize) {
        let shape = Shape {
            inputs: 5,
            outputs: 5,
            input: [9, 11],
            output: [9, 11],
            kernel: [3, 3],
            stride: [1, 1],
            before: [1, 1],
        };
        match kind {
            "pointwise" => (as_pointwise(shape), 5),
            "depthwise" => (shape, 9),
            _ => (shape, 45),
        }
    }

    /// Asserts that each kernel of this processor gives NaN exactly where the reference does.
    fn check_nan(kind: &str, layer: &Layer<'_>, input: &[f32], what: &str) {
        let expected = reference(layer, input);
        assert!(expected.iter().any(|value| value.is_nan()), "{kind}, {what}: no NaN at all");
        for isa in Isa::detected() {
            let mut output = vec![0.0; expected.len()];
            Convolution::with(isa, layer).run(input, &mut output);
            let nan = |values: &[f32]| values.iter().map(|v| v.is_nan()).collect::<Vec<_>>();
            assert_eq!(nan(&output), nan(&expected), "{isa:?}, {kind}, {what}");
        }
    }

    #[test]
    fn nan_propagates_on_every_kernel() {
        println!("kernels of this processor: {:?}", Isa::detected());
        for kind in ["dense", "pointwise", "depthwise"] {
            let (shape, of_output) = nan_layer(kind);
            let depthwise = kind == "depthwise";
            for slope in [0.0, 0.25, 1.0] {
                let whole = [0.5; 5 * 99];
                let numbers = [vec![0.5; 5 * of_output], vec![0.1; 5], vec![slope; 5]];
                for (spoiled, what) in ["weight", "bias", "slope"].iter().enumerate() {
                    let mut numbers = numbers.clone();
                    numbers[spoiled][3] = f32::NAN;
                    let [weights, biases, slopes] = numbers.each_ref().map(Vec::as_slice);
                    let layer = Layer { shape, depthwise, weights, biases, slopes };
                    // A slope is used where the sum is negative.
                    let sign = if *what == "slope" { -1.0 } else { 1.0 };
                    check_nan(kind, &layer, &whole.map(|value| sign * value), what);
                }
                let [weights, biases, slopes] = numbers.each_ref().map(Vec::as_slice);
                let layer = Layer { shape, depthwise, weights, biases, slopes };
                for position in [0, 50, 98, 99 + 7, 4 * 99 + 98] {
                    let mut input = whole;
                    input[position] = f32::NAN;
                    check_nan(kind, &layer, &input, &format!("input at {position}"));
                }
            }
        }
    }

    #[test]
    fn arguments_are_checked() {
        let fits = Layer {
            shape: SMALL,
            depthwise: false,
            weights: &[0.5; 54],
            biases: &[0.0; 3],
            slopes: &[1.0; 3],
        };
        let Some(conv) = Convolution::new(&fits) else { return };
        for shape in with_a_zero() {
            assert!(panics(|| Convolution::new(&Layer { shape, ..fits })), "{shape:?}");
        }
        let wrong = [
            Layer { weights: &[0.5; 53], ..fits },
            Layer { biases: &[0.0; 2], ..fits },
            Layer { slopes: &[1.0; 4], ..fits },
            Layer { depthwise: true, weights: &[0.5; 27], ..fits },
        ];
        for layer in wrong {
            assert!(panics(|| Convolution::new(&layer)), "{layer:?}");
        }
        for (inputs, outputs) in [(39, 60), (41, 60), (40, 59), (40, 61)] {
            let run = || conv.run(&vec![0.0; inputs], &mut vec![0.0; outputs]);
            assert!(panics(run), "{inputs} {outputs}");
        }
        conv.run(&[0.0; 40], &mut [0.0; 60]);
    }

    proptest! {
        #[test]
        fn kernels_match_the_reference(
            shape in shapes(),
            pointwise in any::<bool>(),
            depthwise in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let outputs = if depthwise { shape.inputs } else { shape.outputs };
            let shape = Shape { outputs, ..shape };
            let shape = if pointwise { as_pointwise(shape) } else { shape };
            let mut state = seed | 1;
            let mut some = |count: usize| -> Vec<f32> {
                let next = || {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    f32::from((state >> 48) as u16) / 32768.0 - 1.0
                };
                std::iter::repeat_with(next).take(count).collect()
            };
            let input = some(shape.inputs * shape.input[0] * shape.input[1]);
            let of_output = if depthwise { 1 } else { shape.inputs } * shape.taps().count();
            let (weights, biases) = (some(outputs * of_output), some(outputs));
            let slopes = some(outputs);
            let (weights, biases, slopes) = (&weights[..], &biases[..], &slopes[..]);
            let layer = Layer { shape, depthwise, weights, biases, slopes };
            let expected = reference(&layer, &input);
            for isa in Isa::detected() {
                let mut output = vec![f32::NAN; expected.len()];
                Convolution::with(isa, &layer).run(&input, &mut output);
                for (ours, expected) in output.iter().zip(&expected) {
                    prop_assert!((ours - expected).abs() < 1e-4, "{:?}: {} {}", isa, ours, expected);
                }
            }
        }
    }
}
