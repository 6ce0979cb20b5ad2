//! The master key, which wraps every data key, and the file that it lies in.

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

/// Set before a master key when its identity is digested.
const IDENTITY: &[u8] = b"likeness master key id 1";

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
    #[error(
        "the master key file {0} is accessible to other users; restrict it to its owner (chmod 600)"
    )]
    Open(String),
    /// Not 32 bytes.
    #[error("the master key file {0} is not 32 bytes long")]
    Length(String),
}

/// Which master key: tells two of them apart and nothing else about them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MasterKeyId([u8; 8]);

impl MasterKeyId {
    /// An identity as it was stored.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
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
    /// The key of these bytes.
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(IDENTITY).chain_update(key).finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self { id: MasterKeyId(id), cipher: cipher(key) }
    }

    /// Its identity.
    pub fn id(&self) -> MasterKeyId {
        self.id
    }

    /// Reads a master key file; `None` where there is none.
    ///
    /// # Errors
    /// [`KeyError`] where the file cannot be used as it is.
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

    /// Reads a master key file, or makes it with mode 0600 where there is none.
    ///
    /// # Errors
    /// [`KeyError`] where the file cannot be used as it is; it is never overwritten.
    ///
    /// # Panics
    /// Where the system has no random numbers to give.
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

/// The master key and, while it is being replaced, the next one.
#[derive(Clone, Debug)]
pub struct MasterKeys {
    present: MasterKey,
    next: Option<MasterKey>,
}

impl MasterKeys {
    /// One master key that nothing replaces.
    pub fn one(present: MasterKey) -> Self {
        Self { present, next: None }
    }

    /// Reads the master key file, or makes it where there is none; and the next one, where a
    /// replacement was begun and not ended.
    ///
    /// # Errors
    /// [`KeyError`] where a file cannot be used as it is.
    pub fn open_or_create(path: &Path) -> Result<Self, KeyError> {
        let present = MasterKey::read_or_create(path)?;
        for made in [path, &next_path(path)] {
            // What a kill left of the making of a key is a second copy of it.
            let _ = fs::remove_file(with_ending(made, ".partial"));
        }
        Ok(Self { present, next: MasterKey::read(&next_path(path))? })
    }

    /// The same, but `None` where there is no file.
    ///
    /// # Errors
    /// [`KeyError`] where a file cannot be used as it is.
    pub fn open(path: &Path) -> Result<Option<Self>, KeyError> {
        let Some(present) = MasterKey::read(path)? else { return Ok(None) };
        Ok(Some(Self { present, next: MasterKey::read(&next_path(path))? }))
    }

    /// Begins to replace the master key, or goes on with it: makes the next key's file where there is none.
    ///
    /// # Errors
    /// [`KeyError`] where a file cannot be used as it is, or there is no master key to replace.
    pub fn replacing(path: &Path) -> Result<Self, KeyError> {
        let missing = || KeyError::File {
            path: path.display().to_string(),
            source: io::ErrorKind::NotFound.into(),
        };
        let present = MasterKey::read(path)?.ok_or_else(missing)?;
        Ok(Self { present, next: Some(MasterKey::read_or_create(&next_path(path))?) })
    }

    /// Ends the replacement, once nothing is wrapped by the former key any more.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub fn replaced(path: &Path) -> Result<(), KeyError> {
        let failed = |source| KeyError::File { path: path.display().to_string(), source };
        fs::rename(next_path(path), path).and_then(|()| sync_folder(path)).map_err(failed)
    }

    /// The key that wraps from now on.
    pub fn present(&self) -> &MasterKey {
        &self.present
    }

    /// The key that takes its place, if one does.
    pub fn next(&self) -> Option<&MasterKey> {
        self.next.as_ref()
    }

    /// Wraps a data key by the next master key instead.
    ///
    /// # Errors
    /// [`DoesNotOpen`] where it was wrapped by neither.
    pub fn rewrap(&self, key: &WrappedKey) -> Result<WrappedKey, DoesNotOpen> {
        let next = self.next.as_ref().unwrap_or(&self.present);
        Ok(next.wrap(key.id, &*self.unwrap(key)?))
    }

    /// Makes the data key that authenticates the audit trail.
    ///
    /// # Panics
    /// Where the system has no random numbers to give.
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

/// The bits of a mode that give a key file away. From systemd 254 on a credential belongs to root and has the mode 0440:
/// its group bits stand for an access control list that names the service's user (systemd.exec(5)).
fn readable_by_others(path: &Path) -> u32 {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    let is_credential = credentials.is_some_and(|folder| path.parent() == Some(Path::new(&folder)));
    if is_credential { 0o037 } else { 0o077 }
}

/// Where the next master key waits while data keys are still wrapped by both.
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

/// Writes the key durably, the file and the folder's entry for it: whole or, after a kill, not at all. A file
/// that is there already stays.
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
    fn the_key_file_is_made_once_for_its_owner_alone_and_then_kept() {
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
    fn while_the_master_key_is_replaced_both_open_what_they_wrapped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        assert!(MasterKeys::replacing(&path).is_err(), "there is nothing to replace");
        let before = MasterKeys::open_or_create(&path).unwrap();
        let key = before.present().wrap(DataKeyId([1; 16]), &[5; 32]);
        let during = MasterKeys::replacing(&path).unwrap();
        let rewrapped = during.rewrap(&key).unwrap();
        // A start in the midst of it knows both, and a second try goes on with the same next key.
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
