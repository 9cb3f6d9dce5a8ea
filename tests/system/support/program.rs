//! One of the programs, in a process of its own.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

/// The built program of that name, or nothing if cargo was not asked to build it:
/// `cargo test --workspace` builds them all, `cargo test -p marquee` only the all-in-one program.
pub(crate) fn binary(name: &str) -> Option<PathBuf> {
    let marquee = Path::new(env!("CARGO_BIN_EXE_marquee"));
    let path = marquee
        .with_file_name(name)
        .with_extension(std::env::consts::EXE_EXTENSION);
    path.exists().then_some(path)
}

/// A running program. Dropped, it is killed; dropped by a failing test, it shows what it printed.
pub(crate) struct Program {
    name: String,
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts a program in `folder` with these settings in its environment and no others.
    pub(crate) fn start(name: &str, folder: &Path, settings: &[(String, String)]) -> Self {
        Self::start_with(name, folder, settings, &[])
    }

    /// Like [`Self::start`], with flags too.
    pub(crate) fn start_with(
        name: &str,
        folder: &Path,
        settings: &[(String, String)],
        flags: &[&str],
    ) -> Self {
        let mut child =
            Command::new(binary(name).unwrap_or_else(|| panic!("`{name}` is not built")))
                .args(flags)
                .current_dir(folder)
                .env_clear()
                .env("RUST_BACKTRACE", "1")
                .envs(settings.iter().cloned())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
        let (stdout, stderr) = <(Arc<Mutex<String>>, Arc<Mutex<String>>)>::default();
        let readers = vec![
            tokio::spawn(collect(child.stdout.take().unwrap(), Arc::clone(&stdout))),
            tokio::spawn(collect(child.stderr.take().unwrap(), Arc::clone(&stderr))),
        ];
        Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
            readers,
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("the program still runs")
    }

    /// What it has printed on its standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// What it has printed on its standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Asks it to stop as an orchestrator or Ctrl-C does: `TERM`, `INT`.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.id();
        // The shell's own `kill`: a bare machine may lack the program of that name.
        let sent = std::process::Command::new("sh")
            .args(["-c", &format!("kill -{signal} {process}")])
            .status();
        assert!(sent.unwrap().success(), "cannot signal {}", self.name);
    }

    /// Waits for its end, at most `limit`, and until all it printed was read.
    pub(crate) async fn end_within(&mut self, limit: Duration) -> ExitStatus {
        let status = match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("`{}` still runs after {limit:?}", self.name),
        };
        for reader in self.readers.drain(..) {
            reader.await.unwrap();
        }
        status
    }

    /// `SIGTERM`, and a clean end within the five seconds that are promised.
    pub(crate) async fn stop(&mut self) {
        self.signal("TERM");
        let status = self.end_within(Duration::from_secs(5)).await;
        assert_eq!(
            status.code(),
            Some(0),
            "`{}` did not stop cleanly",
            self.name
        );
    }

    /// `SIGKILL`: the program gets no chance to do anything.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Like [`Self::kill`], without waiting for the end.
    pub(crate) fn start_kill(&mut self) {
        self.child.start_kill().unwrap();
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "---- `{}` printed:\n{}{}----",
                self.name,
                self.stdout(),
                self.stderr()
            );
        }
    }
}

async fn collect(pipe: impl AsyncRead + Unpin, into: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut text = into.lock().unwrap();
        text.push_str(&line);
        text.push('\n');
    }
}
