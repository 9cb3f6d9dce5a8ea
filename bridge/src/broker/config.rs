//! What a broker is given: its limits, its deadlines, and what its streams keep.
//!
//! The defaults are those of every deployment so far; the limits of the protocol are nats-server's own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::BrokerError;
use super::access::Access;
use super::store::folder;
use runtime::tls::CertificateFile;

use super::tls::TlsSettings;
use super::websocket::WebSocketSettings;

/// How the services of this project log in.
const LOGIN_HINT: &str = "a service needs NATS_TOKEN, or EVENT_BUS=nats://TOKEN@host:port; a generated token is in the file `broker_token` \
                          of the data folder";

/// What streams keep that set no limit of their own. Zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retention {
    /// How long messages are kept.
    pub max_age: Duration,
    /// How many bytes of messages a stream keeps.
    pub max_bytes: u64,
    /// How long messages are kept that every durable consumer has acknowledged.
    pub keep_acknowledged: Duration,
}

impl Retention {
    /// Everything is kept.
    pub const UNLIMITED: Self = Retention {
        max_age: Duration::ZERO,
        max_bytes: 0,
        keep_acknowledged: Duration::ZERO,
    };
}

/// Where the streams are, and how much all together may take; where no limit is set, a share of what the machine has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JetStreamSettings {
    /// The name of the place where the streams are; clients may name it, too.
    pub domain: Option<String>,
    /// Bytes of messages in memory.
    pub max_memory: Option<u64>,
    /// Bytes of messages on disk.
    pub max_store: Option<u64>,
}

/// The names of the accounts, for clients and operators.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountNames {
    /// The account of the clients that have no other, which has the streams.
    pub main: Arc<str>,
    /// The account that nats-server keeps for itself.
    pub system: Arc<str>,
    /// All of them, these two included.
    pub all: Vec<String>,
}

impl AccountNames {
    /// The account of clients where no other is set.
    pub(crate) const GLOBAL: &str = "$G";
    /// The account of the server where no other is set.
    pub(crate) const SYSTEM: &str = "$SYS";
}

impl Default for AccountNames {
    fn default() -> Self {
        AccountNames {
            main: Self::GLOBAL.into(),
            system: Self::SYSTEM.into(),
            all: vec![Self::SYSTEM.to_owned(), Self::GLOBAL.to_owned()],
        }
    }
}

/// The limits that may change while a broker serves, as [`BrokerConfig`] has them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "they are those of the configuration")]
pub struct ServingLimits {
    pub max_payload: usize,
    pub max_control_line: usize,
    pub max_connections: usize,
    pub write_deadline: Duration,
    pub ping_interval: Duration,
    pub ping_max: u32,
    pub connect_deadline: Duration,
}

/// What a broker is given.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// The folder that holds the streams; made when absent, used by one broker at a time.
    pub data_dir: PathBuf,
    /// Which clients are served.
    pub access: Access,
    /// What the accounts are called.
    pub accounts: AccountNames,
    /// How clients and the broker speak TLS; `None` when they do not.
    pub tls: Option<TlsSettings>,
    /// How clients are served that connect by websocket; `None` when none are.
    pub websocket: Option<WebSocketSettings>,
    /// What the log says of how to log in, behind each login that failed.
    pub login_hint: Option<&'static str>,
    /// How long a client may take to introduce itself.
    pub connect_deadline: Duration,
    /// How many clients may be connected that have not introduced themselves; the oldest of them
    /// makes room for the next.
    pub max_unauthenticated: usize,
    /// The name that clients are shown.
    pub server_name: String,
    /// The largest message, headers included, in bytes.
    pub max_payload: usize,
    /// The longest line of the protocol that a client may send, in bytes.
    pub max_control_line: usize,
    /// How many clients may be connected that have introduced themselves.
    pub max_connections: usize,
    /// How many subscriptions one client may have.
    pub max_subscriptions: usize,
    /// How many bytes may wait for one client before it is cut off.
    pub max_pending_bytes: usize,
    /// How many bytes may wait for all clients together; the client with the most is cut off first.
    pub max_pending_bytes_total: usize,
    /// How long a client may take to receive what is being written to it.
    pub write_deadline: Duration,
    /// How often a silent client is asked whether it is there.
    pub ping_interval: Duration,
    /// How many of these questions in a row may stay without an answer.
    pub ping_max: u32,
    /// Over how long the clients are closed, one after the other, in lame duck mode.
    pub lame_duck_duration: Duration,
    /// How long clients have to leave by themselves before that; counted into it.
    pub lame_duck_grace_period: Duration,
    /// The address that clients are told to come back to, `host:port`; without one they are told none.
    pub client_advertise: Option<String>,
    /// Streams and consumers; without it the broker carries messages and keeps none.
    pub jetstream: Option<JetStreamSettings>,
    /// What streams keep that set no limit of their own.
    pub retention: Retention,
    /// The size at which a stream starts its next file, in bytes.
    pub segment_bytes: u64,
}

impl BrokerConfig {
    /// The settings every deployment so far uses, for a data folder.
    pub fn new(data_dir: impl Into<PathBuf>, access: Access) -> Self {
        BrokerConfig {
            data_dir: data_dir.into(),
            access,
            accounts: AccountNames::default(),
            tls: None,
            websocket: None,
            login_hint: Some(LOGIN_HINT),
            connect_deadline: Duration::from_secs(5),
            max_unauthenticated: 128,
            server_name: "marquee".to_owned(),
            max_payload: 1 << 20,
            max_control_line: 4096,
            max_connections: 4096,
            max_subscriptions: 100_000,
            max_pending_bytes: 64 << 20,
            max_pending_bytes_total: 256 << 20,
            write_deadline: Duration::from_secs(10),
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            lame_duck_duration: Duration::from_secs(120),
            lame_duck_grace_period: Duration::from_secs(10),
            client_advertise: None,
            jetstream: Some(JetStreamSettings::default()),
            retention: Retention {
                max_age: Duration::from_secs(7 * 24 * 3600),
                max_bytes: 1 << 30,
                keep_acknowledged: Duration::from_secs(300),
            },
            segment_bytes: 16 << 20,
        }
    }

    /// The domain of the streams, if it has a name.
    pub(crate) fn domain(&self) -> Option<&str> {
        self.jetstream.as_ref()?.domain.as_deref()
    }

    /// The same settings for a process that can spare so many `connections`: all clients together
    /// take no more.
    #[must_use]
    pub fn within(mut self, connections: usize) -> Self {
        self.max_unauthenticated = self.max_unauthenticated.min(connections / 4).max(1);
        let rest = connections.saturating_sub(self.max_unauthenticated);
        self.max_connections = self.max_connections.min(rest).max(1);
        self
    }

    /// Says, before anything starts, whether another broker has the data folder, which is there.
    pub(crate) fn check_data_dir(&self) -> Result<(), BrokerError> {
        folder::lock(&self.data_dir).map(drop)
    }

    /// The files of certificates that clients are shown and judged by. They are read when the broker starts, and when its security changes.
    pub fn certificate_files(&self) -> Vec<CertificateFile> {
        let websocket = self.websocket.as_ref();
        let websocket = websocket.and_then(|websocket| websocket.tls.as_ref());
        let of = |name, tls: Option<&TlsSettings>| {
            tls.map_or_else(Vec::new, |tls| tls.certificate_files(name))
        };
        let mut files = of("tls", self.tls.as_ref());
        files.extend(of("websocket.tls", websocket));
        files
    }

    /// What of it may change while the broker serves.
    pub fn serving_limits(&self) -> ServingLimits {
        ServingLimits {
            max_payload: self.max_payload,
            max_control_line: self.max_control_line,
            max_connections: self.max_connections,
            write_deadline: self.write_deadline,
            ping_interval: self.ping_interval,
            ping_max: self.ping_max,
            connect_deadline: self.connect_deadline,
        }
    }

    /// The folders of streams that could not be recovered, for as long as they are in the data folder. Reads the disk.
    pub(crate) fn unusable_streams(&self) -> Vec<String> {
        folder::unusable(&self.data_dir).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clients_together_stay_within_what_the_process_can_spare() {
        let clients = |connections| {
            let config = BrokerConfig::new("data", Access::Open).within(connections);
            (config.max_unauthenticated, config.max_connections)
        };
        assert_eq!(clients(100_000), (128, 4_096));
        assert_eq!(clients(1_000), (128, 872));
        assert_eq!(clients(224), (56, 168));
        assert_eq!(clients(8), (2, 6));
    }
}
