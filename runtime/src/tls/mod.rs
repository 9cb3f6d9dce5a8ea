//! TLS between the services, where each shows the other a certificate, and TLS of the pages. Both are off unless settings name files.
//!
//! The files are read again when they have changed ([`reloading`]): connections that are made from then on have the new certificates. When
//! they end, and what else of certificates the program has, is watched ([`certificates`]).

mod certificates;
mod files;
mod reloading;
mod stream;
mod validity;
mod watch;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{ClientConfig, ServerConfig, pki_types::ServerName},
};

use crate::{process::Fault, settings};
pub use certificates::{CertificateFile, Certificates, Holds, IsRead, advice};
use files::Kind;
pub use files::{TlsError, read_authorities};
use reloading::Reloading;
pub(crate) use stream::{Plaintext, ServerStream};
pub use validity::{Standing, Validity};
pub(crate) use watch::watch;

/// What servers and clients of gRPC speak in HTTP/2's name for itself, and the pages in theirs.
const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// The settings of TLS between the services.
#[derive(Debug, Clone, Default, Args)]
pub struct GrpcTlsSettings {
    /// The certificate that this program shows as gRPC server and as client, in PEM, with those that lead to its authority: gRPC is
    /// spoken over TLS only, and both sides need one
    #[arg(long, env, value_name = "FILE")]
    pub grpc_cert_file: Option<PathBuf>,
    /// The private key of that certificate, in PEM
    #[arg(long, env, value_name = "FILE")]
    pub grpc_key_file: Option<PathBuf>,
    /// The authorities that sign the certificates of the services, in PEM
    #[arg(long, env, value_name = "FILE")]
    pub grpc_ca_file: Option<PathBuf>,
    /// The name that the certificates of gRPC servers have to be for [default: the host by which a service is called]
    #[arg(long, env, value_name = "NAME")]
    pub grpc_server_name: Option<String>,
}

/// How the services speak TLS with each other. Clones share what was read.
#[derive(Debug, Clone)]
pub struct GrpcTls {
    server: ServerTls,
    client: Arc<Reloading<ClientConfig>>,
    server_name: Option<ServerName<'static>>,
}

/// The certificate of a server. Clones share what was read.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<Reloading<ServerConfig>>);

impl GrpcTlsSettings {
    /// Leaves the settings out of the help of a program that has no use for them.
    pub(crate) fn hidden(command: clap::Command) -> clap::Command {
        let all = ["cert_file", "key_file", "ca_file", "server_name"];
        all.iter().fold(command, |command, name| {
            command.mut_arg(format!("grpc_{name}"), |argument| argument.hide(true))
        })
    }

    /// The files of certificates among them.
    pub(crate) fn certificate_files(&self) -> Vec<CertificateFile> {
        let files = [
            ("GRPC_CERT_FILE", &self.grpc_cert_file, Holds::Chain),
            ("GRPC_CA_FILE", &self.grpc_ca_file, Holds::Authorities),
        ];
        let files = files.into_iter().filter_map(|(setting, path, holds)| {
            Some(CertificateFile {
                setting: setting.to_owned(),
                path: path.clone()?,
                holds,
                is_read: IsRead::EachTime,
            })
        });
        files.collect()
    }

    /// Reads the files; nothing if none is named. The log tells of a private key that others can read.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] if one of them is not named, or cannot be used.
    pub fn read(&self) -> Result<Option<GrpcTls>, Fault> {
        let files = [
            ("grpc-cert-file", &self.grpc_cert_file),
            ("grpc-key-file", &self.grpc_key_file),
            ("grpc-ca-file", &self.grpc_ca_file),
        ];
        let missing = files.iter().find(|(_, file)| file.is_none());
        let given = files.iter().find(|(_, file)| file.is_some());
        let [Some(cert), Some(key), Some(ca)] = files.map(|(_, file)| file.clone()) else {
            return match (missing, given, &self.grpc_server_name) {
                (Some((missing, _)), Some((given, _)), _) => {
                    let reason =
                        format!("is needed too, because {} is given", settings::name(given));
                    Err(Fault::bad_setting(settings::name(missing), reason))
                }
                (_, None, Some(_)) => {
                    let reason = "is of use only with certificates for gRPC";
                    Err(Fault::bad_setting(
                        settings::name("grpc-server-name"),
                        reason,
                    ))
                }
                _ => Ok(None),
            };
        };
        let server_name = match &self.grpc_server_name {
            None => None,
            Some(name) => Some(ServerName::try_from(name.clone()).map_err(|_| {
                let reason = format!("`{name}` is no name that a certificate can be for");
                Fault::bad_setting(settings::name("grpc-server-name"), reason)
            })?),
        };
        settings::warn_of_exposed_file("GRPC_KEY_FILE", &key);
        let paths = [cert, key, ca];
        let server = Reloading::new(paths.clone().into(), |files| {
            files::server(files, Kind::Mutual, HTTP_2)
        });
        let client = Reloading::new(paths.into(), |files| files::client(files, HTTP_2));
        let wrong = |error: TlsError| {
            let setting = files
                .iter()
                .find(|(_, file)| file.as_deref() == Some(error.path()));
            let setting = setting.map_or("grpc-cert-file", |(flag, _)| flag);
            Fault::bad_setting(settings::name(setting), error.in_full())
        };
        Ok(Some(GrpcTls {
            server: ServerTls(Arc::new(server.map_err(wrong)?)),
            client: Arc::new(client.map_err(wrong)?),
            server_name,
        }))
    }
}

impl GrpcTls {
    pub(crate) fn server(&self) -> ServerTls {
        self.server.clone()
    }

    /// The connector of a client, and the name of which the server that is known as `host` has to show a certificate.
    pub(crate) fn connector(&self, host: &str) -> Option<(TlsConnector, ServerName<'static>)> {
        let host = host.trim_matches(['[', ']']).to_owned();
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host).ok()?,
        };
        Some((TlsConnector::from(self.client.current()), name))
    }
}

/// The connector of a client that shows no certificate, to servers whose certificates the authorities in a file sign.
///
/// # Errors
///
/// What is wrong with the file.
pub(crate) fn connector_of(authorities: &Path) -> Result<TlsConnector, TlsError> {
    let config = files::client_without_certificate(authorities, HTTP_1_1)?;
    Ok(TlsConnector::from(Arc::new(config)))
}

impl ServerTls {
    /// The certificate of the pages, which takes any client.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
    pub fn of_pages(cert_file: PathBuf, key_file: PathBuf) -> Result<Self, TlsError> {
        let files = vec![cert_file, key_file];
        let read = Reloading::new(files, |files| {
            files::server(files, Kind::OneSided, HTTP_1_1)
        });
        Ok(Self(Arc::new(read?)))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.current())
    }
}
