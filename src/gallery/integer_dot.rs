//! Inner products of 8-bit rows with a 16-bit probe, as fast as memory gives the rows.

/// Rows and probe are of a multiple of so many values.
pub(super) const LANES: usize = 64;

/// A probe, ready to be multiplied with rows.
pub(super) struct Probe {
    codes: Vec<i16>,
    /// Each code in two bytes: 256 times the high one and the low one.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "for kernels of x86"))]
    low: Vec<u8>,
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "for kernels of x86"))]
    high: Vec<i8>,
}

impl Probe {
    pub(super) fn new(codes: Vec<i16>) -> Self {
        let (low, high) = codes.iter().map(|code| (*code as u8, (code >> 8) as i8)).unzip();
        Self { codes, low, high }
    }

    /// One inner product for each row: `rows` is as many rows as `dots` has places, each as wide as the probe, and no
    /// sum of products leaves 32 bits.
    pub(super) fn dots(&self, rows: &[i8], dots: &mut [i32]) {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw") {
                #[expect(unsafe_code, reason = "for a processor that has VNNI: it was asked")]
                return unsafe { x86::by_fours(self, rows, dots) };
            }
            if is_x86_feature_detected!("avx2") {
                #[expect(unsafe_code, reason = "for a processor that has AVX2: it was asked")]
                return unsafe { x86::by_pairs(self, rows, dots) };
            }
        }
        self.row_by_row(rows, dots);
    }

    fn row_by_row(&self, rows: &[i8], dots: &mut [i32]) {
        for (row, dot) in rows.chunks_exact(self.codes.len()).zip(dots) {
            let products = row.iter().zip(&self.codes).map(|(a, b)| i32::from(*a) * i32::from(*b));
            *dot = products.sum();
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _MM_HINT_T0, _mm_add_epi32, _mm_extract_epi32, _mm_loadu_si128,
        _mm_prefetch, _mm256_add_epi32, _mm256_castsi256_si128, _mm256_cvtepi8_epi16,
        _mm256_extracti128_si256, _mm256_hadd_epi32, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_setzero_si256, _mm512_add_epi32, _mm512_castsi512_si256, _mm512_dpbusd_epi32,
        _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_set1_epi8, _mm512_setzero_si512,
        _mm512_slli_epi32, _mm512_xor_si512,
    };

    use super::{LANES, Probe};

    /// Rows that are taken at once: their sums end in one addition.
    const ROWS: usize = 4;

    /// How far ahead of what is multiplied memory is asked for, in bytes: left to itself the processor looks no further
    /// than a page. Of 2, 4 and 8 kB the last was the fastest.
    const AHEAD: usize = 8192;

    /// Four products and their sum in one instruction. One side of these has no sign, so that 128 is added to each code
    /// of a row before it is multiplied with a high byte.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn by_fours(probe: &Probe, rows: &[i8], dots: &mut [i32]) {
        let high: i32 = probe.high.iter().map(|high| i32::from(*high)).sum();
        let added = high.wrapping_mul(128 * 256);
        let width = probe.codes.len();
        let (low, _) = probe.low.as_chunks::<LANES>();
        let (high, _) = probe.high.as_chunks::<LANES>();
        let (fours, rest) = dots.as_chunks_mut::<ROWS>();
        let four_rows = rows.chunks_exact(ROWS * width);
        probe.row_by_row(four_rows.remainder(), rest);
        for (rows, dots) in four_rows.zip(fours) {
            ask_ahead(rows);
            let mut sums = [_mm256_setzero_si256(); ROWS];
            for (row, sum) in rows.chunks_exact(width).zip(&mut sums) {
                let (mut lows, mut highs) = (_mm512_setzero_si512(), _mm512_setzero_si512());
                let (row, _) = row.as_chunks::<LANES>();
                for ((row, low), high) in row.iter().zip(low).zip(high) {
                    let row = load(row);
                    lows = _mm512_dpbusd_epi32(lows, load(low), row);
                    let unsigned = _mm512_xor_si512(row, _mm512_set1_epi8(-128));
                    highs = _mm512_dpbusd_epi32(highs, unsigned, load(high));
                }
                let all = _mm512_add_epi32(lows, _mm512_slli_epi32::<8>(highs));
                let upper = _mm512_extracti64x4_epi64::<1>(all);
                *sum = _mm256_add_epi32(_mm512_castsi512_si256(all), upper);
            }
            *dots = total(sums).map(|dot| dot.wrapping_sub(added));
        }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn by_pairs(probe: &Probe, rows: &[i8], dots: &mut [i32]) {
        const PAIRS: usize = 16;
        let width = probe.codes.len();
        let (lanes, _) = probe.codes.as_chunks::<PAIRS>();
        let (fours, rest) = dots.as_chunks_mut::<ROWS>();
        let four_rows = rows.chunks_exact(ROWS * width);
        probe.row_by_row(four_rows.remainder(), rest);
        for (rows, dots) in four_rows.zip(fours) {
            ask_ahead(rows);
            let mut sums = [_mm256_setzero_si256(); ROWS];
            for (k, lane) in lanes.iter().enumerate() {
                let lane = load_pairs(lane);
                for (row, sum) in rows.chunks_exact(width).zip(&mut sums) {
                    let (row, _) = row.as_chunks::<PAIRS>();
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(widen(&row[k]), lane));
                }
            }
            *dots = total(sums);
        }
    }

    /// The sum of each.
    #[target_feature(enable = "avx2")]
    fn total([a, b, c, d]: [__m256i; ROWS]) -> [i32; ROWS] {
        let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        let high = _mm256_extracti128_si256::<1>(sums);
        let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), high);
        [
            _mm_extract_epi32::<0>(sums),
            _mm_extract_epi32::<1>(sums),
            _mm_extract_epi32::<2>(sums),
            _mm_extract_epi32::<3>(sums),
        ]
    }

    /// Asks for what lies behind these rows.
    #[inline]
    fn ask_ahead(rows: &[i8]) {
        for line in rows.chunks(64) {
            #[expect(unsafe_code, reason = "it is only asked for, wherever it lies")]
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().wrapping_add(AHEAD));
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    fn load<T>(bytes: &[T; LANES]) -> __m512i {
        const { assert!(size_of::<T>() == 1) };
        #[expect(unsafe_code, reason = "it reads 64 bytes, and there are as many")]
        unsafe {
            _mm512_loadu_si512(bytes.as_ptr().cast())
        }
    }

    #[target_feature(enable = "avx2")]
    fn load_pairs(codes: &[i16; 16]) -> __m256i {
        #[expect(unsafe_code, reason = "it reads 32 bytes, and there are as many")]
        unsafe {
            _mm256_loadu_si256(codes.as_ptr().cast())
        }
    }

    #[target_feature(enable = "avx2")]
    fn widen(codes: &[i8; 16]) -> __m256i {
        #[expect(unsafe_code, reason = "it reads 16 bytes, and there are as many")]
        unsafe {
            _mm256_cvtepi8_epi16(_mm_loadu_si128(codes.as_ptr().cast()))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_way_says_what_the_plain_one_says(
            (probe, rows) in (1_usize..4, 0_usize..11).prop_flat_map(|(lanes, rows)| {
                let width = lanes * LANES;
                (
                    prop::collection::vec(-32_000_i16..=32_000, width),
                    prop::collection::vec(-127_i8..=127, rows * width),
                )
            })
        ) {
            let mut plain = vec![0; rows.len() / probe.len()];
            let mut quick = plain.clone();
            let probe = Probe::new(probe);
            probe.row_by_row(&rows, &mut plain);
            probe.dots(&rows, &mut quick);
            prop_assert_eq!(&plain, &quick);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                #[expect(unsafe_code, reason = "for a processor that has AVX2: it was asked")]
                unsafe { x86::by_pairs(&probe, &rows, &mut quick) };
                prop_assert_eq!(&plain, &quick);
            }
        }
    }
}
