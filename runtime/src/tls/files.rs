//! What the files for TLS hold, and what is made of them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use thiserror::Error;
use tokio_rustls::rustls::{
    self, ClientConfig, DEFAULT_VERSIONS, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::validity::Validity;
use crate::{files::read_plain, telemetry::causes};

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Why a file for TLS cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It does not hold what it should.
    #[error("`{}` holds no {what} in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// It is not what it should be: the key is not the certificate's, or an authority is none.
    #[error("`{}` cannot be used", path.display())]
    Rejected {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

impl TlsError {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } | Self::Pem { path, .. } | Self::Rejected { path, .. } => path,
        }
    }

    /// The whole of it, in one line.
    pub fn in_full(&self) -> String {
        causes(self)
    }
}

/// Whether clients need a certificate.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// They need one that an authority of the third file signed.
    Mutual,
    /// They need none.
    OneSided,
}

/// A file as it was read. It may hold a private key, so that what it holds is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ReadFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl ReadFile {
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        let failed = |source| TlsError::File {
            path: path.to_owned(),
            source,
        };
        Ok(Self {
            path: path.to_owned(),
            bytes: read_plain(path, MAX_BYTES).map_err(failed)?,
        })
    }

    /// What the chain of a certificate in it is valid for, unless that cannot be told.
    pub(super) fn chain(&self) -> Option<Validity> {
        let all = self.certificates().ok()?;
        Validity::of_chain(all.iter().map(AsRef::as_ref))
    }

    /// What the first certificate in it is valid for, unless that cannot be told.
    fn leaf(&self) -> Option<Validity> {
        let all = self.certificates().ok()?;
        Validity::of_chain(all.first().map(AsRef::as_ref))
    }

    /// What the authorities in it are valid for, unless that cannot be told.
    pub(super) fn bundle(&self) -> Option<Validity> {
        let all = self.certificates().ok()?;
        Validity::of_authorities(all.iter().map(AsRef::as_ref))
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        match all {
            Ok(all) if !all.is_empty() => Ok(all),
            _ => Err(self.lacks("certificate")),
        }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|_| self.lacks("private key"))
    }

    fn authorities(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        for authority in self.certificates()? {
            roots.add(authority).map_err(|error| self.rejected(error))?;
        }
        Ok(Arc::new(roots))
    }

    fn lacks(&self, what: &'static str) -> TlsError {
        TlsError::Pem {
            path: self.path.clone(),
            what,
        }
    }

    fn rejected(&self, source: rustls::Error) -> TlsError {
        TlsError::Rejected {
            path: self.path.clone(),
            source,
        }
    }
}

/// How long what files hold is valid, as far as that can be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// The certificate, with those that lead to its authority.
    pub(super) certificate: Option<Validity>,
    /// The authorities.
    pub(super) authorities: Option<Validity>,
    /// The certificate alone. Another way to an authority may replace those that lead there.
    own: Option<Validity>,
}

impl Terms {
    /// Those of the certificate, the key and the authorities of these files, in this order.
    pub(super) fn of(files: &[ReadFile]) -> Self {
        Self {
            certificate: files.first().and_then(ReadFile::chain),
            authorities: files.get(2).and_then(ReadFile::bundle),
            own: files.first().and_then(ReadFile::leaf),
        }
    }

    /// Whether the certificate is not valid at `now`, and that which it would replace is.
    pub(super) fn is_worse_than(&self, other: &Self, now: SystemTime) -> bool {
        let is_valid = |validity: Option<Validity>| validity.map(|it| it.is_valid(now));
        (is_valid(self.own), is_valid(other.own)) == (Some(false), Some(true))
    }
}

/// A server with the certificate, the key and, if it is [`Kind::Mutual`], the authorities of these files, in this order.
pub(super) fn server(
    files: &[ReadFile],
    kind: Kind,
    protocol: &[u8],
) -> Result<ServerConfig, TlsError> {
    let (cert, key, authorities) = named(files)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(DEFAULT_VERSIONS)
        .map_err(|error| cert.rejected(error))?;
    let builder = match (kind, authorities) {
        (Kind::Mutual, Some(file)) => {
            let roots = file.authorities()?;
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let rejected = |error: rustls::server::VerifierBuilderError| {
                file.rejected(rustls::Error::General(error.to_string()))
            };
            builder.with_client_cert_verifier(verifier.map_err(rejected)?)
        }
        (Kind::Mutual, None) => {
            let reason = "no file names the authorities of its clients";
            return Err(cert.rejected(rustls::Error::General(reason.to_owned())));
        }
        (Kind::OneSided, _) => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(cert.certificates()?, key.key()?)
        .map_err(|error| cert.rejected(error))?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// A client with the certificate, the key and the authorities of these files, in this order.
pub(super) fn client(files: &[ReadFile], protocol: &[u8]) -> Result<ClientConfig, TlsError> {
    let (cert, key, authorities) = named(files)?;
    let roots = match authorities {
        Some(file) => file.authorities()?,
        None => Arc::new(RootCertStore::empty()),
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(DEFAULT_VERSIONS)
        .map_err(|error| cert.rejected(error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(cert.certificates()?, key.key()?)
        .map_err(|error| cert.rejected(error))?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// A client without a certificate of its own, of servers whose certificates the authorities in a file sign.
pub(super) fn client_without_certificate(
    authorities: &Path,
    protocol: &[u8],
) -> Result<ClientConfig, TlsError> {
    let file = ReadFile::read(authorities)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(DEFAULT_VERSIONS)
        .map_err(|error| file.rejected(error))?
        .with_root_certificates(file.authorities()?)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// The authorities in a file, in PEM: clients of other protocols trust them.
///
/// # Errors
///
/// If the file cannot be read, or holds none.
pub fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = ReadFile::read(path)?;
    file.authorities()?;
    file.certificates()
}

fn named(files: &[ReadFile]) -> Result<(&ReadFile, &ReadFile, Option<&ReadFile>), TlsError> {
    match files {
        [cert, key] => Ok((cert, key, None)),
        [cert, key, authorities] => Ok((cert, key, Some(authorities))),
        _ => Err(TlsError::Pem {
            path: PathBuf::new(),
            what: "certificate",
        }),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn file(text: &str) -> ReadFile {
        ReadFile {
            path: "made.pem".into(),
            bytes: text.into(),
        }
    }

    #[test]
    fn without_authorities_no_server_asks_clients_for_certificates_in_vain() {
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(vec!["films".to_owned()]).unwrap();
        let cert = file(&made.self_signed(&key).unwrap().pem());
        let key = file(&key.serialize_pem());
        let pair = [cert.clone(), key.clone()];
        let all = [cert.clone(), key, cert];
        let refused = server(&pair, Kind::Mutual, b"h2").map(drop).unwrap_err();
        let told = refused.in_full();
        assert!(told.contains("authorities"), "{told}");
        for (files, kind) in [(&pair[..], Kind::OneSided), (&all, Kind::Mutual)] {
            server(files, kind, b"h2").unwrap();
        }
    }
}
