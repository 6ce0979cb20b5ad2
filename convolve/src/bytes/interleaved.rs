//! Conversions of interleaved maps, and functions of their bytes.

use super::layer::INTERLEAVED;
use super::rounded;

/// Quantizes planar maps to interleaved ones: the byte is `value * scale + zero`, rounded half to
/// even and saturated. Bytes of channels beyond the last stay. Returns `None` if a scaled value is
/// NaN.
///
/// # Panics
/// If the slices have not the sizes of maps of as many channels.
pub fn quantize_interleaved(
    values: &[f32],
    channels: usize,
    [scale, zero]: [f32; 2],
    bytes: &mut [u8],
) -> Option<()> {
    let area = area(values.len(), channels, bytes.len());
    let mut is_nan = false;
    for (channel, values) in values.chunks_exact(area).enumerate() {
        for (position, value) in fours(bytes, channel, area).zip(values) {
            let scaled = value * scale + zero;
            is_nan |= scaled.is_nan();
            position[channel % INTERLEAVED] = rounded(scaled, 0.0, 255.0) as u8;
        }
    }
    (!is_nan).then_some(())
}

/// Converts interleaved maps to planar ones of floats: the value of each byte.
///
/// # Panics
/// If the slices have not the sizes of maps of as many channels.
pub fn dequantize_interleaved(
    bytes: &[u8],
    channels: usize,
    value_of: &[f32; 256],
    values: &mut [f32],
) {
    let area = area(values.len(), channels, bytes.len());
    for (channel, values) in values.chunks_exact_mut(area).enumerate() {
        let of_four = &bytes[channel / INTERLEAVED * INTERLEAVED * area..];
        for (value, position) in values.iter_mut().zip(of_four.chunks_exact(INTERLEAVED)) {
            *value = value_of[usize::from(position[channel % INTERLEAVED])];
        }
    }
}

/// Replaces each byte of interleaved maps by that in its channel's table.
///
/// # Panics
/// If the slice has not the size of maps of as many channels as there are tables.
pub fn look_up_interleaved(bytes: &mut [u8], tables: &[[u8; 256]]) {
    let fours = tables.len().div_ceil(INTERLEAVED);
    assert!(fours > 0 && bytes.len().is_multiple_of(fours * INTERLEAVED), "values of the map");
    let size = bytes.len() / fours;
    for (maps, tables) in bytes.chunks_exact_mut(size).zip(tables.chunks(INTERLEAVED)) {
        // The bytes of a channel beyond the last have no meaning, so any table will do.
        let table = |k: usize| tables.get(k).unwrap_or(&tables[0]);
        let four = [table(0), table(1), table(2), table(3)];
        for position in maps.chunks_exact_mut(INTERLEAVED) {
            for (byte, table) in position.iter_mut().zip(four) {
                *byte = table[usize::from(*byte)];
            }
        }
    }
}

/// Returns the positions of a map, after checking both sizes.
#[track_caller]
fn area(values: usize, channels: usize, bytes: usize) -> usize {
    assert!(channels > 0 && values > 0 && values.is_multiple_of(channels), "values of the map");
    let area = values / channels;
    assert_eq!(bytes, channels.next_multiple_of(INTERLEAVED) * area, "bytes of the map");
    area
}

/// Returns the fours of bytes at each position that a channel is one of.
fn fours(bytes: &mut [u8], channel: usize, area: usize) -> impl Iterator<Item = &mut [u8]> {
    let of_four = &mut bytes[channel / INTERLEAVED * INTERLEAVED * area..];
    of_four.chunks_exact_mut(INTERLEAVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planar_values_are_interleaved_and_back() {
        let values: Vec<f32> = (0..12_u8).map(f32::from).collect();
        let mut bytes = vec![9; 16];
        quantize_interleaved(&values, 6, [2.0, 0.5], &mut bytes).unwrap();
        // 2 * value + 0.5, half to even: channels 0 to 3 at both positions, then 4 and 5.
        assert_eq!(bytes, [0, 4, 8, 12, 2, 6, 10, 14, 16, 20, 9, 9, 18, 22, 9, 9]);
        let value_of = std::array::from_fn(|byte| byte as f32 / 2.0);
        let mut back = vec![0.0; 12];
        dequantize_interleaved(&bytes, 6, &value_of, &mut back);
        assert_eq!(back, values);
    }

    #[test]
    fn values_saturate_and_nan_is_none() {
        let mut bytes = [0; 4];
        let quantize =
            |value, bytes: &mut [u8]| quantize_interleaved(&[value], 1, [1.0, 3.0], bytes);
        for (value, byte) in [(1e9, 255), (f32::INFINITY, 255), (-1e9, 0), (-2.0, 1)] {
            assert_eq!(quantize(value, &mut bytes), Some(()));
            assert_eq!(bytes[0], byte, "{value}");
        }
        assert_eq!(quantize(f32::NAN, &mut bytes), None);
    }

    #[test]
    fn each_channel_has_its_table() {
        let table = |shift: u8| std::array::from_fn(|byte| (byte as u8).wrapping_add(shift));
        let mut bytes = [10, 20, 30, 40, 11, 21, 31, 41, 50, 0, 0, 0, 51, 0, 0, 0];
        look_up_interleaved(&mut bytes, &[1, 2, 3, 4, 5].map(table));
        assert_eq!(bytes[..8], [11, 22, 33, 44, 12, 23, 34, 45]);
        assert_eq!([bytes[8], bytes[12]], [55, 56]);
    }

    #[test]
    #[should_panic(expected = "bytes of the map")]
    fn sizes_are_checked() {
        let _ = quantize_interleaved(&[0.0; 6], 3, [1.0, 0.0], &mut [0; 6]);
    }
}
