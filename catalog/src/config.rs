//! The catalog's settings.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use bus::BusSettings;
use clap::Args;
use runtime::{
    Fault,
    settings::{self, MIN_SECRET_LEN, kept_secret},
};
use sha2::{Digest, Sha512};
use storage::DatabaseUrl;
use tonic::transport::Endpoint;

/// The name of the file in the data folder that keeps a generated secret key.
const SECRET_KEY_FILE: &str = "secret_key";

/// The catalog's settings, each a flag and an environment variable.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where the pages are served.
    #[arg(
        long,
        env = "HTTP_ADDR",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:5000"
    )]
    pub http_addr: SocketAddr,
    /// Where the Catalog gRPC service is served.
    #[arg(
        long,
        env = "CATALOG_GRPC_ADDR",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:50052"
    )]
    pub catalog_grpc_addr: SocketAddr,
    /// The folder for what is kept: the SQLite database and a generated secret key.
    #[arg(
        long,
        env = "DATA_DIR",
        value_name = "FOLDER",
        default_value = "./data"
    )]
    pub data_dir: PathBuf,
    /// The movies database: sqlite://PATH or mysql://USER:PASSWORD@HOST:PORT/NAME [default: movies.db
    /// in the data folder].
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<DatabaseUrl>,
    /// The event bus.
    #[command(flatten)]
    pub bus: BusSettings,
    /// Where the recommendations service is; the port is 50051 unless given.
    #[arg(
        long,
        env = "RECOMMENDATIONS_HOST",
        value_name = "HOST[:PORT]",
        default_value = "127.0.0.1:50051"
    )]
    pub recommendations_host: RecommendationsHost,
    /// Signs the cookies, at least 16 bytes; all catalogs of one site share it [default: generated, and
    /// kept in the data folder].
    #[arg(long, env = "SECRET_KEY", value_name = "TEXT", hide_env_values = true)]
    pub secret_key: Option<SecretKey>,
    /// The name under which the operator knows the database's setting.
    #[arg(skip = settings::name("database-url", "DATABASE_URL"))]
    pub database_setting: String,
}

impl Config {
    /// The URL of the movies database.
    pub fn database(&self) -> DatabaseUrl {
        let file = || DatabaseUrl::Sqlite(self.data_dir.join("movies.db"));
        self.database_url.clone().unwrap_or_else(file)
    }

    /// The secret key: the setting, or the one in the data folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written.
    pub fn secret(&self) -> Result<SecretKey, Fault> {
        match &self.secret_key {
            Some(key) => Ok(key.clone()),
            None => match kept_secret(&self.data_dir.join(SECRET_KEY_FILE)) {
                Ok(kept) => Ok(SecretKey::derive(&kept)),
                Err(e) => {
                    let reason = format!("cannot keep a generated key in `{SECRET_KEY_FILE}`: {e}");
                    let setting = settings::name("secret-key", "SECRET_KEY");
                    Err(Fault::bad_setting(setting, reason))
                }
            },
        }
    }
}

/// Where the recommendations service is: `host` or `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecommendationsHost(String);

impl RecommendationsHost {
    /// The service's endpoint for gRPC without TLS.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("http://{}", self.0))
            .expect("parsing has made an endpoint of the same text before")
    }
}

impl FromStr for RecommendationsHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let has_port = text.rsplit_once(':').is_some_and(|(host, port)| {
            !(host.is_empty() || port.is_empty()) && port.bytes().all(|b| b.is_ascii_digit())
        }) && (!text.starts_with('[') || text.contains("]:"));
        let authority = if has_port {
            text.to_owned()
        } else {
            format!("{text}:50051")
        };
        let plain = !text.is_empty() && !text.contains(['/', '@', '?', '#', ' ']);
        let uri = format!("http://{authority}");
        let valid = plain
            && Endpoint::from_shared(uri).is_ok_and(|endpoint| {
                let uri = endpoint.uri();
                uri.host().is_some_and(|host| !host.is_empty()) && uri.port_u16().is_some()
            });
        if !valid {
            return Err("a host, or host:port, is needed, as in `recommendations:50051`".into());
        }
        Ok(Self(authority))
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
                "at least {MIN_SECRET_LEN} bytes that nobody can guess are needed"
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
    fn the_port_of_recommendations_is_optional() {
        for (text, authority) in [
            ("recommendations", "recommendations:50051"),
            ("recommendations:1", "recommendations:1"),
            ("10.0.0.1", "10.0.0.1:50051"),
            ("[::1]", "[::1]:50051"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(text.parse::<RecommendationsHost>().unwrap().0, authority);
        }
        for text in [
            "",
            "http://host",
            "host:",
            "host:port",
            "host:99999",
            "a b",
            ":1",
            "u@h",
        ] {
            assert!(text.parse::<RecommendationsHost>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_generated_secret_is_kept_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SECRET_KEY_FILE);
        let made = SecretKey::derive(&kept_secret(&path).unwrap());
        assert_eq!(SecretKey::derive(&kept_secret(&path).unwrap()), made);
        assert_eq!(format!("{made:?}"), "SecretKey(…)");
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!("secret".parse::<SecretKey>().is_err());
        assert!("sixteen bytes 16".parse::<SecretKey>().is_ok());
    }
}
