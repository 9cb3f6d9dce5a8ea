//! The bridge's settings.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

/// The settings of the program `bridge`, each a flag and an environment variable.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where the NATS-compatible broker listens
    #[arg(
        long,
        env = "NATS_ADDR",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:4222"
    )]
    pub nats_addr: SocketAddr,

    /// Where health is served
    #[arg(
        long,
        env = "HTTP_ADDR",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:8222"
    )]
    pub http_addr: SocketAddr,

    /// The folder for what is kept: the broker's streams
    #[arg(
        long,
        env = "DATA_DIR",
        value_name = "FOLDER",
        default_value = "./data"
    )]
    pub data_dir: PathBuf,
}
