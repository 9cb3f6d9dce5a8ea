//! The service's settings.

use std::{net::SocketAddr, path::PathBuf};

use bridge::bus::BusUrl;
use clap::Args;
use runtime::{Fault, settings};
use storage::DatabaseUrl;

/// The settings of the program `recommendations`, each a flag and an environment variable.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where the Recommendations gRPC service is served
    #[arg(
        long,
        env = "GRPC_ADDR",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:50051"
    )]
    pub grpc_addr: SocketAddr,

    /// Where health is served
    #[arg(
        long,
        env = "HTTP_ADDR",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:8051"
    )]
    pub http_addr: SocketAddr,

    /// The folder for what is kept: the SQLite database
    #[arg(
        long,
        env = "DATA_DIR",
        value_name = "FOLDER",
        default_value = "./data"
    )]
    pub data_dir: PathBuf,

    /// The database: sqlite://FILE or mysql://USER:PASSWORD@HOST:PORT/NAME [default:
    /// recommendations.db in the data folder]
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<DatabaseUrl>,

    /// The event bus: nats://HOST:PORT or kafka://HOST:PORT [default: nats://127.0.0.1:4222]
    #[arg(long, env = "EVENT_BUS", value_name = "URL", hide_env_values = true)]
    pub event_bus: Option<BusUrl>,

    /// A Kafka broker; without EVENT_BUS it is the event bus
    #[arg(long, env = "KAFKA_BROKER", value_name = "HOST:PORT")]
    pub kafka_broker: Option<String>,

    /// The name under which the operator knows the database's setting.
    #[arg(skip = settings::name("database-url", "DATABASE_URL"))]
    pub database_setting: String,
}

impl Config {
    /// The URL of the recommendations database.
    ///
    /// # Errors
    ///
    /// If the data folder's path cannot be part of one.
    pub fn database(&self) -> Result<DatabaseUrl, Fault> {
        match &self.database_url {
            Some(url) => Ok(url.clone()),
            None => format!(
                "sqlite://{}",
                self.data_dir.join("recommendations.db").display()
            )
            .parse()
            .map_err(|e| Fault::bad_setting(settings::name("data-dir", "DATA_DIR"), e)),
        }
    }

    /// The event bus.
    ///
    /// # Errors
    ///
    /// If `kafka_broker` has to be it and is none.
    pub fn bus(&self) -> Result<BusUrl, Fault> {
        let (setting, url) = match (&self.event_bus, &self.kafka_broker) {
            (Some(url), _) => return Ok(url.clone()),
            (None, Some(broker)) => (
                settings::name("kafka-broker", "KAFKA_BROKER"),
                format!("kafka://{broker}"),
            ),
            (None, None) => (
                settings::name("event-bus", "EVENT_BUS"),
                "nats://127.0.0.1:4222".into(),
            ),
        };
        url.parse().map_err(|e| Fault::bad_setting(setting, e))
    }
}
