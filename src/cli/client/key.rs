//! The file of an API key, which keeps the key out of the process list.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use hyper::header::HeaderValue;
use zeroize::Zeroizing;

/// An API key, and the file that it comes from.
pub(super) struct ApiKeyFile {
    pub(super) path: PathBuf,
    /// The value of the header Authorization.
    pub(super) authorization: HeaderValue,
}

impl ApiKeyFile {
    /// Reads a key: alone, or as the header `Authorization: Bearer KEY`, which is the form of the
    /// local credential.
    ///
    /// # Errors
    /// If the file cannot be read or contains something else.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("reading the key file {}", path.display());
        let text = Zeroizing::new(fs::read_to_string(path).with_context(named)?);
        let key = bare(&text).with_context(named)?;
        let value = Zeroizing::new(format!("Bearer {key}"));
        let mut authorization = HeaderValue::from_str(&value).with_context(named)?;
        authorization.set_sensitive(true);
        Ok(Self { path: path.to_owned(), authorization })
    }
}

fn bare(text: &str) -> anyhow::Result<&str> {
    let key = match text.trim().split_once(':') {
        None => text.trim(),
        Some((name, value)) => {
            let scheme = value.trim().split_once(' ');
            match scheme.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
                Some((_, key)) if name.trim().eq_ignore_ascii_case("authorization") => key.trim(),
                _ => bail!("expected a key, or the line `Authorization: Bearer KEY`"),
            }
        }
    };
    if key.is_empty() {
        bail!("the file is empty");
    }
    if !key.bytes().all(|c| c.is_ascii_graphic()) {
        bail!("expected one key, without spaces");
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_file_holds_a_key_or_a_header() {
        for text in [
            "likeness_abc",
            "likeness_abc\r\n",
            "Authorization: Bearer likeness_abc\n",
            "authorization:bearer likeness_abc",
        ] {
            assert_eq!(bare(text).unwrap(), "likeness_abc", "{text}");
        }
        for text in ["", "\n", "a b", "a\nb", "Cookie: Bearer a", "Authorization: Basic YTpi", "é"]
        {
            assert!(bare(text).is_err(), "{text}");
        }
    }
}
