//! TLS between services and of the pages, with certificates that the tests make: who is let in, what those who are not are told, and
//! files that change.

#![expect(
    clippy::unwrap_used,
    reason = "what is shared by tests fails as they do"
)]

use std::{
    fs::{self, Permissions},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use actix_web::{App, HttpRequest, middleware::from_fn, web};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use runtime::{
    Place, Process, ServiceAddress, Supervisor,
    grpc::{Calls, GrpcLimits, GrpcServer, GrpcService, ServiceChannel, ServiceClient},
    http::{self, HttpLimits, HttpSettings},
    tls::{GrpcTlsSettings, ServerTls},
};
use tempfile::TempDir;
use testkit::{Log, eventually};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, pem::PemObject},
    },
};
use tonic::{Code, Status, service::Routes};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// A folder with two authorities, and what each of them signed for a service.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Self {
        let made = Self(TempDir::new().unwrap());
        made.make("ours");
        made.make("other");
        made
    }

    /// Makes an authority and a service's certificate and key anew.
    fn make(&self, name: &str) {
        self.make_until(name, [4096, 4096]);
    }

    /// The same; the authority and the certificate end with these years.
    fn make_until(&self, name: &str, [authority_end, end]: [i32; 2]) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.not_after = date_time_ymd(authority_end, 1, 1);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = date_time_ymd(end, 1, 1);
        let signed = params.signed_by(&key, &issuer).unwrap().pem();
        for (file, text) in [
            ("ca", authority),
            ("cert", signed),
            ("key", key.serialize_pem()),
        ] {
            fs::write(self.file(name, file), text).unwrap();
        }
    }

    fn file(&self, name: &str, file: &str) -> PathBuf {
        self.0.path().join(format!("{name}-{file}.pem"))
    }

    fn settings(&self, name: &str) -> GrpcTlsSettings {
        GrpcTlsSettings {
            grpc_cert_file: Some(self.file(name, "cert")),
            grpc_key_file: Some(self.file(name, "key")),
            grpc_ca_file: Some(self.file(name, "ca")),
            grpc_server_name: None,
        }
    }

    fn process(&self, name: &str) -> Process {
        let mut process = Process::new();
        process.grpc_tls = self.settings(name).read().unwrap();
        process
    }

    /// What a browser that trusts the authority connects with.
    fn browser(&self, name: &str) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(self.file(name, "ca")).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

/// A gRPC server of nothing but health.
struct Served {
    address: SocketAddr,
    _supervisor: Supervisor,
}

impl Served {
    fn start(process: &Process) -> Self {
        Self::start_with(process, GrpcLimits::default())
    }

    fn start_with(process: &Process, limits: GrpcLimits) -> Self {
        let supervisor = Supervisor::new("test", process);
        let calls = Calls::new(limits, process.shutdown.clone());
        let service = GrpcService {
            routes: Routes::default(),
            name: "test",
            descriptors: proto::recommendations::FILE_DESCRIPTOR_SET,
            served_by: "test",
            calls: calls.with_tls(process.grpc_tls.as_ref()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (listener, registry) = (Arc::new(listener), process.registry.clone());
        let group = supervisor.group("answering");
        group.supervise("grpc", Place::Here, move |guard| {
            GrpcServer::new(listener.clone(), service.clone(), registry.clone(), guard)
        });
        Self {
            address,
            _supervisor: supervisor,
        }
    }

    fn client(&self, process: &Process) -> HealthClient<ServiceChannel> {
        let address = ServiceAddress::from(self.address);
        HealthClient::new(ServiceClient::new(process, "test", &address).channel())
    }
}

/// One call.
async fn call(mut client: HealthClient<ServiceChannel>) -> Result<(), Status> {
    let request = HealthCheckRequest::default();
    client.check(request).await.map(drop)
}

/// Why a call is refused, with all that led to it.
async fn refused(client: HealthClient<ServiceChannel>) -> String {
    let status = call(client).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let mut words = status.message().to_owned();
    let mut cause = std::error::Error::source(&status);
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

#[actix::test]
async fn services_with_certificates_of_one_authority_call_each_other() {
    let certificates = Certificates::new();
    let process = certificates.process("ours");
    let served = Served::start(&process);
    call(served.client(&process)).await.unwrap();
    // By the name of the setting, whatever the address is.
    let mut named = Process::new();
    let settings = GrpcTlsSettings {
        grpc_server_name: Some("localhost".to_owned()),
        ..certificates.settings("ours")
    };
    named.grpc_tls = settings.read().unwrap();
    call(served.client(&named)).await.unwrap();
    let settings = GrpcTlsSettings {
        grpc_server_name: Some("films.example".to_owned()),
        ..certificates.settings("ours")
    };
    named.grpc_tls = settings.read().unwrap();
    let told = refused(served.client(&named)).await;
    assert!(told.contains("not valid for name"), "{told}");
}

#[actix::test]
async fn who_is_refused_is_told_why() {
    let certificates = Certificates::new();
    let ours = certificates.process("ours");
    let served = Served::start(&ours);
    let told = refused(served.client(&Process::new())).await;
    assert!(told.contains("called over TLS only"), "{told}");

    let told = refused(served.client(&certificates.process("other"))).await;
    assert!(told.contains("UnknownIssuer"), "{told}");

    // It trusts the server, and the server does not trust it.
    let mut stranger = Process::new();
    let settings = GrpcTlsSettings {
        grpc_ca_file: Some(certificates.file("ours", "ca")),
        ..certificates.settings("other")
    };
    stranger.grpc_tls = settings.read().unwrap();
    let told = refused(served.client(&stranger)).await;
    assert!(told.contains("the certificate of this program"), "{told}");

    let plain = Served::start(&Process::new());
    let told = refused(plain.client(&ours)).await;
    assert!(told.contains("speaks no TLS"), "{told}");
}

#[actix::test]
async fn the_end_of_a_certificate_counts_and_that_of_its_authority_does_not() {
    let certificates = Certificates::new();
    certificates.make_until("ours", [2020, 4096]);
    let process = certificates.process("ours");
    let served = Served::start(&process);
    call(served.client(&process)).await.unwrap();
    certificates.make_until("other", [4096, 2020]);
    let process = certificates.process("other");
    let served = Served::start(&process);
    let told = refused(served.client(&process)).await;
    assert!(told.contains("certificate expired"), "{told}");
}

/// What a client says that goes no further: nothing, the beginning of a handshake, and the beginning of HTTP/2 in plain text.
const UNFINISHED: [&[u8]; 3] = [b"", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n"];

#[actix::test]
async fn a_client_that_does_not_finish_its_handshake_is_cut_off() {
    let certificates = Certificates::new();
    let process = certificates.process("ours");
    let limits = GrpcLimits {
        connections: 1,
        preface_deadline: Duration::from_millis(50),
        ..GrpcLimits::default()
    };
    let served = Served::start_with(&process, limits);
    for said in UNFINISHED {
        let mut silent = TcpStream::connect(served.address).await.unwrap();
        silent.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        // The server may say why before it closes.
        let closed = silent.read_to_end(&mut answer);
        let _ = tokio::time::timeout(testkit::LIMIT, closed).await.unwrap();
    }
    // Waits in the backlog until the silent one has been closed.
    let _silent = TcpStream::connect(served.address).await.unwrap();
    call(served.client(&process)).await.unwrap();
}

#[actix::test]
async fn a_client_that_does_not_finish_its_handshake_gives_way_to_a_new_one() {
    let certificates = Certificates::new();
    let process = certificates.process("ours");
    let limits = GrpcLimits {
        connections: 1,
        preface_deadline: Duration::from_secs(3_600),
        ..GrpcLimits::default()
    };
    let served = Served::start_with(&process, limits);
    for said in UNFINISHED {
        let mut silent = TcpStream::connect(served.address).await.unwrap();
        silent.write_all(said).await.unwrap();
        eventually("a place", async || {
            call(served.client(&process)).await.is_ok()
        })
        .await;
    }
}

#[actix::test]
async fn certificates_that_change_count_for_new_connections() {
    let certificates = Certificates::new();
    let process = certificates.process("ours");
    let served = Served::start(&process);
    let before = served.client(&process);
    call(before.clone()).await.unwrap();
    // A key without its certificate: what was there before goes on to count.
    let key = certificates.file("ours", "key");
    fs::copy(certificates.file("other", "key"), key).unwrap();
    // Until the files are looked at again: that nothing comes of it shows by nothing else.
    tokio::time::sleep(LOOK).await;
    call(served.client(&process)).await.unwrap();

    certificates.make("ours");
    eventually("the new authority to be trusted", async || {
        let renewed = certificates.process("ours");
        call(served.client(&renewed)).await.is_ok()
    })
    .await;
    call(served.client(&process)).await.unwrap();
    call(before).await.unwrap();
}

/// After so long files are looked at again.
const LOOK: Duration = Duration::from_millis(2_100);

#[test]
fn files_that_cannot_be_used_are_named() {
    let certificates = Certificates::new();
    assert!(GrpcTlsSettings::default().read().unwrap().is_none());
    let nothing = certificates.0.path().join("nothing.pem");
    fs::write(&nothing, "").unwrap();
    let good = || certificates.settings("ours");
    let cases = [
        (
            GrpcTlsSettings {
                grpc_key_file: None,
                ..good()
            },
            "GRPC_KEY_FILE",
            "GRPC_CERT_FILE",
        ),
        (
            GrpcTlsSettings {
                grpc_cert_file: None,
                grpc_ca_file: None,
                ..good()
            },
            "GRPC_CERT_FILE",
            "GRPC_KEY_FILE",
        ),
        (
            GrpcTlsSettings {
                grpc_ca_file: Some("/no/such.pem".into()),
                ..good()
            },
            "GRPC_CA_FILE",
            "/no/such.pem",
        ),
        (
            GrpcTlsSettings {
                grpc_cert_file: Some(nothing.clone()),
                ..good()
            },
            "GRPC_CERT_FILE",
            "nothing.pem",
        ),
        (
            GrpcTlsSettings {
                grpc_ca_file: Some(nothing.clone()),
                ..good()
            },
            "GRPC_CA_FILE",
            "nothing.pem",
        ),
        (
            GrpcTlsSettings {
                grpc_key_file: Some(certificates.file("other", "key")),
                ..good()
            },
            "GRPC_CERT_FILE",
            "ours-cert.pem",
        ),
        (
            GrpcTlsSettings {
                grpc_server_name: Some("no name".into()),
                ..good()
            },
            "GRPC_SERVER_NAME",
            "no name",
        ),
        (
            GrpcTlsSettings {
                grpc_server_name: Some("films".into()),
                ..Default::default()
            },
            "GRPC_SERVER_NAME",
            "certificates",
        ),
    ];
    for (settings, variable, told) in cases {
        let fault = settings.read().unwrap_err();
        assert_eq!(fault.exit_code(), 64);
        let words = fault.to_string();
        assert!(words.contains(variable) && words.contains(told), "{words}");
    }
}

#[test]
fn a_private_key_that_others_can_read_is_told_in_the_log() {
    let certificates = Certificates::new();
    let [cert, key] = ["cert", "key"].map(|file| certificates.file("ours", file));
    let pages = HttpSettings {
        http_cert_file: Some(cert),
        http_key_file: Some(key.clone()),
        ..HttpSettings::default()
    };
    for (mode, is_told) in [(0o640, true), (0o600, false)] {
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let guard = tracing::subscriber::set_default(subscriber.finish());
        // While there is only one subscriber, tracing turns a line off for all threads if a thread without it is the first to write the line.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        certificates.settings("ours").read().unwrap();
        pages.check().unwrap();
        drop(guard);
        let log = log.text();
        for variable in ["(GRPC_KEY_FILE)", "(HTTP_KEY_FILE)"] {
            assert_eq!(log.matches(variable).count(), usize::from(is_told), "{log}");
        }
    }
}

/// Pages that tell by which scheme they are asked.
fn pages(tls: Option<ServerTls>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let application = || {
        let scheme =
            |request: HttpRequest| async move { request.connection_info().scheme().to_owned() };
        App::new()
            .wrap(from_fn(http::edge))
            .route("/", web::to(scheme))
    };
    let limits = HttpLimits {
        workers: 1,
        connections: 16,
        keep_alive: Duration::from_secs(80),
        write_deadline: Duration::from_secs(30),
    };
    let server = http::server(tls, application, listener, limits).unwrap();
    actix_web::rt::spawn(server);
    address
}

/// All that a server answers.
async fn asked(mut socket: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(testkit::LIMIT, socket.read_to_string(&mut answer));
    read.await.unwrap().unwrap();
    answer
}

#[actix::test]
async fn pages_are_served_over_tls_and_who_speaks_none_is_told() {
    let certificates = Certificates::new();
    let [cert, key] = ["cert", "key"].map(|file| certificates.file("ours", file));
    let address = pages(Some(ServerTls::of_pages(cert, key).unwrap()));
    let socket = TcpStream::connect(address).await.unwrap();
    let connector = certificates.browser("ours");
    let name = "localhost".try_into().unwrap();
    let secured = connector.connect(name, socket).await.unwrap();
    let answer = asked(secured).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("https"), "{answer}");

    let answer = asked(TcpStream::connect(address).await.unwrap()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.ends_with("HTTPS alone.\n"), "{answer}");
    let plain = pages(None);
    let answer = asked(TcpStream::connect(plain).await.unwrap()).await;
    assert!(answer.ends_with("http"), "{answer}");

    let old = certificates.browser("ours");
    certificates.make("ours");
    eventually("the pages to show the new certificate", async || {
        let name = "localhost".try_into().unwrap();
        let socket = TcpStream::connect(address).await.unwrap();
        certificates
            .browser("ours")
            .connect(name, socket)
            .await
            .is_ok()
    })
    .await;
    let socket = TcpStream::connect(address).await.unwrap();
    let refused = old.connect("localhost".try_into().unwrap(), socket).await;
    assert!(refused.is_err());
}

#[actix::test]
async fn a_visitor_who_does_not_finish_the_handshake_is_cut_off_as_one_who_sends_no_request() {
    /// Longer than the head of a request may take, and shorter than a client may take nothing of its answer beyond that.
    const PATIENCE: Duration = Duration::from_secs(25);
    let certificates = Certificates::new();
    let [cert, key] = ["cert", "key"].map(|file| certificates.file("ours", file));
    let address = pages(Some(ServerTls::of_pages(cert, key).unwrap()));
    let closed = UNFINISHED.map(|said| async move {
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        let closed = silent.read_to_end(&mut answer);
        // One who speaks plain text is told so, and is still cut off.
        let _ = tokio::time::timeout(PATIENCE, closed).await.unwrap();
        loop {
            // Writing fails once the server's side is closed.
            if silent.write_all(b"\r\n").await.is_err() {
                break;
            }
            // The refusal of the first bytes arrives a moment later.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let closed = futures::future::join_all(closed);
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
}
