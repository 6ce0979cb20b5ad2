//! Where a convolution's input lies while it is computed.
//!
//! A map's rows are laid out one behind another with their padding, so that what a weight needs for neighbouring places
//! lies at neighbouring addresses, wherever a row ends; what is computed of the padding is dropped. With strides the
//! places of each phase make a plane of their own.

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
pub(crate) type Tap = [usize; 2];

/// How a shape's input is laid out.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    shape: Shape,
    /// Planes of a phase: channels, or so many of them side by side.
    layers: usize,
    /// Places of a plane.
    plane: usize,
    /// Where each step's values lie, for the place at the top left.
    pub(crate) offsets: Vec<usize>,
}

impl Shape {
    pub(crate) fn taps(&self) -> impl Iterator<Item = Tap> + Clone {
        let [height, width] = self.kernel;
        (0..height).flat_map(move |y| (0..width).map(move |x| [y, x]))
    }

    /// What is multiplied one after another: a layer at a place of the kernel.
    pub(crate) fn steps(&self, layers: usize) -> impl Iterator<Item = (usize, Tap)> {
        let taps = self.taps();
        (0..layers).flat_map(move |layer| taps.clone().map(move |tap| (layer, tap)))
    }

    /// How far the kernel reaches beyond a place, in places of one phase of the stride.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) / self.stride[axis]
    }

    /// Places of a laid out row, padding included.
    pub(crate) fn row(&self) -> usize {
        self.output[1] + self.reach(1)
    }

    /// Places that are computed, row behind row.
    pub(crate) fn places(&self) -> usize {
        (self.output[0] - 1) * self.row() + self.output[1]
    }

    /// Copies the rows of an output map from what was computed, row behind row.
    pub(crate) fn keep<T: Copy>(&self, map: &mut [T], line: &[T]) {
        let width = self.output[1];
        for (row, whole) in map.chunks_exact_mut(width).zip(line.chunks(self.row())) {
            row.copy_from_slice(&whole[..width]);
        }
    }
}

impl Layout {
    /// So many layers, of which so many places are read at once.
    pub(crate) fn new(shape: Shape, layers: usize, at_once: usize) -> Self {
        let read = shape.places().next_multiple_of(at_once);
        let plane = read + shape.reach(0) * shape.row() + shape.reach(1);
        let [down, right] = shape.stride;
        let offset = |(layer, [y, x]): (usize, Tap)| {
            let phase = (y % down) * right + x % right;
            (phase * layers + layer) * plane + y / down * shape.row() + x / right
        };
        let offsets = shape.steps(layers).map(offset).collect();
        Self { shape, layers, plane, offsets }
    }

    /// Planes of nothing but padding.
    pub(crate) fn empty<T: Copy>(&self, zero: T) -> Vec<T> {
        let [down, right] = self.shape.stride;
        vec![zero; down * right * self.layers * self.plane]
    }

    /// Fills the planes: `row` fills a row with a layer's places of row y from column x on, each stride-th.
    #[inline(always)]
    pub(crate) fn fill<T>(&self, planes: &mut [T], row: impl Fn(&mut [T], usize, usize, usize)) {
        let Shape { input: [height, width], stride: [down, right], before, .. } = self.shape;
        for (k, plane) in planes.chunks_exact_mut(self.plane).enumerate() {
            let (phase, layer) = (k / self.layers, k % self.layers);
            // How many places of this phase are padding, and where in the map the first is that is not.
            let [top, left] = [(phase / right, down, before[0]), (phase % right, right, before[1])]
                .map(|(phase, stride, before)| {
                    let skipped = before.saturating_sub(phase).div_ceil(stride);
                    (skipped, skipped * stride + phase - before)
                });
            let lines = plane.chunks_exact_mut(self.shape.row()).skip(top.0);
            for (line, y) in lines.zip((top.1..height).step_by(down)) {
                row(line.get_mut(left.0..).unwrap_or_default(), layer, y, left.1.min(width));
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Shape {
        /// What lies below a tap of an output's place; nothing in the padding.
        pub(crate) fn value<T: Copy>(
            &self,
            input: &[T],
            channel: usize,
            place: usize,
            tap: Tap,
        ) -> Option<T> {
            let [height, width] = self.input;
            let y =
                (place / self.output[1] * self.stride[0] + tap[0]).checked_sub(self.before[0])?;
            let x =
                (place % self.output[1] * self.stride[1] + tap[1]).checked_sub(self.before[1])?;
            (y < height && x < width).then(|| input[(channel * height + y) * width + x])
        }
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
