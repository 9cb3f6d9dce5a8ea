//! The settings of the identity provider.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::Args;
use url::Url;

use crate::mail::is_loopback;

/// The settings of the identity provider.
#[derive(Debug, Clone, Default, Args)]
pub struct ProviderSettings {
    /// The identity provider at which people may sign in, by OpenID Connect: its issuer, as it writes it itself [default: none]
    #[arg(long, env, value_name = "URL")]
    pub oidc_issuer: Option<IssuerSetting>,

    /// The name of this site for the identity provider
    #[arg(long, env, value_name = "ID")]
    pub oidc_client_id: Option<String>,

    /// The secret that the identity provider gave this site
    #[arg(long, env, value_name = "SECRET", hide_env_values = true)]
    pub oidc_client_secret: Option<ClientSecretSetting>,

    /// TLS with the identity provider: its authorities, in PEM [default: those of the system]
    #[arg(long, env, value_name = "FILE")]
    pub oidc_ca_file: Option<PathBuf>,

    /// What the button says [default: the host of the issuer]
    #[arg(long, env, value_name = "NAME")]
    pub oidc_name: Option<String>,
}

/// A setting that is wrong or missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: {reason}")]
pub struct BadProviderSetting {
    /// Its flag without hyphens in front, for example `oidc-client-id`.
    pub flag: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// The issuer, as it was written: a slash at its end is part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSetting {
    pub(super) text: String,
    pub(super) host: String,
}

impl FromStr for IssuerSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
        is_safe(&url)?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err("may have scheme, host, port and path only".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            host: url.host_str().unwrap_or_default().to_owned(),
        })
    }
}

/// The client's secret. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecretSetting(pub(super) String);

impl FromStr for ClientSecretSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() || text.contains(char::is_control) {
            return Err("a secret in one line is needed".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for ClientSecretSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecretSetting(…)")
    }
}

/// Whether nobody on the way can read or change what is sent there: by TLS, or on this machine.
///
/// # Errors
///
/// Why not.
pub(super) fn is_safe(url: &Url) -> Result<(), String> {
    let host = url.host().ok_or("names no host")?;
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&host) => Ok(()),
        "http" => {
            Err("is http:, which only a loopback address may be; https: is needed".to_owned())
        }
        other => Err(format!("begins with `{other}:` and not with https:")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_reached_by_tls_or_on_this_machine() {
        for text in [
            "https://login.example.org/realms/home/",
            "http://127.0.0.1:8080",
            "http://[::1]:8080/a",
            "http://localhost",
        ] {
            let issuer: IssuerSetting = text.parse().unwrap();
            assert_eq!(issuer.text, text);
        }
        for text in [
            "login.example.org",
            "http://login.example.org",
            "http://127.0.0.1.example.org",
            "http://10.0.0.1",
            "ftp://login.example.org",
            "file:///etc/passwd",
            "https://me@login.example.org",
            "https://login.example.org?a=b",
        ] {
            assert!(text.parse::<IssuerSetting>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let secret: ClientSecretSetting = "s3cret \n".parse().unwrap();
        assert_eq!(secret.0, "s3cret ");
        assert_eq!(format!("{secret:?}"), "ClientSecretSetting(…)");
        assert!("".parse::<ClientSecretSetting>().is_err());
        assert!("a\nb".parse::<ClientSecretSetting>().is_err());
    }
}
