//! A program in a process of its own, whose lines are read while it runs. Dropped, it is killed.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Longer than a program takes between two lines that a test waits for.
const LINE_LIMIT: Duration = Duration::from_secs(60);

/// Collects the lines of a stream, so that its pipe never fills, and shows each of them to a closure.
fn collect(
    stream: impl AsyncRead + Unpin + Send + 'static,
    kept: Arc<Mutex<String>>,
    mut show: impl FnMut(&str) + Send + 'static,
) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            show(&line);
            let mut kept = kept.lock().unwrap();
            kept.push_str(&line);
            kept.push('\n');
        }
    });
}

/// A running program.
pub(crate) struct Program {
    pub(crate) child: Child,
    errors: Arc<Mutex<String>>,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) input: ChildStdin,
}

impl Program {
    /// Starts a program; `show` is given each line of its standard error.
    pub(crate) fn start(command: &mut Command, show: impl FnMut(&str) + Send + 'static) -> Self {
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let spawned = piped.spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let errors = Arc::default();
        collect(child.stderr.take().unwrap(), Arc::clone(&errors), show);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let input = child.stdin.take().unwrap();
        Self {
            child,
            errors,
            lines,
            input,
        }
    }

    /// The next line of its standard output, or nothing after the last one.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let line = timeout(LINE_LIMIT, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("it fell silent:\n{}", self.errors()));
        line.unwrap()
    }

    /// What it has written to its standard error.
    pub(crate) fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Kills it, as a power failure would.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it has ended by itself; answers whether it says that all went well.
    pub(crate) async fn ended(&mut self) -> bool {
        let status = timeout(LINE_LIMIT, self.child.wait()).await;
        status.expect("it does not end").unwrap().success()
    }
}
