//! Two brokers, names that no other test uses there, and a relay that can be stopped and started.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use bridge::relay::{config, report::RouteReport, route};
use runtime::{
    Process, Supervisor,
    supervision::{ActorState, ActorStatus, Health},
};
use tempfile::TempDir;
use testkit::server;

use crate::{kafka::Kafka, nats::Nats};

/// Two brokers.
pub(crate) struct Pair {
    pub(crate) kafka: Kafka,
    pub(crate) nats: Nats,
    /// Begins the names of this test.
    pub(crate) prefix: String,
}

impl Pair {
    /// `None` if the environment does not name the real servers that are wanted.
    pub(crate) async fn of(real_kafka: bool, real_nats: bool) -> Option<Self> {
        let kafka = match real_kafka {
            true => Kafka::real(server("TEST_KAFKA_BROKERS")?),
            false => Kafka::mock(),
        };
        let nats = match real_nats {
            true => Nats::real(&server("TEST_NATS_URL")?).await,
            false => Nats::embedded().await,
        };
        Some(Self {
            kafka,
            nats,
            prefix: format!("t{:08x}", rand::random::<u32>()),
        })
    }

    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Writes the file of a relay with `routes`, in which `PREFIX` stands for the prefix.
    fn settings(&self, routes: &str) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.toml");
        let text = format!(
            "[kafka.k]\nbrokers = \"{}\"\n[nats.n]\nurl = \"{}\"\n{}",
            self.kafka.brokers,
            self.nats.url(),
            routes.replace("PREFIX", &self.prefix)
        );
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    /// Starts a relay with `routes` as a program of its own.
    pub(crate) fn program(&self, routes: &str) -> Program {
        self.program_at(routes, "127.0.0.1:0")
    }

    /// The same, with the address at which it tells how it is.
    pub(crate) fn program_at(&self, routes: &str, http: &str) -> Program {
        let (folder, path) = self.settings(routes);
        let child = Command::new(env!("CARGO_BIN_EXE_bridge"))
            .args(["relay", "--http-addr", http, "--config"])
            .arg(&path)
            .spawn()
            .unwrap();
        Program {
            child,
            _folder: folder,
        }
    }

    /// Starts a relay with `routes`.
    pub(crate) fn relay(&self, routes: &str) -> Relay {
        let (_folder, path) = self.settings(routes);
        let config = config::read(&path).unwrap();
        let process = Process::new();
        let supervisor = Supervisor::new("relay", &process);
        let reports = route::start(&supervisor, &config);
        Relay {
            process,
            supervisor,
            reports,
        }
    }
}

/// A relay that runs.
pub(crate) struct Relay {
    pub(crate) process: Process,
    supervisor: Supervisor,
    pub(crate) reports: Vec<RouteReport>,
}

impl Relay {
    pub(crate) async fn stop(self) {
        self.stop_within(Duration::from_secs(10)).await;
    }

    pub(crate) async fn stop_within(self, deadline: Duration) {
        self.supervisor.stop_side_by_side(deadline).await;
        let actors = self.process.registry.actors();
        assert!(actors.iter().all(|actor| actor.restarts == 0), "{actors:?}");
        let has_stopped = |actor: &ActorStatus| actor.state == ActorState::Stopped;
        assert!(actors.iter().all(has_stopped), "{actors:?}");
    }

    /// Whether all actors do what they are for.
    pub(crate) fn is_ready(&self) -> bool {
        let actors = self.process.registry.actors();
        actors.iter().all(|actor| actor.health == Health::Ready)
    }
}

/// A relay that runs as a program of its own, until it is killed.
pub(crate) struct Program {
    child: Child,
    _folder: TempDir,
}

impl Program {
    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        let sent = kill.args([&format!("-{signal}"), &self.child.id().to_string()]);
        assert!(sent.status().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
