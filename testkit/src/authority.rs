//! An authority that signs a certificate for servers on this machine, made anew for each test.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// The authority, and what it has signed. Clones are the same.
#[derive(Clone)]
pub struct FakeAuthority {
    pem: String,
    pub(crate) acceptor: TlsAcceptor,
}

impl FakeAuthority {
    /// An authority, with a certificate for `localhost` and 127.0.0.1.
    pub fn new() -> Self {
        let made = "the parameters are good";
        let mut params = CertificateParams::new(Vec::new()).expect(made);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect(made);
        let pem = params.self_signed(&key).expect(made).pem();
        let issuer = Issuer::new(params, key);
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate().expect(made);
        let params = CertificateParams::new(names).expect(made);
        let signed = params.signed_by(&key, &issuer).expect(made);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of both versions")
            .with_no_client_auth()
            .with_single_cert(vec![signed.der().clone()], key);
        let config = Arc::new(config.expect("the key is that of the certificate"));
        Self {
            pem,
            acceptor: TlsAcceptor::from(config),
        }
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

impl Default for FakeAuthority {
    fn default() -> Self {
        Self::new()
    }
}
