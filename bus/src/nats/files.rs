//! Files with what a client of NATS shows its servers, and with the authorities that it trusts.
//!
//! Settings name the files and never hold what is in them. They are checked at the start, and read again for each
//! connection: credentials expire, and are renewed in place.

use std::path::{Path, PathBuf};

use async_nats::{
    Auth, AuthError, ConnectOptions,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
    },
};
use clap::Args;
use nkeys::KeyPair;
use runtime::settings::{read_plain, secret_file, warn_of_exposed_file};
use thiserror::Error;

/// The largest file with certificates or a key that is read.
const MAX_BYTES: u64 = 1 << 20;

/// The files, the same settings for every client of NATS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct NatsFiles {
    /// A file with the user's token (JWT) and key, as `nsc` makes it, for the servers of NATS
    #[arg(long, env, value_name = "FILE")]
    pub nats_creds_file: Option<PathBuf>,

    /// A file with the seed of the user's nkey, for the servers of NATS
    #[arg(long, env, value_name = "FILE")]
    pub nats_nkey_file: Option<PathBuf>,

    /// TLS with the servers of NATS: their authorities, in PEM [default: those of the system]
    #[arg(long, env, value_name = "FILE")]
    pub nats_ca_file: Option<PathBuf>,

    /// The certificate that is shown to the servers of NATS, in PEM
    #[arg(long, env, value_name = "FILE")]
    pub nats_cert_file: Option<PathBuf>,

    /// The private key of this certificate, in PEM
    #[arg(long, env, value_name = "FILE")]
    pub nats_key_file: Option<PathBuf>,
}

/// What is wrong with one of the files.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct BadNatsFile {
    /// The file, such as `creds_file`.
    pub file: &'static str,
    /// What is wrong. It never says what is in the file.
    pub reason: String,
}

fn bad(file: &'static str, reason: impl Into<String>) -> BadNatsFile {
    let reason = reason.into();
    BadNatsFile { file, reason }
}

/// A user as it introduces itself.
struct User {
    token: Option<String>,
    key: KeyPair,
}

impl NatsFiles {
    /// Whether a user is in them.
    pub(crate) fn identify(&self) -> bool {
        self.user_file().is_some() || self.nats_cert_file.is_some()
    }

    /// The file with the user's key, and what it is called.
    pub(crate) fn user_file(&self) -> Option<(&'static str, &Path)> {
        let creds = self.nats_creds_file.as_deref();
        let creds = creds.map(|path| ("creds_file", path));
        let nkey = self.nats_nkey_file.as_deref();
        creds.or(nkey.map(|path| ("nkey_file", path)))
    }

    /// Says what is wrong with them before they are used. The log hears of secrets that other users of the machine
    /// can read, with the name that `called` gives to the setting of a file.
    pub(crate) fn check(&self, called: impl Fn(&str) -> String) -> Result<(), BadNatsFile> {
        if self.nats_creds_file.is_some() && self.nats_nkey_file.is_some() {
            let reason = "the credentials hold a key already; give one of the two files";
            return Err(bad("nkey_file", reason));
        }
        if let Some((file, path)) = self.user_file() {
            self.user().map_err(|reason| bad(file, reason))?;
            warn_of_exposed_file(&called(file), path);
        }
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.nats_ca_file {
            for certificate in certificates(path).map_err(|reason| bad("ca_file", reason))? {
                let added = roots.add(certificate);
                added.map_err(|error| bad("ca_file", unusable(path, error)))?;
            }
        }
        match (&self.nats_cert_file, &self.nats_key_file) {
            (None, None) => Ok(()),
            (Some(_), None) => Err(bad("cert_file", "its private key is needed too")),
            (None, Some(_)) => Err(bad("key_file", "its certificate is needed too")),
            (Some(cert), Some(key)) => {
                let chain = certificates(cert).map_err(|reason| bad("cert_file", reason))?;
                let private = read(key)
                    .and_then(|bytes| PrivateKeyDer::from_pem_slice(&bytes))
                    .map_err(|error| bad("key_file", unreadable(key, "private key", &error)))?;
                warn_of_exposed_file(&called("key_file"), key);
                let config = ClientConfig::builder().with_root_certificates(roots);
                let config = config.with_client_auth_cert(chain, private);
                config
                    .map(drop)
                    .map_err(|error| bad("cert_file", unusable(cert, error)))
            }
        }
    }

    /// Has the client speak TLS if one of the files is for that.
    pub(super) fn secure(&self, mut options: ConnectOptions) -> ConnectOptions {
        if let Some(path) = &self.nats_ca_file {
            options = options
                .add_root_certificates(path.clone())
                .require_tls(true);
        }
        if let (Some(cert), Some(key)) = (&self.nats_cert_file, &self.nats_key_file) {
            options = options
                .add_client_certificate(cert.clone(), key.clone())
                .require_tls(true);
        }
        options
    }

    /// What the user shows a server that greeted with `nonce`.
    pub(super) fn introduction(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let User { token, key } = self.user().map_err(AuthError::new)?;
        let mut auth = Auth::new();
        auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
        auth.nkey = token.is_none().then(|| key.public_key());
        auth.jwt = token;
        Ok(auth)
    }

    fn user(&self) -> Result<User, String> {
        let Some((file, path)) = self.user_file() else {
            return Err("there is no file with a user".into());
        };
        let name = path.display();
        let text = secret_file(path).map_err(|e| format!("cannot read `{name}`: {e}"))?;
        let line = |start: &str| {
            let mut lines = text.lines().map(str::trim);
            lines.find(|line| line.starts_with(start))
        };
        // A seed of a user begins so, and every token of JSON.
        let key = line("SU").and_then(|seed| KeyPair::from_seed(seed).ok());
        let key = key.ok_or_else(|| format!("`{name}` holds no seed of a user's nkey"))?;
        let token = match file {
            "creds_file" => {
                let token = line("eyJ").ok_or_else(|| format!("`{name}` holds no token (JWT)"))?;
                Some(token.to_owned())
            }
            _ => None,
        };
        Ok(User { token, key })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = read(path)
        .and_then(|bytes| CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>());
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(unreadable(path, "certificate", &pem::Error::NoItemsFound)),
        Err(error) => Err(unreadable(path, "certificate", &error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, pem::Error> {
    read_plain(path, MAX_BYTES).map_err(pem::Error::Io)
}

fn unreadable(path: &Path, what: &str, error: &pem::Error) -> String {
    let path = path.display();
    match error {
        pem::Error::Io(error) => format!("cannot read `{path}`: {error}"),
        _ => format!("`{path}` holds no {what} in PEM"),
    }
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> String {
    format!("`{}` cannot be used: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let (seed, secret) = (KeyPair::new_user().seed().unwrap(), "SUSECRET");
        let (nkey, bad_nkey) = (file("nkey", &seed), file("bad", secret));
        let of_account = file("account", &KeyPair::new_account().seed().unwrap());
        let missing = Some(folder.path().join("missing"));
        let none = NatsFiles::default;
        for (files, told) in [
            (
                NatsFiles {
                    nats_nkey_file: missing.clone(),
                    ..none()
                },
                "nkey_file: cannot read `/missing`",
            ),
            (
                NatsFiles {
                    nats_nkey_file: bad_nkey.clone(),
                    ..none()
                },
                "nkey_file: `/bad` holds no seed",
            ),
            (
                NatsFiles {
                    nats_nkey_file: of_account,
                    ..none()
                },
                "nkey_file: `/account` holds no seed",
            ),
            (
                NatsFiles {
                    nats_creds_file: nkey.clone(),
                    ..none()
                },
                "creds_file: `/nkey` holds no token",
            ),
            (
                NatsFiles {
                    nats_creds_file: nkey.clone(),
                    nats_nkey_file: nkey.clone(),
                    ..none()
                },
                "nkey_file: the credentials hold a key already",
            ),
            (
                NatsFiles {
                    nats_ca_file: bad_nkey.clone(),
                    ..none()
                },
                "ca_file: `/bad` holds no certificate in PEM",
            ),
            (
                NatsFiles {
                    nats_cert_file: nkey.clone(),
                    ..none()
                },
                "cert_file: its private key is needed too",
            ),
            (
                NatsFiles {
                    nats_key_file: bad_nkey,
                    ..none()
                },
                "key_file: its certificate is needed too",
            ),
        ] {
            let BadNatsFile { file, reason } = files.check(str::to_owned).unwrap_err();
            let reason = reason.replace(&folder.path().display().to_string(), "");
            let refusal = format!("{file}: {reason}");
            assert!(refusal.starts_with(told), "{refusal}");
            assert!(!refusal.contains(secret) && !refusal.contains(&seed));
        }
        let good = NatsFiles {
            nats_nkey_file: nkey,
            ..none()
        };
        good.check(str::to_owned).unwrap();
    }
}
