//! 8-bit operators of quantized networks: ONNX's `QuantizeLinear` and `QLinearConv`, and
//! onnxruntime's `QLinearAdd`. Results are bit-identical on every processor.

mod convolution;
mod dot;
mod interleaved;
mod layer;
mod planes;
mod products;
mod values;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use self::convolution::Convolution;
pub use self::interleaved::{dequantize_interleaved, look_up_interleaved, quantize_interleaved};
pub use self::layer::{Layer, MOST_WEIGHTS, Order};
use self::values::scaled;

/// The quantization of a map, without its scale.
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// The zero point: the byte that represents 0.
    pub zero: i32,
    /// Whether bytes are signed (-128 to 127).
    pub signed: bool,
}

impl Bytes {
    /// The mask that maps the bytes to unsigned bytes of the same order, by XOR.
    pub(crate) fn flip(self) -> u8 {
        if self.signed { 0x80 } else { 0 }
    }

    pub(crate) fn unsigned_zero(self) -> i32 {
        if self.signed { self.zero + 128 } else { self.zero }
    }

    /// Requantizes a sum: scales it, by the second scale if it is negative, rounds half to even,
    /// and saturates.
    #[inline(always)]
    pub(crate) fn requantize(self, sum: i32, scales: [f32; 2]) -> u8 {
        let [least, most] = self.bounds();
        rounded(scaled(sum, scales), least, most).wrapping_add(self.zero) as u8
    }

    /// The least and the greatest value of a byte, relative to the zero point.
    fn bounds(self) -> [f32; 2] {
        let least = if self.signed { -128 } else { 0 };
        [least, least + 255].map(|byte| (byte - self.zero) as f32)
    }
}

/// Quantizes numbers: rounds half to even, and saturates. `scale` is the number of steps for 1, the
/// reciprocal of ONNX's. Returns `None` if a scaled number is NaN, which no byte represents.
pub fn quantize(values: &[f32], scale: f32, to: Bytes) -> Option<Vec<u8>> {
    let [least, most] = to.bounds();
    let byte = |value: &f32| rounded(value * scale, least, most).wrapping_add(to.zero) as u8;
    // No branch in the loop, so that it is vectorized.
    let is_nan = values.iter().fold(false, |nan, value| nan | (value * scale).is_nan());
    (!is_nan).then(|| values.iter().map(byte).collect())
}

/// Adds a map of unsigned bytes to another: `sum = sum * first + other * second + offset`, rounded
/// half to even and saturated. The factors are steps of the result for a step of each operand.
///
/// # Panics
/// If the maps have different lengths.
pub fn add(sum: &mut [u8], other: &[u8], [first, second]: [f32; 2], offset: f32) {
    assert_eq!(sum.len(), other.len(), "values of the maps");
    for (a, b) in sum.iter_mut().zip(other) {
        *a = rounded(f32::from(*a) * first + f32::from(*b) * second + offset, 0.0, 255.0) as u8;
    }
}

/// Clamps a number and rounds it, half to even.
#[inline(always)]
fn rounded(value: f32, least: f32, most: f32) -> i32 {
    /// 1.5 * 2^23: floats of this size are integers, so adding a number to it rounds the number.
    const WHOLE: f32 = 12_582_912.0;
    let value = if value < least { least } else { value };
    let value = if value > most { most } else { value };
    (value + WHOLE).to_bits().wrapping_sub(WHOLE.to_bits()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantization_rounds_half_to_even_and_saturates() {
        let values = [0.0, 0.25, 0.75, -0.75, 1e9, -1e9, f32::INFINITY];
        let bytes = quantize(&values, 2.0, Bytes { zero: 10, signed: false });
        assert_eq!(bytes.unwrap(), [10, 10, 12, 8, 255, 0, 255]);
    }

    #[test]
    fn quantization_of_nan_is_none() {
        let to = Bytes { zero: 10, signed: false };
        assert_eq!(quantize(&[1.0, f32::NAN, 2.0], 2.0, to), None);
        assert_eq!(quantize(&[1.0], f32::NAN, to), None);
        assert_eq!(quantize(&[0.0], f32::INFINITY, to), None);
    }

    #[test]
    #[should_panic(expected = "values of the maps")]
    fn addition_checks_the_lengths() {
        add(&mut [1, 2], &[3], [1.0, 1.0], 0.0);
    }

    #[test]
    fn addition_rescales_rounds_and_saturates() {
        // (a - 10) / 2 + (b - 4) / 4, in steps of 1/8 with zero point 100.
        let mut sums = [10, 11, 200, 0];
        add(&mut sums, &[4, 5, 200, 0], [4.0, 2.0], 100.0 - 10.0 * 4.0 - 4.0 * 2.0);
        assert_eq!(sums, [100, 106, 255, 52]);
    }
}
