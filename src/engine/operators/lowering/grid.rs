//! Quantization of maps by their ranges, and of the weights of a convolution.

use convolve::bytes::Bytes;

use super::super::fusion::FusedConvolution;
use crate::engine::quantization::Range;

/// The largest weight in 8 bits; -128 is left out, so that the weights are symmetric.
const LARGEST_WEIGHT: f32 = 127.0;

/// The largest bias, which leaves the rest of 32 bits to the products.
const LARGEST_BIAS: f32 = (1_u32 << 28) as f32;

/// The quantization of a map: a byte is the value `(byte - zero) * step`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) step: f32,
    pub(super) zero: f32,
}

impl Grid {
    /// Returns the grid whose first and last byte are the ends of a range. Pixels keep their own
    /// levels in it, where the range is that of black and white.
    pub(super) fn exact(range: Range) -> Self {
        let step = range.step();
        Self { step, zero: -range.low() / step }
    }

    /// Returns the grid of a range in which a byte is 0, as padding needs it.
    pub(super) fn with_zero(range: Range) -> Self {
        let exact = Self::exact(range);
        Self { zero: exact.zero.round_ties_even(), ..exact }
    }

    /// Returns the value of each byte.
    pub(super) fn values(self) -> [f32; 256] {
        std::array::from_fn(|byte| (byte as f32 - self.zero) * self.step)
    }

    /// Returns the byte of a value.
    pub(super) fn byte(self, value: f32) -> u8 {
        (value / self.step + self.zero).round_ties_even().clamp(0.0, 255.0) as u8
    }

    /// Returns the byte nearest to 0.
    pub(super) fn bytes(self) -> Bytes {
        Bytes { zero: self.byte(0.0).into(), signed: false }
    }
}

/// A convolution in 8 bits.
pub(super) struct Quantized {
    /// In OIHW order.
    pub(super) weights: Vec<i8>,
    /// In units of the sums.
    pub(super) biases: Vec<i32>,
    /// The value of a sum of 1 for each output.
    pub(super) steps: Vec<f32>,
}

impl Quantized {
    /// Quantizes the weights of each output by their largest.
    pub(super) fn of(fused: &FusedConvolution, from: Grid) -> Self {
        let of_output = fused.weights.len() / fused.shape.outputs;
        let mut quantized = Self {
            weights: Vec::with_capacity(fused.weights.len()),
            biases: vec![],
            steps: vec![],
        };
        for (weights, bias) in fused.weights.chunks_exact(of_output).zip(&fused.biases) {
            let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
            let for_bias = bias.abs() / from.step / LARGEST_BIAS;
            let step = (largest / LARGEST_WEIGHT).max(for_bias).max(f32::MIN_POSITIVE);
            let weight = |weight: &f32| (weight / step).round_ties_even() as i8;
            let bytes: Vec<i8> = weights.iter().map(weight).collect();
            let total: i64 = bytes.iter().map(|&weight| i64::from(weight)).sum();
            // The kernel subtracts the zero point of the bytes, which may lie beside that of the grid.
            let beside = f64::from(from.bytes().zero as f32 - from.zero);
            let bias = f64::from(*bias) / (f64::from(from.step) * f64::from(step));
            quantized.biases.push((bias + beside * total as f64).round_ties_even() as i32);
            quantized.steps.push(from.step * step);
            quantized.weights.extend(bytes);
        }
        quantized
    }
}

#[cfg(test)]
mod tests {
    use convolve::Shape;

    use super::*;

    #[test]
    fn pixels_keep_their_levels() {
        let range = Range::new(-127.5 / 128.0, 127.5 / 128.0).unwrap();
        let grid = Grid::exact(range);
        for pixel in 0..=255_u8 {
            assert_eq!(grid.byte((f32::from(pixel) - 127.5) / 128.0), pixel);
        }
    }

    #[test]
    fn grid_with_zero_represents_zero() {
        for (low, high) in [(-1.0, 2.0), (0.0, 5.0), (-3.0, -1.0), (-0.3, 0.29)] {
            let grid = Grid::with_zero(Range::new(low, high).unwrap());
            assert!(grid.values()[usize::from(grid.byte(0.0))].abs() < f32::MIN_POSITIVE);
            assert!((grid.values()[usize::from(grid.byte(low))] - low).abs() <= grid.step);
        }
    }

    #[test]
    fn weights_biases_and_steps_reproduce_the_convolution() {
        let shape = Shape {
            inputs: 2,
            outputs: 3,
            input: [1, 1],
            output: [1, 1],
            kernel: [1, 1],
            stride: [1, 1],
            before: [0, 0],
        };
        let fused = FusedConvolution {
            shape,
            depthwise: false,
            weights: vec![0.5, -1.27, 0.0, 0.0, 1e-20, 1e-20],
            biases: vec![0.25, 3.0, -2.0],
            slopes: vec![1.0; 3],
        };
        // The zero point lies between two bytes.
        let from = Grid { step: 0.01, zero: 100.25 };
        let Quantized { weights, biases, steps } = Quantized::of(&fused, from);
        assert_eq!(weights[..2], [50, -127]);
        for (input, output) in [([100, 100], 0), ([0, 255], 0), ([30, 7], 1), ([30, 7], 2)] {
            let value = |byte: i32| (byte as f32 - from.zero) * from.step;
            let row = 2 * output;
            let expected = fused.biases[output]
                + value(input[0]) * fused.weights[row]
                + value(input[1]) * fused.weights[row + 1];
            let product = |k: usize| (input[k] - 100) * i32::from(weights[row + k]);
            let sum = (biases[output] + product(0) + product(1)) as f32 * steps[output];
            assert!((sum - expected).abs() < 1e-3, "{sum} {expected}");
        }
    }
}
