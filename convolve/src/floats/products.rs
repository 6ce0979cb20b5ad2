//! Sums of products of floats, as many at once as the processor's registers hold.

/// How a processor multiplies floats.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// Sixteen at once (AVX-512).
    Sixteen,
    /// Eight at once (AVX2 and FMA).
    Eight,
}

impl Way {
    /// The quickest first.
    pub(super) fn all_of_this_processor() -> Vec<Self> {
        let mut ways = Vec::new();
        if is_x86_feature_detected!("avx512f") {
            ways.push(Self::Sixteen);
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            ways.push(Self::Eight);
        }
        ways
    }

    /// Neighbouring places that are one operand; operands of places, at most, and outputs that are computed at once.
    fn sizes(self) -> [usize; 3] {
        match self {
            Self::Sixteen => [sixteen::LANES, 4, sixteen::OUTPUTS],
            Self::Eight => [eight::LANES, 3, eight::OUTPUTS],
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

    /// Places that are computed at once, at most.
    pub(super) fn places(self) -> usize {
        let [lanes, operands, _] = self.sizes();
        lanes * operands
    }

    /// The first place and the operands of each block of a line. The last operand of one that would reach beyond the
    /// line's end begins before that.
    pub(super) fn blocks(self, length: usize) -> impl Iterator<Item = (usize, usize)> {
        let [lanes, most, _] = self.sizes();
        let all = length.div_ceil(lanes);
        let blocks = all.div_ceil(most);
        (0..blocks).map(move |block| {
            let [from, to] = [block, block + 1].map(|block| block * all / blocks);
            ((from * lanes).min(length - (to - from) * lanes), to - from)
        })
    }
}

/// Outputs that are computed together.
#[derive(Debug)]
pub(super) struct Group {
    /// For each step one for each output.
    pub(super) weights: Vec<f32>,
    pub(super) biases: Vec<f32>,
    pub(super) slopes: Vec<f32>,
}

/// Outputs at neighbouring places.
pub(super) struct Block<'a> {
    /// The first place's values; the others' lie behind them.
    pub(super) places: &'a [f32],
    /// Where each step's values lie.
    pub(super) steps: &'a [usize],
    /// How many operands the places are.
    pub(super) operands: usize,
    pub(super) group: &'a Group,
    /// What is computed: a line of places for each output.
    pub(super) lines: &'a mut [f32],
    /// Places of a line.
    pub(super) length: usize,
    /// The first that is computed.
    pub(super) first: usize,
}

macro_rules! way {
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

            /// So many outputs at so many operands of places.
            #[target_feature(enable = $features)]
            fn compute<const OUTPUTS: usize, const OPERANDS: usize>(block: Block<'_>) {
                let Block { places, steps, group, lines, length, first, .. } = block;
                let mut sums = [[$set(0.0); OPERANDS]; OUTPUTS];
                for (sums, bias) in sums.iter_mut().zip(&group.biases) {
                    *sums = [$set(*bias); OPERANDS];
                }
                let (weights, _) = group.weights.as_chunks::<OUTPUTS>();
                for (step, weights) in steps.iter().zip(weights) {
                    let values = load::<OPERANDS>(&places[*step..]);
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
                    // Where either operand is NaN, x86 returns the second: that has to be the sum.
                    let sums = sums.map(|sum| $fma(slope, $min(zero, sum), $max(zero, sum)));
                    store(&mut line[first..], sums);
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn load<const OPERANDS: usize>(places: &[f32]) -> [$vector; OPERANDS] {
                let places = &places[..LANES * OPERANDS];
                #[expect(unsafe_code, reason = "there are as many")]
                unsafe {
                    std::array::from_fn(|k| $load(places.as_ptr().add(LANES * k)))
                }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn store<const OPERANDS: usize>(places: &mut [f32], sums: [$vector; OPERANDS]) {
                let places = &mut places[..LANES * OPERANDS];
                for (k, sum) in sums.into_iter().enumerate() {
                    #[expect(unsafe_code, reason = "there is room for as many")]
                    unsafe {
                        $store(places.as_mut_ptr().add(LANES * k), sum);
                    }
                }
            }
        }
    };
}

way!(
    sixteen,
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

way!(
    eight,
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
