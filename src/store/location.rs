//! The location of the store: two files, or PostgreSQL.

use std::fmt;
use std::path::PathBuf;

/// A database URL, which may contain a password; `Debug` shows only the scheme.
#[derive(Clone, Eq, PartialEq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Returns the URL if it is one of PostgreSQL.
    pub(super) fn of_postgres(&self) -> Option<&str> {
        let schemes = ["postgres://", "postgresql://"];
        schemes.iter().any(|scheme| self.0.starts_with(scheme)).then_some(&self.0)
    }
}

/// Accepts any text: clap would print a URL that fails to parse.
impl From<&str> for DatabaseUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://…")
    }
}

/// The location of the store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// A SQLite file, with the data keys in `data-keys.db` beside it. One process writes.
    File(PathBuf),
    /// PostgreSQL, for any number of processes.
    Server {
        /// The employees, in the schema `likeness`.
        data: DatabaseUrl,
        /// The data keys, in the schema `likeness_keys`; the same database or another one.
        keys: DatabaseUrl,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let url = DatabaseUrl::from("postgres://likeness:secret@db.example.org/likeness");
        assert!(url.of_postgres().is_some());
        let location = Location::Server { data: url.clone(), keys: url };
        assert!(!format!("{location:?}").contains("secret"));
        for other in ["", "sqlite://a.db", "mysql://a:secret@b/c", "likeness.db"] {
            assert_eq!(DatabaseUrl::from(other).of_postgres(), None);
        }
    }
}
