//! The work of the 8-bit kernels: sums of products for four outputs at several positions.

use super::Bytes;
use super::layer::{INTERLEAVED, Layer};
use super::planes::Four;
use super::values::Value;
use crate::shape::Tap;

/// Outputs that are computed at once.
pub(super) const OUTPUTS: usize = 4;

/// Interleaved weights for each output.
pub(super) type Row = [u32; OUTPUTS];

/// An instruction set that an 8-bit kernel uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Isa {
    /// AVX-512 VNNI: four products and their sum in one instruction, 16 positions.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// AVX-VNNI: the same for 8 positions.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// AVX2: two products and their 16-bit sum in one instruction, which saturates. Weights for
    /// which it would are multiplied in a second step.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// No instruction set in particular; the compiler vectorizes.
    Scalar,
}

impl Isa {
    /// The instruction sets of this processor, the fastest first.
    pub(super) fn detected() -> Vec<Self> {
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

    /// Positions of a vector, and the most vectors of a block.
    pub(super) fn sizes(self) -> [usize; 2] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => [16, 4],
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => [8, 3],
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => [8, 2],
            Self::Scalar => [8, 1],
        }
    }

    /// Whether the sum of two products saturates at 16 bits.
    fn saturates(self) -> bool {
        match self {
            Self::Scalar => false,
            #[cfg(target_arch = "x86_64")]
            simd => simd == Self::Avx2,
        }
    }
}

/// The parameters of outputs that are computed together.
#[derive(Debug)]
pub(super) struct Group {
    /// Four weights of each output for each step.
    pub(super) weights: Vec<Row>,
    /// Steps and weights of each output that the kernel for AVX2 adds.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "for AVX2 only"))]
    pub(super) excess: [Vec<(usize, u32)>; OUTPUTS],
    /// The bias minus the contribution of the input's zero point.
    pub(super) starts: [i32; OUTPUTS],
    /// The scales for sums from 0 on and for negative sums.
    pub(super) scales: [[f32; 2]; OUTPUTS],
}

impl Group {
    /// The outputs from `first` on. The steps are fours of inputs at taps of the kernel.
    pub(super) fn new(
        isa: Isa,
        layer: &Layer<'_>,
        first: usize,
        steps: impl Iterator<Item = (usize, Tap)>,
    ) -> Self {
        let outputs: [usize; OUTPUTS] = std::array::from_fn(|k| first + k);
        let mut excess = [const { Vec::new() }; OUTPUTS];
        let row = |(step, (four, tap)): (usize, (usize, Tap))| {
            std::array::from_fn(|k| {
                let weights = |input| layer.weight(outputs[k], four * INTERLEAVED + input, tap);
                let weights = std::array::from_fn(weights);
                let (weights, rest) =
                    if isa.saturates() { split(weights) } else { (weights, [0; INTERLEAVED]) };
                if rest != [0; INTERLEAVED] {
                    excess[k].push((step, packed(rest)));
                }
                packed(weights)
            })
        };
        Self {
            weights: steps.enumerate().map(row).collect(),
            excess,
            starts: outputs.map(|output| layer.start(output)),
            scales: outputs.map(|output| layer.scales(output)),
        }
    }

    /// The size of the weights in bytes.
    pub(super) fn size(&self) -> usize {
        size_of_val(&self.weights[..])
    }
}

/// Splits weights such that the products of two neighbors and bytes fit in 16 bits together:
/// 255 x 128 = 32,640.
fn split([a, b, c, d]: [i8; INTERLEAVED]) -> ([i8; INTERLEAVED], [i8; INTERLEAVED]) {
    let pair = |low: i8, high: i8| {
        let fits = low.unsigned_abs().saturating_add(high.unsigned_abs()) <= 128;
        if fits { ([low, high], [0, 0]) } else { ([low, 0], [0, high]) }
    };
    let (([a, b], [e, f]), ([c, d], [g, h])) = (pair(a, b), pair(c, d));
    ([a, b, c, d], [e, f, g, h])
}

fn packed(weights: [i8; INTERLEAVED]) -> u32 {
    u32::from_le_bytes(weights.map(i8::cast_unsigned))
}

/// The work of one kernel call: neighboring positions of the outputs of a group.
pub(super) struct Block<'a, T> {
    /// The values of the first position; those of the others follow.
    pub(super) positions: &'a [Four],
    /// The offset of each step's values.
    pub(super) steps: &'a [usize],
    /// Vectors of positions.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "the scalar kernel has one")
    )]
    pub(super) vectors: usize,
    pub(super) group: &'a Group,
    /// The quantization of the results.
    pub(super) to: Bytes,
    /// The results: a line of positions for each value of the group.
    pub(super) lines: &'a mut [T],
    /// Positions of a line.
    pub(super) length: usize,
    /// The first position that is computed.
    pub(super) first: usize,
}

impl<T: Value> Block<'_, T> {
    /// Writes the sums of each output at a vector of positions.
    #[inline(always)]
    pub(super) fn write<const LANES: usize>(
        &mut self,
        vector: usize,
        sums: &[[i32; LANES]; OUTPUTS],
    ) {
        let first = self.first + vector * LANES;
        T::write(self.to, &self.group.scales, sums, self.lines, self.length, first);
    }
}

/// Computes a block without an instruction set in particular.
pub(super) fn scalar<T: Value>(mut block: Block<'_, T>) {
    const LANES: usize = 8;
    let mut sums = block.group.starts.map(|start| [start; LANES]);
    for (step, weights) in block.steps.iter().zip(&block.group.weights) {
        let positions = &block.positions[*step..][..LANES];
        let channel = |k: usize| -> [i32; LANES] {
            std::array::from_fn(|position| {
                (u32::from_le_bytes(positions[position]) >> (8 * k) & 0xff).cast_signed()
            })
        };
        let channels = [channel(0), channel(1), channel(2), channel(3)];
        for (sums, weights) in sums.iter_mut().zip(weights) {
            for (values, weight) in channels.iter().zip(weights.to_le_bytes()) {
                let weight = i32::from(weight.cast_signed());
                for (sum, value) in sums.iter_mut().zip(values) {
                    // Wraps as SIMD does; checks of overflow would prevent vectorization.
                    *sum = sum.wrapping_add(value.wrapping_mul(weight));
                }
            }
        }
    }
    block.write(0, &sums);
}
