//! Whose certificates are believed, of mail servers and identity providers: the authorities in a file of the settings, or else those that the
//! machine trusts.

use std::{path::Path, sync::Arc};

use runtime::tls;
use rustls_native_certs::load_native_certs;
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer},
};

/// The certificates of the authorities. Those of the machine may be some that are of no use.
///
/// # Errors
///
/// What is wrong with the file.
pub(crate) fn read(file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    match file {
        Some(file) => tls::read_authorities(file).map_err(|error| error.in_full()),
        None => Ok(load_native_certs().certs),
    }
}

/// Connects by TLS to servers that they vouch for.
///
/// # Errors
///
/// What is wrong with the file.
pub(crate) fn connector(file: Option<&Path>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(read(file)?);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
