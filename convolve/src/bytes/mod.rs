//! Maps whose values are bytes, as quantised networks have them (the operators `QuantizeLinear`, `QLinearConv` and
//! `QLinearAdd` of ONNX and onnxruntime): the same numbers on every processor, and quick on those that multiply bytes
//! four at a time.

mod convolution;
mod products;

pub use self::convolution::{Convolution, Layer, MOST_WEIGHTS};
use self::products::PLACES;

/// What the bytes of a map stand for, up to a scale.
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// The byte that stands for 0.
    pub zero: i32,
    /// Whether they go from -128 to 127.
    pub signed: bool,
}

impl Bytes {
    /// What makes unsigned bytes of them, in their order.
    pub(crate) fn flip(self) -> u8 {
        if self.signed { 0x80 } else { 0 }
    }

    pub(crate) fn unsigned_zero(self) -> i32 {
        if self.signed { self.zero + 128 } else { self.zero }
    }

    /// Sums become bytes: scaled, rounded (halves to even), and bounded.
    #[inline(always)]
    pub(crate) fn requantise(self, sums: &[i32; PLACES], start: i32, scale: f32, bytes: &mut [u8]) {
        let [least, most] = self.bounds();
        for (sum, byte) in sums.iter().zip(bytes) {
            *byte = rounded(sum.wrapping_add(start) as f32 * scale, least, most)
                .wrapping_add(self.zero) as u8;
        }
    }

    /// The least and the most that a byte stands for.
    fn bounds(self) -> [f32; 2] {
        let least = if self.signed { -128 } else { 0 };
        [least, least + 255].map(|byte| (byte - self.zero) as f32)
    }
}

/// Numbers as bytes: `scale` is how many steps of the bytes a 1 is. `None` where a number is NaN, which no byte says.
pub fn quantised(values: &[f32], scale: f32, to: Bytes) -> Option<Vec<u8>> {
    let [least, most] = to.bounds();
    let byte = |value: &f32| rounded(value * scale, least, most).wrapping_add(to.zero) as u8;
    // Without a branch within, so that several are asked at once.
    let is_nan = values.iter().fold(false, |nan, value| nan | (value * scale).is_nan());
    (!is_nan).then(|| values.iter().map(byte).collect())
}

/// A sum of two maps of unsigned bytes, left in the first: how many steps of the sum a step of each is, and what is added.
pub fn add(sum: &mut [u8], other: &[u8], [first, second]: [f32; 2], offset: f32) {
    for (a, b) in sum.iter_mut().zip(other) {
        *a = rounded(f32::from(*a) * first + f32::from(*b) * second + offset, 0.0, 255.0) as u8;
    }
}

/// The whole number next to a number between two, of two the even one.
#[inline(always)]
fn rounded(value: f32, least: f32, most: f32) -> i32 {
    /// From here to its double 32 bits hold whole numbers only, so what is added to it is rounded.
    const WHOLE: f32 = 12_582_912.0;
    let value = if value < least { least } else { value };
    let value = if value > most { most } else { value };
    (value + WHOLE).to_bits().wrapping_sub(WHOLE.to_bits()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_the_nearest_bytes_of_two_the_even_one() {
        let values = [0.0, 0.25, 0.75, -0.75, 1e9, -1e9, f32::INFINITY];
        let bytes = quantised(&values, 2.0, Bytes { zero: 10, signed: false });
        assert_eq!(bytes.unwrap(), [10, 10, 12, 8, 255, 0, 255]);
    }

    #[test]
    fn nan_is_no_byte() {
        let to = Bytes { zero: 10, signed: false };
        assert_eq!(quantised(&[1.0, f32::NAN, 2.0], 2.0, to), None);
        assert_eq!(quantised(&[1.0], f32::NAN, to), None);
        assert_eq!(quantised(&[0.0], f32::INFINITY, to), None);
    }

    #[test]
    fn bytes_are_added_as_the_numbers_that_they_stand_for() {
        // (a - 10) / 2 + (b - 4) / 4, in steps of 1/8 from 100 on.
        let mut sums = [10, 11, 200, 0];
        add(&mut sums, &[4, 5, 200, 0], [4.0, 2.0], 100.0 - 10.0 * 4.0 - 4.0 * 2.0);
        assert_eq!(sums, [100, 106, 255, 52]);
    }
}
