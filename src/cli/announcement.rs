//! The file in the data directory with the URL of the service that holds the directory's lock, for
//! commands that then use the service.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The file, while the service runs. Dropping it deletes the file.
pub(super) struct Announcement(PathBuf);

impl Announcement {
    fn file(folder: &Path) -> PathBuf {
        folder.join("address")
    }

    /// Writes the file with mode 0600.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(folder: &Path, url: &str) -> io::Result<Self> {
        let mut file = NamedTempFile::new_in(folder)?;
        writeln!(file, "{url}")?;
        file.persist(Self::file(folder))?;
        Ok(Self(Self::file(folder)))
    }

    /// Returns the URL in the file; none if there is no file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn read(folder: &Path) -> io::Result<Option<String>> {
        match fs::read_to_string(Self::file(folder)) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes the file that a killed service left. Only the process with the lock may do so.
    ///
    /// # Errors
    /// If it cannot be deleted.
    pub(super) fn clear(folder: &Path) -> io::Result<()> {
        match fs::remove_file(Self::file(folder)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, "{} could not be deleted", self.0.display());
        }
    }
}
