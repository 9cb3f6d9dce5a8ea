//! TLS of the clients' connections: the settings.

use std::path::PathBuf;
use std::time::Duration;

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
            handshake_first: HandshakeFirst::No,
            allow_non_tls: false,
            timeout: Duration::from_secs(2),
        }
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
