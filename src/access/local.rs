//! The local credential: an admin key in a file of the data directory, for the account that runs
//! the service. It is valid until the first API key is added.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::{KeyDigest, generate};

/// The digest of the local credential, which the running service keeps.
#[derive(Clone, Copy, Debug)]
pub struct LocalCredential(KeyDigest);

impl LocalCredential {
    /// Returns the path of the credential's file in a data directory. The file is one HTTP header
    /// line, as `curl -H @FILE` reads it.
    pub fn file(folder: &Path) -> PathBuf {
        folder.join("local.header")
    }

    /// Generates a key and writes it to the data directory with mode 0600, replacing the previous
    /// one. The key is returned to be shown at the terminal.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// # Panics
    /// If the system has no random numbers.
    pub fn issue(folder: &Path) -> io::Result<(Self, Zeroizing<String>)> {
        let key = generate();
        let header = Zeroizing::new(format!("Authorization: Bearer {}\n", key.as_str()));
        // Created with mode 0600, and deleted if it doesn't get its name.
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(header.as_bytes())?;
        file.persist(Self::file(folder))?;
        Ok((Self(KeyDigest::of(&key)), key))
    }

    /// Deletes the file, if there is one.
    ///
    /// # Errors
    /// If it cannot be deleted.
    pub fn withdraw(folder: &Path) -> io::Result<()> {
        remove(&Self::file(folder))
    }

    /// Returns whether a presented key is the credential, in constant time.
    pub fn admits(&self, presented: &str) -> bool {
        self.0.0.ct_eq(&KeyDigest::of(presented).0).into()
    }
}

/// Deletes a file if it exists. Checked first, because a read-only file system refuses to delete
/// even a missing file.
fn remove(file: &Path) -> io::Result<()> {
    match fs::symlink_metadata(file) {
        Ok(_) => fs::remove_file(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn file_is_private_and_each_issue_replaces_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = LocalCredential::file(folder.path());
        let (first, first_key) = LocalCredential::issue(folder.path()).unwrap();
        let header = fs::read_to_string(&file).unwrap();
        assert_eq!(header, format!("Authorization: Bearer {}\n", first_key.as_str()));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let (second, second_key) = LocalCredential::issue(folder.path()).unwrap();
        assert!(first.admits(&first_key) && second.admits(&second_key));
        assert!(!second.admits(&first_key) && !second.admits(""));
        LocalCredential::withdraw(folder.path()).unwrap();
        LocalCredential::withdraw(folder.path()).unwrap();
        assert!(!file.exists());
    }
}
