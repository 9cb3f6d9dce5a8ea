//! What the settings come to: users, TLS, addresses, and the configuration of the broker.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime::Fault;
use runtime::resources::Share;
use runtime::telemetry::causes;

use super::settings::{AccessSettings, DEFAULT_HOST, Settings, TlsOptions};
use crate::broker::access::{Identity, Password, User, Users};
use crate::broker::tls::TlsSettings;
use crate::broker::websocket::WebSocketSettings;
use crate::broker::{Access, BrokerConfig, ClientKind, JetStreamSettings, Retention};

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
        self.access.resolved(ClientKind::Standard)
    }

    /// TLS of the clients' connections.
    ///
    /// # Errors
    ///
    /// If the certificate or the key is missing, or clients are verified without an authority.
    pub(super) fn tls(&self) -> Result<Option<TlsSettings>, Fault> {
        let names = ["-tlscert, tls.cert_file", "-tlskey, tls.key_file"];
        let tls = self.tls.as_ref().map(|options| options.resolved(names));
        Ok(tls.transpose()?.map(|tls| TlsSettings {
            allow_non_tls: self.allow_non_tls,
            ..tls
        }))
    }

    /// How clients are served that connect by websocket, if any are.
    ///
    /// # Errors
    ///
    /// As [`Settings::access`] and [`Settings::tls`], or if there is no TLS and nothing says that this is meant.
    pub(super) fn websocket(&self) -> Result<Option<WebSocketSettings>, Fault> {
        let fault = |reason| Err(Fault::bad_setting("websocket", reason));
        let options = self.websocket.as_ref();
        let Some(options) = options.filter(|options| options.port.is_some()) else {
            return Ok(None);
        };
        let names = ["websocket.tls.cert_file", "websocket.tls.key_file"];
        let tls = options.tls.as_ref().map(|tls| tls.resolved(names));
        if tls.is_none() && !options.no_tls {
            return fault("websocket requires TLS configuration: set `tls`, or `no_tls: true`");
        }
        let mut access = self.access.clone();
        let has_own_user = options.user.is_some() || options.token.is_some();
        if options.password.is_some() && !has_own_user {
            // nats-server ignores it, and lets in the users of other clients.
            let reason = "a password needs a user";
            return Err(Fault::bad_setting("websocket.authorization", reason));
        }
        if has_own_user && access.users.is_some() {
            return fault("a user or a token cannot be set beside `users`");
        }
        if has_own_user || options.no_auth_user.is_some() {
            access.user = options.user.clone();
            access.password = options.password.clone();
            access.token = options.token.clone();
            access.no_auth_user = options.no_auth_user.clone();
        }
        let default =
            WebSocketSettings::new(access.resolved(ClientKind::WebSocket)?, tls.transpose()?);
        Ok(Some(WebSocketSettings {
            handshake_timeout: options
                .handshake_timeout
                .filter(|timeout| !timeout.is_zero())
                .unwrap_or(default.handshake_timeout),
            same_origin: options.same_origin,
            allowed_origins: options.allowed_origins.clone(),
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
        let address = resolve(&self.host_setting, &self.host, self.port)?;
        self.check_exposure(address)?;
        Ok(address)
    }

    /// The address for clients that connect by websocket, if any do.
    ///
    /// # Errors
    ///
    /// As [`Settings::client_addr`].
    pub(super) fn websocket_addr(&self) -> Result<Option<SocketAddr>, Fault> {
        let options = self.websocket.as_ref();
        let Some((options, port)) = options.and_then(|options| Some((options, options.port?)))
        else {
            return Ok(None);
        };
        let host = options.host.as_deref().unwrap_or(DEFAULT_HOST);
        let address = resolve("websocket", host, port)?;
        self.check_websocket_exposure(address)?;
        Ok(Some(address))
    }

    /// Whether these settings may be those of a server that listens on an address.
    ///
    /// # Errors
    ///
    /// As [`Settings::client_addr`].
    pub(super) fn check_exposure(&self, address: SocketAddr) -> Result<(), Fault> {
        let verifies = |tls: &TlsOptions| tls.verify && !self.allow_non_tls;
        let are_certified = self.tls.as_ref().is_some_and(verifies);
        self.check_exposed(&self.host_setting, address, &self.access()?, are_certified)
    }

    /// As [`Settings::check_exposure`], of the address for websockets.
    ///
    /// # Errors
    ///
    /// As [`Settings::client_addr`].
    pub(super) fn check_websocket_exposure(&self, address: SocketAddr) -> Result<(), Fault> {
        let Some(websocket) = self.websocket()? else {
            return Ok(());
        };
        let are_certified = websocket.tls.is_some_and(|tls| tls.verify);
        self.check_exposed("websocket", address, &websocket.access, are_certified)
    }

    /// Whether clients that connect to an address have to show something, a certificate for instance.
    fn check_exposed(
        &self,
        setting: &str,
        address: SocketAddr,
        access: &Access,
        are_certified: bool,
    ) -> Result<(), Fault> {
        let is_reachable = !address.ip().to_canonical().is_loopback();
        if !is_reachable || are_certified || self.allow_unauthenticated {
            return Ok(());
        }
        let (lack, remedy) = if access.has_guests() {
            (
                "clients need to show nothing".to_owned(),
                "a token, a user or users without `no_auth_user`",
            )
        } else if let Some(name) = access.user_without_password() {
            (format!("the user `{name}` has no password"), "one")
        } else {
            return Ok(());
        };
        let reason = format!(
            "{address} can be reached from other machines, and {lack}: set {remedy}, or listen on 127.0.0.1, or set \
             `allow_unauthenticated` if this is meant"
        );
        Err(Fault::bad_setting(setting, reason))
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
        let (tls, websocket) = (self.tls()?, self.websocket()?);
        let websocket_access = websocket.as_ref().map(|websocket| &websocket.access);
        for (name, access) in [
            ("authorization", Some(&access)),
            ("websocket.authorization", websocket_access),
        ] {
            if let Some(Err(error)) = access.map(Access::check) {
                return Err(Fault::bad_setting(name, error));
            }
        }
        let websocket_tls = websocket
            .as_ref()
            .and_then(|websocket| websocket.tls.as_ref());
        for (name, tls) in [("tls", tls.as_ref()), ("websocket.tls", websocket_tls)] {
            if let Some(Err(error)) = tls.map(TlsSettings::check) {
                return Err(Fault::bad_setting(name, causes(&error)));
            }
        }
        let default = BrokerConfig::new(store_dir, access);
        let limits = &self.limits;
        let jetstream = &self.jetstream;
        Ok(BrokerConfig {
            tls,
            websocket,
            client_advertise: self.client_advertise.clone(),
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

impl TlsOptions {
    /// The settings; `names` are those of the files that are needed.
    fn resolved(&self, names: [&str; 2]) -> Result<TlsSettings, Fault> {
        let needed = |file: &Option<PathBuf>, name: &str, what: &str| match file {
            Some(file) => Ok(file.clone()),
            None => Err(Fault::bad_setting(name, format!("TLS needs {what}"))),
        };
        let [cert, key] = names;
        let cert_file = needed(&self.cert_file, cert, "a certificate")?;
        let key_file = needed(&self.key_file, key, "the key of the certificate")?;
        let default = TlsSettings::new(cert_file, key_file);
        Ok(TlsSettings {
            ca_file: self.ca_file.clone(),
            verify: self.verify || self.map,
            map: self.map,
            only_1_3: self.only_1_3,
            handshake_first: self.handshake_first.unwrap_or(default.handshake_first),
            timeout: self.timeout.unwrap_or(default.timeout),
            ..default
        })
    }
}

impl AccessSettings {
    /// Who may connect in a way.
    fn resolved(&self, by: ClientKind) -> Result<Access, Fault> {
        let fault = |reason: String| Err(Fault::bad_setting("authorization", reason));
        let given = self;
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
        let is_kept_out = |name: &str| {
            given
                .kept_out
                .iter()
                .any(|(other, from)| other == name && *from == by)
        };
        let no_auth_user = no_auth_user.filter(|name| !is_kept_out(name));
        let users = match (&given.users, &given.user, &given.password) {
            (Some(users), _, _) => {
                let mut users = given.in_accounts(users.clone())?;
                users.retain(|user| !is_kept_out(user.identity.name()));
                users
            }
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
    // What stands before it may be a secret, which is not to be shown.
    if host.contains('@') {
        return Err(Fault::bad_setting(setting, "a host has no `@` in its name"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_in_an_address_is_not_shown() {
        let refused = resolve("-addr", "s3cret@127.0.0.1", 1).unwrap_err();
        assert!(!refused.to_string().contains("s3cret"), "{refused}");
    }
}
