//! A client in a language of its own: a script beside this file, which names each step that went well.

use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::STEPS;
use crate::program::Program;
use crate::servers::{PASSWORD, SEED, Servers, TOKEN, UNKNOWN_SEED, USER};

/// A script, what runs it, and where that finds the client.
pub(crate) struct Script {
    interpreter: PathBuf,
    switches: &'static [&'static str],
    name: &'static str,
    modules: Option<PathBuf>,
}

impl Script {
    /// The script for nats-py, run by the Python that has it.
    pub(crate) fn python(interpreter: PathBuf) -> Self {
        Self {
            interpreter,
            switches: &[],
            name: "client.py",
            modules: None,
        }
    }

    /// The script for nats.js, which is in this folder.
    pub(crate) fn node(modules: PathBuf) -> Self {
        Self {
            interpreter: "node".into(),
            // Only later versions have them without it.
            switches: &["--experimental-websocket"],
            name: "client.cjs",
            modules: Some(modules),
        }
    }

    /// Runs the script, and restarts the server where it says so.
    pub(crate) async fn run(&self, servers: &mut Servers) {
        let given = json!({
            "users": servers.users_url(),
            "websocket": servers.websocket_url(),
            "user": USER,
            "password": PASSWORD,
            "seed": SEED,
            "other_seed": UNKNOWN_SEED,
            "token_server": servers.token_url(),
            "token": TOKEN,
        });
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let mut command = Command::new(&self.interpreter);
        command
            .args(self.switches)
            .arg(scripts.join(self.name))
            .arg(given.to_string());
        if let Some(modules) = &self.modules {
            command.env("NODE_PATH", modules);
        }
        let mut client = Program::start(&mut command, |_| ());
        let mut taken = vec![];
        while let Some(line) = client.line().await {
            match line.split_once(' ') {
                Some(("ok", step)) => taken.push(step.to_owned()),
                None if line == "RESTART" => {
                    servers.restart().await;
                    client.input.write_all(b"\n").await.unwrap();
                }
                _ => panic!("`{}` said `{line}`", self.name),
            }
        }
        let went_well = client.ended().await;
        assert!(
            went_well && taken == STEPS,
            "with {:?} `{}` took the steps {taken:?}, and said:\n{}\nthe servers said:\n{}",
            servers.kind,
            self.name,
            client.errors(),
            servers.errors(),
        );
    }
}
