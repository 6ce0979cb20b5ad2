//! Fully connected layers: kernels that cover the whole input map, for a single output position.
//!
//! Each weight is used once, so memory bounds the speed. Weights are stored in the order of the
//! input's bytes and multiplied in place.

use super::layer::Layer;
use super::products::OUTPUTS;

/// Bytes that are multiplied at once.
pub(super) const BYTES: usize = 64;

/// Values of the input, or the bits of an output's weights.
pub(super) type Chunk = [u8; BYTES];

/// The parameters of outputs that are computed together.
#[derive(Debug)]
pub(super) struct Rows {
    /// The weights of each output for each chunk of the input.
    weights: Vec<[Chunk; OUTPUTS]>,
    pub(super) starts: [i32; OUTPUTS],
    pub(super) scales: [[f32; 2]; OUTPUTS],
}

impl Rows {
    /// The outputs from `first` on.
    pub(super) fn new(layer: &Layer<'_>, first: usize) -> Self {
        let shape = layer.shape;
        let [height, width] = shape.input;
        let area = height * width;
        let chunks = layer.order.values(shape.inputs, shape.input).div_ceil(BYTES);
        let mut weights = vec![[[0; BYTES]; OUTPUTS]; chunks];
        for (input, [y, x]) in shape.steps(shape.inputs) {
            let index = layer.order.index(input, y * width + x, area);
            for (k, row) in weights[index / BYTES].iter_mut().enumerate() {
                row[index % BYTES] = layer.weight(first + k, input, [y, x]).cast_unsigned();
            }
        }
        let outputs: [usize; OUTPUTS] = std::array::from_fn(|k| first + k);
        Self {
            weights,
            starts: outputs.map(|output| layer.start(output)),
            scales: outputs.map(|output| layer.scales(output)),
        }
    }
}

/// The input in chunks, unsigned. Weights beyond its last byte are 0.
pub(super) fn chunks(input: &[u8], flip: u8) -> Vec<Chunk> {
    let mut chunks = vec![[0; BYTES]; input.len().div_ceil(BYTES)];
    let bytes = chunks.as_flattened_mut().iter_mut();
    bytes.zip(input).for_each(|(byte, value)| *byte = value ^ flip);
    chunks
}

/// Computes the sums without an instruction set in particular.
pub(super) fn scalar(input: &[Chunk], rows: &Rows) -> [i32; OUTPUTS] {
    let mut sums = rows.starts;
    for (values, weights) in input.iter().zip(&rows.weights) {
        for (sum, weights) in sums.iter_mut().zip(weights) {
            let products =
                values.iter().zip(weights).map(|(a, b)| i32::from(*a) * i32::from(b.cast_signed()));
            *sum = sum.wrapping_add(products.sum());
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256i, __m512i, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_cvtepu8_epi16,
        _mm256_dpbusd_avx_epi32, _mm256_madd_epi16, _mm256_setzero_si256, _mm512_dpbusd_epi32,
        _mm512_reduce_add_epi32, _mm512_setzero_si512,
    };

    use super::{Chunk, OUTPUTS, Rows};

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(in crate::bytes) fn avx512_vnni(input: &[Chunk], rows: &Rows) -> [i32; OUTPUTS] {
        let mut sums = [_mm512_setzero_si512(); OUTPUTS];
        for (values, weights) in input.iter().zip(&rows.weights) {
            let values = load_512(values);
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm512_dpbusd_epi32(*sum, values, load_512(weights));
            }
        }
        std::array::from_fn(|k| rows.starts[k].wrapping_add(_mm512_reduce_add_epi32(sums[k])))
    }

    #[target_feature(enable = "avx2,avxvnni")]
    pub(in crate::bytes) fn avx_vnni(input: &[Chunk], rows: &Rows) -> [i32; OUTPUTS] {
        let mut sums = [[_mm256_setzero_si256(); 2]; OUTPUTS];
        for (values, weights) in input.iter().zip(&rows.weights) {
            let values = load_256(values);
            for (sums, weights) in sums.iter_mut().zip(weights) {
                for ((sum, values), weights) in sums.iter_mut().zip(values).zip(load_256(weights)) {
                    *sum = _mm256_dpbusd_avx_epi32(*sum, values, weights);
                }
            }
        }
        std::array::from_fn(|k| rows.starts[k].wrapping_add(total(sums[k])))
    }

    #[target_feature(enable = "avx2")]
    pub(in crate::bytes) fn avx2(input: &[Chunk], rows: &Rows) -> [i32; OUTPUTS] {
        let mut sums = [[_mm256_setzero_si256(); 2]; OUTPUTS];
        for (values, weights) in input.iter().zip(&rows.weights) {
            let values = load_128(values).map(|values| _mm256_cvtepu8_epi16(values));
            for (sums, weights) in sums.iter_mut().zip(weights) {
                for (k, weights) in load_128(weights).into_iter().enumerate() {
                    let products = _mm256_madd_epi16(values[k], _mm256_cvtepi8_epi16(weights));
                    sums[k % 2] = _mm256_add_epi32(sums[k % 2], products);
                }
            }
        }
        std::array::from_fn(|k| rows.starts[k].wrapping_add(total(sums[k])))
    }

    #[target_feature(enable = "avx2")]
    fn total([a, b]: [__m256i; 2]) -> i32 {
        #[expect(unsafe_code, reason = "plain integers of the same size")]
        let lanes = unsafe { std::mem::transmute::<__m256i, [i32; 8]>(_mm256_add_epi32(a, b)) };
        lanes.into_iter().fold(0, i32::wrapping_add)
    }

    #[inline(always)]
    fn load_512(chunk: &Chunk) -> __m512i {
        #[expect(unsafe_code, reason = "plain integers of the same size")]
        unsafe {
            std::mem::transmute::<Chunk, __m512i>(*chunk)
        }
    }

    #[inline(always)]
    fn load_256(chunk: &Chunk) -> [__m256i; 2] {
        #[expect(unsafe_code, reason = "plain integers of the same size")]
        unsafe {
            std::mem::transmute::<Chunk, [__m256i; 2]>(*chunk)
        }
    }

    #[inline(always)]
    fn load_128(chunk: &Chunk) -> [__m128i; 4] {
        #[expect(unsafe_code, reason = "plain integers of the same size")]
        unsafe {
            std::mem::transmute::<Chunk, [__m128i; 4]>(*chunk)
        }
    }
}
