//! The two servers that a client is tried with: one that has users, by password and by nkey, and streams; and one that
//! has a token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::program::Program;

/// Who may use the servers. The nkeys were made for this test.
pub(crate) const USER: &str = "ann";
pub(crate) const PASSWORD: &str = "a-password-of-this-test";
pub(crate) const TOKEN: &str = "a-token-of-this-test";
pub(crate) const SEED: &str = "SUAICJD7BVWO4QPJTJDMQ5BQSB7UDX5JXPSSFCN6XLTJZOFL5DTR2E2Q4U";
pub(crate) const UNKNOWN_SEED: &str = "SUAGLF3DEWPCRB4COKW6GPMWKFM4ZMYHTN6T2KP56SQYRAXEOAMVDDPONE";
const PUBLIC_KEY: &str = "UBVIJ67SKFJ63EH5SZ66UMQFEUBTYKOQLVG2D2236C3JUN5D3X7H3IEF";

/// How long a server takes to start at most.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Which program the servers are.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// `bridge broker`.
    Broker,
    /// A nats-server.
    NatsServer(PathBuf),
}

impl Kind {
    /// The program, with the arguments that nats-server takes.
    fn command(&self) -> Command {
        match self {
            Self::Broker => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
                command.arg("broker");
                command
            }
            Self::NatsServer(program) => Command::new(program),
        }
    }
}

/// A server that listens.
struct Server {
    program: Program,
    port: u16,
    /// Where it has websockets, if it does.
    websocket: String,
}

impl Server {
    /// Starts a server on this port, or on a free one, and waits until it is ready.
    async fn start(kind: &Kind, port: Option<u16>, arguments: &[&str]) -> Self {
        let port = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
        let mut command = kind.command();
        command.args(["--addr", "127.0.0.1", "--port", &port]);
        let (ready, mut is_ready) = mpsc::unbounded_channel();
        let (mut listening, mut websocket) = (None, String::new());
        let program = Program::start(command.args(arguments), move |line| {
            if let Some((_, at)) = line.split_once("Listening for client connections on ") {
                listening = at.rsplit(':').next().and_then(|port| port.parse().ok());
            }
            if let Some((_, at)) = line.split_once("Listening for websocket clients on ") {
                websocket = at.to_owned();
            }
            if line.contains("Server is ready") {
                // It is of no use once the test has what it waits for.
                let _ = ready.send(listening.map(|port| (port, websocket.clone())));
            }
        });
        let started = timeout(START_LIMIT, is_ready.recv()).await;
        let started = started.ok().flatten().flatten();
        let (port, websocket) =
            started.unwrap_or_else(|| panic!("{kind:?} did not start:\n{}", program.errors()));
        Self {
            program,
            port,
            websocket,
        }
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

/// Both servers, and the folder of what one of them keeps.
pub(crate) struct Servers {
    pub(crate) kind: Kind,
    folder: TempDir,
    with_users: Server,
    with_token: Server,
}

impl Servers {
    /// Starts both.
    pub(crate) async fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let users = format!(
            "authorization {{\n  users = [\n    {{ user: {USER}, password: {PASSWORD} }}\n    {{ nkey: {PUBLIC_KEY} }}\n  ]\n}}\n\
             websocket {{ host: 127.0.0.1, port: -1, no_tls: true }}\n"
        );
        std::fs::write(folder.path().join("users.conf"), users).unwrap();
        let with_users = Self::start_with_users(&kind, None, folder.path()).await;
        let with_token = Server::start(&kind, None, &["--auth", TOKEN]).await;
        Self {
            kind,
            folder,
            with_users,
            with_token,
        }
    }

    async fn start_with_users(kind: &Kind, port: Option<u16>, folder: &Path) -> Server {
        let path = |name| folder.join(name).display().to_string();
        let (file, store) = (path("users.conf"), path("streams"));
        Server::start(kind, port, &["-c", &file, "-js", "-sd", &store]).await
    }

    /// Where the server with users is.
    pub(crate) fn users_url(&self) -> String {
        self.with_users.url()
    }

    /// Where it is for websockets.
    pub(crate) fn websocket_url(&self) -> String {
        self.with_users.websocket.clone()
    }

    /// Where the server with a token is.
    pub(crate) fn token_url(&self) -> String {
        self.with_token.url()
    }

    /// Ends the server with users and starts it again where it was. The broker is killed, since it promises that what it
    /// acknowledged is on the disk; a nats-server may end in peace, since it does not.
    pub(crate) async fn restart(&mut self) {
        let program = &mut self.with_users.program;
        match &self.kind {
            Kind::Broker => program.kill().await,
            Kind::NatsServer(_) => {
                let signal = format!("quit={}", program.child.id().unwrap());
                let sent = self.kind.command().args(["--signal", &signal]).status();
                assert!(sent.await.unwrap().success());
                program.ended().await;
            }
        }
        let port = Some(self.with_users.port);
        self.with_users = Self::start_with_users(&self.kind, port, self.folder.path()).await;
    }

    /// What the servers said.
    pub(crate) fn errors(&self) -> String {
        [&self.with_users, &self.with_token]
            .map(|server| server.program.errors())
            .concat()
    }
}
