//! The settings of one server: those of the configuration file, and the flags, which go before them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use runtime::Fault;

use super::file;
use super::flags::Flags;
use crate::broker::access::{Operators, User};
use crate::broker::tls::HandshakeFirst;
use crate::broker::websocket::Origin;
use crate::broker::{AccountNames, ClientKind};
use crate::monitor::Labels;

/// Where clients connect unless a setting says otherwise. nats-server listens on all addresses.
pub(super) const DEFAULT_HOST: &str = "127.0.0.1";
pub(super) const DEFAULT_PORT: u16 = 4222;
const HOST_FLAG: &str = "-addr";
/// Why an empty token or password is refused.
pub(super) const EMPTY_SECRET: &str = "a token or a password is empty: clients would need to show nothing; set one, or leave the setting out";

/// What a server is told.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) host: String,
    /// Which setting the host is from, with its place in the file.
    pub(super) host_setting: String,
    pub(super) port: u16,
    pub(super) server_name: Option<String>,
    /// The address that clients are told to come back to.
    pub(super) client_advertise: Option<String>,
    pub(super) allow_unauthenticated: bool,
    pub(super) monitoring: Monitoring,
    pub(super) log: LogSettings,
    pub(super) pid_file: Option<PathBuf>,
    pub(super) ports_file_dir: Option<PathBuf>,
    pub(super) access: AccessSettings,
    pub(super) tls: Option<TlsOptions>,
    pub(super) allow_non_tls: bool,
    pub(super) websocket: Option<WebSocketOptions>,
    pub(super) jetstream: JetStreamSettings,
    pub(super) limits: Limits,
    pub(super) labels: Labels,
    /// The file that was read, if one was.
    pub(super) config_file: Option<PathBuf>,
}

/// Where a person or a tool looks at the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Monitoring {
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) base_path: String,
}

/// What is logged, and where.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LogSettings {
    pub(super) file: Option<PathBuf>,
    /// The size at which a new file is started; `None` for no limit.
    pub(super) size_limit: Option<u64>,
    /// How many older files are kept; `None` for all.
    pub(super) kept_files: Option<usize>,
    pub(super) debug: bool,
    pub(super) trace: bool,
    pub(super) time: bool,
    pub(super) utc: bool,
}

/// Who may connect.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AccessSettings {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) token: Option<String>,
    pub(super) users: Option<Vec<User>>,
    /// Operators, and the accounts that they vouch for.
    pub(super) operators: Operators,
    /// The accounts that have a name.
    pub(super) accounts: Vec<String>,
    pub(super) system_account: Option<String>,
    /// The accounts that have streams. Only one can.
    pub(super) jetstream_accounts: Vec<String>,
    pub(super) no_auth_user: Option<String>,
    /// Users that may not connect in a way.
    pub(super) kept_out: Vec<(String, ClientKind)>,
    pub(super) timeout: Option<Duration>,
}

/// The options of TLS, not yet checked together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TlsOptions {
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) verify: bool,
    pub(super) map: bool,
    /// Without TLS 1.2.
    pub(super) only_1_3: bool,
    pub(super) handshake_first: Option<HandshakeFirst>,
    pub(super) timeout: Option<Duration>,
}

/// The options of websockets, not yet checked together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct WebSocketOptions {
    pub(super) host: Option<String>,
    /// Without it there are none.
    pub(super) port: Option<u16>,
    pub(super) tls: Option<TlsOptions>,
    pub(super) no_tls: bool,
    pub(super) handshake_timeout: Option<Duration>,
    pub(super) same_origin: bool,
    pub(super) allowed_origins: Vec<Origin>,
    pub(super) compression: bool,
    /// What of the access is another for those who connect so.
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) token: Option<String>,
    pub(super) no_auth_user: Option<String>,
}

/// Whether there are streams, where, and how much they may take.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct JetStreamSettings {
    pub(super) enabled: bool,
    pub(super) store_dir: Option<PathBuf>,
    pub(super) domain: Option<String>,
    pub(super) max_memory: Option<u64>,
    pub(super) max_store: Option<u64>,
}

/// Limits; what is `None` is as the broker has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Limits {
    pub(super) max_payload: Option<usize>,
    pub(super) max_control_line: Option<usize>,
    pub(super) max_connections: Option<usize>,
    pub(super) max_subscriptions: Option<usize>,
    pub(super) max_pending: Option<usize>,
    pub(super) write_deadline: Option<Duration>,
    pub(super) ping_interval: Option<Duration>,
    pub(super) ping_max: Option<u32>,
    pub(super) lame_duck_duration: Option<Duration>,
    pub(super) lame_duck_grace_period: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            host: DEFAULT_HOST.to_owned(),
            host_setting: HOST_FLAG.to_owned(),
            port: DEFAULT_PORT,
            server_name: None,
            client_advertise: None,
            allow_unauthenticated: false,
            monitoring: Monitoring::default(),
            log: LogSettings {
                file: None,
                size_limit: None,
                kept_files: None,
                debug: false,
                trace: false,
                time: true,
                utc: false,
            },
            pid_file: None,
            ports_file_dir: None,
            access: AccessSettings::default(),
            tls: None,
            allow_non_tls: false,
            websocket: None,
            jetstream: JetStreamSettings::default(),
            limits: Limits::default(),
            labels: Labels::default(),
            config_file: None,
        }
    }
}

impl Settings {
    /// Reads the configuration file that the flags name, if they do, and the flags.
    ///
    /// # Errors
    ///
    /// All that is wrong in the file, or the first flag that is wrong.
    pub(super) fn read(flags: &Flags) -> Result<Self, Fault> {
        let mut settings = Settings::default();
        if let Some(config) = flags.value("config") {
            file::read(Path::new(config), &mut settings)
                .map_err(|errors| Fault::bad_setting("-config", errors.join("; ")))?;
            settings.config_file = Some(PathBuf::from(config));
        }
        settings.apply(flags)?;
        settings.check()?;
        Ok(settings)
    }

    /// Refuses what no reload takes over, as nats-server does.
    ///
    /// # Errors
    ///
    /// Which setting has another value in `other`.
    pub(super) fn check_reload(&self, other: &Settings) -> Result<(), Fault> {
        // An address of which there is none is as good as another.
        let websocket = |settings: &Settings| {
            let options = settings.websocket.clone();
            let options = options.filter(|options| options.port.is_some());
            options.map(|options| WebSocketOptions {
                tls: None,
                user: None,
                password: None,
                token: None,
                no_auth_user: None,
                ..options
            })
        };
        for ((name, old), (_, new)) in self.unchangeable().into_iter().zip(other.unchangeable()) {
            if old != new {
                let reason =
                    format!("config reload not supported for {name}: old={old}, new={new}");
                return Err(Fault::bad_setting("-config", reason));
            }
        }
        if websocket(self) != websocket(other) {
            let reason = "config reload not supported for Websocket";
            return Err(Fault::bad_setting("-config", reason));
        }
        Ok(())
    }

    /// What no reload takes over, with nats-server's names where it has one.
    fn unchangeable(&self) -> [(&'static str, String); 13] {
        let (http, limits, streams) = (&self.monitoring, &self.limits, &self.jetstream);
        let room = (streams.max_memory, streams.max_store);
        [
            ("Host", shown(&self.host)),
            ("Port", shown(&self.port)),
            ("ServerName", shown(&self.server_name)),
            ("HTTPHost", shown(&http.host)),
            ("HTTPPort", shown(&http.port)),
            ("HTTPBasePath", shown(&http.base_path)),
            ("MaxSubs", shown(&limits.max_subscriptions)),
            ("MaxPending", shown(&limits.max_pending)),
            ("LameDuckDuration", shown(&limits.lame_duck_duration)),
            ("LameDuckGracePeriod", shown(&limits.lame_duck_grace_period)),
            (
                "the folder of JetStream (store_dir)",
                shown(&streams.store_dir),
            ),
            ("the domain of JetStream", shown(&streams.domain)),
            ("what JetStream may take (max_mem, max_file)", shown(&room)),
        ]
    }

    /// The names of what is different in `other`, and takes effect only at a start.
    pub(super) fn fixed_differences(&self, other: &Settings) -> Vec<&'static str> {
        let (log, new_log) = (&self.log, &other.log);
        let differences = [
            ("log_file", log.file != new_log.file),
            ("log_size_limit", log.size_limit != new_log.size_limit),
            ("log_max_num", log.kept_files != new_log.kept_files),
            ("pid_file", self.pid_file != other.pid_file),
            (
                "ports_file_dir",
                self.ports_file_dir != other.ports_file_dir,
            ),
            (
                "client_advertise",
                self.client_advertise != other.client_advertise,
            ),
            (
                "jetstream",
                self.jetstream.enabled != other.jetstream.enabled,
            ),
        ];
        let differences = differences.into_iter();
        differences
            .filter_map(|(name, is_different)| is_different.then_some(name))
            .collect()
    }

    fn apply(&mut self, flags: &Flags) -> Result<(), Fault> {
        let text = |name: &str| flags.value(name).map(str::to_owned);
        let path = |name: &str| flags.value(name).map(PathBuf::from);
        if let Some(host) = text("addr") {
            self.host = host;
            self.host_setting = HOST_FLAG.to_owned();
        }
        if let Some(port) = port_flag("port", flags)? {
            self.port = port;
        }
        if let Some(port) = port_flag("http_port", flags)? {
            self.monitoring.port = Some(port);
        }
        self.server_name = text("server_name").or_else(|| self.server_name.take());
        if let Some(address) = text("client_advertise") {
            check_advertised(&address)
                .map_err(|reason| Fault::bad_setting("-client_advertise", reason))?;
            self.client_advertise = Some(address);
        }
        self.pid_file = path("pid").or_else(|| self.pid_file.take());
        self.ports_file_dir = path("ports_file_dir").or_else(|| self.ports_file_dir.take());
        self.allow_unauthenticated |= flags.is_on("allow_unauthenticated");
        self.apply_to_log(flags)?;
        self.jetstream.enabled |= flags.is_on("jetstream");
        self.jetstream.store_dir = path("store_dir").or_else(|| self.jetstream.store_dir.take());
        for name in ["auth", "pass"] {
            if flags.value(name) == Some("") {
                return Err(Fault::bad_setting(format!("-{name}"), EMPTY_SECRET));
            }
        }
        if let Some(token) = text("auth") {
            self.access.replace();
            self.access.token = Some(token);
        }
        if let Some(user) = text("user") {
            self.access.replace();
            self.access.user = Some(user);
        }
        if let Some(password) = text("pass") {
            self.access.password = Some(password);
        }
        if flags.is_on("tls") || flags.is_on("tlsverify") || flags.value("tlscert").is_some() {
            let tls = self.tls.get_or_insert_default();
            tls.cert_file = path("tlscert").or_else(|| tls.cert_file.take());
            tls.key_file = path("tlskey").or_else(|| tls.key_file.take());
            tls.ca_file = path("tlscacert").or_else(|| tls.ca_file.take());
            tls.verify |= flags.is_on("tlsverify");
        }
        Ok(())
    }

    fn apply_to_log(&mut self, flags: &Flags) -> Result<(), Fault> {
        let log = &mut self.log;
        if let Some(file) = flags.value("log") {
            log.file = Some(PathBuf::from(file));
        }
        if let Some(limit) = flags.value("log_size_limit") {
            let limit = limit.parse();
            let limit = limit.map_err(|_| {
                Fault::bad_setting("-log_size_limit", "a number of bytes is needed")
            })?;
            log.size_limit = Some(limit).filter(|limit| *limit > 0);
        }
        let both = flags.is_on("DV") || flags.is_on("DVV");
        log.debug = flags.switch("debug").unwrap_or(log.debug) || both;
        log.trace = flags.switch("trace").unwrap_or(log.trace) || both || flags.is_on("VV");
        log.time = flags.switch("logtime").unwrap_or(log.time);
        log.utc = flags.switch("logtime_utc").unwrap_or(log.utc);
        Ok(())
    }

    /// What makes sense only together.
    fn check(&self) -> Result<(), Fault> {
        if self
            .server_name
            .as_ref()
            .is_some_and(|name| name.contains(' '))
        {
            return Err(Fault::bad_setting(
                "server_name",
                "the server name cannot contain spaces",
            ));
        }
        self.access()?;
        self.tls()?;
        self.websocket()?;
        Ok(())
    }
}

impl AccessSettings {
    /// What the accounts are called.
    pub(super) fn names(&self) -> AccountNames {
        let default = AccountNames::default();
        let main = match self.jetstream_accounts.as_slice() {
            [main] => Some(main.as_str().into()),
            _ => self.operators.main_account(),
        };
        let main = main.unwrap_or(default.main);
        let system = self.system_account.as_deref();
        let system = system.map_or(default.system, Arc::from);
        let by_token = self.operators.accounts.iter().map(|(key, _)| key.as_str());
        let mut all = vec![system.to_string(), AccountNames::GLOBAL.to_owned()];
        for name in self.accounts.iter().map(String::as_str).chain(by_token) {
            if !all.iter().any(|known| known == name) {
                all.push(name.to_owned());
            }
        }
        AccountNames { main, system, all }
    }

    /// Makes room for what a flag says.
    fn replace(&mut self) {
        let timeout = self.timeout;
        *self = AccessSettings {
            timeout,
            ..AccessSettings::default()
        };
    }
}

/// Whether clients may be told to come to this address: a host, or a host and a port.
pub(super) fn check_advertised(address: &str) -> Result<(), &'static str> {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let (host, has_port) = match address.rsplit_once(':') {
        Some((host, port)) => (host, is_port(port)),
        None => (address, true),
    };
    match has_port && !host.is_empty() {
        true => Ok(()),
        false => Err("a host, or host:port, is needed"),
    }
}

/// A value as the log has it; nothing where it is not set.
fn shown(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    match text.strip_prefix("Some(") {
        Some(rest) => rest.trim_end_matches(')').to_owned(),
        None if text == "None" => String::new(),
        None => text,
    }
}

fn port_flag(flag: &str, flags: &Flags) -> Result<Option<u16>, Fault> {
    let Some(text) = flags.value(flag) else {
        return Ok(None);
    };
    let port = text.parse::<i64>().ok().and_then(port);
    port.ok_or_else(|| {
        Fault::bad_setting(
            format!("-{flag}"),
            "a port is a number up to 65535, or -1 for any that is free",
        )
    })
}

/// A port as nats-server has it: -1 is any that is free, and 0 as if there were no such setting.
pub(super) fn port(number: i64) -> Option<Option<u16>> {
    match number {
        -1 => Some(Some(0)),
        0 => Some(None),
        _ => u16::try_from(number).ok().map(Some),
    }
}
