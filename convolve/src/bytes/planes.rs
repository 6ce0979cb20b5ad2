//! The order in which kernels read an input: four channels of a position together, with padding.

use super::Bytes;
use super::layer::{INTERLEAVED, Layer, Order};
use crate::shape::{self, Layout, Line, Shape};

/// The values of four channels at a position.
pub(super) type Four = [u8; INTERLEAVED];

/// Planes of an input: one for each phase of the stride and each four channels.
#[derive(Debug)]
pub(super) struct Planes {
    shape: Shape,
    order: Order,
    from: Bytes,
    layout: Layout,
    /// Whether an input has this order already.
    in_place: bool,
}

impl Planes {
    /// The planes of `fours` fours of channels, of which a kernel reads `at_once` positions at a
    /// time.
    pub(super) fn new(layer: &Layer<'_>, fours: usize, at_once: usize) -> Self {
        let Layer { shape, order, from, depthwise, .. } = *layer;
        let Shape { input, output, kernel, stride, before, .. } = shape;
        let pointwise = (kernel, stride, before, input) == ([1, 1], [1, 1], [0, 0], output);
        let whole = !depthwise && (input[0] * input[1]).is_multiple_of(at_once);
        let in_place = pointwise && whole && order == Order::Interleaved && !from.signed;
        Self { shape, order, from, layout: Layout::new(shape, fours, at_once), in_place }
    }

    /// The offset of each step's values for the first position.
    pub(super) fn offsets(&self) -> &[usize] {
        &self.layout.offsets
    }

    /// Planes that hold padding only; none if the input is read in place.
    pub(super) fn empty(&self) -> Vec<Four> {
        let zero = self.from.unsigned_zero() as u8;
        if self.in_place { Vec::new() } else { self.layout.empty([zero; INTERLEAVED]) }
    }

    /// Lays out the input from the four channels `first` on.
    #[inline(always)]
    pub(super) fn of<'a>(
        &self,
        input: &'a [u8],
        first: usize,
        planes: &'a mut [Four],
    ) -> &'a [Four] {
        match self.order {
            Order::Planar => self.interleave(input, first, planes),
            Order::Interleaved if self.in_place => return input.as_chunks().0,
            Order::Interleaved => self.copy(input.as_chunks().0, first, planes),
        }
        planes
    }

    #[inline(always)]
    fn interleave(&self, input: &[u8], first: usize, planes: &mut [Four]) {
        let Shape { inputs, input: [height, width], stride: [_, right], .. } = self.shape;
        for layer in 0..self.layout.layers {
            // The weights of a channel beyond the last are 0, so its values don't matter.
            let four = std::array::from_fn(|k| ((first + layer) * INTERLEAVED + k).min(inputs - 1));
            let four = four.map(|channel| &input[channel * height * width..][..height * width]);
            for Line { stored, row } in self.layout.lines(layer) {
                let four = four.map(|map| &map[row.clone()]);
                interleave(&mut planes[stored], four, right, self.from.flip());
            }
        }
    }

    #[inline(always)]
    fn copy(&self, input: &[Four], first: usize, planes: &mut [Four]) {
        let Shape { input: [height, width], stride: [_, right], .. } = self.shape;
        for layer in 0..self.layout.layers {
            let map = &input[(first + layer) * height * width..][..height * width];
            for Line { stored, row } in self.layout.lines(layer) {
                let (line, row) = (&mut planes[stored], &map[row]);
                match right {
                    1 => shape::copy_row(row, line),
                    2 => every_other(row, line),
                    _ => line.iter_mut().zip(row.iter().step_by(right)).for_each(|(a, b)| *a = *b),
                }
                if self.from.signed {
                    line.as_flattened_mut().iter_mut().for_each(|byte| *byte ^= self.from.flip());
                }
            }
        }
    }
}

/// Copies every other position, starting with the first.
#[inline(always)]
fn every_other(row: &[Four], line: &mut [Four]) {
    // Numbers of 64 bits, because their truncation is vectorized.
    let (pairs, last) = row.as_flattened().as_chunks::<{ 2 * INTERLEAVED }>();
    for (copy, pair) in line.iter_mut().zip(pairs) {
        *copy = (u64::from_le_bytes(*pair) as u32).to_le_bytes();
    }
    if let ([a, b, c, d], Some(copy)) = (last, line.get_mut(pairs.len())) {
        *copy = [*a, *b, *c, *d];
    }
}

/// Interleaves every `stride`-th value of four channels.
#[inline(always)]
fn interleave(line: &mut [Four], four: [&[u8]; INTERLEAVED], stride: usize, flip: u8) {
    let [a, b, c, d] = four;
    let all = |four: [u8; INTERLEAVED]| four.map(|value| value ^ flip);
    // Fixed strides are faster.
    match stride {
        1 => {
            let four = a.iter().zip(b).zip(c.iter().zip(d));
            let four = line.iter_mut().zip(four);
            four.for_each(|(position, ((a, b), (c, d)))| *position = all([*a, *b, *c, *d]));
        }
        2 => {
            let [e, f, g, h] = four.map(|channel| channel.as_chunks::<2>().0);
            let pairs = line.iter_mut().zip(e.iter().zip(f).zip(g.iter().zip(h)));
            pairs
                .for_each(|(position, ((e, f), (g, h)))| *position = all([e[0], f[0], g[0], h[0]]));
            if let Some(position) = line.get_mut(e.len()) {
                *position = all(four.map(|channel| channel[channel.len() - 1]));
            }
        }
        _ => line.iter_mut().enumerate().for_each(|(k, position)| {
            let k = k * stride;
            *position = all([a[k], b[k], c[k], d[k]]);
        }),
    }
}
