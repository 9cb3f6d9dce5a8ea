//! The bridge's supervision tree, and the sockets it serves on.

use std::net::TcpListener;

use runtime::{
    Fault, Place, Process, Supervisor, ops,
    settings::{self, FolderClaim},
};

use crate::{
    broker::{Access, BrokerConfig, BrokerStats, actor::Broker},
    config::Config,
};

/// The sockets on which the bridge answers, bound already.
#[derive(Debug)]
pub struct Listeners {
    /// For NATS clients.
    pub nats: TcpListener,
    /// For health; none where another service of the process serves it.
    pub http: Option<TcpListener>,
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
        let data_dir = settings::name("data-dir", "DATA_DIR");
        let claim = settings::claim_folder(&data_dir, &config.data_dir)?;
        config.token()?;
        let nats = settings::name("nats-addr", "NATS_ADDR");
        let http = settings::name("http-addr", "HTTP_ADDR");
        Ok(Self {
            nats: settings::bind(&nats, config.nats_addr)?,
            http: Some(settings::bind(&http, config.http_addr)?),
            claim: Some(claim),
        })
    }
}

/// Runs the bridge until the process stops it.
///
/// ```text
/// bridge
///   └ messaging   broker
/// ```
///
/// # Errors
///
/// If a setting is wrong, or an actor cannot be kept alive.
pub async fn run(config: Config, listeners: Listeners, process: Process) -> Result<(), Fault> {
    let supervisor = Supervisor::new("bridge", &process);

    let access = Access::Token(config.token()?);
    let broker = BrokerConfig {
        retention: config.retention.retention(),
        ..BrokerConfig::new(config.data_dir.join("broker"), access)
    };
    let listener = listeners.nats;
    let _broker = supervisor
        .group("messaging")
        .supervise("broker", Place::Here, move |guard| {
            let listener = listener.try_clone();
            Broker::new(listener, broker.clone(), BrokerStats::default(), guard)
        });

    let outcome = ops::serve_health(listeners.http, &supervisor, &process).await;
    supervisor.stop(process.shutdown.time_left()).await;
    outcome
}
