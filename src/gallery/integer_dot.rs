//! Inner products of 8-bit rows with a 16-bit probe, as fast as memory gives the rows.

/// Rows and probe are of a multiple of so many values.
pub(super) const LANES: usize = 16;

/// One inner product for each row: `rows` is as many rows as `dots` has places, each as wide as the probe, and no
/// sum of products leaves 32 bits.
pub(super) fn dots(rows: &[i8], probe: &[i16], dots: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "safe code, for a processor that has AVX2: it was asked")]
        return unsafe { avx2::dots(rows, probe, dots) };
    }
    row_by_row(rows, probe, dots);
}

fn row_by_row(rows: &[i8], probe: &[i16], dots: &mut [i32]) {
    for (row, dot) in rows.chunks_exact(probe.len()).zip(dots) {
        *dot = row.iter().zip(probe).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_add_epi32, _mm_extract_epi32, _mm_set_epi64x, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_hadd_epi32,
        _mm256_madd_epi16, _mm256_set_epi64x, _mm256_setzero_si256,
    };

    use super::LANES;

    /// Rows that are taken at once: their sums end in one addition.
    const ROWS: usize = 4;

    #[target_feature(enable = "avx2")]
    pub(super) fn dots(rows: &[i8], probe: &[i16], dots: &mut [i32]) {
        let width = probe.len();
        let (lanes, _) = probe.as_chunks::<LANES>();
        let (fours, rest) = dots.as_chunks_mut::<ROWS>();
        let four_rows = rows.chunks_exact(ROWS * width);
        super::row_by_row(four_rows.remainder(), probe, rest);
        for (rows, dots) in four_rows.zip(fours) {
            let mut sums = [_mm256_setzero_si256(); ROWS];
            for (k, lane) in lanes.iter().enumerate() {
                let lane = load(lane);
                for (row, sum) in rows.chunks_exact(width).zip(&mut sums) {
                    let (row, _) = row.as_chunks::<LANES>();
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(widen(&row[k]), lane));
                }
            }
            let [a, b, c, d] = sums;
            let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
            let high = _mm256_extracti128_si256::<1>(sums);
            let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), high);
            *dots = [
                _mm_extract_epi32::<0>(sums),
                _mm_extract_epi32::<1>(sums),
                _mm_extract_epi32::<2>(sums),
                _mm_extract_epi32::<3>(sums),
            ];
        }
    }

    // The compiler makes one load of each of these.
    #[target_feature(enable = "avx2")]
    fn widen(codes: &[i8; LANES]) -> __m256i {
        let (words, _) = codes.as_chunks::<8>();
        let word = |k: usize| i64::from_le_bytes(words[k].map(i8::cast_unsigned));
        _mm256_cvtepi8_epi16(_mm_set_epi64x(word(1), word(0)))
    }

    #[target_feature(enable = "avx2")]
    fn load(codes: &[i16; LANES]) -> __m256i {
        let (words, _) = codes.as_chunks::<4>();
        let word = |k: usize| {
            let [a, b, c, d] = words[k].map(|code| u64::from(code.cast_unsigned()));
            (a | b << 16 | c << 32 | d << 48).cast_signed()
        };
        _mm256_set_epi64x(word(3), word(2), word(1), word(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_wide_path_says_what_the_plain_one_says(
            (probe, rows) in (1_usize..9, 0_usize..11).prop_flat_map(|(lanes, rows)| {
                let width = lanes * LANES;
                (
                    prop::collection::vec(-32_000_i16..=32_000, width),
                    prop::collection::vec(-127_i8..=127, rows * width),
                )
            })
        ) {
            let mut plain = vec![0; rows.len() / probe.len()];
            let mut wide = plain.clone();
            row_by_row(&rows, &probe, &mut plain);
            dots(&rows, &probe, &mut wide);
            prop_assert_eq!(plain, wide);
        }
    }
}
