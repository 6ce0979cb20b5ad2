//! Sums of products of bytes, as quickly as the processor at hand makes them, and the same on each.

/// Places of a map that are computed at once.
pub(crate) const PLACES: usize = 32;

/// Outputs that are computed at once.
pub(crate) const OUTPUTS: usize = 8;

/// Channels of a place that stand side by side, in 32 bits.
pub(crate) const SIDE_BY_SIDE: usize = 4;

/// For each output the sum of each place.
pub(crate) type Sums = [[i32; PLACES]; OUTPUTS];

/// Weights for each output.
pub(crate) type Row = [u32; OUTPUTS];

/// How a processor multiplies bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// Four products and their sum in one instruction (AVX-512 VNNI).
    #[cfg(target_arch = "x86_64")]
    Fours,
    /// The same for half as many places (AVX-VNNI).
    #[cfg(target_arch = "x86_64")]
    HalfFours,
    /// Two products of 16 bits and their sum in one (AVX2): the one for bytes does not hold their sums.
    #[cfg(target_arch = "x86_64")]
    Pairs,
    /// As the compiler finds.
    Plain,
}

impl Way {
    /// A step's weights, four for each output, as they are multiplied.
    pub(crate) fn laid_out(self, fours: [[i8; SIDE_BY_SIDE]; OUTPUTS]) -> Vec<Row> {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Pairs {
            let pair = |low: i8, high: i8| {
                let [low, high] = [low, high].map(|weight| i16::from(weight).cast_unsigned());
                u32::from(low) | u32::from(high) << 16
            };
            return vec![
                fours.map(|[a, _, c, _]| pair(a, c)),
                fours.map(|[_, b, _, d]| pair(b, d)),
            ];
        }
        vec![fours.map(|four| u32::from_le_bytes(four.map(i8::cast_unsigned)))]
    }

    /// The quickest first.
    pub(crate) fn all_of_this_processor() -> Vec<Self> {
        let mut ways = vec![Self::Plain];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            ways.push(Self::Pairs);
            if is_x86_feature_detected!("avxvnni") {
                ways.push(Self::HalfFours);
            }
            if is_x86_feature_detected!("avx512vnni")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
            {
                ways.push(Self::Fours);
            }
        }
        ways.reverse();
        ways
    }
}

/// Sums for the first places of the planes: `steps` says where the four channels lie that a row of weights is for.
pub(crate) fn plain(planes: &[u32], steps: &[usize], weights: &[Row]) -> Sums {
    by_quarters(planes, |planes, half| {
        let mut sums = [[0; PLACES / 2]; OUTPUTS / 2];
        for (step, weights) in steps.iter().zip(weights) {
            let places = &planes[*step..][..PLACES / 2];
            let channel = |k: usize| -> [i32; PLACES / 2] {
                std::array::from_fn(|place| (places[place] >> (8 * k) & 0xff).cast_signed())
            };
            let channels = [channel(0), channel(1), channel(2), channel(3)];
            for (sums, weights) in sums.iter_mut().zip(&weights[half * OUTPUTS / 2..]) {
                for (values, weight) in channels.iter().zip(weights.to_le_bytes()) {
                    let weight = i32::from(weight.cast_signed());
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * weight);
                }
            }
        }
        sums
    })
}

type Quarter = [[i32; PLACES / 2]; OUTPUTS / 2];

/// Sums of half of the outputs and half of the places at a time: as many as registers hold.
#[inline(always)]
fn by_quarters(planes: &[u32], quarter: impl Fn(&[u32], usize) -> Quarter) -> Sums {
    let mut all = [[0; PLACES]; OUTPUTS];
    for (half, all) in all.chunks_exact_mut(OUTPUTS / 2).enumerate() {
        for first in [0, PLACES / 2] {
            for (all, sums) in all.iter_mut().zip(quarter(&planes[first..], half)) {
                all[first..][..PLACES / 2].copy_from_slice(&sums);
            }
        }
    }
    all
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_add_epi32, _mm256_and_si256, _mm256_dpbusd_avx_epi32,
        _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi16, _mm256_set1_epi32,
        _mm256_setzero_si256, _mm256_srli_epi16, _mm512_dpbusd_epi32, _mm512_loadu_si512,
        _mm512_set1_epi32, _mm512_setzero_si512,
    };

    use super::{OUTPUTS, PLACES, Quarter, Row, Sums, by_quarters};

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(crate) fn fours(planes: &[u32], steps: &[usize], weights: &[Row]) -> Sums {
        let mut sums = [[_mm512_setzero_si512(); PLACES / 16]; OUTPUTS];
        for (step, weights) in steps.iter().zip(weights) {
            let places = load_512(&planes[*step..]);
            for (sums, weights) in sums.iter_mut().zip(weights) {
                let weights = _mm512_set1_epi32(weights.cast_signed());
                for (sum, places) in sums.iter_mut().zip(places) {
                    *sum = _mm512_dpbusd_epi32(*sum, places, weights);
                }
            }
        }
        #[expect(unsafe_code, reason = "as many numbers of the same kind")]
        unsafe {
            std::mem::transmute::<[[__m512i; PLACES / 16]; OUTPUTS], Sums>(sums)
        }
    }

    #[target_feature(enable = "avx2,avxvnni")]
    pub(crate) fn half_fours(planes: &[u32], steps: &[usize], weights: &[Row]) -> Sums {
        by_quarters(planes, |planes, half| {
            let mut sums = [[_mm256_setzero_si256(); PLACES / 16]; OUTPUTS / 2];
            for (step, weights) in steps.iter().zip(weights) {
                let places = load_256(&planes[*step..]);
                for (sums, weights) in sums.iter_mut().zip(&weights[half * OUTPUTS / 2..]) {
                    let weights = _mm256_set1_epi32(weights.cast_signed());
                    for (sum, places) in sums.iter_mut().zip(places) {
                        *sum = _mm256_dpbusd_avx_epi32(*sum, places, weights);
                    }
                }
            }
            quarter(sums)
        })
    }

    #[target_feature(enable = "avx2")]
    pub(crate) fn pairs(planes: &[u32], steps: &[usize], weights: &[Row]) -> Sums {
        let (weights, _) = weights.as_chunks::<2>();
        by_quarters(planes, |planes, half| {
            let mut sums = [[_mm256_setzero_si256(); PLACES / 16]; OUTPUTS / 2];
            for (step, weights) in steps.iter().zip(weights) {
                let places = load_256(&planes[*step..]);
                let even = places.map(|place| _mm256_and_si256(place, _mm256_set1_epi16(0xff)));
                let odd = places.map(|place| _mm256_srli_epi16::<8>(place));
                for (places, weights) in [even, odd].iter().zip(weights) {
                    for (sums, weights) in sums.iter_mut().zip(&weights[half * OUTPUTS / 2..]) {
                        let weights = _mm256_set1_epi32(weights.cast_signed());
                        for (sum, places) in sums.iter_mut().zip(places) {
                            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(*places, weights));
                        }
                    }
                }
            }
            quarter(sums)
        })
    }

    fn quarter(sums: [[__m256i; PLACES / 16]; OUTPUTS / 2]) -> Quarter {
        #[expect(unsafe_code, reason = "as many numbers of the same kind")]
        unsafe {
            std::mem::transmute::<[[__m256i; PLACES / 16]; OUTPUTS / 2], Quarter>(sums)
        }
    }

    #[target_feature(enable = "avx512f")]
    fn load_512(places: &[u32]) -> [__m512i; PLACES / 16] {
        let places = &places[..PLACES];
        #[expect(unsafe_code, reason = "it reads 64 bytes, and there are two times 64")]
        unsafe {
            std::array::from_fn(|k| _mm512_loadu_si512(places.as_ptr().add(16 * k).cast()))
        }
    }

    #[target_feature(enable = "avx2")]
    fn load_256(places: &[u32]) -> [__m256i; PLACES / 16] {
        let places = &places[..PLACES / 2];
        #[expect(unsafe_code, reason = "it reads 32 bytes, and there are two times 32")]
        unsafe {
            std::array::from_fn(|k| _mm256_loadu_si256(places.as_ptr().add(8 * k).cast()))
        }
    }
}
