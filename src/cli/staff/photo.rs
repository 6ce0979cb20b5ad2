//! The photo files that a table or folder names.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::recognizer::Code;

/// Maximum file size; larger than over HTTP because a command serves one user.
const MOST_BYTES: u64 = 128 * 1024 * 1024;

/// Reads a photo.
///
/// # Errors
/// The code and the reason of the refusal.
pub(in crate::cli) fn read_photo(path: &Path) -> Result<Vec<u8>, (Code, String)> {
    check_photo(path)?;
    let read = || {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| unreadable(&error))
}

/// Checks that a photo file can be read, without reading it.
pub(in crate::cli) fn check_photo(path: &Path) -> Result<(), (Code, String)> {
    if path.as_os_str().is_empty() {
        return Err((Code::UnreadablePhoto, "the photo is missing".to_owned()));
    }
    // Before the file is opened, which would block on a pipe.
    let about = fs::metadata(path).map_err(|error| unreadable(&error))?;
    if !about.is_file() {
        let what = if about.is_dir() { "a folder" } else { "no regular file" };
        return Err((Code::UnreadablePhoto, format!("this is {what}, not a photo")));
    }
    fs::File::open(path).map_err(|error| unreadable(&error))?;
    if about.len() > MOST_BYTES {
        let reason = format!("the file is larger than {} MiB", MOST_BYTES / 1024 / 1024);
        return Err((Code::BodyTooLarge, reason));
    }
    Ok(())
}

fn unreadable(error: &io::Error) -> (Code, String) {
    let reason = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => "the file does not exist".to_owned(),
        ErrorKind::PermissionDenied => "permission to read the file is denied".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    };
    (Code::UnreadablePhoto, reason)
}

/// Resolves a path of a table, relative to its folder; a Windows path if only that finds the file.
pub(super) fn located(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join(text);
    if path.exists() || !text.contains('\\') {
        return path;
    }
    let with_slashes = folder.join(text.replace('\\', "/"));
    if with_slashes.exists() { with_slashes } else { path }
}
