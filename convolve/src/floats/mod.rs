//! Convolutions of floats, and what follows them in networks: a bias, and what negative values are multiplied by.
//!
//! The sums of several outputs at neighbouring places are kept in registers, so that each weight and each value that is
//! read is used several times.

mod products;

use self::products::{Block, Group, Way};
use crate::shape::{Layout, Shape};

/// A convolution and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Its maps and kernel.
    pub shape: Shape,
    /// Whether each output is computed of the input of its number alone; else of all.
    pub depthwise: bool,
    /// Outputs x inputs (depthwise: 1) x kernel.
    pub weights: &'a [f32],
    /// One for each output.
    pub biases: &'a [f32],
    /// What negative values are multiplied by, one for each output: 0 makes a `ReLU`, 1 leaves them.
    pub slopes: &'a [f32],
}

/// A convolution whose weights are laid out for it.
#[derive(Debug)]
pub struct Convolution {
    way: Way,
    shape: Shape,
    kind: Kind,
    groups: Vec<Group>,
}

/// How the input comes to where it is multiplied.
#[derive(Debug)]
enum Kind {
    /// Each place is computed of itself alone: as many as are computed at once are packed, channel behind channel.
    Pointwise,
    /// All channels are laid out.
    Dense(Layout),
    /// One channel after another is.
    Depthwise(Layout),
}

impl Kind {
    fn of(way: Way, layer: &Layer<'_>) -> Self {
        let Shape { inputs, input, output, kernel, stride, before, .. } = layer.shape;
        let pointwise = (kernel, stride, before, input) == ([1, 1], [1, 1], [0, 0], output);
        if layer.depthwise {
            Self::Depthwise(Layout::new(layer.shape, 1, way.lanes()))
        } else if pointwise && output[0] * output[1] >= way.places() {
            Self::Pointwise
        } else {
            Self::Dense(Layout::new(layer.shape, inputs, way.lanes()))
        }
    }

    /// Outputs that are computed together.
    fn together(&self, way: Way) -> usize {
        if matches!(self, Self::Depthwise(_)) { 1 } else { way.outputs() }
    }
}

impl Convolution {
    /// The layer, laid out for this processor; nothing for one that we know no quick way for.
    pub fn new(layer: &Layer<'_>) -> Option<Self> {
        let way = Way::all_of_this_processor().into_iter().next()?;
        Some(Self::with(way, layer))
    }

    fn with(way: Way, layer: &Layer<'_>) -> Self {
        let Layer { shape, weights, biases, slopes, .. } = *layer;
        let kind = Kind::of(way, layer);
        let together = kind.together(way);
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
        Self { way, shape, kind, groups }
    }

    /// `input`: inputs x height x width; `output`: outputs x height x width.
    pub fn run(&self, input: &[f32], output: &mut [f32]) {
        match self.way {
            #[expect(unsafe_code, reason = "the processor was asked")]
            Way::Sixteen => unsafe { self.run_sixteen(input, output) },
            #[expect(unsafe_code, reason = "the processor was asked")]
            Way::Eight => unsafe { self.run_eight(input, output) },
        }
    }

    #[target_feature(enable = "avx512f")]
    fn run_sixteen(&self, input: &[f32], output: &mut [f32]) {
        self.run_by(input, output, |block| products::sixteen::run(block));
    }

    #[target_feature(enable = "avx2,fma")]
    fn run_eight(&self, input: &[f32], output: &mut [f32]) {
        self.run_by(input, output, |block| products::eight::run(block));
    }

    #[inline(always)]
    fn run_by(&self, input: &[f32], output: &mut [f32], run: impl Fn(Block<'_>)) {
        let [[height, width], [rows, columns]] = [self.shape.input, self.shape.output];
        let together = self.kind.together(self.way);
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

    /// Computes all outputs of some places, and then of others.
    #[inline(always)]
    fn run_packed(&self, input: &[f32], output: &mut [f32], run: impl Fn(Block<'_>)) {
        let length = self.shape.places();
        let mut packed = vec![0.0; self.shape.inputs * self.way.places()];
        for (first, operands) in self.way.blocks(length) {
            let places = operands * self.way.lanes();
            let channels = input.chunks_exact(length);
            for (packed, channel) in packed.chunks_exact_mut(places).zip(channels) {
                packed.copy_from_slice(&channel[first..][..places]);
            }
            let steps: Vec<usize> = (0..self.shape.inputs).map(|input| input * places).collect();
            let groups = self.groups.iter().zip(output.chunks_mut(self.way.outputs() * length));
            for (group, lines) in groups {
                let (places, steps) = (&packed[..], &steps[..]);
                run(Block { places, steps, operands, group, lines, length, first });
            }
        }
    }

    /// Computes all places of some outputs.
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
        let length = self.shape.places().next_multiple_of(self.way.lanes());
        lines.resize(group.biases.len() * length, 0.0);
        for (first, operands) in self.way.blocks(length) {
            let (places, steps, lines) = (&planes[first..], &layout.offsets[..], &mut lines[..]);
            run(Block { places, steps, operands, group, lines, length, first });
        }
        let [rows, columns] = self.shape.output;
        for (map, line) in maps.chunks_exact_mut(rows * columns).zip(lines.chunks_exact(length)) {
            self.shape.keep(map, line);
        }
    }

    /// Fills the planes with a map of each layer.
    #[inline(always)]
    fn lay_out(&self, layout: &Layout, input: &[f32], planes: &mut [f32]) {
        let Shape { input: [height, width], stride: [_, right], .. } = self.shape;
        layout.fill(planes, |line, layer, y, x| {
            let row = &input[(layer * height + y) * width..][x..width];
            let places = row.len().div_ceil(right).min(line.len());
            match right {
                1 => line[..places].copy_from_slice(&row[..places]),
                2 => every_other(row, &mut line[..places]),
                _ => (0..places).for_each(|k| line[k] = row[k * right]),
            }
        });
    }
}

/// Every other value, the first one first: quicker than by a stride that is not known.
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
    use crate::shape::tests::shapes;

    /// What the formula says, value by value, in twice the precision.
    fn by_the_formula(layer: &Layer<'_>, input: &[f32]) -> Vec<f32> {
        let Layer { shape, depthwise, weights, biases, slopes } = *layer;
        let mut output = Vec::new();
        for (o, bias) in biases.iter().enumerate() {
            let channels = if depthwise { o..o + 1 } else { 0..shape.inputs };
            let of_output = &weights[o * channels.len() * shape.taps().count()..];
            for place in 0..shape.output[0] * shape.output[1] {
                let mut sum = f64::from(*bias);
                for ((channel, tap), weight) in shape.steps(channels.len()).zip(of_output) {
                    let channel = channels.start + channel;
                    let value = shape.value(input, channel, place, tap).unwrap_or(0.0);
                    sum += f64::from(value) * f64::from(*weight);
                }
                let slope = if sum < 0.0 { f64::from(slopes[o]) } else { 1.0 };
                output.push((sum * slope) as f32);
            }
        }
        output
    }

    /// A layer of five channels with these slopes, and an input for it.
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
            "pointwise" => (of_each_place(shape), 5),
            "depthwise" => (shape, 9),
            _ => (shape, 45),
        }
    }

    /// Which values are NaN, by the formula and on each path of this processor.
    fn check_nan(kind: &str, layer: &Layer<'_>, input: &[f32], what: &str) {
        let expected = by_the_formula(layer, input);
        assert!(expected.iter().any(|value| value.is_nan()), "{kind}, {what}: no NaN at all");
        for way in Way::all_of_this_processor() {
            let mut output = vec![0.0; expected.len()];
            Convolution::with(way, layer).run(input, &mut output);
            let nan = |values: &[f32]| values.iter().map(|v| v.is_nan()).collect::<Vec<_>>();
            assert_eq!(nan(&output), nan(&expected), "{way:?}, {kind}, {what}");
        }
    }

    #[test]
    fn nan_reaches_the_output_on_every_simd_path() {
        println!("paths of this processor: {:?}", Way::all_of_this_processor());
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
                    // A slope counts where the value is negative.
                    let sign = if *what == "slope" { -1.0 } else { 1.0 };
                    check_nan(kind, &layer, &whole.map(|value| sign * value), what);
                }
                let [weights, biases, slopes] = numbers.each_ref().map(Vec::as_slice);
                let layer = Layer { shape, depthwise, weights, biases, slopes };
                for place in [0, 50, 98, 99 + 7, 4 * 99 + 98] {
                    let mut input = whole;
                    input[place] = f32::NAN;
                    check_nan(kind, &layer, &input, &format!("input at {place}"));
                }
            }
        }
    }

    /// Of each place alone.
    fn of_each_place(shape: Shape) -> Shape {
        Shape { output: shape.input, kernel: [1; 2], stride: [1; 2], before: [0; 2], ..shape }
    }

    proptest! {
        #[test]
        fn every_way_says_what_the_formula_says(
            shape in shapes(),
            pointwise in any::<bool>(),
            depthwise in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let outputs = if depthwise { shape.inputs } else { shape.outputs };
            let shape = Shape { outputs, ..shape };
            let shape = if pointwise { of_each_place(shape) } else { shape };
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
            let expected = by_the_formula(&layer, &input);
            for way in Way::all_of_this_processor() {
                let mut output = vec![f32::NAN; expected.len()];
                Convolution::with(way, &layer).run(&input, &mut output);
                for (ours, expected) in output.iter().zip(&expected) {
                    prop_assert!((ours - expected).abs() < 1e-4, "{:?}: {} {}", way, ours, expected);
                }
            }
        }
    }
}
