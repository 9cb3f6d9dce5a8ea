//! The catalog's settings.

use std::{net::SocketAddr, path::PathBuf};

use bus::BusSettings;
use clap::Args;
use runtime::{ServiceAddress, settings};
use storage::DatabaseUrl;

/// The catalog's settings, each a flag and an environment variable.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where the Catalog gRPC service is served.
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:50052")]
    pub catalog_grpc_addr: SocketAddr,
    /// The folder for what is kept: the SQLite database and a generated secret key.
    #[arg(long, env, value_name = "FOLDER", default_value = "./data")]
    pub data_dir: PathBuf,
    /// The movies database: sqlite://PATH or mysql://USER:PASSWORD@HOST:PORT/NAME [default: movies.db
    /// in the data folder].
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    pub database_url: Option<DatabaseUrl>,
    /// The event bus.
    #[command(flatten)]
    pub bus: BusSettings,
    /// Where the recommendations service is, or consul://SERVICE; the port is 50051 unless given.
    #[arg(
        long,
        env,
        value_name = "HOST[:PORT]",
        default_value = "127.0.0.1:50051",
        value_parser = |text: &str| ServiceAddress::parse(text, 50_051)
    )]
    pub recommendations_host: ServiceAddress,
    /// The name under which the operator knows the database's setting.
    #[arg(skip = settings::name("database-url"))]
    pub database_setting: String,
}

impl Config {
    /// The URL of the movies database.
    pub fn database(&self) -> DatabaseUrl {
        let file = || DatabaseUrl::Sqlite(self.data_dir.join("movies.db"));
        self.database_url.clone().unwrap_or_else(file)
    }
}
