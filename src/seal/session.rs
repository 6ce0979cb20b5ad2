//! The token of a presentation session, and the sealing of what waits between its two calls.
//!
//! The store has the token's digest only. What waits is sealed under a key that is derived from the token, so that it
//! opens for the caller who presents the token, and for nobody who reads the database.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{DoesNotOpen, KEY_BYTES, Sealed, cipher, decrypt, encrypt};
use crate::random::random;

/// Domain separator of the key, which is bound to the format of what is sealed.
const KEY: &[u8] = b"likeness presentation session key 1";

/// The token of a presentation session: 256 random bits, zeroized on drop.
pub struct SessionToken(Zeroizing<[u8; 32]>);

/// A text that is not a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a presentation session is 43 characters of base64 (A-Z, a-z, 0-9, - and _)")]
pub struct InvalidToken;

/// The SHA-256 digest of a token, by which the store knows its session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionDigest([u8; 32]);

impl SessionDigest {
    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl SessionToken {
    /// Draws a token.
    ///
    /// # Panics
    /// If the system has no random numbers.
    pub fn draw() -> Self {
        Self(random())
    }

    /// Parses a presented token.
    ///
    /// # Errors
    /// [`InvalidToken`].
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let mut bytes = Zeroizing::new([0; 32]);
        // More than 32 bytes do not fit.
        match URL_SAFE_NO_PAD.decode_slice(text, bytes.as_mut()) {
            Ok(32) => Ok(Self(bytes)),
            _ => Err(InvalidToken),
        }
    }

    /// Returns the token as text, for its caller alone.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }

    /// Returns the digest of the token.
    pub fn digest(&self) -> SessionDigest {
        SessionDigest(Sha256::digest(self.0.as_slice()).into())
    }

    /// Seals what waits for the caller, by AES-256-GCM under a key derived from the token.
    ///
    /// # Panics
    /// If the system has no random numbers.
    pub fn seal(&self, plain: &[u8]) -> Sealed {
        encrypt(&cipher(&self.key()), plain, KEY)
    }

    /// Opens what was sealed with this token.
    ///
    /// # Errors
    /// [`DoesNotOpen`] for any other token, and for damaged ciphertext.
    pub fn open(&self, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        decrypt(&cipher(&self.key()), sealed, KEY)
    }

    fn key(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        let digest = Sha256::new().chain_update(KEY).chain_update(self.0.as_slice());
        Zeroizing::new(digest.finalize().into())
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_read_as_written_and_no_other_text_is_one() {
        let token = SessionToken::draw();
        let text = token.to_text();
        assert_eq!(text.len(), 43);
        assert_eq!(SessionToken::parse(&text).unwrap().digest(), token.digest());
        assert_ne!(SessionToken::draw().digest(), token.digest());
        for text in ["", "AAAA", &text[1..], &format!("{}A", *text), &text.replace(|_| true, "?")] {
            assert_eq!(SessionToken::parse(text).unwrap_err(), InvalidToken, "{text}");
        }
        assert_eq!(format!("{token:?}"), "SessionToken");
    }

    #[test]
    fn sealed_bytes_open_with_their_token_only() {
        let (token, other) = (SessionToken::draw(), SessionToken::draw());
        let sealed = token.seal(b"an embedding");
        assert_eq!(token.open(&sealed).unwrap().as_slice(), b"an embedding");
        assert_eq!(other.open(&sealed).unwrap_err(), DoesNotOpen);
        let mut bytes = sealed.as_bytes().to_vec();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(token.open(&Sealed::from_bytes(bytes.clone())).is_err(), "{at}");
            bytes[at] ^= 1;
        }
        assert_ne!(token.key().as_slice(), token.digest().as_bytes());
    }
}
