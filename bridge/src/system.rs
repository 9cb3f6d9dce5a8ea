//! The bridge's supervision tree, and the sockets it serves on.

use std::net::{SocketAddr, TcpListener};

use runtime::{
    Fault, Prepared, Process, Program, Supervisor, ops,
    resources::Share,
    settings::{self, Claimed, FolderClaim},
};

use crate::{
    broker::{Access, BrokerConfig, BrokerStats, actors},
    config::Config,
};

/// The sockets on which the bridge answers, bound already.
#[derive(Debug)]
pub struct Listeners {
    /// For NATS clients.
    pub nats: TcpListener,
    /// Keeps other programs out of the data folder; none where the process has it already.
    pub claim: Option<FolderClaim>,
}

impl Listeners {
    /// Claims the data folder, makes sure that there is a token, and binds the addresses of the
    /// settings.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] if one of them cannot be had.
    pub fn bind(config: &Config) -> Result<Self, Fault> {
        let claim = settings::claim_folder(&config.data_dir, Claimed::Broker)?;
        config.token()?;
        Ok(Self {
            nats: settings::bind("nats-addr", config.nats_addr)?,
            claim: Some(claim),
        })
    }
}

impl Program for Config {
    const NAME: &'static str = "bridge";
    const ABOUT: &'static str = "Marquee's NATS-compatible broker\n\n\
        `bridge broker` is the same broker with the command line and the configuration files of nats-server;\n\
        `bridge relay` carries records between Kafka and NATS. Each has a --help of its own.";
    const HAS_GRPC: bool = false;

    fn health_addr(&self) -> SocketAddr {
        self.http_addr
    }

    fn prepare(self) -> Result<Prepared, Fault> {
        let listeners = Listeners::bind(&self)?;
        let ops = settings::bind("http-addr", self.http_addr)?;
        let data = format!("data: {}", self.data_dir.display());
        let nats = format!("NATS clients connect to nats://{}", self.nats_addr);
        let run = |process| run(self, listeners, process);
        Ok(Prepared::new(ops)
            .service("bridge", run)
            .welcome(data)
            .served(nats))
    }
}

/// Runs the bridge until the process stops it.
///
/// ```text
/// bridge
///   └ messaging   broker, listener
/// ```
///
/// # Errors
///
/// If a setting is wrong, or an actor cannot be kept alive.
pub async fn run(config: Config, listeners: Listeners, process: Process) -> Result<(), Fault> {
    let supervisor = Supervisor::new("bridge", &process);

    let access = Access::Token(config.token()?.into());
    let broker = BrokerConfig {
        retention: config.retention.retention(),
        ..BrokerConfig::new(config.data_dir.join("broker"), access)
    }
    .within(Share::Broker.connections());
    actors::supervise(
        &supervisor,
        listeners.nats,
        None,
        broker,
        BrokerStats::default(),
    );

    let outcome = ops::until_stopped(&supervisor, &process).await;
    supervisor.stop(process.shutdown.time_left()).await;
    outcome
}
