//! Float kernels: sums of products for several outputs and positions, kept in registers.

use crate::shape;

/// An instruction set that a float kernel uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Isa {
    /// AVX-512F: 16 lanes.
    Avx512,
    /// AVX2 and FMA: 8 lanes.
    Avx2,
}

impl Isa {
    /// The instruction sets of this processor, the fastest first.
    pub(super) fn detected() -> Vec<Self> {
        let mut isas = Vec::new();
        if is_x86_feature_detected!("avx512f") {
            isas.push(Self::Avx512);
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            isas.push(Self::Avx2);
        }
        isas
    }

    /// Lanes (positions) of a vector, and the most vectors and outputs of a block.
    fn sizes(self) -> [usize; 3] {
        match self {
            Self::Avx512 => [avx512::LANES, 4, avx512::OUTPUTS],
            Self::Avx2 => [avx2::LANES, 3, avx2::OUTPUTS],
        }
    }

    pub(super) fn lanes(self) -> usize {
        let [lanes, ..] = self.sizes();
        lanes
    }

    pub(super) fn outputs(self) -> usize {
        let [.., outputs] = self.sizes();
        outputs
    }

    /// The most positions of a block.
    pub(super) fn positions(self) -> usize {
        let [lanes, operands, _] = self.sizes();
        lanes * operands
    }

    /// The first position and the number of vectors of each block of a line.
    pub(super) fn blocks(self, length: usize) -> impl Iterator<Item = (usize, usize)> {
        let [lanes, most, _] = self.sizes();
        shape::blocks(length, lanes, most)
    }
}

/// The parameters of outputs that are computed together.
#[derive(Debug)]
pub(super) struct Group {
    /// One weight for each output, for each step.
    pub(super) weights: Vec<f32>,
    pub(super) biases: Vec<f32>,
    pub(super) slopes: Vec<f32>,
}

/// The work of one kernel call: neighboring positions of the outputs of a group.
pub(super) struct Block<'a> {
    /// The values of the first position; those of the others follow.
    pub(super) positions: &'a [f32],
    /// The offset of each step's values.
    pub(super) steps: &'a [usize],
    /// Vectors of positions.
    pub(super) operands: usize,
    pub(super) group: &'a Group,
    /// The results: a line of positions for each output.
    pub(super) lines: &'a mut [f32],
    /// Positions of a line.
    pub(super) length: usize,
    /// The first position that is computed.
    pub(super) first: usize,
}

macro_rules! kernel {
    ($name:ident, $features:literal, $lanes:literal, $outputs:literal, $vector:ident, $load:ident, $store:ident, $set:ident, $fma:ident, $min:ident, $max:ident) => {
        pub(super) mod $name {
            use std::arch::x86_64::{$fma, $load, $max, $min, $set, $store, $vector};

            use super::Block;

            pub(super) const LANES: usize = $lanes;
            pub(super) const OUTPUTS: usize = $outputs;

            #[target_feature(enable = $features)]
            pub(in super::super) fn run(block: Block<'_>) {
                match (block.group.weights.len() / block.steps.len(), block.operands) {
                    (1, 1) => compute::<1, 1>(block),
                    (1, 2) => compute::<1, 2>(block),
                    (1, 3) => compute::<1, 3>(block),
                    (1, _) => compute::<1, 4>(block),
                    (_, 1) => compute::<OUTPUTS, 1>(block),
                    (_, 2) => compute::<OUTPUTS, 2>(block),
                    (_, 3) => compute::<OUTPUTS, 3>(block),
                    (_, _) => compute::<OUTPUTS, 4>(block),
                }
            }

            /// Computes `OUTPUTS` outputs at `OPERANDS` vectors of positions.
            #[target_feature(enable = $features)]
            fn compute<const OUTPUTS: usize, const OPERANDS: usize>(block: Block<'_>) {
                let Block { positions, steps, group, lines, length, first, .. } = block;
                let mut sums = [[$set(0.0); OPERANDS]; OUTPUTS];
                for (sums, bias) in sums.iter_mut().zip(&group.biases) {
                    *sums = [$set(*bias); OPERANDS];
                }
                let (weights, _) = group.weights.as_chunks::<OUTPUTS>();
                for (step, weights) in steps.iter().zip(weights) {
                    let values = load::<OPERANDS>(&positions[*step..]);
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        let weight = $set(*weight);
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = $fma(weight, value, *sum);
                        }
                    }
                }
                let lines = lines.chunks_exact_mut(length);
                for ((line, sums), slope) in lines.zip(sums).zip(&group.slopes) {
                    let (slope, zero) = ($set(*slope), $set(0.0));
                    // If an operand is NaN, x86 returns the second, so the sum must be the second.
                    let sums = sums.map(|sum| $fma(slope, $min(zero, sum), $max(zero, sum)));
                    store(&mut line[first..], sums);
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn load<const OPERANDS: usize>(positions: &[f32]) -> [$vector; OPERANDS] {
                let positions = &positions[..LANES * OPERANDS];
                #[expect(unsafe_code, reason = "the slice was cut to exactly as many values")]
                unsafe {
                    std::array::from_fn(|k| $load(positions.as_ptr().add(LANES * k)))
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn store<const OPERANDS: usize>(positions: &mut [f32], sums: [$vector; OPERANDS]) {
                let positions = &mut positions[..LANES * OPERANDS];
                for (k, sum) in sums.into_iter().enumerate() {
                    #[expect(unsafe_code, reason = "the slice was cut to exactly as many values")]
                    unsafe {
                        $store(positions.as_mut_ptr().add(LANES * k), sum);
                    }
                }
            }
        }
    };
}

kernel!(
    avx512,
    "avx512f",
    16,
    6,
    __m512,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_min_ps,
    _mm512_max_ps
);

kernel!(
    avx2,
    "avx2,fma",
    8,
    4,
    __m256,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps,
    _mm256_min_ps,
    _mm256_max_ps
);
