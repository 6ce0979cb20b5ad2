//! The master key, which wraps every data key, and its file.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aes_gcm::Aes256Gcm;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    DATA_KEY, DataKeyId, DoesNotOpen, KEY_BYTES, WrappedKey, cipher, decrypt, encrypt, key_of,
};
use crate::random::random;

/// Domain separator of the digest that identifies a master key.
const IDENTITY: &[u8] = b"likeness master key id 1";

/// The reason why a master key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or created.
    #[error("the master key file {path}: {source}")]
    File {
        /// The path of the file.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Other users could read the file.
    #[error(
        "the master key file {0} is accessible to other users; restrict it to its owner (chmod 600)"
    )]
    Open(String),
    /// The file is not 32 bytes long.
    #[error("the master key file {0} is not 32 bytes long")]
    Length(String),
}

/// The identity of a master key; reveals nothing else about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MasterKeyId([u8; 8]);

impl MasterKeyId {
    /// Creates an identity from stored bytes.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// A master key.
#[derive(Clone)]
pub struct MasterKey {
    id: MasterKeyId,
    cipher: Aes256Gcm,
}

impl MasterKey {
    /// Creates a master key from its bytes.
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(IDENTITY).chain_update(key).finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self { id: MasterKeyId(id), cipher: cipher(key) }
    }

    /// Returns the identity of the key.
    pub fn id(&self) -> MasterKeyId {
        self.id
    }

    /// Reads a master key file; `None` if there is none.
    ///
    /// # Errors
    /// [`KeyError`] if the file cannot be used.
    pub fn read(path: &Path) -> Result<Option<Self>, KeyError> {
        let name = || path.display().to_string();
        let failed = |source| KeyError::File { path: name(), source };
        let mut file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & readable_by_others(path) != 0 {
            return Err(KeyError::Open(name()));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
        (&mut file).take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        let key = bytes.as_slice().try_into().map_err(|_| KeyError::Length(name()))?;
        Ok(Some(Self::new(key)))
    }

    /// Reads a master key file; creates it with mode 0600 if there is none.
    ///
    /// # Errors
    /// [`KeyError`] if the file cannot be used; it is never overwritten.
    ///
    /// # Panics
    /// If the system has no random numbers.
    pub fn read_or_create(path: &Path) -> Result<Self, KeyError> {
        if let Some(key) = Self::read(path)? {
            return Ok(key);
        }
        let key = random::<KEY_BYTES>();
        let failed = |source| KeyError::File { path: path.display().to_string(), source };
        create(path, key.as_slice()).map_err(failed)?;
        Ok(Self::new(&key))
    }

    /// Wraps a data key.
    pub(super) fn wrap(&self, id: DataKeyId, data_key: &[u8; KEY_BYTES]) -> WrappedKey {
        let wrapped = encrypt(&self.cipher, data_key, &binding(id));
        WrappedKey { id, master: self.id, wrapped }
    }

    fn unwrap(&self, key: &WrappedKey) -> Result<Zeroizing<[u8; KEY_BYTES]>, DoesNotOpen> {
        key_of(&decrypt(&self.cipher, &key.wrapped, &binding(key.id))?)
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

/// The current master key and, during a rotation, the next one.
#[derive(Clone, Debug)]
pub struct MasterKeys {
    present: MasterKey,
    next: Option<MasterKey>,
}

impl MasterKeys {
    /// Creates a set of one master key.
    pub fn one(present: MasterKey) -> Self {
        Self { present, next: None }
    }

    /// Reads the master key file, or creates it if there is none; reads the next key too if a
    /// rotation is unfinished.
    ///
    /// # Errors
    /// [`KeyError`] if a file cannot be used.
    pub fn open_or_create(path: &Path) -> Result<Self, KeyError> {
        let present = MasterKey::read_or_create(path)?;
        for made in [path, &next_path(path)] {
            // A kill during the creation of a key leaves a second copy of it.
            let _ = fs::remove_file(with_ending(made, ".partial"));
        }
        Ok(Self { present, next: MasterKey::read(&next_path(path))? })
    }

    /// Reads the master key files like [`open_or_create`](Self::open_or_create); `None` if there is
    /// none.
    ///
    /// # Errors
    /// [`KeyError`] if a file cannot be used.
    pub fn open(path: &Path) -> Result<Option<Self>, KeyError> {
        let Some(present) = MasterKey::read(path)? else { return Ok(None) };
        Ok(Some(Self { present, next: MasterKey::read(&next_path(path))? }))
    }

    /// Begins or resumes a rotation of the master key: creates the file of the next key if there is
    /// none.
    ///
    /// # Errors
    /// [`KeyError`] if a file cannot be used, or there is no master key to replace.
    pub fn replacing(path: &Path) -> Result<Self, KeyError> {
        let missing = || KeyError::File {
            path: path.display().to_string(),
            source: io::ErrorKind::NotFound.into(),
        };
        let present = MasterKey::read(path)?.ok_or_else(missing)?;
        Ok(Self { present, next: Some(MasterKey::read_or_create(&next_path(path))?) })
    }

    /// Completes a rotation, once no data key is wrapped by the former master key.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub fn replaced(path: &Path) -> Result<(), KeyError> {
        let failed = |source| KeyError::File { path: path.display().to_string(), source };
        fs::rename(next_path(path), path).and_then(|()| sync_folder(path)).map_err(failed)
    }

    /// Returns the current master key, which wraps new data keys.
    pub fn present(&self) -> &MasterKey {
        &self.present
    }

    /// Returns the next master key during a rotation.
    pub fn next(&self) -> Option<&MasterKey> {
        self.next.as_ref()
    }

    /// Rewraps a data key with the next master key.
    ///
    /// # Errors
    /// [`DoesNotOpen`] if neither master key wrapped it.
    pub fn rewrap(&self, key: &WrappedKey) -> Result<WrappedKey, DoesNotOpen> {
        let next = self.next.as_ref().unwrap_or(&self.present);
        Ok(next.wrap(key.id, &*self.unwrap(key)?))
    }

    /// Generates the data key that authenticates the audit trail.
    ///
    /// # Panics
    /// If the system has no random numbers.
    pub(crate) fn draw_audit_key(&self) -> WrappedKey {
        self.present.wrap(DataKeyId::AUDIT, &random())
    }

    pub(crate) fn unwrap(
        &self,
        key: &WrappedKey,
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, DoesNotOpen> {
        let mut masters = [Some(&self.present), self.next.as_ref()].into_iter().flatten();
        masters.find(|master| master.id == key.master).ok_or(DoesNotOpen)?.unwrap(key)
    }
}

/// Returns the mode bits that a key file must not have. From systemd 254 on, a credential belongs
/// to root with mode 0440: its group bits stand for an access control list that names the service's
/// user (systemd.exec(5)).
fn readable_by_others(path: &Path) -> u32 {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    let is_credential = credentials.is_some_and(|folder| path.parent() == Some(Path::new(&folder)));
    if is_credential { 0o037 } else { 0o077 }
}

/// Returns the path of the next master key during a rotation.
fn next_path(path: &Path) -> PathBuf {
    with_ending(path, ".next")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn binding(id: DataKeyId) -> Vec<u8> {
    [DATA_KEY, id.as_bytes()].concat()
}

/// Writes the key file atomically and durably, with its directory entry. An existing file is not
/// overwritten.
fn create(path: &Path, key: &[u8]) -> io::Result<()> {
    let partial = with_ending(path, ".partial");
    if let Err(error) = fs::remove_file(&partial)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(key)?;
    file.sync_all()?;
    fs::hard_link(&partial, path)?;
    fs::remove_file(&partial)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_file_is_created_once_and_private_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let made = MasterKeys::open_or_create(&path).unwrap().present().id();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(MasterKeys::open_or_create(&path).unwrap().present().id(), made);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(MasterKeys::open_or_create(&path), Err(KeyError::Open(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, [0; 31]).unwrap();
        assert!(matches!(MasterKeys::open_or_create(&path), Err(KeyError::Length(_))));
    }

    #[test]
    fn both_master_keys_unwrap_data_keys_during_a_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        assert!(MasterKeys::replacing(&path).is_err(), "there is nothing to replace");
        let before = MasterKeys::open_or_create(&path).unwrap();
        let key = before.present().wrap(DataKeyId([1; 16]), &[5; 32]);
        let during = MasterKeys::replacing(&path).unwrap();
        let rewrapped = during.rewrap(&key).unwrap();
        // A restart during the rotation knows both keys, and a retry resumes with the same next
        // key.
        let restarted = MasterKeys::open_or_create(&path).unwrap();
        let again = MasterKeys::replacing(&path).unwrap();
        for masters in [&during, &restarted, &again] {
            assert_eq!(masters.unwrap(&key).unwrap().as_slice(), [5; 32]);
            assert_eq!(masters.unwrap(&rewrapped).unwrap().as_slice(), [5; 32]);
        }
        assert_eq!(before.unwrap(&rewrapped), Err(DoesNotOpen));
        MasterKeys::replaced(&path).unwrap();
        let after = MasterKeys::open_or_create(&path).unwrap();
        assert!(after.next().is_none());
        assert_eq!(after.unwrap(&rewrapped).unwrap().as_slice(), [5; 32]);
        assert_eq!(after.unwrap(&key), Err(DoesNotOpen));
    }
}
