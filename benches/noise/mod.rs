//! Deterministic random numbers for benchmarks.

/// Returns pseudorandom numbers between -1 and 1 (xorshift, Marsaglia 2003).
pub(crate) fn noise(seed: u64) -> impl Iterator<Item = f32> {
    let step = |x: &u64| {
        let x = x ^ x << 13;
        let x = x ^ x >> 7;
        Some(x ^ x << 17)
    };
    std::iter::successors(Some(seed), step).map(|x| (x >> 40) as f32 / (1 << 23) as f32 - 1.0)
}
