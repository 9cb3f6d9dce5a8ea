//! TLS of the broker's clients, with certificates that the tests make. What clients in plain text hear was compared with
//! nats-server 2.15.1.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::ConnectOptions;
use bridge::broker::access::{Identity, Password, Permissions, User, Users};
use bridge::broker::tls::{HandshakeFirst, TlsSettings};
use bridge::broker::{Access, Broker, BrokerConfig, BrokerStats};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Embedded, settle, within};

/// A folder with an authority, and what it signed for a server and for a client.
pub(crate) struct Certificates {
    dir: tempfile::TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Certificates { dir };
        made.authority("ca", &["server", "client"]);
        made.authority("other-ca", &["stranger"]);
        made
    }

    fn authority(&self, name: &str, signed: &[&str]) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        std::fs::write(self.cert(name), params.self_signed(&key).unwrap().pem()).unwrap();
        let authority = Issuer::new(params, key);
        for name in signed {
            let names = [
                "localhost".into(),
                "127.0.0.1".into(),
                format!("{name}.example"),
            ];
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(names.to_vec()).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            std::fs::write(self.cert(name), certificate.pem()).unwrap();
            std::fs::write(self.key(name), key.serialize_pem()).unwrap();
        }
    }

    /// Puts another one in the place of a certificate, which has ended.
    pub(crate) fn end(&self, name: &str) {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2024, 1, 1);
        let key = KeyPair::generate().unwrap();
        std::fs::write(self.cert(name), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(self.key(name), key.serialize_pem()).unwrap();
    }

    pub(crate) fn cert(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.pem"))
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.key"))
    }

    fn settings(&self) -> TlsSettings {
        TlsSettings::new(self.cert("server"), self.key("server"))
    }

    pub(crate) fn client(&self) -> ConnectOptions {
        ConnectOptions::new().add_root_certificates(self.cert("ca"))
    }
}

async fn broker(data: &Path, tls: TlsSettings) -> Embedded {
    let mut config = BrokerConfig::new(data, Access::Open);
    config.tls = Some(tls);
    Embedded::start_with(config).await
}

async fn connect(broker: &Embedded, options: ConnectOptions) -> Result<(), String> {
    let address = format!("localhost:{}", broker.addr.port());
    let client = options.connect(address).await.map_err(|e| e.to_string())?;
    let largest = vec![b'x'; 1 << 20];
    settle(&client).await;
    client.publish("large", largest.into()).await.unwrap();
    settle(&client).await;
    Ok(())
}

/// What a client in plain text hears in all when it introduces itself at once, up to the end or the answer.
async fn in_plain_text(broker: &Embedded) -> String {
    let mut socket = TcpStream::connect(broker.addr).await.unwrap();
    let say = b"CONNECT {\"verbose\":false}\r\nPING\r\n";
    socket.write_all(say).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"PONG\r\n") {
        // What is left unread at the broker's end may reset the connection.
        match within(socket.read_buf(&mut heard)).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    String::from_utf8(heard).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_speaks_tls_when_the_greeting_asks_for_it() {
    let (certificates, data) = (Certificates::new(), tempfile::tempdir().unwrap());
    let broker = broker(data.path(), certificates.settings()).await;
    connect(&broker, certificates.client()).await.unwrap();
    let heard = in_plain_text(&broker).await;
    assert!(heard.contains("\"tls_required\":true"), "{heard}");
    assert!(
        heard.ends_with("} \r\n"),
        "a client in plain text is closed"
    );
    // A client that does not know the authority of the server does not connect.
    let stranger = ConnectOptions::new().add_root_certificates(certificates.cert("other-ca"));
    connect(&broker, stranger).await.unwrap_err();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_a_certificate_where_it_needs_one() {
    let (certificates, data) = (Certificates::new(), tempfile::tempdir().unwrap());
    let settings = TlsSettings {
        verify: true,
        ca_file: Some(certificates.cert("ca")),
        ..certificates.settings()
    };
    let broker = broker(data.path(), settings).await;
    let with = |name| {
        let (cert, key) = (certificates.cert(name), certificates.key(name));
        certificates.client().add_client_certificate(cert, key)
    };
    connect(&broker, with("client")).await.unwrap();
    connect(&broker, with("stranger")).await.unwrap_err();
    connect(&broker, certificates.client()).await.unwrap_err();
    let heard = in_plain_text(&broker).await;
    assert!(heard.contains("\"tls_verify\":true"), "{heard}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_the_user_that_its_certificate_names() {
    let (certificates, data) = (Certificates::new(), tempfile::tempdir().unwrap());
    let user = User {
        identity: Identity::Password {
            name: "client.example".to_owned(),
            password: Password::new(""),
        },
        permissions: Permissions::default(),
        account: None,
    };
    let access = Access::Users(Users {
        users: vec![user],
        no_auth_user: None,
    });
    let stats = BrokerStats::default();
    let config = BrokerConfig {
        tls: Some(TlsSettings {
            map: true,
            ca_file: Some(certificates.cert("ca")),
            ..certificates.settings()
        }),
        ..BrokerConfig::new(data.path(), access)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("localhost:{}", listener.local_addr().unwrap().port());
    let broker = Broker::open(config, stats.clone()).await.unwrap();
    let serving = tokio::spawn(broker.serve(listener, std::future::pending()));
    let with = |name| {
        let (cert, key) = (certificates.cert(name), certificates.key(name));
        certificates.client().add_client_certificate(cert, key)
    };
    let client = with("client").connect(&address).await.unwrap();
    settle(&client).await;
    assert_eq!(stats.clients()[0].user.as_deref(), Some("client.example"));
    // The certificate of the server is a good one, and names no user.
    let error = with("server").connect(&address).await.unwrap_err();
    assert!(
        error.to_string().contains("authorization violation"),
        "{error}"
    );
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_without_tls_are_served_where_they_may_be() {
    let (certificates, data) = (Certificates::new(), tempfile::tempdir().unwrap());
    let settings = TlsSettings {
        allow_non_tls: true,
        ..certificates.settings()
    };
    let broker = broker(data.path(), settings).await;
    let heard = in_plain_text(&broker).await;
    assert!(heard.contains("\"tls_available\":true"), "{heard}");
    assert!(!heard.contains("\"tls_required\":true"), "{heard}");
    assert!(heard.ends_with("} \r\nPONG\r\n"), "{heard}");
    connect(&broker, certificates.client().require_tls(true))
        .await
        .unwrap();
    connect(&broker, ConnectOptions::new()).await.unwrap();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_may_come_before_the_greeting() {
    let (certificates, data) = (Certificates::new(), tempfile::tempdir().unwrap());
    let settings = TlsSettings {
        handshake_first: HandshakeFirst::Yes,
        ..certificates.settings()
    };
    let first = broker(data.path(), settings).await;
    connect(&first, certificates.client().tls_first())
        .await
        .unwrap();
    assert_eq!(in_plain_text(&first).await, "");
    first.stop().await;

    // A client that waits to be greeted is, after a while.
    let settings = TlsSettings {
        handshake_first: HandshakeFirst::AUTO,
        ..certificates.settings()
    };
    let either = broker(data.path(), settings).await;
    connect(&either, certificates.client().tls_first())
        .await
        .unwrap();
    connect(&either, certificates.client()).await.unwrap();
    either.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_begin_the_handshake_is_closed() {
    let (certificates, data) = (Certificates::new(), tempfile::tempdir().unwrap());
    let settings = TlsSettings {
        timeout: Duration::from_millis(50),
        ..certificates.settings()
    };
    let broker = broker(data.path(), settings).await;
    // The first says nothing, the second only how a handshake begins.
    for say in [&[][..], &[0x16, 3, 1]] {
        let mut socket = TcpStream::connect(broker.addr).await.unwrap();
        socket.write_all(say).await.unwrap();
        let mut heard = String::new();
        let _ = within(socket.read_to_string(&mut heard)).await;
        assert!(
            heard.starts_with("INFO ") && heard.ends_with("} \r\n"),
            "{heard}"
        );
    }
    broker.stop().await;
}

#[test]
fn files_that_cannot_be_used_are_an_error_before_anything_starts() {
    let certificates = Certificates::new();
    let (good, missing) = (certificates.settings(), certificates.cert("missing"));
    let cases = [
        (
            TlsSettings::new(&missing, &good.key_file),
            format!("cannot read `{}`", missing.display()),
        ),
        (
            TlsSettings::new(&good.key_file, &good.key_file),
            format!("`{}` holds no certificate in PEM", good.key_file.display()),
        ),
        (
            TlsSettings::new(&good.cert_file, &good.cert_file),
            format!("`{}` holds no private key in PEM", good.cert_file.display()),
        ),
        (
            TlsSettings::new(&good.cert_file, certificates.key("client")),
            format!("`{}` cannot be used", good.cert_file.display()),
        ),
        (
            TlsSettings {
                verify: true,
                ..good.clone()
            },
            "`verify` needs `ca_file`, the authorities that sign the certificates of clients"
                .to_owned(),
        ),
    ];
    for (settings, expected) in cases {
        assert_eq!(settings.check().unwrap_err().to_string(), expected);
    }
    good.check().unwrap();
}
