//! Names of photo files, and the entries of a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// File extensions of photos, in lower case.
pub(super) const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "jfif", "jpe", "png", "webp"];

/// Returns the file extension in lower case; empty if there is none.
pub(super) fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

/// Returns the last component of a path, for display.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns the paths of a folder's entries, sorted.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let reading = || format!("reading {}", folder.display());
    let entries = fs::read_dir(folder).with_context(reading)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<std::io::Result<Vec<_>>>().with_context(reading)?;
    paths.sort();
    Ok(paths)
}
