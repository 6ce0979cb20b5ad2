//! Sealing: the only form in which an embedding is stored.
//!
//! A template is an embedding encrypted with AES-256-GCM under its own data key, and bound to its
//! employee and model: moved to another row, or read as another model's, it does not open. The data
//! key is stored separately, wrapped by the master key. Erasing the data key makes every copy of
//! the template unreadable.

mod master;
mod session;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use zeroize::Zeroizing;

pub use self::master::{KeyError, MasterKey, MasterKeyId, MasterKeys};
pub use self::session::{InvalidToken, SessionDigest, SessionToken};
use crate::embedding::{Embedding, ModelId};
use crate::employee::EmployeeId;
use crate::random::random;

/// Domain separator of a template's associated data; changes with the format.
const TEMPLATE: &[u8] = b"likeness template 1";

/// Domain separator of a wrapped data key's associated data.
const DATA_KEY: &[u8] = b"likeness data key 1";

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// A sealed embedding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    /// The data key that opens the template.
    pub key: DataKeyId,
    /// The random nonce, the ciphertext and its tag.
    pub sealed: Sealed,
}

/// Stored ciphertext, not yet authenticated.
#[derive(Clone, Eq, PartialEq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Creates ciphertext from stored bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// The identity of a data key; random, not secret.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct DataKeyId([u8; 16]);

impl DataKeyId {
    /// The data key that authenticates the audit trail; the only one without a template.
    pub const AUDIT: Self = Self([0; 16]);

    /// Creates an identity from stored bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A data key wrapped by a master key, as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WrappedKey {
    /// The data key.
    pub id: DataKeyId,
    /// The master key that wrapped it.
    pub master: MasterKeyId,
    /// The random nonce, the ciphertext and its tag.
    pub wrapped: Sealed,
}

/// Ciphertext that is damaged, or was sealed for another subject or under another key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the template cannot be decrypted: it is corrupt, or belongs to another employee, model or key"
)]
pub struct DoesNotOpen;

/// Seals and opens templates; cheap to clone.
#[derive(Clone, Debug)]
pub struct Sealer {
    masters: MasterKeys,
}

impl Sealer {
    /// Creates a sealer with these master keys.
    pub fn new(masters: MasterKeys) -> Self {
        Self { masters }
    }

    /// Seals an embedding for one employee and one model, under a new data key.
    ///
    /// # Panics
    /// If the system has no random numbers.
    pub fn seal(
        &self,
        employee: &EmployeeId,
        model: ModelId,
        embedding: &Embedding,
    ) -> (WrappedKey, Template) {
        let (id, data_key) = (DataKeyId(*random()), random::<KEY_BYTES>());
        let values = embedding.values().iter().flat_map(|value| value.to_le_bytes());
        let plain = Zeroizing::new(values.collect::<Vec<u8>>());
        let bound = binding(employee, model, id);
        let template = Template { key: id, sealed: encrypt(&cipher(&data_key), &plain, &bound) };
        (self.masters.present().wrap(id, &data_key), template)
    }

    /// Opens a template that was sealed for this employee and this model.
    ///
    /// # Errors
    /// [`DoesNotOpen`] for any other template, data key or master key.
    pub fn open(
        &self,
        employee: &EmployeeId,
        model: ModelId,
        key: &WrappedKey,
        template: &Template,
    ) -> Result<Embedding, DoesNotOpen> {
        let data_key = self.masters.unwrap(key)?;
        let bound = binding(employee, model, template.key);
        let plain = decrypt(&cipher(&data_key), &template.sealed, &bound)?;
        let (values, []) = plain.as_chunks::<4>() else { return Err(DoesNotOpen) };
        let values = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        Embedding::raw(values).map_err(|_| DoesNotOpen)
    }
}

/// Returns the associated data of a template. Each part has a fixed length or its length before it,
/// so that the encoding is unambiguous.
fn binding(employee: &EmployeeId, model: ModelId, key: DataKeyId) -> Vec<u8> {
    let employee = employee.as_str().as_bytes();
    let length = employee.len().to_le_bytes();
    [TEMPLATE, &length, employee, model.as_bytes(), key.as_bytes()].concat()
}

fn cipher(key: &[u8; KEY_BYTES]) -> Aes256Gcm {
    Aes256Gcm::new(key.into())
}

fn encrypt(cipher: &Aes256Gcm, plain: &[u8], bound: &[u8]) -> Sealed {
    let nonce = *random::<NONCE_BYTES>();
    let sealed = cipher.encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: bound });
    let sealed = sealed.expect("AES-GCM takes 64 GiB, an embedding is a few kilobytes");
    Sealed([nonce.as_slice(), &sealed].concat())
}

fn decrypt(
    cipher: &Aes256Gcm,
    sealed: &Sealed,
    bound: &[u8],
) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    let (nonce, sealed) = sealed.0.split_first_chunk::<NONCE_BYTES>().ok_or(DoesNotOpen)?;
    let payload = Payload { msg: sealed, aad: bound };
    let plain = cipher.decrypt(&Nonce::from(*nonce), payload).map_err(|_| DoesNotOpen)?;
    Ok(Zeroizing::new(plain))
}

/// Converts decrypted bytes to a key.
fn key_of(plain: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, DoesNotOpen> {
    plain.try_into().map(Zeroizing::new).map_err(|_| DoesNotOpen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn employee(text: &str) -> EmployeeId {
        EmployeeId::parse(text).unwrap()
    }

    fn embedding() -> Embedding {
        Embedding::normalize((1_u8..=16).map(f32::from).collect()).unwrap()
    }

    fn sealer(master: u8) -> Sealer {
        Sealer::new(MasterKeys::one(MasterKey::new(&[master; 32])))
    }

    const MODEL: [u8; 32] = [7; 32];

    #[test]
    fn template_opens_only_for_its_employee_model_and_keys() {
        let (others, model) = (sealer(2), ModelId::from_digest(MODEL));
        let sealer = sealer(1);
        let (key, template) = sealer.seal(&employee("e-1"), model, &embedding());
        let opened = sealer.open(&employee("e-1"), model, &key, &template);
        assert_eq!(opened, Ok(embedding()));
        let refused = |sealer: &Sealer, who, model, key: &WrappedKey, template: &Template| {
            assert_eq!(sealer.open(&employee(who), model, key, template), Err(DoesNotOpen));
        };
        refused(&sealer, "e-2", model, &key, &template);
        refused(&sealer, "e-1", ModelId::from_digest([8; 32]), &key, &template);
        refused(&others, "e-1", model, &key, &template);
        let (other_key, other_template) = sealer.seal(&employee("e-1"), model, &embedding());
        refused(&sealer, "e-1", model, &other_key, &template);
        refused(&sealer, "e-1", model, &WrappedKey { id: other_key.id, ..key.clone() }, &template);
        refused(&sealer, "e-1", model, &key, &Template { key: key.id, ..other_template });
    }

    #[test]
    fn truncated_or_altered_ciphertext_does_not_open() {
        let (sealer, model) = (sealer(1), ModelId::from_digest(MODEL));
        let (key, template) = sealer.seal(&employee("e-1"), model, &embedding());
        let open = |wrapped: &[u8], sealed: &[u8]| {
            let key = WrappedKey { wrapped: Sealed(wrapped.to_vec()), ..key.clone() };
            let template = Template { sealed: Sealed(sealed.to_vec()), ..template.clone() };
            sealer.open(&employee("e-1"), model, &key, &template)
        };
        let (wrapped, sealed) = (&key.wrapped.0, &template.sealed.0);
        assert!(open(wrapped, sealed).is_ok());
        let bent = |bytes: &[u8], at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1;
            bytes
        };
        for at in 0..sealed.len() {
            assert_eq!(open(wrapped, &sealed[..at]), Err(DoesNotOpen));
            assert_eq!(open(wrapped, &bent(sealed, at)), Err(DoesNotOpen));
        }
        for at in 0..wrapped.len() {
            assert_eq!(open(&wrapped[..at], sealed), Err(DoesNotOpen));
            assert_eq!(open(&bent(wrapped, at), sealed), Err(DoesNotOpen));
        }
    }

    #[test]
    fn sealing_twice_gives_different_ciphertexts() {
        let (sealer, model) = (sealer(1), ModelId::from_digest(MODEL));
        let seal = || sealer.seal(&employee("e-1"), model, &embedding());
        let ((a_key, a), (b_key, b)) = (seal(), seal());
        assert_ne!(a.sealed, b.sealed);
        assert_ne!(a_key.wrapped, b_key.wrapped);
    }
}
