//! Where the store lies: two files, or PostgreSQL.

use std::fmt;
use std::path::PathBuf;

/// A database that is reached by a URL, which may hold a password: nothing shows more of it than its engine.
#[derive(Clone, Eq, PartialEq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL, where it is one of PostgreSQL's.
    pub(super) fn of_postgres(&self) -> Option<&str> {
        let schemes = ["postgres://", "postgresql://"];
        schemes.iter().any(|scheme| self.0.starts_with(scheme)).then_some(&self.0)
    }
}

/// Whatever the text is: a parser of arguments would show one that it refuses.
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

/// Where the store lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// A SQLite file; the data keys lie in `data-keys.db` beside it. One process writes.
    File(PathBuf),
    /// PostgreSQL, for as many processes as there are.
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
