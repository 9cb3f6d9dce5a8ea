//! The bridge's settings. There is none that lets clients in without a token: where none is set, the
//! bridge generates one and keeps it in the data folder.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use runtime::{
    Fault,
    settings::{self, BROKER_TOKEN_FILE, Token, age, kept_secret, size},
};

use crate::broker::Retention;

/// The settings of the program `bridge`, each a flag and an environment variable.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where the NATS-compatible broker listens
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:4222")]
    pub nats_addr: SocketAddr,

    /// Where health is served
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:8222")]
    pub http_addr: SocketAddr,

    /// The folder for what is kept: the broker's streams
    #[arg(long, env, value_name = "FOLDER", default_value = "./data")]
    pub data_dir: PathBuf,

    /// The token that clients show, at least 16 characters [default: generated, and kept in the file
    /// broker_token of the data folder]
    #[arg(long, env, value_name = "TEXT", hide_env_values = true)]
    pub nats_token: Option<Token>,

    /// What the broker's streams keep.
    #[command(flatten)]
    pub retention: RetentionSettings,
}

/// What the broker's streams keep that set no limit of their own.
#[derive(Debug, Clone, Args)]
pub struct RetentionSettings {
    /// How long a stream of the broker keeps messages (such as 12h or 7d; 0: without limit), unless it sets
    /// a limit of its own
    #[arg(long, env, value_name = "AGE", default_value = "7d", value_parser = age)]
    pub broker_max_age: Duration,

    /// How many bytes of messages a stream of the broker keeps (such as 512MiB; 0: any number), likewise
    #[arg(long, env, value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    pub broker_max_bytes: u64,

    /// How long it keeps messages that every durable consumer has acknowledged (0: like others), likewise
    #[arg(long, env, value_name = "AGE", default_value = "5m", value_parser = age)]
    pub broker_keep_acknowledged: Duration,
}

impl RetentionSettings {
    pub(crate) fn retention(&self) -> Retention {
        Retention {
            max_age: self.broker_max_age,
            max_bytes: self.broker_max_bytes,
            keep_acknowledged: self.broker_keep_acknowledged,
        }
    }
}

impl Config {
    /// The token: the setting, or the one in the data folder, which is generated if it is not there.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] if the file cannot be read or written, or holds no token.
    pub fn token(&self) -> Result<Token, Fault> {
        if let Some(token) = &self.nats_token {
            return Ok(token.clone());
        }
        let fault = |error: String| {
            let reason = format!("cannot use the token kept in `{BROKER_TOKEN_FILE}`: {error}");
            Fault::bad_setting(settings::name("nats-token"), reason)
        };
        let kept = kept_secret(&self.data_dir.join(BROKER_TOKEN_FILE));
        let kept = kept.map_err(|error| fault(error.to_string()))?;
        String::from_utf8_lossy(&kept).parse().map_err(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_generated_once_unless_it_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config {
            nats_addr: "127.0.0.1:0".parse().unwrap(),
            http_addr: "127.0.0.1:0".parse().unwrap(),
            data_dir: folder.path().to_owned(),
            nats_token: None,
            retention: RetentionSettings {
                broker_max_age: Duration::ZERO,
                broker_max_bytes: 0,
                broker_keep_acknowledged: Duration::ZERO,
            },
        };
        let generated = config.token().unwrap();
        assert_eq!(generated.expose().len(), 64);
        assert_eq!(config.token().unwrap(), generated);
        config.nats_token = Some("a-token-that-is-set".parse().unwrap());
        assert_eq!(config.token().unwrap().expose(), "a-token-that-is-set");
        config.nats_token = None;
        std::fs::write(
            folder.path().join(BROKER_TOKEN_FILE),
            "no token: it has spaces",
        )
        .unwrap();
        assert_eq!(config.token().unwrap_err().exit_code(), 64);
    }
}
