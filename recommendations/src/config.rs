//! The service's settings.

use std::{net::SocketAddr, path::PathBuf};

use bus::BusSettings;
use clap::Args;
use runtime::settings;
use storage::DatabaseUrl;

/// The settings of the program `recommendations`, each a flag and an environment variable.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where the Recommendations gRPC service is served
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:50051")]
    pub grpc_addr: SocketAddr,

    /// Where health is served
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:8051")]
    pub http_addr: SocketAddr,

    /// The folder for what is kept: the SQLite database
    #[arg(long, env, value_name = "FOLDER", default_value = "./data")]
    pub data_dir: PathBuf,

    /// The database: sqlite://FILE or mysql://USER:PASSWORD@HOST:PORT/NAME [default:
    /// recommendations.db in the data folder]
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    pub database_url: Option<DatabaseUrl>,

    /// The event bus.
    #[command(flatten)]
    pub bus: BusSettings,

    /// The name under which the operator knows the database's setting.
    #[arg(skip = settings::name("database-url"))]
    pub database_setting: String,

    /// Set where no other replica can use the database: a name that stays the same over restarts, so
    /// that what a crashed predecessor held need not run out.
    #[arg(skip)]
    pub sole_replica: Option<String>,
}

impl Config {
    /// The name of this replica, no other's.
    pub fn replica(&self) -> String {
        let unique = || uuid::Uuid::new_v4().to_string();
        self.sole_replica.clone().unwrap_or_else(unique)
    }

    /// The URL of the recommendations database.
    pub fn database(&self) -> DatabaseUrl {
        let file = || DatabaseUrl::Sqlite(self.data_dir.join("recommendations.db"));
        self.database_url.clone().unwrap_or_else(file)
    }
}
