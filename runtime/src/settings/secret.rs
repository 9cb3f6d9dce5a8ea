//! Secrets that a program generates at its first start and keeps, and the token of the broker.
//!
//! A kept secret is a file that only its owner may read. It appears whole or not at all, whenever the
//! machine stops.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    str::FromStr,
    sync::Arc,
};

/// The fewest bytes of a secret that cannot be guessed.
pub const MIN_SECRET_LEN: usize = 16;
/// The most bytes of a kept secret.
const MAX_SECRET_LEN: u64 = 64 * 1024;
/// The file in the data folder that holds the token of the embedded broker.
pub const BROKER_TOKEN_FILE: &str = "broker_token";

/// Reads the secret in the file `path`, or generates it: 32 random bytes in hexadecimal.
///
/// A file with fewer than [`MIN_SECRET_LEN`] bytes is replaced: an older version may have been
/// interrupted before it had written anything.
///
/// # Errors
///
/// If the file cannot be read or written.
pub fn kept_secret(path: &Path) -> io::Result<Vec<u8>> {
    match crate::files::read_plain(path, MAX_SECRET_LEN) {
        Ok(kept) if kept.len() >= MIN_SECRET_LEN => {
            crate::files::keep_secret(path)?;
            return Ok(kept);
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let generated: String = rand::random::<[u8; 32]>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(generated.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(generated.into_bytes())
}

/// The token that clients of the broker show. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// The token as clients send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < MIN_SECRET_LEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "at least {MIN_SECRET_LEN} printable ASCII characters that cannot be guessed are needed, without spaces"
            ));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The token that a client shows a server, which may be anybody's: any that is not empty. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerToken(Arc<str>);

impl ServerToken {
    /// The token as it is sent.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerToken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text.contains(char::is_control) {
            return Err("a token in one line is needed".to_owned());
        }
        Ok(Self(text.into()))
    }
}

impl From<Token> for ServerToken {
    fn from(token: Token) -> Self {
        Self(token.0)
    }
}

impl fmt::Debug for ServerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_generated_secret_is_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let generated = kept_secret(&path).unwrap();
        assert_eq!(generated.len(), 64);
        assert_eq!(kept_secret(&path).unwrap(), generated);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, "").unwrap();
        assert_ne!(kept_secret(&path).unwrap(), generated);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_token_is_long_printable_and_not_shown() {
        let token: Token = "0123456789abcdef\n".parse().unwrap();
        assert_eq!(token.expose(), "0123456789abcdef");
        assert_eq!(format!("{token:?}"), "Token(…)");
        for text in [
            "",
            "0123456789abcde",
            "0123456789 abcdef",
            "0123456789abcdéé",
        ] {
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
    }

    #[test]
    fn another_ones_server_may_have_any_token() {
        for text in ["s3cr3t", "two words", "é\n"] {
            let token: ServerToken = text.parse().unwrap();
            assert_eq!(token.expose(), text.trim());
            assert_eq!(format!("{token:?}"), "ServerToken(…)");
        }
        for text in ["", " ", "a\nb"] {
            assert!(text.parse::<ServerToken>().is_err(), "{text}");
        }
    }
}
