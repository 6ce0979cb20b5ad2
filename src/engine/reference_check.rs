//! The check of stored references: whether an embedding lies among those of faces that the encoder cannot recognize.
//!
//! A reference from before the quality network has no photo any more, so the embedding has to tell. It is told by a
//! perceptron of the encoder's manifest, fitted like the quality network to the cosine between the embeddings of
//! degraded and of original photos (`models/train/quality/stored_references.py`).

use serde::Deserialize;

use crate::embedding::Embedding;

/// The section `[reference_check]` of an encoder's manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReferenceCheck {
    /// The least output of a reference that is used.
    least: f32,
    /// The weights of each hidden unit.
    hidden: Vec<Vec<f32>>,
    hidden_bias: Vec<f32>,
    output: Vec<f32>,
    output_bias: f32,
}

impl ReferenceCheck {
    /// Checks the sizes for embeddings of `length` values, and that all numbers are finite.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn checked(self, length: usize) -> Result<Self, String> {
        let units = self.hidden.len();
        let fits = self.hidden.iter().all(|unit| unit.len() == length)
            && self.hidden_bias.len() == units
            && self.output.len() == units;
        let mut numbers = self.hidden.iter().flatten().chain(&self.hidden_bias).chain(&self.output);
        let finite = numbers.all(|n| n.is_finite()) && (self.least + self.output_bias).is_finite();
        if fits && finite {
            return Ok(self);
        }
        let own = self.hidden.first().map_or(0, Vec::len);
        Err(format!(
            "reference_check is for embeddings of {own} values, not of {length}, or is inconsistent"
        ))
    }

    /// Whether the embedding is one of a face that the encoder can recognize.
    pub(super) fn accepts(&self, embedding: &Embedding) -> bool {
        let dot = |weights: &[f32]| -> f32 {
            weights.iter().zip(embedding.values()).map(|(weight, value)| weight * value).sum()
        };
        let units = self.hidden.iter().zip(&self.hidden_bias).zip(&self.output);
        let output: f32 =
            units.map(|((weights, bias), output)| output * (dot(weights) + bias).max(0.0)).sum();
        output + self.output_bias >= self.least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> ReferenceCheck {
        ReferenceCheck {
            least: 0.5,
            hidden: vec![vec![2.0, 0.0], vec![0.0, -4.0]],
            hidden_bias: vec![0.0, 1.0],
            output: vec![1.0, -0.5],
            output_bias: 0.1,
        }
    }

    #[test]
    fn the_output_decides() {
        let accepts = |values| check().accepts(&Embedding::normalize(values).unwrap());
        assert!(accepts(vec![1.0, 0.0]), "2 - 0.5 + 0.1");
        assert!(!accepts(vec![0.0, 1.0]), "0 - 0 + 0.1");
        assert!(!accepts(vec![0.0, -1.0]), "0 - 2.5 + 0.1");
    }

    #[test]
    fn wrong_sizes_and_infinite_weights_are_refused() {
        assert!(check().checked(2).is_ok());
        assert!(check().checked(3).is_err());
        assert!(ReferenceCheck { hidden_bias: vec![0.0], ..check() }.checked(2).is_err());
        assert!(ReferenceCheck { output: vec![f32::NAN, 1.0], ..check() }.checked(2).is_err());
    }
}
