//! The shape of a convolution, and the memory layout of its input.
//!
//! The rows of a map are stored one after another with their padding, so that the values that a
//! weight is multiplied with for neighboring positions are at neighboring addresses, even across
//! the end of a row. Sums that belong to padding are dropped. With a stride, each phase of the
//! stride has a plane of its own.

use std::ops::Range;

/// Sizes of the maps and the kernel, stride and padding; pairs are height and width.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Stride, in positions of the input.
    pub stride: [usize; 2],
    /// Padding at the top and at the left. `output` implies the padding at the other sides.
    pub before: [usize; 2],
}

/// A position in the kernel, as row and column.
pub(crate) type Tap = [usize; 2];

/// The memory layout of an input: planes of padded rows.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    shape: Shape,
    /// Planes of a phase: channels, or groups of interleaved channels.
    pub(crate) layers: usize,
    /// Positions of a plane.
    plane: usize,
    /// The offset of each step's value for the first position.
    pub(crate) offsets: Vec<usize>,
    /// The stored lines of the first layer.
    lines: Vec<Line>,
}

/// The part of a row that a phase of the stride stores.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Where it is stored.
    pub(crate) stored: Range<usize>,
    /// The rest of its row in the map of the layer. A stride lies between values that are stored.
    pub(crate) row: Range<usize>,
}

impl Shape {
    /// Asserts that no size and no stride is zero.
    #[track_caller]
    pub(crate) fn check(&self) {
        let Self { inputs, outputs, input, output, kernel, stride, .. } = *self;
        let sizes = [[inputs, outputs], input, output, kernel, stride];
        assert!(!sizes.as_flattened().contains(&0), "a size or stride is zero: {self:?}");
    }

    pub(crate) fn taps(&self) -> impl Iterator<Item = Tap> + Clone {
        let [height, width] = self.kernel;
        (0..height).flat_map(move |y| (0..width).map(move |x| [y, x]))
    }

    /// The steps of a sum: each layer at each position of the kernel.
    pub(crate) fn steps(&self, layers: usize) -> impl Iterator<Item = (usize, Tap)> {
        let taps = self.taps();
        (0..layers).flat_map(move |layer| taps.clone().map(move |tap| (layer, tap)))
    }

    /// The extent of the kernel beyond its first position, in positions of one phase of the stride.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) / self.stride[axis]
    }

    /// Positions of a stored row, padding included.
    pub(crate) fn row(&self) -> usize {
        self.output[1] + self.reach(1)
    }

    /// Positions that are computed, in stored rows.
    pub(crate) fn positions(&self) -> usize {
        (self.output[0] - 1) * self.row() + self.output[1]
    }

    /// The lines of a phase of the stride, which are stored in `plane`.
    fn lines(&self, [down, right]: [usize; 2], plane: Range<usize>) -> Vec<Line> {
        let Self { input: [height, width], stride, before, .. } = *self;
        // Positions of this phase that are padding, and the map's first position behind them.
        let [top, left] = [(down, 0), (right, 1)].map(|(phase, axis)| {
            let skipped = before[axis].saturating_sub(phase).div_ceil(stride[axis]);
            (skipped, skipped * stride[axis] + phase - before[axis])
        });
        let length = width.saturating_sub(left.1).div_ceil(stride[1]);
        let length = length.min(self.row().saturating_sub(left.0));
        let starts = plane.clone().step_by(self.row()).skip(top.0);
        let lines = starts.zip((top.1..height).step_by(stride[0])).filter_map(|(start, y)| {
            let stored = start + left.0..start + left.0 + length;
            let row = y * width + left.1..(y + 1) * width;
            (length > 0 && stored.end <= plane.end).then_some(Line { stored, row })
        });
        lines.collect()
    }

    /// Copies the rows of an output map from the computed line, without the padding.
    #[inline(always)]
    pub(crate) fn keep<T: Copy>(&self, map: &mut [T], line: &[T]) {
        let width = self.output[1];
        for (row, whole) in map.chunks_exact_mut(width).zip(line.chunks(self.row())) {
            copy_row(whole, row);
        }
    }
}

impl Layout {
    /// The layout for `layers` layers, of which a kernel reads `at_once` positions at a time.
    pub(crate) fn new(shape: Shape, layers: usize, at_once: usize) -> Self {
        let read = shape.positions().next_multiple_of(at_once);
        let plane = read + shape.reach(0) * shape.row() + shape.reach(1);
        let [down, right] = shape.stride;
        let offset = |(layer, [y, x]): (usize, Tap)| {
            let phase = (y % down) * right + x % right;
            (phase * layers + layer) * plane + y / down * shape.row() + x / right
        };
        let offsets = shape.steps(layers).map(offset).collect();
        let lines = (0..down * right).flat_map(|phase| {
            let first = phase * layers * plane;
            shape.lines([phase / right, phase % right], first..first + plane)
        });
        Self { shape, layers, plane, offsets, lines: lines.collect() }
    }

    /// Planes that hold padding only.
    pub(crate) fn empty<T: Copy>(&self, zero: T) -> Vec<T> {
        let [down, right] = self.shape.stride;
        vec![zero; down * right * self.layers * self.plane]
    }

    /// The lines of a layer that are to be copied into the planes.
    #[inline(always)]
    pub(crate) fn lines(&self, layer: usize) -> impl Iterator<Item = Line> {
        let first = layer * self.plane;
        self.lines.iter().map(move |Line { stored, row }| Line {
            stored: first + stored.start..first + stored.end,
            row: row.clone(),
        })
    }
}

/// The first position and the number of vectors of each block of a line. A line is whole vectors or
/// longer than a block. The last block ends with the line, so it may repeat positions of the block
/// before.
pub(crate) fn blocks(
    length: usize,
    lanes: usize,
    most: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let all = length.div_ceil(lanes);
    let blocks = all.div_ceil(most);
    (0..blocks).map(move |block| {
        let [from, to] = [block, block + 1].map(|block| block * all / blocks);
        ((from * lanes).min(length - (to - from) * lanes), to - from)
    })
}

/// Copies as many values as there is room for: faster than a call of `memcpy` for short rows.
#[inline(always)]
pub(crate) fn copy_row<T: Copy>(values: &[T], copies: &mut [T]) {
    match copies.len() {
        ..4 => copies.iter_mut().zip(values).for_each(|(copy, value)| *copy = *value),
        4..8 => copy_ends::<4, T>(values, copies),
        8..16 => copy_ends::<8, T>(values, copies),
        16..32 => copy_ends::<16, T>(values, copies),
        len => copies.copy_from_slice(&values[..len]),
    }
}

/// Copies the first and the last `N` of `N` to 2 `N` values.
#[inline(always)]
fn copy_ends<const N: usize, T: Copy>(values: &[T], copies: &mut [T]) {
    let last = copies.len() - N;
    copies[..N].copy_from_slice(&values[..N]);
    copies[last..].copy_from_slice(&values[last..][..N]);
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Shape {
        /// The input value at a tap of an output position; `None` in the padding.
        pub(crate) fn value<T: Copy>(
            &self,
            input: &[T],
            channel: usize,
            position: usize,
            tap: Tap,
        ) -> Option<T> {
            let [height, width] = self.input;
            let y = (position / self.output[1] * self.stride[0] + tap[0])
                .checked_sub(self.before[0])?;
            let x = (position % self.output[1] * self.stride[1] + tap[1])
                .checked_sub(self.before[1])?;
            (y < height && x < width).then(|| input[(channel * height + y) * width + x])
        }
    }

    /// Two inputs of 4 x 5, three outputs of 4 x 5, a kernel of 3 x 3.
    pub(crate) const SMALL: Shape = Shape {
        inputs: 2,
        outputs: 3,
        input: [4, 5],
        output: [4, 5],
        kernel: [3, 3],
        stride: [1, 1],
        before: [1, 1],
    };

    /// Shapes in which one size or stride is zero.
    pub(crate) fn with_a_zero() -> [Shape; 6] {
        [
            Shape { inputs: 0, ..SMALL },
            Shape { outputs: 0, ..SMALL },
            Shape { input: [4, 0], ..SMALL },
            Shape { output: [0, 5], ..SMALL },
            Shape { kernel: [3, 0], ..SMALL },
            Shape { stride: [0, 1], ..SMALL },
        ]
    }

    /// Whether a call panics.
    pub(crate) fn panics<T>(call: impl FnOnce() -> T) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err()
    }

    /// The shape with a 1 x 1 kernel.
    pub(crate) fn as_pointwise(shape: Shape) -> Shape {
        Shape { output: shape.input, kernel: [1; 2], stride: [1; 2], before: [0; 2], ..shape }
    }

    pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
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
}
