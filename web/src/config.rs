//! The settings of the pages. A program that contains other services beside the pages takes
//! [`PagesConfig`] alone and knows the addresses of the services itself.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{ArgAction, Args, ValueEnum};
use runtime::{
    Fault, ServiceAddress,
    http::HttpSettings,
    resources::Share,
    settings::{self, MIN_SECRET_LEN, OpsSettings, kept_secret},
};
use sha2::{Digest, Sha512};

use crate::{
    CorsOrigins, Visitor, VisitorSource, client_rate::ClientRateSettings, prefix::PathPrefix,
    rate_limits::RateLimitSettings,
};

/// The name of the file in the data folder that keeps a generated secret key.
const SECRET_KEY_FILE: &str = "secret_key";

/// The settings of a web service, each a flag and an environment variable.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// How the pages are served.
    #[command(flatten)]
    pub pages: PagesConfig,
    /// The folder that keeps a generated secret key.
    #[arg(long, env, value_name = "FOLDER", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Where the catalog is, or consul://SERVICE; the port is 50052 unless given.
    #[arg(
        long,
        env,
        value_name = "HOST[:PORT]",
        default_value = "127.0.0.1:50052",
        value_parser = |text: &str| ServiceAddress::parse(text, 50_052)
    )]
    pub catalog_host: ServiceAddress,
    /// Where the recommendations service is, or consul://SERVICE; the port is 50051 unless given.
    #[arg(
        long,
        env,
        value_name = "HOST[:PORT]",
        default_value = "127.0.0.1:50051",
        value_parser = |text: &str| ServiceAddress::parse(text, 50_051)
    )]
    pub recommendations_host: ServiceAddress,
    /// Where the accounts service is, or consul://SERVICE; the port is 50053 unless given. Needed where people sign in.
    #[arg(
        long,
        env,
        value_name = "HOST[:PORT]",
        default_value = "127.0.0.1:50053",
        value_parser = |text: &str| ServiceAddress::parse(text, 50_053)
    )]
    pub accounts_host: ServiceAddress,
}

/// The settings of the pages in every program that has pages.
#[derive(Debug, Clone, Args)]
pub struct PagesConfig {
    /// Where the pages are served.
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:5000")]
    pub http_addr: SocketAddr,
    /// Whether people sign in: open for everybody, who is the owner then, or required [default: open if the pages are at a
    /// loopback address, else required].
    #[arg(long, env, value_name = "MODE", hide_possible_values = true)]
    pub accounts: Option<AccountsMode>,
    /// Shows films also to those who have not signed in: true or false.
    #[arg(long, env, value_name = "YES", default_value_t = false, action = ArgAction::Set)]
    pub public_catalog: bool,
    /// Lets ACCOUNTS be open although the pages are at no loopback address, because something else keeps others out: true or false.
    #[arg(long, env, value_name = "YES", default_value_t = false, action = ArgAction::Set)]
    pub allow_open_network: bool,
    /// Signs the cookies, at least 16 bytes; all web services of one site share it [default: generated,
    /// and kept in the data folder].
    #[arg(long, env, value_name = "TEXT", hide_env_values = true)]
    pub secret_key: Option<SecretKey>,
    /// How many open pages of this process may be told of recommendations as they come; 0 for none.
    #[arg(long, env, value_name = "NUMBER", default_value_t = 1_000)]
    pub live_pages: usize,
    /// The path under which a proxy shows the pages, as in /films [default: the root, or what the proxy
    /// says in X-Forwarded-Prefix].
    #[arg(
        long,
        env,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    pub path_prefix: PathPrefix,
    /// The origins of other sites whose pages may call the API, as in https://films.example, with commas
    /// between them [default: none].
    #[arg(
        long,
        env,
        value_name = "ORIGINS",
        default_value = "",
        hide_default_value = true
    )]
    pub cors_origins: CorsOrigins,
    /// How the connections of the pages are kept.
    #[command(flatten)]
    pub http: HttpSettings,
    /// What a client may ask for.
    #[command(flatten)]
    pub client_rate: ClientRateSettings,
    /// What a person, a token or an address may ask for.
    #[command(flatten)]
    pub rate_limits: RateLimitSettings,
    /// Where operators are answered.
    #[command(flatten)]
    pub ops: OpsSettings,
}

/// Whether people sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccountsMode {
    /// Nobody does: everybody is the owner.
    Open,
    /// Everybody does.
    Required,
}

impl PagesConfig {
    /// How it is found out who looks.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] if nobody signs in, and others than this machine can reach the pages.
    pub fn visitors(&self) -> Result<VisitorSource, Fault> {
        let is_loopback = self.http_addr.ip().to_canonical().is_loopback();
        let usual = match is_loopback {
            true => AccountsMode::Open,
            false => AccountsMode::Required,
        };
        match self.accounts.unwrap_or(usual) {
            AccountsMode::Open if !is_loopback && !self.allow_open_network => {
                let reason = format!(
                    "is open, and {} is no loopback address: everybody who reaches it would be the owner. Let people sign in \
                     (ACCOUNTS=required), or say that something else keeps others out (ALLOW_OPEN_NETWORK=true)",
                    self.http_addr
                );
                Err(Fault::bad_setting(settings::name("accounts"), reason))
            }
            AccountsMode::Open => Ok(VisitorSource::Open(Visitor::owner)),
            AccountsMode::Required => Ok(VisitorSource::Accounts {
                is_catalog_public: self.public_catalog,
            }),
        }
    }

    /// What everybody can do who reaches the pages.
    pub fn exposure(&self) -> settings::Open {
        match self.visitors() {
            Ok(VisitorSource::Accounts { .. }) => settings::Open::Nothing,
            _ => settings::Open::Pages,
        }
    }

    /// The address at which `health` asks: that for operators where the pages have TLS.
    pub fn health_addr(&self) -> SocketAddr {
        match self.http.http_cert_file {
            Some(_) => self.ops.address(),
            None => self.http_addr,
        }
    }

    /// Tells the log which settings ask for more than this process can have. To be called before anything is bound.
    pub fn warn_of_limits(&self) {
        let (wanted, connections) = (self.live_pages, Share::Pages.connections());
        let most = live_pages_of(connections);
        if wanted > most {
            let setting = settings::name("live-pages");
            tracing::warn!(
                wanted,
                most,
                connections,
                "{setting} is {wanted}, but there can be {connections} connections to the pages: {most} of them may be live pages; \
                 raise the limit of file descriptors (`ulimit -n`) for more"
            );
        }
    }

    /// How many pages may be live, each on a connection of its own.
    pub(crate) fn most_live_pages(&self) -> usize {
        self.live_pages
            .min(live_pages_of(Share::Pages.connections()))
    }
}

/// How many of the connections live pages may have: a quarter of them is for those who open pages.
fn live_pages_of(connections: usize) -> usize {
    connections - connections / 4
}

impl Config {
    /// The secret key: the setting, or the one in the data folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written.
    pub fn secret(&self) -> Result<SecretKey, Fault> {
        match &self.pages.secret_key {
            Some(key) => Ok(key.clone()),
            None => match kept_secret(&self.data_dir.join(SECRET_KEY_FILE)) {
                Ok(kept) => Ok(SecretKey::derive(&kept)),
                Err(e) => {
                    let reason = format!("cannot keep a generated key in `{SECRET_KEY_FILE}`: {e}");
                    let setting = settings::name("secret-key");
                    Err(Fault::bad_setting(setting, reason))
                }
            },
        }
    }
}

/// A key that signs what is given to browsers. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; 64]);

impl SecretKey {
    /// 64 bytes from which keys can be made.
    pub fn bytes(&self) -> &[u8; 64] {
        &self.0
    }

    fn derive(text: &[u8]) -> Self {
        Self(Sha512::digest(text).into())
    }
}

impl FromStr for SecretKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() < MIN_SECRET_LEN {
            return Err(format!(
                "at least {MIN_SECRET_LEN} bytes that cannot be guessed are needed"
            ));
        }
        Ok(Self::derive(text.as_bytes()))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_secret_is_kept_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SECRET_KEY_FILE);
        let made = SecretKey::derive(&kept_secret(&path).unwrap());
        assert_eq!(SecretKey::derive(&kept_secret(&path).unwrap()), made);
        assert_eq!(format!("{made:?}"), "SecretKey(…)");
    }

    #[test]
    fn live_pages_leave_connections_to_others() {
        assert_eq!(live_pages_of(8_000), 6_000);
        assert_eq!(live_pages_of(448), 336);
        assert_eq!(live_pages_of(8), 6);
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!("secret".parse::<SecretKey>().is_err());
        assert!("sixteen bytes 16".parse::<SecretKey>().is_ok());
    }
}
