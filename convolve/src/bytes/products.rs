//! 8-bit kernels: sums of products for several outputs and positions, the same on each processor.

/// Positions that are computed at once.
pub(crate) const POSITIONS: usize = 32;

/// Outputs that are computed at once.
pub(crate) const OUTPUTS: usize = 8;

/// Channels that are interleaved in 32 bits.
pub(crate) const INTERLEAVED: usize = 4;

/// The sum of each position for each output.
pub(crate) type Sums = [[i32; POSITIONS]; OUTPUTS];

/// Interleaved weights for each output.
pub(crate) type Row = [u32; OUTPUTS];

/// An instruction set that an 8-bit kernel uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Isa {
    /// AVX-512 VNNI: four products and their sum in one instruction, 16 positions.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// AVX-VNNI: the same for 8 positions.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// AVX2: two 16-bit products and their sum in one instruction. AVX2's 8-bit instruction would
    /// saturate.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// No instruction set in particular; the compiler vectorizes.
    Scalar,
}

impl Isa {
    /// The weights of a step, four for each output, as the kernel reads them.
    pub(crate) fn laid_out(self, fours: [[i8; INTERLEAVED]; OUTPUTS]) -> Vec<Row> {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Avx2 {
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

    /// The instruction sets of this processor, the fastest first.
    pub(crate) fn detected() -> Vec<Self> {
        let mut isas = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            isas.push(Self::Avx2);
            if is_x86_feature_detected!("avxvnni") {
                isas.push(Self::AvxVnni);
            }
            if is_x86_feature_detected!("avx512vnni")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
            {
                isas.push(Self::Avx512Vnni);
            }
        }
        isas.reverse();
        isas
    }
}

/// Computes the sums of the first positions of the planes. `steps` has the offset of the four
/// channels of each row of weights.
pub(crate) fn scalar(planes: &[u32], steps: &[usize], weights: &[Row]) -> Sums {
    by_quarters(planes, |planes, half| {
        let mut sums = [[0; POSITIONS / 2]; OUTPUTS / 2];
        for (step, weights) in steps.iter().zip(weights) {
            let positions = &planes[*step..][..POSITIONS / 2];
            let channel = |k: usize| -> [i32; POSITIONS / 2] {
                std::array::from_fn(|position| {
                    (positions[position] >> (8 * k) & 0xff).cast_signed()
                })
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

type Quarter = [[i32; POSITIONS / 2]; OUTPUTS / 2];

/// Computes half of the outputs at half of the positions at a time: as many as registers hold.
#[inline(always)]
fn by_quarters(planes: &[u32], quarter: impl Fn(&[u32], usize) -> Quarter) -> Sums {
    let mut all = [[0; POSITIONS]; OUTPUTS];
    for (half, all) in all.chunks_exact_mut(OUTPUTS / 2).enumerate() {
        for first in [0, POSITIONS / 2] {
            for (all, sums) in all.iter_mut().zip(quarter(&planes[first..], half)) {
                all[first..][..POSITIONS / 2].copy_from_slice(&sums);
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

    use super::{OUTPUTS, POSITIONS, Quarter, Row, Sums, by_quarters};

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(crate) fn avx512_vnni(planes: &[u32], steps: &[usize], weights: &[Row]) -> Sums {
        let mut sums = [[_mm512_setzero_si512(); POSITIONS / 16]; OUTPUTS];
        for (step, weights) in steps.iter().zip(weights) {
            let positions = load_512(&planes[*step..]);
            for (sums, weights) in sums.iter_mut().zip(weights) {
                let weights = _mm512_set1_epi32(weights.cast_signed());
                for (sum, positions) in sums.iter_mut().zip(positions) {
                    *sum = _mm512_dpbusd_epi32(*sum, positions, weights);
                }
            }
        }
        #[expect(unsafe_code, reason = "arrays of the same size, of plain integers")]
        unsafe {
            std::mem::transmute::<[[__m512i; POSITIONS / 16]; OUTPUTS], Sums>(sums)
        }
    }

    #[target_feature(enable = "avx2,avxvnni")]
    pub(crate) fn avx_vnni(planes: &[u32], steps: &[usize], weights: &[Row]) -> Sums {
        by_quarters(planes, |planes, half| {
            let mut sums = [[_mm256_setzero_si256(); POSITIONS / 16]; OUTPUTS / 2];
            for (step, weights) in steps.iter().zip(weights) {
                let positions = load_256(&planes[*step..]);
                for (sums, weights) in sums.iter_mut().zip(&weights[half * OUTPUTS / 2..]) {
                    let weights = _mm256_set1_epi32(weights.cast_signed());
                    for (sum, positions) in sums.iter_mut().zip(positions) {
                        *sum = _mm256_dpbusd_avx_epi32(*sum, positions, weights);
                    }
                }
            }
            quarter(sums)
        })
    }

    #[target_feature(enable = "avx2")]
    pub(crate) fn avx2(planes: &[u32], steps: &[usize], weights: &[Row]) -> Sums {
        let (weights, _) = weights.as_chunks::<2>();
        by_quarters(planes, |planes, half| {
            let mut sums = [[_mm256_setzero_si256(); POSITIONS / 16]; OUTPUTS / 2];
            for (step, weights) in steps.iter().zip(weights) {
                let positions = load_256(&planes[*step..]);
                let even =
                    positions.map(|position| _mm256_and_si256(position, _mm256_set1_epi16(0xff)));
                let odd = positions.map(|position| _mm256_srli_epi16::<8>(position));
                for (positions, weights) in [even, odd].iter().zip(weights) {
                    for (sums, weights) in sums.iter_mut().zip(&weights[half * OUTPUTS / 2..]) {
                        let weights = _mm256_set1_epi32(weights.cast_signed());
                        for (sum, positions) in sums.iter_mut().zip(positions) {
                            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(*positions, weights));
                        }
                    }
                }
            }
            quarter(sums)
        })
    }

    fn quarter(sums: [[__m256i; POSITIONS / 16]; OUTPUTS / 2]) -> Quarter {
        #[expect(unsafe_code, reason = "arrays of the same size, of plain integers")]
        unsafe {
            std::mem::transmute::<[[__m256i; POSITIONS / 16]; OUTPUTS / 2], Quarter>(sums)
        }
    }

    #[target_feature(enable = "avx512f")]
    fn load_512(positions: &[u32]) -> [__m512i; POSITIONS / 16] {
        let positions = &positions[..POSITIONS];
        #[expect(unsafe_code, reason = "reads two times 64 bytes, the length of the slice")]
        unsafe {
            std::array::from_fn(|k| _mm512_loadu_si512(positions.as_ptr().add(16 * k).cast()))
        }
    }

    #[target_feature(enable = "avx2")]
    fn load_256(positions: &[u32]) -> [__m256i; POSITIONS / 16] {
        let positions = &positions[..POSITIONS / 2];
        #[expect(unsafe_code, reason = "reads two times 32 bytes, the length of the slice")]
        unsafe {
            std::array::from_fn(|k| _mm256_loadu_si256(positions.as_ptr().add(8 * k).cast()))
        }
    }
}
