//! What the settings come to: users, TLS, addresses, and the configuration of the broker.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime::Fault;
use runtime::resources::Share;
use runtime::telemetry::causes;

use super::settings::{AccessSettings, Settings};
use crate::broker::access::{Identity, Password, User, Users};
use crate::broker::tls::TlsSettings;
use crate::broker::{Access, BrokerConfig, JetStreamSettings, Retention};

/// How long a client may take to introduce itself.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// How many clients may be connected, if the process may have as many files open.
const MAX_CONNECTIONS: usize = 65_536;

impl Settings {
    /// Who may connect.
    ///
    /// # Errors
    ///
    /// If two ways of authorization are mixed, or a user is named that is not there.
    pub(super) fn access(&self) -> Result<Access, Fault> {
        let fault = |reason: String| Err(Fault::bad_setting("authorization", reason));
        let given = &self.access;
        if given.token.is_some() && (given.user.is_some() || given.password.is_some()) {
            return fault("a token and a user or a password cannot both be set".to_owned());
        }
        if given.users.is_some() && (given.token.is_some() || given.user.is_some()) {
            return fault("users cannot be set beside a single user or a token".to_owned());
        }
        if !given.operators.operators.is_empty() {
            if given.users.is_some() || given.token.is_some() || given.user.is_some() {
                return fault("users and tokens cannot be set beside operators".to_owned());
            }
            return Ok(Access::Operators(given.operators.clone()));
        }
        if !given.operators.accounts.is_empty() {
            return fault("`resolver_preload` needs an operator".to_owned());
        }
        let no_auth_user = given.no_auth_user.clone();
        if let Some(name) = &no_auth_user {
            let mut users = given.users.iter().flatten();
            if !users.any(|user| user.identity.name() == name) {
                return fault(format!("`no_auth_user`: there is no user `{name}`"));
            }
        }
        if let Some(token) = &given.token {
            return Ok(Access::Token(Password::new(token)));
        }
        let users = match (&given.users, &given.user, &given.password) {
            (Some(users), _, _) => given.in_accounts(users.clone())?,
            (None, None, None) => return Ok(Access::Open),
            // A password alone is the password of the user without a name, as in nats-server.
            (None, user, password) => vec![User {
                identity: Identity::Password {
                    name: user.clone().unwrap_or_default(),
                    password: Password::new(password.as_deref().unwrap_or_default()),
                },
                permissions: Default::default(),
                account: None,
            }],
        };
        Ok(Access::Users(Users {
            users,
            no_auth_user,
        }))
    }

    /// TLS of the clients' connections.
    ///
    /// # Errors
    ///
    /// If the certificate or the key is missing, or clients are verified without an authority.
    pub(super) fn tls(&self) -> Result<Option<TlsSettings>, Fault> {
        let Some(options) = &self.tls else {
            return Ok(None);
        };
        let needed = |file: &Option<PathBuf>, flag: &str, what: &str| match file {
            Some(file) => Ok(file.clone()),
            None => Err(Fault::bad_setting(flag, format!("TLS needs {what}"))),
        };
        let cert_file = needed(
            &options.cert_file,
            "-tlscert, tls.cert_file",
            "a certificate",
        )?;
        let key_file = needed(
            &options.key_file,
            "-tlskey, tls.key_file",
            "the key of the certificate",
        )?;
        let default = TlsSettings::new(cert_file, key_file);
        Ok(Some(TlsSettings {
            ca_file: options.ca_file.clone(),
            verify: options.verify || options.map,
            map: options.map,
            handshake_first: options.handshake_first.unwrap_or(default.handshake_first),
            timeout: options.timeout.unwrap_or(default.timeout),
            allow_non_tls: self.allow_non_tls,
            ..default
        }))
    }

    /// The address for clients.
    ///
    /// # Errors
    ///
    /// If the host has no address, or others than this machine can reach it and need to show nothing, unless
    /// a setting says that this is meant.
    pub(super) fn client_addr(&self) -> Result<SocketAddr, Fault> {
        let address = resolve("-addr", &self.host, self.port)?;
        self.check_exposure(address)?;
        Ok(address)
    }

    /// Whether these settings may be those of a server that listens on an address.
    ///
    /// # Errors
    ///
    /// As [`Settings::client_addr`].
    pub(super) fn check_exposure(&self, address: SocketAddr) -> Result<(), Fault> {
        let is_checked = self.access()?.is_restricted()
            || self
                .tls
                .as_ref()
                .is_some_and(|tls| tls.verify && !self.allow_non_tls);
        if !address.ip().to_canonical().is_loopback() && !is_checked && !self.allow_unauthenticated
        {
            let reason = format!(
                "{address} can be reached from other machines, and clients need to show nothing: set a token, a user or \
                 users, or listen on 127.0.0.1, or set `allow_unauthenticated` if this is meant"
            );
            return Err(Fault::bad_setting("-addr", reason));
        }
        Ok(())
    }

    /// The address for monitoring, if there is one.
    ///
    /// # Errors
    ///
    /// If the host has no address.
    pub(super) fn http_addr(&self) -> Result<Option<SocketAddr>, Fault> {
        let Some(port) = self.monitoring.port else {
            return Ok(None);
        };
        let host = self.monitoring.host.as_ref().unwrap_or(&self.host);
        resolve("-http_port", host, port).map(Some)
    }

    /// What the broker is given.
    ///
    /// # Errors
    ///
    /// As [`Settings::access`] and [`Settings::tls`].
    pub(super) fn broker(&self, store_dir: &Path) -> Result<BrokerConfig, Fault> {
        let access = self.access()?;
        let tls = self.tls()?;
        access
            .check()
            .map_err(|error| Fault::bad_setting("authorization", error))?;
        if let Some(Err(error)) = tls.as_ref().map(TlsSettings::check) {
            return Err(Fault::bad_setting("tls", causes(&error)));
        }
        let default = BrokerConfig::new(store_dir, access);
        let limits = &self.limits;
        let jetstream = &self.jetstream;
        Ok(BrokerConfig {
            tls,
            connect_deadline: self.access.timeout.unwrap_or(CONNECT_DEADLINE),
            server_name: self.server_name.clone().unwrap_or(default.server_name),
            max_payload: limits.max_payload.unwrap_or(default.max_payload),
            max_control_line: limits.max_control_line.unwrap_or(default.max_control_line),
            max_connections: limits.max_connections.unwrap_or(MAX_CONNECTIONS),
            max_subscriptions: limits
                .max_subscriptions
                .unwrap_or(default.max_subscriptions),
            max_pending_bytes: limits.max_pending.unwrap_or(default.max_pending_bytes),
            write_deadline: limits.write_deadline.unwrap_or(default.write_deadline),
            ping_interval: limits.ping_interval.unwrap_or(default.ping_interval),
            ping_max: limits.ping_max.unwrap_or(default.ping_max),
            lame_duck_duration: limits
                .lame_duck_duration
                .unwrap_or(default.lame_duck_duration),
            lame_duck_grace_period: limits
                .lame_duck_grace_period
                .unwrap_or(default.lame_duck_grace_period),
            jetstream: jetstream.enabled.then(|| {
                let settings = JetStreamSettings {
                    domain: jetstream.domain.clone(),
                    max_memory: jetstream.max_memory,
                    max_store: jetstream.max_store,
                };
                settings.or_shares(store_dir)
            }),
            retention: Retention::UNLIMITED,
            ..default
        }
        .within(Share::BrokerAlone.connections()))
    }
}

impl AccessSettings {
    /// The users, with those of the account that has the streams in the main one.
    fn in_accounts(&self, mut users: Vec<User>) -> Result<Vec<User>, Fault> {
        let fault = |reason: &str| Err(Fault::bad_setting("accounts", reason));
        let main = match self.jetstream_accounts.as_slice() {
            [] => return Ok(users),
            [main] => Some(main.clone()),
            _ => {
                return fault("JetStream in more than one account is not supported by this broker");
            }
        };
        if users.iter().any(|user| user.account.is_none()) {
            return fault(
                "users of `authorization` beside an account with JetStream are not supported by this broker",
            );
        }
        for user in &mut users {
            if user.account == main {
                user.account = None;
            }
        }
        Ok(users)
    }
}

fn resolve(setting: &str, host: &str, port: u16) -> Result<SocketAddr, Fault> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let found = (host, port).to_socket_addrs().ok();
    let found: Vec<_> = found.into_iter().flatten().collect();
    // nats-server, too, prefers an address of the kind that everyone has.
    let best = found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first());
    best.copied()
        .ok_or_else(|| Fault::bad_setting(setting, format!("the host `{host}` has no address")))
}
