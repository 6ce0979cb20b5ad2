//! Sealing: the only form in which an embedding is stored.
//!
//! A template is an embedding encrypted with AES-256-GCM and bound to its employee and its model:
//! moved to another row, or read as another model's, it does not open.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aes_gcm::aead::{Aead, Generate, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use zeroize::Zeroizing;

use crate::embedding::{Embedding, ModelId};
use crate::employee::EmployeeId;

/// Set before whatever a template is bound to; a changed format gets another one.
const CONTEXT: &[u8] = b"likeness template 1";

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// A sealed embedding: a random nonce, the ciphertext and its tag.
#[derive(Clone, Eq, PartialEq)]
pub struct Template(Vec<u8>);

impl Template {
    /// A template as it was stored; whether it opens shows when it is opened.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Template({} bytes)", self.0.len())
    }
}

/// A template that is damaged, or sealed for another employee, model or key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the template does not open: it is damaged, or was sealed for another employee, model or key"
)]
pub struct DoesNotOpen;

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("the master key file {path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Others on this machine could read it.
    #[error("the master key file {0} is readable by others; allow its owner only (chmod 600)")]
    Open(String),
    /// Not 32 bytes.
    #[error("the master key file {0} does not hold 32 bytes")]
    Length(String),
}

/// Seals and opens templates under the master key.
#[derive(Clone)]
pub struct Sealer {
    cipher: Aes256Gcm,
}

impl Sealer {
    /// A sealer under a key.
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self { cipher: Aes256Gcm::new(key.into()) }
    }

    /// Reads the master key file, or makes it with mode 0600 where there is none.
    ///
    /// # Errors
    /// [`KeyError`] where the file cannot be used as it is; it is never overwritten.
    pub fn open_or_create(path: &Path) -> Result<Self, KeyError> {
        let name = || path.display().to_string();
        let failed = |source| KeyError::File { path: name(), source };
        match fs::File::open(path) {
            Ok(mut file) => {
                if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
                    return Err(KeyError::Open(name()));
                }
                let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
                (&mut file).take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
                let key = bytes.as_slice().try_into().map_err(|_| KeyError::Length(name()))?;
                Ok(Self::new(key))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = random::<KEY_BYTES>();
                create(path, key.as_slice()).map_err(failed)?;
                Ok(Self::new(&key))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Seals an embedding for one employee and one model.
    ///
    /// # Panics
    /// Where the system has no random numbers to give.
    pub fn seal(&self, employee: &EmployeeId, model: ModelId, embedding: &Embedding) -> Template {
        let values = embedding.values().iter().flat_map(|value| value.to_le_bytes());
        let plain = Zeroizing::new(values.collect::<Vec<u8>>());
        let nonce = <[u8; NONCE_BYTES]>::generate();
        let bound = binding(employee, model);
        let payload = Payload { msg: &plain, aad: &bound };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload);
        let sealed = sealed.expect("AES-GCM takes 64 GiB, an embedding is a few kilobytes");
        Template([nonce.as_slice(), &sealed].concat())
    }

    /// Opens a template that was sealed for this employee and this model.
    ///
    /// # Errors
    /// [`DoesNotOpen`] for any other template.
    pub fn open(
        &self,
        employee: &EmployeeId,
        model: ModelId,
        template: &Template,
    ) -> Result<Embedding, DoesNotOpen> {
        let (nonce, sealed) = template.0.split_first_chunk::<NONCE_BYTES>().ok_or(DoesNotOpen)?;
        let bound = binding(employee, model);
        let payload = Payload { msg: sealed, aad: &bound };
        let plain = self.cipher.decrypt(&Nonce::from(*nonce), payload).map_err(|_| DoesNotOpen)?;
        let plain = Zeroizing::new(plain);
        let (values, []) = plain.as_chunks::<4>() else { return Err(DoesNotOpen) };
        let values = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        Embedding::raw(values).map_err(|_| DoesNotOpen)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// Bytes that nobody can guess.
///
/// # Panics
/// Where the system has no random numbers to give.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    Zeroizing::new(<[u8; N]>::generate())
}

/// What a template is bound to; lengths are fixed or written out, so no two bindings coincide.
fn binding(employee: &EmployeeId, model: ModelId) -> Vec<u8> {
    let employee = employee.as_str().as_bytes();
    [CONTEXT, &employee.len().to_le_bytes(), employee, model.as_bytes()].concat()
}

/// Writes the key durably: the file and the folder's entry for it.
fn create(path: &Path, key: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key)?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
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

    const MODEL: [u8; 32] = [7; 32];

    #[test]
    fn a_template_opens_for_its_employee_model_and_key_alone() {
        let (sealer, model) = (Sealer::new(&[1; 32]), ModelId::from_digest(MODEL));
        let template = sealer.seal(&employee("e-1"), model, &embedding());
        let opened = sealer.open(&employee("e-1"), model, &template).unwrap();
        let nearness = crate::comparison::dot(opened.values(), embedding().values());
        assert!((nearness - 1.0).abs() < 1e-6);
        let other_model = ModelId::from_digest([8; 32]);
        assert_eq!(sealer.open(&employee("e-2"), model, &template), Err(DoesNotOpen));
        assert_eq!(sealer.open(&employee("e-1"), other_model, &template), Err(DoesNotOpen));
        let other_key = Sealer::new(&[2; 32]);
        assert_eq!(other_key.open(&employee("e-1"), model, &template), Err(DoesNotOpen));
    }

    #[test]
    fn no_truncation_and_no_flipped_bit_opens() {
        let (sealer, model) = (Sealer::new(&[1; 32]), ModelId::from_digest(MODEL));
        let template = sealer.seal(&employee("e-1"), model, &embedding());
        for length in 0..template.0.len() {
            let cut = Template(template.0[..length].to_vec());
            assert_eq!(sealer.open(&employee("e-1"), model, &cut), Err(DoesNotOpen));
        }
        for at in 0..template.0.len() {
            let mut bent = template.clone();
            bent.0[at] ^= 1;
            assert_eq!(sealer.open(&employee("e-1"), model, &bent), Err(DoesNotOpen));
        }
    }

    #[test]
    fn the_same_embedding_never_looks_the_same_twice() {
        let (sealer, model) = (Sealer::new(&[1; 32]), ModelId::from_digest(MODEL));
        let seal = || sealer.seal(&employee("e-1"), model, &embedding());
        assert_ne!(seal(), seal());
    }

    #[test]
    fn the_key_file_is_made_once_for_its_owner_alone_and_then_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let model = ModelId::from_digest(MODEL);
        let template =
            Sealer::open_or_create(&path).unwrap().seal(&employee("e"), model, &embedding());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Sealer::open_or_create(&path).unwrap();
        assert!(again.open(&employee("e"), model, &template).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Sealer::open_or_create(&path), Err(KeyError::Open(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, [0; 31]).unwrap();
        assert!(matches!(Sealer::open_or_create(&path), Err(KeyError::Length(_))));
    }
}
