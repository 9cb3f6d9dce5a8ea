//! The service's settings.

use std::{net::SocketAddr, path::PathBuf};

use bus::BusSettings;
use clap::{Args, ValueEnum};
use proto::accounts::{Provider, Registration as WireRegistration};
use runtime::settings;
use storage::DatabaseUrl;

/// The settings of the program `accounts`, each a flag and an environment variable.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where the Accounts gRPC service is served
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:50053")]
    pub accounts_grpc_addr: SocketAddr,

    /// Where health is served
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:8053")]
    pub http_addr: SocketAddr,

    /// The folder for what is kept: the SQLite database
    #[arg(long, env, value_name = "FOLDER", default_value = "./data")]
    pub data_dir: PathBuf,

    /// The database: sqlite://FILE or mysql://USER:PASSWORD@HOST:PORT/NAME [default: accounts.db in the data folder]
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    pub database_url: Option<DatabaseUrl>,

    /// The event bus.
    #[command(flatten)]
    pub bus: BusSettings,

    /// What people can do.
    #[command(flatten)]
    pub accounts: AccountsSettings,

    /// Whether the log shows the code for the first account; not needed where the pages are for this machine alone.
    #[arg(skip = true)]
    pub shows_setup_code: bool,

    /// The name under which the operator knows the database's setting.
    #[arg(skip = settings::name("database-url"))]
    pub database_setting: String,
}

/// The settings that every program with the accounts service has.
#[derive(Debug, Clone, Args)]
pub struct AccountsSettings {
    /// Who may register: anybody, those who have an invitation, or nobody
    #[arg(long, env, value_name = "WHO", default_value = "invitation")]
    pub registration: Registration,
}

impl Default for AccountsSettings {
    fn default() -> Self {
        Self {
            registration: Registration::Invitation,
        }
    }
}

impl AccountsSettings {
    /// Whether mail can be sent.
    pub fn has_mail(&self) -> bool {
        false
    }

    /// Where people can sign in besides.
    pub fn providers(&self) -> Vec<Provider> {
        Vec::new()
    }
}

/// Who registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Registration {
    /// Anybody.
    Open,
    /// Those who have an invitation.
    Invitation,
    /// Nobody; invitations of earlier days do not count.
    Closed,
}

impl Registration {
    /// The same on the wire.
    pub fn on_the_wire(self) -> WireRegistration {
        match self {
            Self::Open => WireRegistration::Open,
            Self::Invitation => WireRegistration::Invitation,
            Self::Closed => WireRegistration::Closed,
        }
    }
}

impl Config {
    /// The URL of the accounts database.
    pub fn database(&self) -> DatabaseUrl {
        let file = || DatabaseUrl::Sqlite(self.data_dir.join("accounts.db"));
        self.database_url.clone().unwrap_or_else(file)
    }
}
