//! The embedding of a face, and the identity of the encoder that computed it.

use zeroize::Zeroize;

/// The identity of an encoder: the SHA-256 of its ONNX file or, in 8 bits, of that and the ranges of its maps.
/// Embeddings of different models are not comparable, so each template is stored with it.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct ModelId([u8; 32]);

impl ModelId {
    /// Creates an identity from a digest.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Returns the 32 bytes of the digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Display for ModelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for ModelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelId({self})")
    }
}

/// Largest absolute value in an embedding: with it even the greatest weighted distance of two embeddings is finite in 32
/// bits.
pub const LARGEST_VALUE: f32 = 1e15;

/// The vector that represents a face. Zeroized on drop; its `Debug` shows only the size.
#[derive(Clone, PartialEq)]
pub struct Embedding(Vec<f32>);

/// The vector represents no face: it is not finite, too large, or of length 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an embedding must be finite and nonzero")]
pub struct DegenerateEmbedding;

impl Embedding {
    /// Scales `values` to unit length.
    ///
    /// # Errors
    /// [`DegenerateEmbedding`] where they are not all finite, or all are 0.
    pub fn normalize(mut values: Vec<f32>) -> Result<Self, DegenerateEmbedding> {
        let length = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        if !length.is_finite() || length < f64::from(f32::MIN_POSITIVE) {
            values.zeroize();
            return Err(DegenerateEmbedding);
        }
        for value in &mut values {
            *value = (f64::from(*value) / length) as f32;
        }
        Ok(Self(values))
    }

    /// Creates an embedding from `values` without scaling.
    ///
    /// # Errors
    /// [`DegenerateEmbedding`] where there are none, or not all lie within [`LARGEST_VALUE`].
    pub fn raw(mut values: Vec<f32>) -> Result<Self, DegenerateEmbedding> {
        if values.is_empty() || !values.iter().all(|v| v.abs() <= LARGEST_VALUE) {
            values.zeroize();
            return Err(DegenerateEmbedding);
        }
        Ok(Self(values))
    }

    /// Returns the values.
    pub(crate) fn values(&self) -> &[f32] {
        &self.0
    }
}

impl Drop for Embedding {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Embedding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Embedding({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_finite_vector_gets_unit_length() {
        let embedding = Embedding::normalize(vec![3.0, 0.0, -4.0]).unwrap();
        assert_eq!(embedding.values(), [0.6, 0.0, -0.8]);
    }

    #[test]
    fn a_vector_without_direction_is_refused() {
        for values in [vec![0.0; 3], vec![1.0, f32::NAN], vec![f32::INFINITY], Vec::new()] {
            assert_eq!(Embedding::normalize(values).unwrap_err(), DegenerateEmbedding);
        }
        for values in [vec![1.0, f32::NAN], vec![f32::INFINITY], vec![-1e16], Vec::new()] {
            assert_eq!(Embedding::raw(values).unwrap_err(), DegenerateEmbedding);
        }
    }

    #[test]
    fn debug_shows_the_length_alone() {
        let embedding = Embedding::normalize(vec![3.0, 4.0]).unwrap();
        assert_eq!(format!("{embedding:?}"), "Embedding(2)");
    }
}
