//! The settings of the event bus, the same for every program. A client of the embedded broker needs
//! its token: from the URL, from a setting, or from the data folder that it shares with the broker.

use std::path::Path;

use clap::Args;
use runtime::{
    Fault,
    settings::{self, BROKER_TOKEN_FILE, ServerToken},
};

use super::{Bus, BusUrl, KafkaSecurity, NatsFiles, Retention};

/// What a client shows the servers of NATS, the same settings for every program.
#[derive(Debug, Clone, Default, Args)]
pub struct NatsSettings {
    /// The token of the servers of NATS [default: that in their URL; on this machine, that in the data folder]
    #[arg(long, env, value_name = "TEXT", hide_env_values = true)]
    pub nats_token: Option<ServerToken>,

    /// A user, its certificate and the authorities of the servers.
    #[command(flatten)]
    pub files: NatsFiles,
}

impl NatsSettings {
    /// `url` with all of it, if it is one of NATS.
    ///
    /// # Errors
    ///
    /// If a file cannot be used, or several users are given.
    pub fn applied_to(&self, url: BusUrl) -> Result<BusUrl, Fault> {
        let url = match &self.nats_token {
            Some(token) => url.with_token(token),
            None => url,
        };
        let BusUrl::Nats(servers) = url else {
            return Ok(url);
        };
        let flag = |file: &str| settings::name(&format!("nats-{}", file.replace('_', "-")));
        let servers = servers.with_files(&self.files, flag);
        servers
            .map(BusUrl::Nats)
            .map_err(|bad| Fault::bad_setting(flag(bad.file), bad))
    }
}

/// Which event bus to use, the same settings for every program.
#[derive(Debug, Clone, Default, Args)]
pub struct BusSettings {
    /// The event bus: nats://HOST:PORT or kafka://HOST:PORT [default: the broker of this machine]
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    pub event_bus: Option<BusUrl>,

    /// A Kafka broker; without EVENT_BUS it is the event bus
    #[arg(long, env, value_name = "HOST:PORT")]
    pub kafka_broker: Option<String>,

    /// What the brokers of Kafka are shown.
    #[command(flatten)]
    pub kafka: KafkaSecurity,

    /// What the servers of NATS are shown.
    #[command(flatten)]
    pub nats: NatsSettings,

    /// How much of a topic is kept.
    #[command(flatten)]
    pub retention: Retention,
}

impl BusSettings {
    /// The event bus that was asked for, if any was, with what it is shown.
    ///
    /// # Errors
    ///
    /// If `kafka_broker` has to be it and is none, or as for [`NatsSettings::applied_to`] and [`KafkaSecurity::properties`].
    pub fn chosen(&self) -> Result<Option<BusUrl>, Fault> {
        match (&self.event_bus, &self.kafka_broker) {
            (Some(url), _) => self
                .nats
                .applied_to(url.clone())
                .and_then(|url| self.secured(url)),
            (None, Some(broker)) => match format!("kafka://{broker}").parse() {
                Ok(url) => self.secured(url),
                Err(e) => {
                    let setting = settings::name("kafka-broker");
                    Err(Fault::bad_setting(setting, e))
                }
            },
            (None, None) => Ok(None),
        }
    }

    fn secured(&self, mut url: BusUrl) -> Result<Option<BusUrl>, Fault> {
        if let BusUrl::Kafka(brokers) = &mut url {
            brokers.secure(self.kafka.properties()?);
        }
        Ok(Some(url))
    }

    /// The event bus as [`url`](Self::url) has it, with the limits of its topics.
    ///
    /// # Errors
    ///
    /// As for [`chosen`](Self::chosen).
    pub fn bus(&self, data_dir: &Path) -> Result<Bus, Fault> {
        Ok(Bus {
            url: self.url(data_dir)?,
            retention: self.retention,
        })
    }

    /// The event bus: the one that was asked for, or the broker on its usual loopback address. A broker
    /// of this machine may keep its token in `data_dir`.
    ///
    /// # Errors
    ///
    /// As for [`chosen`](Self::chosen).
    pub fn url(&self, data_dir: &Path) -> Result<BusUrl, Fault> {
        let url = match self.chosen()? {
            Some(url) => url,
            None => {
                let url = "nats://127.0.0.1:4222".parse();
                self.nats
                    .applied_to(url.expect("the default address is a bus"))?
            }
        };
        Ok(url.with_token_file(data_dir.join(BROKER_TOKEN_FILE)))
    }
}

impl From<BusUrl> for BusSettings {
    fn from(url: BusUrl) -> Self {
        Self {
            event_bus: Some(url),
            kafka_broker: None,
            kafka: KafkaSecurity::default(),
            nats: NatsSettings::default(),
            retention: Retention::default(),
        }
    }
}
