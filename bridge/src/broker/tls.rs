//! TLS of the clients' connections: the settings, and what is made of them before the first client.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use runtime::settings::read_plain;
use runtime::tls::{CertificateFile, Holds, IsRead, Validity};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

/// The largest file with certificates or a key that is read.
const MAX_BYTES: u64 = 1 << 20;

/// How clients and the broker speak TLS.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The certificate of the server and those that lead to its authority, in PEM.
    pub cert_file: PathBuf,
    /// The private key of the certificate, in PEM.
    pub key_file: PathBuf,
    /// The authorities that sign the certificates of clients, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Whether a client needs a certificate that one of these authorities signed.
    pub verify: bool,
    /// Whether a client is the user whose name is in its certificate. It then needs one, and a user.
    pub map: bool,
    /// Whether clients need TLS 1.3; others may have 1.2.
    pub only_1_3: bool,
    /// Whether TLS begins before the server greets the client.
    pub handshake_first: HandshakeFirst,
    /// Whether clients without TLS are served besides.
    pub allow_non_tls: bool,
    /// How long a handshake may take.
    pub timeout: Duration,
}

impl TlsSettings {
    /// TLS that is required, begins after the greeting and takes any client.
    pub fn new(cert_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        TlsSettings {
            cert_file: cert_file.into(),
            key_file: key_file.into(),
            ca_file: None,
            verify: false,
            map: false,
            only_1_3: false,
            handshake_first: HandshakeFirst::No,
            allow_non_tls: false,
            timeout: Duration::from_secs(2),
        }
    }

    /// The files of certificates, in the settings of this name.
    pub(super) fn certificate_files(&self, name: &str) -> Vec<CertificateFile> {
        let file = |member: &str, path: &Path, holds| CertificateFile {
            setting: format!("{name}.{member}"),
            path: path.to_owned(),
            holds,
            is_read: IsRead::Once,
        };
        let mut files = vec![file("cert_file", &self.cert_file, Holds::Chain)];
        let authorities = self.ca_file.as_ref().filter(|_| self.verify || self.map);
        files.extend(authorities.map(|path| file("ca_file", path, Holds::Authorities)));
        files
    }

    /// Says what is wrong with the settings and the files that they name, before anything uses them.
    ///
    /// # Errors
    /// When a file cannot be read, or does not hold what it should.
    pub fn check(&self) -> Result<(), TlsError> {
        Tls::new(self).map(|_| ())
    }
}

/// Whether TLS begins before the server greets the client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HandshakeFirst {
    /// The server greets first, in plain text.
    No,
    /// The server waits for the handshake.
    Yes,
    /// The server waits so long for the handshake, and then greets in plain text.
    OrGreetAfter(Duration),
}

impl HandshakeFirst {
    /// What nats-server's `handshake_first: auto` means.
    pub const AUTO: Self = HandshakeFirst::OrGreetAfter(Duration::from_millis(50));
}

/// Why TLS cannot be spoken.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{path}` holds no {what} in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The certificate and the key do not go together, or an authority is none.
    #[error("`{path}` cannot be used")]
    Rejected {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Certificates of clients are wanted, and no authority signs them.
    #[error("`verify` needs `ca_file`, the authorities that sign the certificates of clients")]
    NoAuthorities,
}

/// What it takes to speak TLS.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) settings: TlsSettings,
    pub(super) acceptor: TlsAcceptor,
    /// When the certificate of the server expires, if it says so.
    pub(super) expires: Option<SystemTime>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.settings).finish()
    }
}

impl Tls {
    pub(super) fn new(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let certificates = certificates(&settings.cert_file)?;
        let key = read(&settings.key_file)
            .and_then(|bytes| PrivateKeyDer::from_pem_slice(&bytes))
            .map_err(|error| pem_error(&settings.key_file, "private key", error))?;
        let rejected = |source| TlsError::Rejected {
            path: settings.cert_file.clone(),
            source,
        };
        let newest = [&TLS13];
        let versions = match settings.only_1_3 {
            true => &newest[..],
            false => rustls::DEFAULT_VERSIONS,
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(rejected)?;
        let builder = match verifier(settings, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        // As nats-server has it, that of the server's own one.
        let expires = certificates.first().and_then(|first| Validity::of(first));
        let expires = expires.and_then(Validity::ends_at);
        let config = builder
            .with_single_cert(certificates, key)
            .map_err(rejected)?;
        Ok(Tls {
            settings: settings.clone(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            expires,
        })
    }
}

/// What checks the certificates of clients, where they need one.
fn verifier(
    settings: &TlsSettings,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if !settings.verify && !settings.map {
        return Ok(None);
    }
    let path = settings.ca_file.as_ref().ok_or(TlsError::NoAuthorities)?;
    let rejected = |source| TlsError::Rejected {
        path: path.clone(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(path)? {
        roots.add(authority).map_err(rejected)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| rejected(rustls::Error::General(error.to_string())))?;
    Ok(Some(verifier))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let what = "certificate";
    let all: Vec<_> = read(path)
        .and_then(|bytes| CertificateDer::pem_slice_iter(&bytes).collect())
        .map_err(|error| pem_error(path, what, error))?;
    if all.is_empty() {
        return Err(pem_error(path, what, pem::Error::NoItemsFound));
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>, pem::Error> {
    read_plain(path, MAX_BYTES).map_err(pem::Error::Io)
}

fn pem_error(path: &Path, what: &'static str, error: pem::Error) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => TlsError::File { path, source },
        _ => TlsError::Pem { path, what },
    }
}
