//! What becomes of the sums: bytes, in the order of the output, or floats.

use super::Bytes;
use super::layer::INTERLEAVED;
use super::planes::Four;
use super::products::OUTPUTS;

/// A value of an output line.
pub(super) trait Value: Copy + Default {
    /// Outputs of a value.
    const CHANNELS: usize;

    /// The lines, if they are interleaved bytes.
    #[cfg(target_arch = "x86_64")]
    fn interleaved(_: &mut [Self]) -> Option<&mut [Four]> {
        None
    }

    /// Writes the sums of neighboring positions into the lines of a group's outputs, of `length`
    /// values each, from the position `first` on.
    fn write<const LANES: usize>(
        to: Bytes,
        scales: &[[f32; 2]; OUTPUTS],
        sums: &[[i32; LANES]; OUTPUTS],
        lines: &mut [Self],
        length: usize,
        first: usize,
    );
}

/// A byte of a planar map.
impl Value for u8 {
    const CHANNELS: usize = 1;

    #[inline(always)]
    fn write<const LANES: usize>(
        to: Bytes,
        scales: &[[f32; 2]; OUTPUTS],
        sums: &[[i32; LANES]; OUTPUTS],
        lines: &mut [Self],
        length: usize,
        first: usize,
    ) {
        let byte = |sum, scales| to.requantize(sum, scales);
        write_lines(scales, sums, lines, length, first, byte);
    }
}

/// The bytes of a position of an interleaved map.
impl Value for Four {
    const CHANNELS: usize = INTERLEAVED;

    #[cfg(target_arch = "x86_64")]
    fn interleaved(lines: &mut [Self]) -> Option<&mut [Four]> {
        Some(lines)
    }

    #[inline(always)]
    fn write<const LANES: usize>(
        to: Bytes,
        scales: &[[f32; 2]; OUTPUTS],
        sums: &[[i32; LANES]; OUTPUTS],
        lines: &mut [Self],
        _: usize,
        first: usize,
    ) {
        let line = &mut lines[first..][..LANES];
        for (position, bytes) in line.iter_mut().enumerate() {
            let byte = |k: usize| u32::from(to.requantize(sums[k][position], scales[k]));
            *bytes = (byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24).to_le_bytes();
        }
    }
}

/// A scaled sum of a planar map, not rounded.
impl Value for f32 {
    const CHANNELS: usize = 1;

    #[inline(always)]
    fn write<const LANES: usize>(
        _: Bytes,
        scales: &[[f32; 2]; OUTPUTS],
        sums: &[[i32; LANES]; OUTPUTS],
        lines: &mut [Self],
        length: usize,
        first: usize,
    ) {
        write_lines(scales, sums, lines, length, first, scaled);
    }
}

/// Writes the value of each sum into the line of its output.
#[inline(always)]
fn write_lines<T, const LANES: usize>(
    scales: &[[f32; 2]; OUTPUTS],
    sums: &[[i32; LANES]; OUTPUTS],
    lines: &mut [T],
    length: usize,
    first: usize,
    value: impl Fn(i32, [f32; 2]) -> T,
) {
    for ((line, sums), scales) in lines.chunks_exact_mut(length).zip(sums).zip(scales) {
        let line = &mut line[first..][..LANES];
        line.iter_mut().zip(sums).for_each(|(to, sum)| *to = value(*sum, *scales));
    }
}

/// Scales a sum, by the second scale if it is negative.
#[inline(always)]
pub(super) fn scaled(sum: i32, [positive, negative]: [f32; 2]) -> f32 {
    sum as f32 * if sum < 0 { negative } else { positive }
}
