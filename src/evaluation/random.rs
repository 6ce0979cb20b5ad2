//! A small generator of random numbers, so that the same seed draws the same people everywhere.

/// `SplitMix64` (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
pub(super) struct SplitMix(u64);

impl SplitMix {
    /// The `stream`-th sequence of this seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut start = Self(seed ^ stream.wrapping_mul(0xD134_2543_DE82_EF95));
        Self(start.next())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number from 0 up to `bound`, which is excluded (Lemire 2019, without the rejection:
    /// its bias is `bound` / 2^64).
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
impl SplitMix {
    /// A number of the standard normal distribution (Box and Muller 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let mut uniform = || ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generator_matches_splitmix64_reference() {
        // The first outputs for the seed 1234567, as published with the reference code.
        let mut generator = SplitMix(1_234_567);
        assert_eq!(
            [generator.next(), generator.next(), generator.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn bounded_numbers_are_uniform() {
        let mut generator = SplitMix::new(1, 0);
        let mut counts = [0; 7];
        for _ in 0..70_000 {
            counts[generator.below(7)] += 1;
        }
        assert!(counts.iter().all(|&n| (9_500..10_500).contains(&n)), "{counts:?}");
    }

    #[test]
    fn streams_differ() {
        assert_ne!(SplitMix::new(1, 0).next(), SplitMix::new(1, 1).next());
    }
}
