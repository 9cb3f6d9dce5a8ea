//! `bridge broker` as a program: what it prints, which files it leaves, what it answers over HTTP, which signals it obeys.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};

use crate::server::within;

mod operating;
mod signals;
mod starting;
mod websocket;

/// A server of its own process. It ends with the test.
struct Program {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// What it has logged so far.
    logged: Vec<String>,
    /// Its configuration, where a test changes that.
    config: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
    command.arg("broker").args(arguments).kill_on_drop(true);
    command
}

impl Program {
    /// Starts a server and waits until it says that it is ready.
    async fn start(arguments: &[&str]) -> Self {
        Self::run(command(arguments)).await
    }

    async fn run(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut program = Program {
            child,
            log,
            logged: Vec::new(),
            config: String::new(),
        };
        program.wait_for("Server is ready").await;
        program
    }

    /// Reads the log up to a line with `words` in it, which it returns.
    async fn wait_for(&mut self, words: &str) -> String {
        // One deadline for all lines: clients that are turned away again and again have the log go on for ever.
        let found = within(async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                self.logged.push(line.clone());
                if line.contains(words) {
                    return Some(line);
                }
            }
            None
        });
        let found = found.await;
        found.unwrap_or_else(|| panic!("the log ended without `{words}`: {:#?}", self.logged))
    }

    /// What stands behind `words` in the line of the log that has them.
    fn behind(&self, words: &str) -> &str {
        let found = self.logged.iter().find_map(|line| line.split_once(words));
        found
            .unwrap_or_else(|| panic!("no `{words}` in {:#?}", self.logged))
            .1
    }

    fn addr(&self) -> &str {
        self.behind("Listening for client connections on ")
    }

    /// Gives it another configuration, for the next reload.
    fn configure(&self, text: &str) {
        std::fs::write(&self.config, text).unwrap();
    }

    fn pid(&self) -> String {
        self.child.id().unwrap().to_string()
    }

    /// Sends it a signal by the program's own command, as `stop`, and waits for its end.
    async fn end(mut self, signal: &str) -> std::process::ExitStatus {
        self.signal(signal).await;
        within(self.child.wait()).await.unwrap()
    }

    async fn signal(&self, signal: &str) {
        let sent = command(&["--signal", &format!("{signal}={}", self.pid())]);
        assert!(output(sent).await.0);
    }
}

/// Servers with this configuration, and a folder each for streams: this one, and nats-server.
async fn servers_with(folder: &Path, text: &str) -> Vec<Program> {
    let mut servers = Vec::new();
    for (name, program) in [
        ("own", Some(env!("CARGO_BIN_EXE_bridge").to_owned())),
        ("real", testkit::server("TEST_NATS_SERVER")),
    ] {
        let Some(program) = program else { continue };
        let store = folder.join(format!("{name}-store"));
        let config = write(folder, &format!("{name}.conf"), text);
        let mut command = Command::new(program);
        if name == "own" {
            command.arg("broker");
        }
        let command_line = ["-c", &config, "-sd", store.to_str().unwrap()];
        command.args(command_line).kill_on_drop(true);
        let server = Program::run(command).await;
        servers.push(Program { config, ..server });
    }
    servers
}

/// Runs a command to its end: whether it succeeds, and what it prints on both streams.
async fn output(mut command: Command) -> (bool, Option<i32>, String) {
    let output = within(command.output()).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        output.status.code(),
        String::from_utf8(text).unwrap(),
    )
}

async fn get(addr: &str, path: &str) -> (String, Value) {
    let (head, body) = answer(addr, path).await;
    let status = head.lines().next().unwrap().to_owned();
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// The head of an answer, and its body.
async fn answer(addr: &str, path: &str) -> (String, String) {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(socket.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut whole = body.to_owned();
    if head.contains("chunked") {
        // The length of each part is on a line before it.
        let parts = body.split("\r\n").skip(1).step_by(2);
        whole = parts.collect();
    }
    (head.to_owned(), whole)
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
