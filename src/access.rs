//! Who may call: so far one API key, or everyone on this machine.

use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The digest of the one API key.
#[derive(Clone, Copy)]
pub struct ApiKey([u8; 32]);

/// Why a file holds no usable key.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// It cannot be read.
    #[error("the API key file {path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// A key that could be guessed.
    #[error(
        "the API key file {0} must hold one line of at least 32 visible ASCII characters (try: openssl rand -hex 32)"
    )]
    Weak(String),
}

impl ApiKey {
    /// Reads the key from the first line of a file and keeps its digest only.
    ///
    /// # Errors
    /// [`ApiKeyError`] where the file cannot be read or its key could be guessed.
    pub fn read(path: &Path) -> Result<Self, ApiKeyError> {
        let name = path.display().to_string();
        let text = zeroize::Zeroizing::new(
            std::fs::read_to_string(path)
                .map_err(|source| ApiKeyError::File { path: name.clone(), source })?,
        );
        let key = text.trim_end_matches(['\r', '\n']);
        if key.len() < 32 || !key.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(ApiKeyError::Weak(name));
        }
        Ok(Self::digest(key))
    }

    /// Whether a presented key is this one; takes as long for a wrong one as for the right one.
    pub fn admits(&self, presented: &str) -> bool {
        self.0.ct_eq(&Self::digest(presented).0).into()
    }

    fn digest(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_admitted_and_weak_ones_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = "0123456789abcdef0123456789abcdef";
        std::fs::write(&path, format!("{key}\n")).unwrap();
        let read = ApiKey::read(&path).unwrap();
        assert!(read.admits(key));
        assert!(!read.admits("0123456789abcdef0123456789abcdeF"));
        assert!(!read.admits(""));
        for weak in ["", "secret", "0123456789abcdef 0123456789abcdef"] {
            std::fs::write(&path, weak).unwrap();
            assert!(matches!(ApiKey::read(&path), Err(ApiKeyError::Weak(_))), "{weak:?}");
        }
    }
}
