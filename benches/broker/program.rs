//! The two servers that are measured, each in a process of its own.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{ports::free_address, wire::Client};

/// How long anything may take that should take a moment.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How long a server that starts is left alone before it is asked again.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(2);

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `bridge broker`.
    Ours,
    /// nats-server.
    Theirs,
}

/// A server that runs. Dropped, it is killed, and its folder is removed.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    folder: TempDir,
    child: Child,
}

impl Server {
    /// Starts a server over an empty folder and waits until it serves. `jetstream` is what its configuration says of streams
    /// besides their folder.
    pub(crate) fn start(kind: Kind, jetstream: &str) -> Self {
        let folder = TempDir::with_prefix_in("broker-", place()).unwrap();
        let address = free_address();
        let streams = folder.path().join("streams");
        let configuration = format!(
            "listen: \"{address}\"\njetstream {{\n  store_dir: \"{}\"\n  {jetstream}\n}}\n",
            streams.display()
        );
        fs::write(folder.path().join("server.conf"), configuration).unwrap();
        let child = spawn(kind, &folder);
        let server = Server {
            kind,
            address,
            folder,
            child,
        };
        server.wait_until(|_| true);
        server
    }

    /// Ends the process without a warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again over what it has stored, and returns how long it takes until `is_ready`.
    pub(crate) fn restart(&mut self, is_ready: impl Fn(&mut Client) -> bool) -> Duration {
        let begun = Instant::now();
        self.child = spawn(self.kind, &self.folder);
        self.wait_until(is_ready);
        begun.elapsed()
    }

    fn wait_until(&self, is_ready: impl Fn(&mut Client) -> bool) {
        let begun = Instant::now();
        loop {
            if let Ok(mut client) = Client::open(self.address)
                && is_ready(&mut client)
            {
                return;
            }
            let late = begun.elapsed() > PATIENCE;
            assert!(!late, "{:?} does not get ready", self.kind);
            std::thread::sleep(BETWEEN_QUESTIONS);
        }
    }

    /// How much of it is in memory, in megabytes.
    pub(crate) fn resident_mb(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<f64>().unwrap() * 1024.0 / 1e6
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both servers with the same configuration.
pub(crate) fn both(jetstream: &str) -> [Server; 2] {
    [Kind::Ours, Kind::Theirs].map(|kind| Server::start(kind, jetstream))
}

/// Where data folders are: on the disk that the targets are on, unless `BROKER_DIR` says another.
fn place() -> PathBuf {
    let place = std::env::var_os("BROKER_DIR");
    place.map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from)
}

fn spawn(kind: Kind, folder: &TempDir) -> Child {
    let log = File::create(folder.path().join("server.log")).unwrap();
    let mut command = match kind {
        Kind::Ours => {
            let mut command = Command::new(bridge());
            command.arg("broker");
            command
        }
        Kind::Theirs => Command::new(
            std::env::var_os("TEST_NATS_SERVER")
                .expect("TEST_NATS_SERVER names the nats-server to measure beside"),
        ),
    };
    command
        .arg("-c")
        .arg(folder.path().join("server.conf"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// The program of ours, which cargo puts beside those of this package.
fn bridge() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_marquee")).with_file_name("bridge");
    let program = std::env::var_os("BROKER_PROGRAM").map_or(built, PathBuf::from);
    let hint = "build it: cargo build --release --workspace --bin bridge";
    assert!(program.exists(), "no {}; {hint}", program.display());
    program
}
