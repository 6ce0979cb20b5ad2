//! `[quantization]` in an encoder's manifest: the ranges of the network's maps, by which the service runs a float
//! network in 8 bits.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::embedding::ModelId;

/// The arithmetic of an encoder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Precision {
    /// As the network's file has it.
    Float,
    /// Maps and weights of a float network in 8 bits.
    Bytes,
}

/// The lowest and the highest value of a map; 0 lies between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    low: f32,
    high: f32,
}

impl Range {
    /// Creates the range of some values and 0; `None` if it is not finite, or too small for 255 steps.
    pub(super) fn new(low: f32, high: f32) -> Option<Self> {
        let range = Self { low: low.min(0.0), high: high.max(0.0) };
        let is_range =
            low < high && low.is_finite() && high.is_finite() && range.step().is_normal();
        is_range.then_some(range)
    }

    /// Returns the lowest value, at most 0.
    pub(super) fn low(self) -> f32 {
        self.low
    }

    /// Returns the highest value, at least 0.
    pub(super) fn high(self) -> f32 {
        self.high
    }

    /// Returns the difference between two bytes.
    pub(super) fn step(self) -> f32 {
        self.high / 255.0 - self.low / 255.0
    }
}

/// The ranges of a network's maps, by name: the name of the node that computes the map.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, [f32; 2]>")]
pub(super) struct Ranges(BTreeMap<String, Range>);

impl TryFrom<BTreeMap<String, [f32; 2]>> for Ranges {
    type Error = String;

    fn try_from(numbers: BTreeMap<String, [f32; 2]>) -> Result<Self, String> {
        let range = |(name, [low, high]): (String, [f32; 2])| {
            let range = Range::new(low, high).ok_or_else(|| {
                format!(
                    "the range of {name} is [{low}, {high}]: both must be finite, the first lower"
                )
            })?;
            Ok((name, range))
        };
        let ranges: BTreeMap<_, _> =
            numbers.into_iter().map(range).collect::<Result<_, String>>()?;
        if ranges.is_empty() {
            return Err("it has no ranges".to_owned());
        }
        Ok(Self(ranges))
    }
}

impl Ranges {
    /// Returns the range of a map, if it is known.
    pub(super) fn of(&self, map: &str) -> Option<Range> {
        self.0.get(map).copied()
    }

    /// Returns the names of the maps.
    pub(super) fn maps(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the identity of the network `file` in 8 bits by these ranges, which is not that of the file: the
    /// embeddings of both are not compared with each other.
    pub(super) fn identity(&self, file: ModelId) -> ModelId {
        let mut digest = Sha256::new();
        digest.update(b"likeness: float network in 8 bits, 1\0");
        digest.update(file.as_bytes());
        for (name, range) in &self.0 {
            digest.update((name.len() as u64).to_le_bytes());
            digest.update(name);
            digest.update(range.low.to_le_bytes());
            digest.update(range.high.to_le_bytes());
        }
        ModelId::from_digest(digest.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &str) -> Result<Ranges, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn ranges_are_widened_to_include_zero() {
        let ranges = ranges("a = [1.0, 2]\nb = [-3, -1.0]\n\"/body/c.1\" = [-1, 1]").unwrap();
        let of = |name: &str| ranges.of(name).map(|range| [range.low(), range.high()]);
        assert_eq!(of("a"), Some([0.0, 2.0]));
        assert_eq!(of("b"), Some([-3.0, 0.0]));
        assert_eq!(of("/body/c.1"), Some([-1.0, 1.0]));
        assert_eq!(of("d"), None);
    }

    #[test]
    fn invalid_ranges_are_refused() {
        for text in [
            "a = [nan, 1.0]",
            "a = [0.0, inf]",
            "a = [2.0, 1.0]",
            "a = [1.0, 1.0]",
            "a = [0.0, 1e-45]",
        ] {
            let error = ranges(text).unwrap_err();
            assert!(error.contains("the range of a is"), "{text}: {error}");
        }
        assert!(ranges("").unwrap_err().contains("no ranges"));
        assert!(ranges("a = [1.0]").is_err());
    }

    #[test]
    fn identity_depends_on_file_names_and_ranges() {
        let file = |byte| ModelId::from_digest([byte; 32]);
        let identity = |text: &str, byte| ranges(text).unwrap().identity(file(byte));
        let own = identity("a = [0.0, 1.0]\nb = [-1.0, 1.0]", 1);
        assert_eq!(own, identity("b = [-1, 1]\na = [0, 1]", 1), "the order does not matter");
        let others = [
            file(1),
            identity("a = [0.0, 1.0]\nb = [-1.0, 1.0]", 2),
            identity("a = [0.0, 1.5]\nb = [-1.0, 1.0]", 1),
            identity("a = [0.0, 1.0]\nc = [-1.0, 1.0]", 1),
            identity("a = [0.0, 1.0]", 1),
        ];
        assert!(!others.contains(&own));
    }
}
