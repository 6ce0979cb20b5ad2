//! 8-bit kernels for instruction sets of x86-64: sums stay in registers until they are requantized.

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_adds_epi16, _mm256_blendv_ps, _mm256_castsi256_ps,
    _mm256_cvtepi32_ps, _mm256_cvtps_epi32, _mm256_dpbusd_avx_epi32, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_min_ps, _mm256_mul_ps, _mm256_packs_epi32, _mm256_packus_epi16,
    _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_xor_si256, _mm512_adds_epi16,
    _mm512_cmplt_epi32_mask, _mm512_cvtepi32_ps, _mm512_cvtps_epi32, _mm512_dpbusd_epi32,
    _mm512_mask_blend_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_packs_epi32, _mm512_packus_epi16,
    _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_set1_ps, _mm512_set4_epi32,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_xor_si512,
};

use super::Bytes;
use super::planes::Four;
use super::products::{Block, OUTPUTS};
use super::values::Value;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn avx512_vnni<T: Value>(block: Block<'_, T>) {
    match block.vectors {
        1 => compute_avx512_vnni::<1, T>(block),
        2 => compute_avx512_vnni::<2, T>(block),
        3 => compute_avx512_vnni::<3, T>(block),
        _ => compute_avx512_vnni::<4, T>(block),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn compute_avx512_vnni<const VECTORS: usize, T: Value>(mut block: Block<'_, T>) {
    let mut sums = block.group.starts.map(|start| [_mm512_set1_epi32(start); VECTORS]);
    for (step, weights) in block.steps.iter().zip(&block.group.weights) {
        let positions = load_512::<VECTORS>(&block.positions[*step..]);
        for (sums, weights) in sums.iter_mut().zip(weights) {
            let weights = _mm512_set1_epi32(weights.cast_signed());
            for (sum, positions) in sums.iter_mut().zip(positions) {
                *sum = _mm512_dpbusd_epi32(*sum, positions, weights);
            }
        }
    }
    for vector in 0..VECTORS {
        let mut of_outputs = [_mm512_setzero_si512(); OUTPUTS];
        of_outputs.iter_mut().zip(&sums).for_each(|(sum, sums)| *sum = sums[vector]);
        if let Some(line) = T::interleaved(block.lines) {
            let bytes = requantized_512(block.to, &block.group.scales, of_outputs);
            line[block.first + 16 * vector..][..16].copy_from_slice(&bytes);
        } else {
            block.write(vector, &lanes_512(of_outputs));
        }
    }
}

#[target_feature(enable = "avx2,avxvnni")]
pub(super) fn avx_vnni<T: Value>(block: Block<'_, T>) {
    match block.vectors {
        1 => compute_avx_vnni::<1, T>(block),
        2 => compute_avx_vnni::<2, T>(block),
        _ => compute_avx_vnni::<3, T>(block),
    }
}

#[target_feature(enable = "avx2,avxvnni")]
fn compute_avx_vnni<const VECTORS: usize, T: Value>(mut block: Block<'_, T>) {
    let mut sums = block.group.starts.map(|start| [_mm256_set1_epi32(start); VECTORS]);
    for (step, weights) in block.steps.iter().zip(&block.group.weights) {
        let positions = load_256::<VECTORS>(&block.positions[*step..]);
        for (sums, weights) in sums.iter_mut().zip(weights) {
            let weights = _mm256_set1_epi32(weights.cast_signed());
            for (sum, positions) in sums.iter_mut().zip(positions) {
                *sum = _mm256_dpbusd_avx_epi32(*sum, positions, weights);
            }
        }
    }
    write_256(&mut block, sums);
}

#[target_feature(enable = "avx2")]
pub(super) fn avx2<T: Value>(block: Block<'_, T>) {
    match block.vectors {
        1 => compute_avx2::<1, T>(block),
        _ => compute_avx2::<2, T>(block),
    }
}

#[target_feature(enable = "avx2")]
fn compute_avx2<const VECTORS: usize, T: Value>(mut block: Block<'_, T>) {
    let mut sums = block.group.starts.map(|start| [_mm256_set1_epi32(start); VECTORS]);
    for (step, weights) in block.steps.iter().zip(&block.group.weights) {
        let positions = load_256::<VECTORS>(&block.positions[*step..]);
        for (sums, weights) in sums.iter_mut().zip(weights) {
            add_products_avx2(sums, positions, *weights);
        }
    }
    for (sums, excess) in sums.iter_mut().zip(&block.group.excess) {
        for (step, weights) in excess {
            let positions = load_256::<VECTORS>(&block.positions[block.steps[*step]..]);
            add_products_avx2(sums, positions, *weights);
        }
    }
    write_256(&mut block, sums);
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_products_avx2<const VECTORS: usize>(
    sums: &mut [__m256i; VECTORS],
    positions: [__m256i; VECTORS],
    weights: u32,
) {
    let (weights, ones) = (_mm256_set1_epi32(weights.cast_signed()), _mm256_set1_epi16(1));
    for (sum, positions) in sums.iter_mut().zip(positions) {
        let pairs = _mm256_maddubs_epi16(positions, weights);
        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn write_256<const VECTORS: usize, T: Value>(
    block: &mut Block<'_, T>,
    sums: [[__m256i; VECTORS]; OUTPUTS],
) {
    for vector in 0..VECTORS {
        let mut of_outputs = [_mm256_setzero_si256(); OUTPUTS];
        of_outputs.iter_mut().zip(&sums).for_each(|(sum, sums)| *sum = sums[vector]);
        if let Some(line) = T::interleaved(block.lines) {
            let bytes = requantized_256(block.to, &block.group.scales, of_outputs);
            line[block.first + 8 * vector..][..8].copy_from_slice(&bytes);
        } else {
            block.write(vector, &lanes_256(of_outputs));
        }
    }
}

/// More than any byte, less than what `cvtps_epi32` can convert.
const MOST: f32 = 1e9;

/// The order of bytes within 128 bits after two packs of four outputs at four positions.
const ORDER: [i32; 4] = [0x0c08_0400, 0x0d09_0501, 0x0e0a_0602, 0x0f0b_0703];

/// Requantizes as [`Bytes::requantize`] does, and interleaves the bytes of the outputs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn requantized_512(
    to: Bytes,
    scales: &[[f32; 2]; OUTPUTS],
    mut sums: [__m512i; OUTPUTS],
) -> [Four; 16] {
    for (sum, [positive, negative]) in sums.iter_mut().zip(scales) {
        let [positive, negative] = [_mm512_set1_ps(*positive), _mm512_set1_ps(*negative)];
        let is_negative = _mm512_cmplt_epi32_mask(*sum, _mm512_setzero_si512());
        let scale = _mm512_mask_blend_ps(is_negative, positive, negative);
        let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(*sum), scale);
        *sum = _mm512_cvtps_epi32(_mm512_min_ps(scaled, _mm512_set1_ps(MOST)));
    }
    let [a, b, c, d] = sums;
    let zero = _mm512_set1_epi16(to.unsigned_zero() as i16);
    let ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), zero);
    let cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), zero);
    let [p, q, r, s] = ORDER;
    let order = _mm512_set4_epi32(s, r, q, p);
    let bytes = _mm512_shuffle_epi8(_mm512_packus_epi16(ab, cd), order);
    let bytes = _mm512_xor_si512(bytes, _mm512_set1_epi8(to.flip().cast_signed()));
    #[expect(unsafe_code, reason = "plain integers of the same size")]
    unsafe {
        std::mem::transmute::<__m512i, [Four; 16]>(bytes)
    }
}

/// The same for 8 positions.
#[inline]
#[target_feature(enable = "avx2")]
fn requantized_256(
    to: Bytes,
    scales: &[[f32; 2]; OUTPUTS],
    mut sums: [__m256i; OUTPUTS],
) -> [Four; 8] {
    for (sum, [positive, negative]) in sums.iter_mut().zip(scales) {
        let [positive, negative] = [_mm256_set1_ps(*positive), _mm256_set1_ps(*negative)];
        let scale = _mm256_blendv_ps(positive, negative, _mm256_castsi256_ps(*sum));
        let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(*sum), scale);
        *sum = _mm256_cvtps_epi32(_mm256_min_ps(scaled, _mm256_set1_ps(MOST)));
    }
    let [a, b, c, d] = sums;
    let zero = _mm256_set1_epi16(to.unsigned_zero() as i16);
    let ab = _mm256_adds_epi16(_mm256_packs_epi32(a, b), zero);
    let cd = _mm256_adds_epi16(_mm256_packs_epi32(c, d), zero);
    let [p, q, r, s] = ORDER;
    let order = _mm256_setr_epi32(p, q, r, s, p, q, r, s);
    let bytes = _mm256_shuffle_epi8(_mm256_packus_epi16(ab, cd), order);
    let bytes = _mm256_xor_si256(bytes, _mm256_set1_epi8(to.flip().cast_signed()));
    #[expect(unsafe_code, reason = "plain integers of the same size")]
    unsafe {
        std::mem::transmute::<__m256i, [Four; 8]>(bytes)
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn lanes_512(vectors: [__m512i; OUTPUTS]) -> [[i32; 16]; OUTPUTS] {
    #[expect(unsafe_code, reason = "plain integers of the same size")]
    unsafe {
        std::mem::transmute::<[__m512i; OUTPUTS], [[i32; 16]; OUTPUTS]>(vectors)
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn lanes_256(vectors: [__m256i; OUTPUTS]) -> [[i32; 8]; OUTPUTS] {
    #[expect(unsafe_code, reason = "plain integers of the same size")]
    unsafe {
        std::mem::transmute::<[__m256i; OUTPUTS], [[i32; 8]; OUTPUTS]>(vectors)
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_512<const VECTORS: usize>(positions: &[Four]) -> [__m512i; VECTORS] {
    let mut vectors = [_mm512_setzero_si512(); VECTORS];
    let (positions, _) = positions[..16 * VECTORS].as_chunks::<16>();
    for (vector, positions) in vectors.iter_mut().zip(positions) {
        #[expect(unsafe_code, reason = "plain integers of the same size")]
        unsafe {
            *vector = std::mem::transmute::<[Four; 16], __m512i>(*positions);
        }
    }
    vectors
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_256<const VECTORS: usize>(positions: &[Four]) -> [__m256i; VECTORS] {
    let mut vectors = [_mm256_setzero_si256(); VECTORS];
    let (positions, _) = positions[..8 * VECTORS].as_chunks::<8>();
    for (vector, positions) in vectors.iter_mut().zip(positions) {
        #[expect(unsafe_code, reason = "plain integers of the same size")]
        unsafe {
            *vector = std::mem::transmute::<[Four; 8], __m256i>(*positions);
        }
    }
    vectors
}
