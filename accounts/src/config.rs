//! The service's settings.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use bus::BusSettings;
use clap::{Args, ValueEnum};
use proto::accounts::Registration as WireRegistration;
use runtime::{
    Fault, settings,
    tls::{CertificateFile, Holds, IsRead},
};
use storage::DatabaseUrl;

use crate::{
    mail::{MailSettings, Mailer, PublicUrl},
    providers::{Provider as IdentityProvider, ProviderSettings},
};

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

    /// Mail.
    #[command(flatten)]
    pub mail: MailSettings,

    /// The identity provider.
    #[command(flatten)]
    pub provider: ProviderSettings,
}

/// What the address of the provider's pages has.
pub const PROVIDER_ID: &str = "oidc";

/// The ways out: to a mail server and to an identity provider, each if the settings name one.
#[derive(Clone)]
pub struct Outside {
    /// The mail server.
    pub mailer: Option<Mailer>,
    /// The identity provider.
    pub provider: Option<Arc<IdentityProvider>>,
}

impl Default for AccountsSettings {
    fn default() -> Self {
        Self {
            registration: Registration::Invitation,
            mail: MailSettings::default(),
            provider: ProviderSettings::default(),
        }
    }
}

impl AccountsSettings {
    /// Whether mail can be sent.
    pub fn has_mail(&self) -> bool {
        self.mail_site().is_some()
    }

    /// Where links in mail lead, if mail can be sent.
    pub fn mail_site(&self) -> Option<&PublicUrl> {
        let server = self.mail.smtp_url.as_ref();
        server.and(self.mail.public_url.as_ref())
    }

    /// The files of authorities that others are judged by.
    pub fn certificate_files(&self) -> Vec<CertificateFile> {
        let files = [
            ("SMTP_CA_FILE", &self.mail.smtp_ca_file),
            ("OIDC_CA_FILE", &self.provider.oidc_ca_file),
        ];
        let files = files.into_iter().filter_map(|(setting, path)| {
            Some(CertificateFile {
                setting: setting.to_owned(),
                path: path.clone()?,
                holds: Holds::Authorities,
                is_read: IsRead::Once,
            })
        });
        files.collect()
    }

    /// The ways out that the settings name. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] for a setting that is missing or wrong.
    pub fn outside(&self) -> Result<Outside, Fault> {
        let mailer = Mailer::new(&self.mail);
        let provider = IdentityProvider::new(&self.provider);
        let bad = |flag, reason: String| Fault::bad_setting(settings::name(flag), reason);
        Ok(Outside {
            mailer: mailer.map_err(|error| bad(error.flag, error.reason))?,
            provider: provider
                .map_err(|error| bad(error.flag, error.reason))?
                .map(Arc::new),
        })
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
