//! Clients that connect by websocket, byte by byte. The program of a real nats-server is asked as well where there is one.

use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{Program, command, get, output, write};
use crate::server::within;
use crate::tls::Certificates;

const QUIET: &str = "CONNECT {\"verbose\":false}\r\n";
const OPEN: &str = "port: -1\nwebsocket { host: 127.0.0.1, port: -1, no_tls: true }";
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What a server says, frame by frame; text in one or in several messages is the same.
type Heard = Vec<(u8, Vec<u8>)>;

/// A client with an open websocket.
struct Peer<S> {
    socket: S,
    read: Vec<u8>,
}

/// A masked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = [7, 1, 200, 33];
    frame.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// A whole message, or a control frame.
fn whole(kind: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x80 | kind, payload)
}

fn said(text: &str) -> Vec<u8> {
    whole(BINARY, text.as_bytes())
}

fn request(headers: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: films.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Asks for a websocket; says how the answer begins if that is none.
    async fn ask(mut socket: S, request: &str) -> Result<Self, String> {
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        let is_head = |read: &[u8]| read.windows(4).any(|end| end == b"\r\n\r\n");
        while !is_head(&read)
            && within(socket.read_buf(&mut read))
                .await
                .is_ok_and(|n| n > 0)
        {}
        let answer = String::from_utf8_lossy(&read).into_owned();
        let first = answer.lines().next().unwrap_or("<closed>");
        if first != "HTTP/1.1 101 Switching Protocols" {
            return Err(first.to_owned());
        }
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(!answer.contains("Extensions"), "{answer}");
        let head = read.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
        read.drain(..head + 4);
        Ok(Peer { socket, read })
    }

    async fn say(&mut self, bytes: &[u8]) {
        // The server may close the connection before it has read everything.
        let _ = self.socket.write_all(bytes).await;
    }

    /// The next frame; nothing after the last one.
    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let [first, length, rest @ ..] = self.read.as_slice() {
                assert_eq!(first & 0xf0, 0x80, "a message in one frame, as it is");
                let extra = match length {
                    0..126 => 0,
                    126 => 2,
                    _ => 8,
                };
                if rest.len() >= extra {
                    let long = rest[..extra]
                        .iter()
                        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                    let length = if extra == 0 {
                        usize::from(*length)
                    } else {
                        long
                    };
                    if rest.len() >= extra + length {
                        let frame = (first & 0x0f, rest[extra..extra + length].to_vec());
                        self.read.drain(..2 + extra + length);
                        return Some(frame);
                    }
                }
            }
            match within(self.socket.read_buf(&mut self.read)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn greeting(&mut self) -> Value {
        let (kind, text) = self.frame().await.unwrap();
        let text = String::from_utf8(text).unwrap();
        let (info, rest) = text.split_once("\r\n").unwrap();
        if !rest.is_empty() {
            let rest = [&[0x82, rest.len() as u8], rest.as_bytes()].concat();
            self.read.splice(..0, rest);
        }
        let info = info.strip_prefix("INFO ").filter(|_| kind == BINARY);
        serde_json::from_str(info.unwrap()).unwrap()
    }

    /// What is heard up to the frame that closes the websocket, or until as much is heard as is expected.
    async fn hear(&mut self, expected: &Heard) -> Heard {
        let length = |heard: &Heard| {
            heard
                .iter()
                .map(|(_, bytes)| bytes.len() + 1)
                .sum::<usize>()
        };
        let mut heard = Heard::new();
        let closes = expected.last().is_some_and(|(kind, _)| *kind == CLOSE);
        while closes || length(&heard) < length(expected) {
            let Some((kind, mut bytes)) = self.frame().await else {
                break;
            };
            if kind == CLOSE {
                // The words are each server's own.
                bytes.truncate(2);
            }
            match heard.last_mut() {
                Some((BINARY, text)) if kind == BINARY => text.append(&mut bytes),
                _ => heard.push((kind, bytes)),
            }
        }
        heard
    }

    /// What is heard up to words, from the server's first on.
    async fn hear_until(&mut self, words: &str) -> String {
        let mut heard = String::new();
        while !heard.contains(words) {
            let Some((_, text)) = self.frame().await else {
                return heard + "<closed>";
            };
            heard.push_str(&String::from_utf8_lossy(&text));
        }
        heard
    }
}

/// Runs a test on `bridge broker` with a configuration file, and on a real nats-server if there is one.
async fn on_each<F: Future<Output = ()>>(config: &str, test: impl Fn(Program) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "server.conf", config);
    test(Program::start(&["-c", &file]).await).await;
    if let Some(real) = real() {
        // Where it listens by itself anyone can connect.
        let real = real(&["-c", &file, "-a", "127.0.0.1"]);
        test(Program::run(real).await).await;
    }
}

/// A command of a real nats-server, if there is one.
fn real() -> Option<impl Fn(&[&str]) -> Command> {
    let program = testkit::server("TEST_NATS_SERVER")?;
    Some(move |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).kill_on_drop(true);
        command
    })
}

impl Program {
    async fn socket(&self) -> TcpStream {
        let url = self.behind("Listening for websocket clients on ");
        let (_, address) = url.split_once("://").unwrap();
        TcpStream::connect(address).await.unwrap()
    }

    async fn ask(&self, headers: &str) -> Result<Peer<TcpStream>, String> {
        Peer::ask(self.socket().await, &request(headers)).await
    }

    /// A client that has been greeted.
    async fn peer(&self) -> Peer<TcpStream> {
        let mut peer = self.ask("").await.unwrap();
        peer.greeting().await;
        peer
    }

    /// What a client hears that says something, up to words or its end.
    async fn answer(&self, say: &str, words: &str) -> String {
        let mut peer = self.peer().await;
        peer.say(&said(say)).await;
        peer.hear_until(words).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_carries_the_protocol() {
    let text = |text: &str| (BINARY, text.as_bytes().to_vec());
    let closed = |code: u16| (CLOSE, code.to_be_bytes().to_vec());
    let quiet = |text: &str| said(&format!("{QUIET}{text}"));
    let largest = "x".repeat(1 << 20);
    let several = format!(
        "{QUIET}SUB a 1\r\n{}",
        format!("PUB a 1048576\r\n{largest}\r\n").repeat(8)
    );
    let received = format!("MSG a 1 1048576\r\n{largest}\r\n").repeat(8);
    let cases: Vec<(&str, Vec<Vec<u8>>, Heard)> = vec![
        ("at once", vec![quiet("PING\r\n")], vec![text("PONG\r\n")]),
        (
            "verbose",
            vec![said("CONNECT {}\r\nSUB a 1\r\n")],
            vec![text("+OK\r\n+OK\r\n")],
        ),
        (
            "text",
            vec![whole(TEXT, b"PING\r\n")],
            vec![text("PONG\r\n")],
        ),
        (
            "a line in two messages",
            vec![quiet("PI"), said("NG\r\n")],
            vec![text("PONG\r\n")],
        ),
        (
            "fragments, with a ping between them",
            vec![
                frame(BINARY, b"PI"),
                whole(PING, b"x"),
                frame(CONTINUATION, b""),
                whole(CONTINUATION, b"NG\r\n"),
            ],
            vec![(PONG, b"x".to_vec()), text("PONG\r\n")],
        ),
        (
            "several of the largest",
            vec![said(&several)],
            vec![text(&received)],
        ),
        (
            "a ping",
            vec![whole(PING, b"hello")],
            vec![(PONG, b"hello".to_vec())],
        ),
        (
            "a pong that answers nothing, and an empty message",
            vec![whole(PONG, b"hello"), whole(BINARY, b""), said("PING\r\n")],
            vec![text("PONG\r\n")],
        ),
        (
            "closing",
            vec![whole(CLOSE, &[3, 232, b'b', b'y', b'e'])],
            vec![closed(1000)],
        ),
        (
            "closing without a word",
            vec![whole(CLOSE, b"")],
            vec![(CLOSE, vec![])],
        ),
        (
            "too large a message",
            vec![quiet("PUB a 1048577\r\n")],
            vec![text("-ERR 'Maximum Payload Violation'\r\n"), closed(1009)],
        ),
        (
            "too long a line",
            vec![quiet(&format!("PUB {}\r\n", "a".repeat(5000)))],
            vec![
                text("-ERR 'maximum control line exceeded'\r\n"),
                closed(1008),
            ],
        ),
    ];
    on_each(OPEN, async |program| {
        for (name, say, expected) in &cases {
            let mut peer = program.peer().await;
            for frame in say {
                peer.say(frame).await;
            }
            let heard = peer.hear(expected).await;
            assert!(heard == *expected, "{name}: {:?}", program.logged[0]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_websocket_ends_the_connection() {
    let unmasked = [&[0x82, 6][..], b"PING\r\n"].concat();
    let endless = [&[0x82, 0xff][..], &(1_u64 << 63).to_be_bytes(), b"mask"].concat();
    let cases = [
        ("unmasked", unmasked, 1002),
        ("a reserved bit", frame(0xa2, b"PING\r\n"), 1002),
        ("compressed", frame(0xc2, b"PING\r\n"), 1002),
        ("an unknown kind", whole(3, b"PING\r\n"), 1002),
        ("an unknown control frame", whole(11, b""), 1002),
        (
            "nothing to continue",
            whole(CONTINUATION, b"PING\r\n"),
            1002,
        ),
        (
            "a message in a message",
            [frame(BINARY, b"PI"), said("NG\r\n")].concat(),
            1002,
        ),
        ("a long ping", whole(PING, &[0; 126]), 1002),
        ("a ping in fragments", frame(PING, b"x"), 1002),
        ("half a reason", whole(CLOSE, b"x"), 1002),
        ("longer than any message", endless, 1009),
    ];
    on_each(OPEN, async |program| {
        let is_real = program.logged.iter().any(|line| line.contains("Git:"));
        for (name, say, code) in &cases {
            let mut peer = program.peer().await;
            peer.say(say).await;
            let heard = peer.hear(&vec![(CLOSE, vec![])]).await;
            // The real one mostly closes the socket before the reason is written.
            let expected: Heard = vec![(CLOSE, u16::to_be_bytes(*code).to_vec())];
            assert!(is_real || heard == expected, "{name}: {heard:?}");
        }
        assert_eq!(program.answer("PING\r\n", "PONG").await, "PONG\r\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_opens_no_websocket_is_refused() {
    let config = OPEN.replace(
        "no_tls: true",
        "no_tls: true, same_origin: true, allowed_origins: [\"http://films.example\", \"http://a.example\"]",
    );
    let (opened, bad) = ("opened", "HTTP/1.1 400 Bad Request");
    let forbidden = "HTTP/1.1 403 Forbidden";
    on_each(&config, async |program| {
        for (change, by, answer) in [
            ("", "", opened),
            (
                "\r\n\r\n",
                "\r\nOrigin: http://films.example\r\n\r\n",
                opened,
            ),
            (
                "\r\n\r\n",
                "\r\nOrigin: http://Films.example:80\r\n\r\n",
                opened,
            ),
            (
                "\r\n\r\n",
                "\r\nOrigin: http://a.example\r\n\r\n",
                forbidden,
            ),
            (
                "\r\n\r\n",
                "\r\nOrigin: https://films.example\r\n\r\n",
                forbidden,
            ),
            ("\r\n\r\n", "\r\nOrigin: null\r\n\r\n", forbidden),
            ("Upgrade: websocket", "Upgrade: WebSocket", opened),
            (
                "Connection: Upgrade",
                "Connection: keep-alive, Upgrade",
                opened,
            ),
            ("GET", "POST", "HTTP/1.1 405 Method Not Allowed"),
            ("GET / ", "GET /mqtt ", "HTTP/1.1 404 Not Found"),
            ("Upgrade: websocket\r\n", "", bad),
            ("Connection: Upgrade\r\n", "", bad),
            ("Key: dGhl", "Key: dG", bad),
            ("Version: 13", "Version: 8", bad),
            ("GET / HTTP/1.1\r\n", "CONNECT {}\r\n", bad),
            ("\r\n\r\n", "\r\n\r\nPING\r\n", "<closed>"),
        ] {
            let request = request("").replacen(change, by, 1);
            let asked = Peer::ask(program.socket().await, &request).await;
            let heard = asked.err().unwrap_or_else(|| opened.to_owned());
            assert_eq!(heard, answer, "{request}");
        }
        let request = request("").replacen("Host: films.example\r\n", "", 1);
        let asked = Peer::ask(program.socket().await, &request).await;
        assert!(asked.is_err_and(|answer| answer.starts_with(bad)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_closed_before_and_after_it_has_a_websocket() {
    let config = OPEN.replace("no_tls: true", "no_tls: true, handshake_timeout: \"200ms\"");
    let config = format!("{config}\nauthorization {{ token: t, timeout: 0.2 }}");
    on_each(&config, async |program| {
        let mut silent = program.socket().await;
        silent.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let _ = within(silent.read_to_end(&mut Vec::new())).await;
        let heard = program.answer("", "<nothing>").await;
        assert!(
            heard.starts_with("-ERR 'Authentication Timeout'\r\n"),
            "{heard}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_known_cannot_send_much() {
    let config = format!("{OPEN}\nauthorization {{ token: t }}");
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "server.conf", &config);
    let program = Program::start(&["-c", &file]).await;
    for much in [
        said(&"x".repeat(1 << 20)),
        [
            frame(BINARY, b"C"),
            frame(CONTINUATION, &[b' '; 1000]).repeat(20),
        ]
        .concat(),
        whole(PING, &[b'x'; 100]).repeat(200),
    ] {
        let mut peer = program.peer().await;
        peer.say(&much).await;
        let heard = peer.hear(&vec![(CLOSE, vec![])]).await;
        // It is not taken in: that would be answered. What is left unread at the server's end may reset the connection before the
        // reason arrives.
        assert!(heard.iter().all(|(kind, _)| [PONG, CLOSE].contains(kind)));
    }
    let largest = format!(
        "SUB a 1\r\nPUB a 1000000\r\n{}\r\nPING\r\n",
        "x".repeat(1_000_000)
    );
    let mut known = program.peer().await;
    let introduction = said("CONNECT {\"verbose\":false,\"auth_token\":\"t\"}\r\n");
    known.say(&[introduction, said(&largest)].concat()).await;
    let heard = known.hear_until("PONG").await;
    assert!(heard.starts_with("MSG a 1 1000000\r\nx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_may_be_others_by_websocket() {
    let users = r#"authorization { users: [
        {user: both, password: p},
        {user: standard, password: p, allowed_connection_types: [STANDARD]},
        {user: page, password: p, allowed_connection_types: ["websocket"]}
    ] }"#;
    let with = |websocket: &str, rest: &str| {
        format!(
            "{}\n{rest}",
            OPEN.replace("no_tls: true", &format!("no_tls: true{websocket}"))
        )
    };
    let by = |name: &str| format!("CONNECT {{\"user\":\"{name}\",\"pass\":\"p\"}}\r\n");
    let (known, refused) = ("+OK\r\n", "-ERR 'Authorization Violation'\r\n");
    let guest = "no_auth_user: page";
    let own = "authorization { user: own, password: p }";
    for (config, cases) in [
        (
            with("", users),
            vec![
                (by("both"), known),
                (by("standard"), refused),
                (by("page"), known),
                ("CONNECT {}\r\n".to_owned(), refused),
            ],
        ),
        (
            with(&format!(", {guest}"), users),
            vec![("CONNECT {}\r\n".to_owned(), known), (by("both"), known)],
        ),
        (
            with(&format!(", {own}"), "authorization { token: t }"),
            vec![
                (by("own"), known),
                ("CONNECT {\"auth_token\":\"t\"}\r\n".to_owned(), refused),
            ],
        ),
        (
            with("", "authorization { token: t }"),
            vec![("CONNECT {\"auth_token\":\"t\"}\r\n".to_owned(), known)],
        ),
    ] {
        on_each(&config, async |program| {
            for (say, expected) in &cases {
                let heard = program.answer(say, "\r\n").await;
                assert_eq!(heard, *expected, "{say} with {config}");
            }
        })
        .await;
    }
    // By a socket of its own it is another user.
    on_each(&with("", users), async |program| {
        let connect = async |user: &str| {
            let options =
                async_nats::ConnectOptions::with_user_and_password(user.into(), "p".into());
            within(options.connect(program.addr().replace("0.0.0.0", "127.0.0.1")))
                .await
                .is_ok()
        };
        assert!(connect("standard").await && !connect("page").await);
    })
    .await;
}

/// A client that speaks TLS first, with a certificate.
async fn secure(
    program: &Program,
    certificates: &Certificates,
    name: &str,
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(certificates.cert("ca")).unwrap();
    roots.add(ca).unwrap();
    let own = CertificateDer::from_pem_file(certificates.cert(name)).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificates.key(name)).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![own], key)
        .unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let host = ServerName::try_from("localhost").unwrap();
    connector
        .connect(host, program.socket().await)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_on_tls_is_its_certificates_user() {
    let certificates = Certificates::new();
    let path = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let config = format!(
        "port: -1\nauthorization {{ users: [{{user: \"client.example\"}}] }}\n\
         websocket {{ listen: \"127.0.0.1:-1\", no_tls: true, same_origin: true, \
         tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify_and_map: true }} }}",
        path(certificates.cert("server")),
        path(certificates.key("server")),
        path(certificates.cert("ca")),
    );
    on_each(&config, async |program| {
        assert!(
            program
                .behind("Listening for websocket clients on ")
                .starts_with("wss://")
        );
        for (name, expected) in [
            ("client", "+OK\r\n"),
            ("server", "-ERR 'Authorization Violation'\r\n"),
        ] {
            let socket = secure(&program, &certificates, name).await;
            let request = request("Origin: https://films.example\r\n");
            let mut peer = Peer::ask(socket, &request).await.ok().unwrap();
            let info = peer.greeting().await;
            assert_eq!(
                (&info["tls_required"], &info["tls_available"]),
                (&true.into(), &true.into())
            );
            peer.say(&said("CONNECT {}\r\n")).await;
            assert_eq!(peer.hear_until("\r\n").await, expected, "{name}");
        }
        let socket = secure(&program, &certificates, "client").await;
        let asked = Peer::ask(socket, &request("Origin: http://films.example\r\n")).await;
        assert_eq!(asked.err().unwrap(), "HTTP/1.1 403 Forbidden");
        let plain = program.ask("").await.err().unwrap();
        assert_ne!(plain, "HTTP/1.1 101 Switching Protocols");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_see_websockets_and_their_clients() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let config = OPEN.replace(
        "no_tls: true",
        "no_tls: true, same_origin: true, compression: true, \
         handshake_timeout: 3, allowed_origins: [\"http://a.example\", \"https://b.example:8443\"]",
    );
    let config = format!("{config}\nhttp: \"127.0.0.1:-1\"\nports_file_dir: \"{dir}\"");
    on_each(&config, async |program| {
        let url = program
            .behind("Listening for websocket clients on ")
            .to_owned();
        let ports = format!("{dir}/nats-server_{}.ports", program.pid());
        let read = || serde_json::from_str(&std::fs::read_to_string(&ports).ok()?).ok();
        // A real server writes it last, and it is there before it is whole.
        testkit::eventually("the file of the ports", async || {
            read().is_some_and(|ports: Value| ports.is_object())
        })
        .await;
        let ports: Value = read().unwrap();
        assert_eq!(ports["websocket"][0], url);
        let mut peer = program.ask("").await.unwrap();
        let info = peer.greeting().await;
        // Who does not introduce itself is closed after a while.
        peer.say(&said(&format!("{QUIET}PING\r\n"))).await;
        peer.hear_until("PONG").await;
        let port: u16 = url.rsplit_once(':').unwrap().1.parse().unwrap();
        assert_eq!(
            (&info["host"], &info["port"]),
            (&"127.0.0.1".into(), &port.into())
        );
        let http = program.behind("Starting http monitor on ");
        let mut websocket = get(http, "/varz").await.1["websocket"].take();
        // This broker does not claim to compress.
        websocket.as_object_mut().unwrap().remove("compression");
        let expected = serde_json::json!({
            "host": "127.0.0.1",
            "port": port,
            "handshake_timeout": 3_000_000_000_u64,
            "no_tls": true,
            "same_origin": true,
            "allowed_origins": ["http://a.example", "https://b.example:8443"],
        });
        assert_eq!(websocket, expected);
        let (_, connz) = get(http, "/connz").await;
        let client = &connz["connections"][0];
        assert_eq!(
            (&client["kind"], &client["type"]),
            (&"Client".into(), &"websocket".into())
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_count_and_go_as_other_clients_do() {
    let config = format!(
        "{OPEN}\nmax_connections: 1\nlame_duck_grace_period: \"1ms\"\nlame_duck_duration: \"30s\""
    );
    on_each(&config, async |program| {
        let mut first = program.peer().await;
        let introduction = "CONNECT {\"verbose\":false,\"protocol\":1}\r\n";
        // What another client says is no reason to be closed.
        let like_an_error = format!("{introduction}SUB a 1\r\nPUB a 9\r\n-ERR 'no'\r\n");
        first.say(&said(&like_an_error)).await;
        first.hear_until("-ERR 'no'\r\n").await;
        first.say(&said("PING\r\n")).await;
        first.hear_until("PONG").await;
        let second = program.answer(QUIET, "<nothing>").await;
        assert!(
            second.starts_with("-ERR 'maximum connections exceeded'\r\n"),
            "{second}"
        );
        let name = program.pid();
        // Both programs take the signal of nats-server for this.
        let sent = output(command(&["--signal", &format!("ldm={name}")])).await;
        assert!(sent.0, "{sent:?}");
        let told = first.hear_until("\"ldm\":true").await;
        assert!(told.contains("\"ldm\":true"), "{told}");
        let heard = first.hear(&vec![(CLOSE, vec![])]).await;
        let end = (CLOSE, 1001_u16.to_be_bytes().to_vec());
        assert_eq!(heard.last(), Some(&end));
        let mut program = program;
        assert!(within(program.child.wait()).await.is_ok());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_who_connects_by_websocket() {
    let folder = tempfile::tempdir().unwrap();
    let with = |token: &str| {
        let own = format!("no_tls: true, authorization {{ token: {token} }}");
        write(
            folder.path(),
            "server.conf",
            &OPEN.replace("no_tls: true", &own),
        )
    };
    let file = with("first");
    let mut program = Program::start(&["-c", &file]).await;
    let by = |token: &str| format!("CONNECT {{\"auth_token\":\"{token}\"}}\r\n");
    let (taken, refused) = ("+OK\r\n", "-ERR 'Authorization Violation'\r\n");
    let mut known = program.peer().await;
    known.say(&said(&by("first"))).await;
    assert_eq!(known.hear_until("\r\n").await, taken);
    with("second");
    program.signal("reload").await;
    program.wait_for("Reloaded server configuration").await;
    let heard = known.hear_until("<nothing>").await;
    assert!(heard.starts_with(refused), "{heard}");
    assert_eq!(program.answer(&by("second"), "\r\n").await, taken);
    // As with nats-server, whether there are websockets, and where, changes only at a start.
    for gone in ["", "websocket {}", "websocket { port: 0, no_tls: true }"] {
        let text = format!("port: -1\n{gone}");
        write(folder.path(), "server.conf", &text);
        program.signal("reload").await;
        program
            .wait_for("config reload not supported for Websocket")
            .await;
        let heard = program.answer(&by("second"), "\r\n").await;
        assert_eq!(heard, taken, "{gone}");
        let heard = program.answer(&by("third"), "\r\n").await;
        assert_eq!(heard, refused, "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_websockets_are_checked_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let users = "authorization { users: [{user: a, password: p}] }";
    let real = real();
    for (websocket, rest, is_valid) in [
        ("port: -1, no_tls: true", "", true),
        ("port: 1", "", false),
        ("", "", true),
        ("port: 0", "", true),
        (
            "listen: \"127.0.0.1:-1\", no_tls: true, compression: true",
            "",
            true,
        ),
        ("listen: \"nowhere\", no_tls: true", "", false),
        (
            "port: -1, no_tls: true, handshake_timeout: \"soon\"",
            "",
            false,
        ),
        ("port: -1, no_tls: true, handshake_timeout: 2", "", true),
        (
            "port: -1, no_tls: true, allowed_origins: \"a.example\"",
            "",
            false,
        ),
        (
            "port: -1, no_tls: true, allowed_origins: \"ftp://a.example\"",
            "",
            false,
        ),
        (
            "port: -1, no_tls: true, allowed_origin: \"https://a.example\"",
            "",
            true,
        ),
        ("port: -1, no_tls: true, no_auth_user: a", users, true),
        ("port: -1, no_tls: true, no_auth_user: b", users, false),
        ("port: -1, no_tls: true, no_auth_user: a", "", false),
        (
            "port: -1, no_tls: true, authorization { user: x, password: y }",
            "",
            true,
        ),
        (
            "port: -1, no_tls: true, authorization { user: x, password: y }",
            users,
            false,
        ),
        (
            "port: -1, no_tls: true, authorization { token: x }",
            users,
            false,
        ),
        ("port: -1, no_tls: true, nonsense: true", "", false),
        (
            "port: -1, tls { cert_file: \"/none\", key_file: \"/none\" }",
            "",
            false,
        ),
    ] {
        let text = format!("port: -1\nwebsocket {{ {websocket} }}\n{rest}");
        let file = write(folder.path(), "server.conf", &text);
        let (valid, code, said) = output(command(&["-t", "-c", &file])).await;
        assert_eq!(valid, is_valid, "{text}: {said}");
        assert!(valid || code == Some(64), "{code:?}");
        if let Some(real) = &real {
            // What is wrong together it says only when it starts.
            let arguments: &[&str] = if is_valid {
                &["-t", "-c", &file]
            } else {
                &["-c", &file]
            };
            let (valid, _, said) = output(real(arguments)).await;
            assert_eq!(valid, is_valid, "nats-server: {text}: {said}");
        }
    }
    for (text, reason) in [
        (
            "websocket { port: 1 }",
            "websocket requires TLS configuration",
        ),
        (
            "websocket { port: 1, no_tls: true, jwt_cookie: c }",
            "`jwt_cookie` of nats-server is not supported",
        ),
        (
            "websocket { listen: \"0.0.0.0:1\", no_tls: true }",
            "can be reached from other machines",
        ),
        (
            "websocket { port: 1, no_tls: true, authorization { token: \"$2a$11$x\" } }",
            "websocket.authorization: the bcrypt hash of `token` is not a valid one",
        ),
        // nats-server ignores it.
        (
            "websocket { port: 1, no_tls: true, authorization { password: p } }",
            "websocket.authorization: a password needs a user",
        ),
    ] {
        let file = write(folder.path(), "server.conf", text);
        let (_, code, said) = output(command(&["-t", "-c", &file])).await;
        assert_eq!(code, Some(64), "{text}: {said}");
        assert!(said.contains(reason), "{text}: {said}");
    }
}
