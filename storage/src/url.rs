//! The address of a database, which says whether it is SQLite or MySQL. It is never shown with its password.

use std::{fmt, path::PathBuf, str::FromStr};

use thiserror::Error;
use url::Url;

/// Where a database is: `sqlite://<file>` or `mysql://user:password@host:port/database`.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A MySQL server, or one that speaks its protocol.
    Mysql(Url),
}

/// Why a text is no [`DatabaseUrl`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DatabaseUrlError {
    /// The scheme names no database that we know.
    #[error(
        "`{0}` is no known kind of database; accepted are `sqlite://<file>` and `mysql://user:password@host:port/database`"
    )]
    UnknownScheme(String),
    /// It does not say what kind of database it is.
    #[error(
        "it names no kind of database; accepted are `sqlite://<file>` and `mysql://user:password@host:port/database`"
    )]
    NoScheme,
    /// `sqlite://` without a file.
    #[error("`sqlite://` needs the path of a file, as in `sqlite://data/movies.db`")]
    NoFile,
    /// A MySQL address that cannot be read. The reason never holds the address, which has a password.
    #[error(
        "the MySQL address cannot be read ({0}); accepted is `mysql://user:password@host:port/database`"
    )]
    BadMysql(String),
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        let text = text.trim();
        if let Some(file) = text.strip_prefix("sqlite://") {
            if file.is_empty() || file.starts_with(':') {
                return Err(DatabaseUrlError::NoFile);
            }
            return Ok(Self::Sqlite(file.into()));
        }
        if text.starts_with("mysql://") {
            let bad = |reason: &str| DatabaseUrlError::BadMysql(reason.into());
            let url = Url::parse(text).map_err(|e| bad(&e.to_string()))?;
            if url.host_str().is_none_or(str::is_empty) {
                return Err(bad("no host"));
            }
            if url.path().trim_matches('/').is_empty() {
                return Err(bad("no database name"));
            }
            return Ok(Self::Mysql(url));
        }
        // What stands before the colon is no secret; what comes after may be.
        match text.split_once("://") {
            Some((scheme, _)) => Err(DatabaseUrlError::UnknownScheme(scheme.into())),
            None => Err(DatabaseUrlError::NoScheme),
        }
    }
}

/// The address without its password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Mysql(url) => {
                let port = url.port().unwrap_or(3306);
                let host = url.host_str().unwrap_or_default();
                write!(f, "mysql://{host}:{port}{}", url.path())
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_sqlite_files_and_mysql_servers() {
        let sqlite: DatabaseUrl = "sqlite://data/movies.db".parse().unwrap();
        assert_eq!(sqlite, DatabaseUrl::Sqlite("data/movies.db".into()));
        let sqlite: DatabaseUrl = "sqlite:///var/lib/movies.db".parse().unwrap();
        assert_eq!(sqlite, DatabaseUrl::Sqlite("/var/lib/movies.db".into()));
        let mysql: DatabaseUrl = "mysql://ann:secret@db/movies".parse().unwrap();
        assert!(matches!(mysql, DatabaseUrl::Mysql(_)));
    }

    #[test]
    fn says_what_is_accepted_and_never_the_password() {
        for text in [
            "",
            "movies.db",
            "postgres://ann:secret@db/movies",
            "sqlite://",
            "sqlite://:memory:",
            "mysql://ann:secret@db",
            "mysql://ann:secret@db:port/movies",
            "mysql:///movies",
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err().to_string();
            assert!(
                error.contains("sqlite://") || error.contains("mysql://"),
                "{error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
        let url: DatabaseUrl = "mysql://ann:secret@db/movies".parse().unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "mysql://db:3306/movies mysql://db:3306/movies"
        );
    }
}
