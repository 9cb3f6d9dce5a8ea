//! What bus and relay show a NATS server: the bus publishes an event there, and the relay carries it on to Kafka. The
//! server is `bridge broker` or a real nats-server, with the same configuration.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bridge::relay::{config, route};
use bus::{BusSettings, Event, NatsFiles, NatsSettings, Producer};
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer};
use runtime::{Process, Supervisor};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{eventually, server};

use crate::kafka::Kafka;

const PASSWORD: &str = "a-pass-word%of@16:bytes";
const TOKEN: &str = "a-token-of-16-bytes";
const TOPIC: &str = "films";

/// A server of its own, and the folder with its configuration and all files of its clients.
struct Server {
    child: Child,
    folder: TempDir,
    port: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts the program `real`, or `bridge broker`; `PATH` stands for the folder in its configuration.
    async fn start(real: Option<&str>, folder: TempDir, configuration: &str) -> Self {
        let path = folder.path().display().to_string();
        let configuration = configuration.replace("PATH", &path);
        let all = format!(
            "listen: \"127.0.0.1:-1\"\njetstream {{ store_dir: \"{path}/streams\" }}\nlog_file: \"{path}/log\"\n{configuration}"
        );
        fs::write(folder.path().join("server.conf"), all).unwrap();
        let mut command = match real {
            Some(program) => Command::new(program),
            None => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
                command.arg("broker");
                command
            }
        };
        let command = command.arg("-c").arg(folder.path().join("server.conf"));
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut server = Self {
            child,
            folder,
            port: String::new(),
        };
        eventually("the server is ready", async || {
            let log = fs::read_to_string(server.file("log")).unwrap_or_default();
            let listening = log.split("client connections on 127.0.0.1:").nth(1);
            let port = listening.and_then(|rest| rest.lines().next());
            server.port = port.unwrap_or_default().trim().to_owned();
            log.contains("Server is ready")
        })
        .await;
        server
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What clients show, for the bus and in the words of a relay's file.
struct Shown<'a> {
    url: String,
    settings: NatsSettings,
    relay: &'a str,
}

/// Settings of the bus and of the relay for the same server; `files` are known by name in its folder.
fn shown<'a>(server: &Server, url: &str, files: &NatsFiles, relay: &'a str) -> Shown<'a> {
    let place = |file: &Option<PathBuf>| file.as_ref().map(|name| server.folder.path().join(name));
    Shown {
        url: url.replace("PORT", &server.port),
        settings: NatsSettings {
            nats_token: None,
            files: NatsFiles {
                nats_creds_file: place(&files.nats_creds_file),
                nats_nkey_file: place(&files.nats_nkey_file),
                nats_ca_file: place(&files.nats_ca_file),
                nats_cert_file: place(&files.nats_cert_file),
                nats_key_file: place(&files.nats_key_file),
            },
        },
        relay,
    }
}

impl Shown<'_> {
    fn bus(&self) -> BusSettings {
        BusSettings {
            event_bus: Some(self.url.parse().unwrap()),
            nats: self.settings.clone(),
            ..BusSettings::default()
        }
    }

    fn service(&self) -> Service {
        let bus = self.bus().bus(Path::new("there is none")).unwrap();
        let process = Process::new();
        let supervisor = Supervisor::new("test", &process);
        let group = supervisor.group("bus");
        Service {
            producer: Producer::start(&group, "producer", &bus, &[TOPIC]),
            process,
            supervisor,
        }
    }

    async fn carry_an_event(&self, server: &Server) {
        self.carry_an_event_of(self.service(), server).await;
    }

    /// Publishes an event and has it carried to Kafka.
    async fn carry_an_event_of(&self, service: Service, server: &Server) {
        let event = Event {
            topic: TOPIC.into(),
            key: "7".into(),
            payload: b"{}".to_vec(),
            headers: Vec::new(),
        };
        service.producer.publish(vec![event]).await.unwrap();

        let kafka = Kafka::mock();
        kafka.create_topic(TOPIC).await;
        let Self { url, relay, .. } = self;
        let text = format!(
            "[kafka.k]\nbrokers = \"{}\"\n[nats.n]\nurl = \"{url}\"\n{relay}\n[[routes]]\nname = \"films\"\nfrom = \"nats.n\"\n\
             to = \"kafka.k\"\nsubject = \"{TOPIC}\"\ntopic = \"{TOPIC}\"\n",
            kafka.brokers
        );
        fs::write(server.file("relay.toml"), text).unwrap();
        let config = config::read(&server.file("relay.toml")).unwrap();
        route::start(&service.supervisor, &config);
        eventually("the event is at Kafka", async || {
            !kafka.read(TOPIC).await.is_empty()
        })
        .await;
        service.supervisor.stop(Duration::from_secs(10)).await;
    }

    /// Has the bus say that `told` keeps it from the server.
    async fn is_told(&self, told: &str) {
        let service = self.service();
        service.is_told(told).await;
        service.supervisor.stop(Duration::from_secs(10)).await;
    }
}

/// A producer of the bus.
struct Service {
    process: Process,
    supervisor: Supervisor,
    producer: Producer,
}

impl Service {
    async fn is_told(&self, told: &str) {
        eventually(told, async || {
            format!("{:?}", self.process.registry.actors()).contains(told)
        })
        .await;
    }
}

fn name(name: &str) -> Option<PathBuf> {
    Some(name.into())
}

async fn passwords_tokens_and_nkeys(real: Option<&str>) {
    let (ann, stranger) = (KeyPair::new_user(), KeyPair::new_user());
    let folder = tempfile::tempdir().unwrap();
    for (file, key) in [("ann.nk", &ann), ("stranger.nk", &stranger)] {
        fs::write(folder.path().join(file), key.seed().unwrap()).unwrap();
    }
    let users = format!(
        "authorization {{ users: [{{ user: ann, password: \"{PASSWORD}\" }}, {{ nkey: {} }}] }}",
        ann.public_key()
    );
    let server = Server::start(real, folder, &users).await;
    let none = NatsFiles::default();
    let url = "nats://ann:a-pass-word%25of%4016%3Abytes@127.0.0.1:PORT";
    shown(&server, url, &none, "").carry_an_event(&server).await;
    let wrong = "nats://ann:another@127.0.0.1:PORT";
    let told = "NATS refuses the user, or its password";
    shown(&server, wrong, &none, "").is_told(told).await;
    let key = |file: &str| NatsFiles {
        nats_nkey_file: name(file),
        ..NatsFiles::default()
    };
    let (url, relay) = ("nats://127.0.0.1:PORT", "nkey_file = \"ann.nk\"");
    shown(&server, url, &key("ann.nk"), relay)
        .carry_an_event(&server)
        .await;
    let told = "stranger.nk`";
    shown(&server, url, &key("stranger.nk"), "")
        .is_told(told)
        .await;
    drop(server);

    let configuration = format!("authorization {{ token: \"{TOKEN}\" }}");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), TOKEN).unwrap();
    let server = Server::start(real, folder, &configuration).await;
    let mut by_setting = shown(&server, url, &none, "token_file = \"token\"");
    by_setting.settings.nats_token = Some(TOKEN.parse().unwrap());
    by_setting.carry_an_event(&server).await;
    let url = format!("nats://{TOKEN}@127.0.0.1:PORT");
    shown(&server, &url, &none, "")
        .carry_an_event(&server)
        .await;
}

/// A token about `subject`.
fn token(signer: &KeyPair, subject: &KeyPair, kind: &str, said: Value) -> String {
    let mut nats = json!({"type": kind, "version": 2});
    let said = said.as_object().unwrap().clone();
    nats.as_object_mut().unwrap().extend(said);
    let claims = json!({
        "jti": "of-this-test", "iat": 1, "iss": signer.public_key(), "sub": subject.public_key(), "nats": nats,
    });
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let signed = format!("{header}.{}", encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

/// A file as `nsc` writes it for a user of `account`.
fn creds(account: &KeyPair) -> String {
    let key = KeyPair::new_user();
    let said = json!({"subs": -1, "data": -1, "payload": -1});
    let token = token(account, &key, "user", said);
    let seed = key.seed().unwrap();
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         ************************* IMPORTANT *************************\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

async fn credentials_files(real: Option<&str>) {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let system = KeyPair::new_account();
    let vouched = |account: &KeyPair, storage: i64| {
        let limits = json!({
            "conn": -1, "subs": -1, "data": -1, "payload": -1, "leaf": -1, "imports": -1, "exports": -1, "wildcards": true,
            "mem_storage": storage, "disk_storage": storage, "streams": -1, "consumer": -1,
        });
        let token = token(&operator, account, "account", json!({"limits": limits}));
        format!("{}: {token}", account.public_key())
    };
    let configuration = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}\n{}\n}}",
        token(&operator, &operator, "operator", json!({})),
        system.public_key(),
        vouched(&account, -1),
        vouched(&system, 0),
    );
    let folder = tempfile::tempdir().unwrap();
    let stranger = creds(&KeyPair::new_account());
    fs::write(folder.path().join("user.creds"), &stranger).unwrap();
    let server = Server::start(real, folder, &configuration).await;
    let files = NatsFiles {
        nats_creds_file: name("user.creds"),
        ..NatsFiles::default()
    };
    let relay = "creds_file = \"user.creds\"";
    let user = shown(&server, "nats://127.0.0.1:PORT", &files, relay);
    let service = user.service();
    service.is_told("user.creds`").await;
    // They are renewed while the service runs.
    fs::write(server.file("user.creds"), creds(&account)).unwrap();
    user.carry_an_event_of(service, &server).await;
}

/// Writes an authority, a server's certificate and a client's.
fn certificates(folder: &Path) {
    for (authority, signed) in [("ca", &["server", "client"][..]), ("other-ca", &[])] {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join(format!("{authority}.pem")), certificate.pem()).unwrap();
        let authority = Issuer::new(params, key);
        for name in signed {
            let names = vec!["localhost".to_owned(), format!("{name}.example")];
            let key = rcgen::KeyPair::generate().unwrap();
            let params = CertificateParams::new(names).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
    }
}

const TLS: &str = "cert_file: \"PATH/server.pem\", key_file: \"PATH/server.key\"";

async fn certificates_and_authorities(real: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let configuration = format!(
        "tls {{ {TLS} }}\nauthorization {{ users: [{{ user: ann, password: \"{TOKEN}\" }}] }}"
    );
    let server = Server::start(real, folder, &configuration).await;
    let authority = |file: &str| NatsFiles {
        nats_ca_file: name(file),
        ..NatsFiles::default()
    };
    for scheme in ["nats", "tls"] {
        let url = format!("{scheme}://ann:{TOKEN}@localhost:PORT");
        shown(&server, &url, &authority("ca.pem"), "ca_file = \"ca.pem\"")
            .carry_an_event(&server)
            .await;
    }
    let url = format!("tls://ann:{TOKEN}@localhost:PORT");
    shown(&server, &url, &authority("other-ca.pem"), "")
        .is_told("with a certificate of an authority in")
        .await;
    drop(server);

    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let configuration = format!(
        "tls {{ {TLS}, ca_file: \"PATH/ca.pem\", verify_and_map: true }}\n\
         authorization {{ users: [{{ user: client.example }}] }}"
    );
    let server = Server::start(real, folder, &configuration).await;
    let certificate = |file: &str| NatsFiles {
        nats_ca_file: name("ca.pem"),
        nats_cert_file: name(&format!("{file}.pem")),
        nats_key_file: name(&format!("{file}.key")),
        ..NatsFiles::default()
    };
    let relay = "ca_file = \"ca.pem\"\ncert_file = \"client.pem\"\nkey_file = \"client.key\"";
    let url = "nats://localhost:PORT";
    shown(&server, url, &certificate("client"), relay)
        .carry_an_event(&server)
        .await;
    // Its certificate is a good one, and names no user.
    shown(&server, url, &certificate("server"), "")
        .is_told("NATS refuses the user of the certificate")
        .await;
    drop(server);

    // A server that speaks no TLS is told nothing.
    let server = Server::start(real, tempfile::tempdir().unwrap(), "").await;
    let url = format!("tls://{TOKEN}@localhost:PORT");
    shown(&server, &url, &NatsFiles::default(), "")
        .is_told("with a certificate of an authority that the system knows")
        .await;
}

macro_rules! with_both_servers {
    ($($case:ident)*) => {
        mod broker {
            $(#[actix::test] async fn $case() { super::$case(None).await; })*
        }
        mod nats_server {
            $(#[actix::test] async fn $case() {
                if let Some(program) = super::server("TEST_NATS_SERVER") { super::$case(Some(&program)).await; }
            })*
        }
    };
}

with_both_servers! {
    passwords_tokens_and_nkeys
    credentials_files
    certificates_and_authorities
}
