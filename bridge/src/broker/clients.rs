//! The clients that are connected, and those that left last, for monitoring: what each has said about itself, sent and received.
//!
//! A record is written by its own connection alone, and read by nobody on the way of a message.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use tokio_rustls::rustls::{CipherSuite, ProtocolVersion};

use super::outbound::Outbound;
use super::pings::{Due, Pings};
use super::router::Subscription;

/// How many clients are remembered that have left, at most, as by nats-server.
const MAX_LEFT: usize = 10_000;
/// How many bytes their names may take.
const MAX_NAMES: usize = 1 << 20;

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClientKind {
    /// By a socket of its own.
    Standard,
    /// By a websocket.
    WebSocket,
}

impl ClientKind {
    /// Whether a list has nats-server's name of it.
    pub(crate) fn is_in(self, names: &[impl AsRef<str>]) -> bool {
        let own = match self {
            ClientKind::Standard => "STANDARD",
            ClientKind::WebSocket => "WEBSOCKET",
        };
        names
            .iter()
            .any(|name| name.as_ref().eq_ignore_ascii_case(own))
    }
}

/// How a client and the broker speak TLS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Encryption {
    /// The version of TLS.
    pub version: ProtocolVersion,
    /// The ciphers.
    pub suite: CipherSuite,
}

/// What is known of a connected client.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// The number of the connection, counted from the broker's start.
    pub id: u64,
    /// How the client connects.
    pub kind: ClientKind,
    /// Where the client connects from.
    pub address: SocketAddr,
    /// How it speaks TLS, if it does.
    pub encryption: Option<Encryption>,
    /// When it connected.
    pub started: SystemTime,
    /// When it last said something.
    pub last_activity: SystemTime,
    /// How long it has been connected.
    pub uptime: Duration,
    /// How long it took to answer the last ping; before the first answer, to introduce itself.
    pub round_trip: Option<Duration>,
    /// How many bytes wait for it.
    pub pending_bytes: usize,
    /// Messages that it published.
    pub messages_in: u64,
    /// Messages handed to it.
    pub messages_out: u64,
    /// Bytes of the messages that it published.
    pub bytes_in: u64,
    /// Bytes of the messages handed to it.
    pub bytes_out: u64,
    /// How many subscriptions it has.
    pub subscriptions: usize,
    /// The name that it gave itself.
    pub name: String,
    /// The language that its library is written in.
    pub lang: String,
    /// The version of its library.
    pub version: String,
    /// The user that it showed to be, where there are users.
    pub user: Option<String>,
    /// Its account, once it is known.
    pub account: Option<Arc<str>>,
    /// When it left, and why, in nats-server's words; `None` while it is connected.
    pub left: Option<(SystemTime, &'static str)>,
}

impl ClientInfo {
    /// The client as events tell of it.
    pub(crate) fn described(&self) -> Value {
        let mut client = json!({
            "start": go_time(self.started),
            "host": self.address.ip().to_string(),
            "id": self.id,
            "acc": self.account,
            "kind": "Client",
            "client_type": match self.kind {
                ClientKind::Standard => "nats",
                ClientKind::WebSocket => "websocket",
            },
        });
        let mut put = |name: &str, value: Value| {
            if let Some(client) = client.as_object_mut() {
                client.insert(name.to_owned(), value);
            }
        };
        for (name, text) in [
            ("user", self.user.as_deref().unwrap_or_default()),
            ("name", &self.name),
            ("lang", &self.lang),
            ("ver", &self.version),
        ] {
            if !text.is_empty() {
                put(name, text.into());
            }
        }
        if let Some(round_trip) = self.round_trip {
            put("rtt", nanos(round_trip).into());
        }
        client
    }
}

/// One subscription of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionInfo {
    /// The connection that has it.
    pub client_id: u64,
    /// The account of the client.
    pub account: Option<Arc<str>>,
    /// The subject, with its wildcards.
    pub subject: String,
    /// The queue group.
    pub queue: Option<String>,
    /// The client's name for it.
    pub sid: String,
    /// After how many messages it ends by itself.
    pub max: Option<u64>,
    /// How many messages it has had.
    pub delivered: u64,
}

impl ClientInfo {
    /// How long is what it chose itself.
    fn names_len(&self) -> usize {
        let user = self.user.as_ref().map_or(0, String::len);
        self.name.len() + self.lang.len() + self.version.len() + user
    }
}

/// What a client has said about itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Introduction {
    pub(super) name: String,
    pub(super) lang: String,
    pub(super) version: String,
    pub(super) user: Option<String>,
    pub(super) account: Option<Arc<str>>,
}

/// All clients, by the number of their connection.
#[derive(Debug, Default)]
pub(super) struct Clients {
    connected: Mutex<BTreeMap<u64, Arc<Client>>>,
    past: Mutex<Past>,
}

/// The clients that have left.
#[derive(Debug, Default)]
struct Past {
    /// What they sent and received, by their accounts.
    traffic: HashMap<Arc<str>, Traffic>,
    /// The last of them.
    left: VecDeque<ClientInfo>,
    /// How long their names are, all together.
    names: usize,
}

impl Past {
    fn remember(&mut self, info: ClientInfo) {
        self.names += info.names_len();
        self.left.push_back(info);
        while self.left.len() > MAX_LEFT || self.names > MAX_NAMES {
            let Some(forgotten) = self.left.pop_front() else {
                return;
            };
            self.names -= forgotten.names_len();
        }
    }
}

/// How much clients sent and received.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Messages that they published.
    pub messages_in: u64,
    /// Bytes of them.
    pub bytes_in: u64,
    /// Messages handed to them.
    pub messages_out: u64,
    /// Bytes of them.
    pub bytes_out: u64,
    /// How many of them were cut off because they did not read what waited for them.
    pub slow_consumers: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, client: &ClientInfo) {
        self.messages_in += client.messages_in;
        self.bytes_in += client.bytes_in;
        self.messages_out += client.messages_out;
        self.bytes_out += client.bytes_out;
    }
}

impl Clients {
    pub(super) fn insert(&self, client: Arc<Client>) {
        self.lock().insert(client.outbound.client_id, client);
    }

    /// Takes out a client that has left.
    pub(super) fn remove(&self, id: u64) -> Option<ClientInfo> {
        let client = self.lock().remove(&id)?;
        let mut info = client.info();
        client.outbound.ends_for("Client Closed");
        let reason = client.outbound.end_reason().unwrap_or_default();
        info.left = Some((SystemTime::now(), reason));
        let mut past = self.past();
        if let Some(account) = &info.account {
            let traffic = past.traffic.entry(Arc::clone(account)).or_default();
            traffic.add(&info);
            traffic.slow_consumers += u64::from(reason.starts_with("Slow"));
        }
        past.remember(info.clone());
        Some(info)
    }

    /// The clients that left last, in the order in which they did.
    pub(super) fn left(&self) -> Vec<ClientInfo> {
        self.past().left.iter().cloned().collect()
    }

    /// What the clients of an account have sent and received that have left.
    pub(super) fn past_traffic(&self, account: &str) -> Traffic {
        let past = self.past();
        past.traffic.get(account).copied().unwrap_or_default()
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<Arc<Client>> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.lock().get(&id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record of one client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) outbound: Arc<Outbound>,
    pub(super) kind: ClientKind,
    pub(super) address: SocketAddr,
    /// Where it connects to.
    pub(super) local: Option<SocketAddr>,
    started: SystemTime,
    clock: Instant,
    encryption: OnceLock<Encryption>,
    takes_info: AtomicBool,
    pings: Pings,
    /// In nanoseconds since the start.
    last_activity: AtomicU64,
    /// In nanoseconds; zero before it has introduced itself.
    round_trip: AtomicU64,
    messages_in: AtomicU64,
    bytes_in: AtomicU64,
    introduction: Mutex<Introduction>,
    subscriptions: Mutex<HashMap<Box<str>, Arc<Subscription>>>,
}

impl Client {
    pub(super) fn new(
        outbound: Arc<Outbound>,
        kind: ClientKind,
        address: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Self {
        Client {
            outbound,
            kind,
            address,
            local,
            encryption: OnceLock::new(),
            takes_info: AtomicBool::new(false),
            started: SystemTime::now(),
            clock: Instant::now(),
            pings: Pings::default(),
            last_activity: AtomicU64::new(0),
            round_trip: AtomicU64::new(0),
            messages_in: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            introduction: Mutex::default(),
            subscriptions: Mutex::default(),
        }
    }

    /// Takes note of how the client speaks TLS.
    pub(super) fn speaks(&self, encryption: Encryption) {
        // A connection begins to speak it once.
        let _ = self.encryption.set(encryption);
    }

    pub(super) fn introduce(&self, introduction: Introduction) {
        if self.round_trip.load(Ordering::Relaxed) == 0 {
            // As nats-server has it: a client may have left before it is asked.
            self.round_trip.store(self.age().max(1), Ordering::Relaxed);
        }
        *self.introduction() = introduction;
    }

    /// Takes note of the client's account, which is known before the client has introduced itself where it shows nothing.
    pub(super) fn enter(&self, account: Arc<str>) {
        self.introduction().account = Some(account);
    }

    /// What the client has said about itself.
    pub(super) fn introduced(&self) -> Introduction {
        self.introduction().clone()
    }

    fn introduction(&self) -> MutexGuard<'_, Introduction> {
        self.introduction
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it has been connected, in nanoseconds.
    fn age(&self) -> u64 {
        nanos(self.clock.elapsed())
    }

    /// Takes note that the client said something.
    pub(super) fn is_active(&self) {
        self.last_activity.store(self.age(), Ordering::Relaxed);
    }

    /// Takes note that the client asked for something just now.
    pub(super) fn asked(&self) {
        self.pings.heard(self.age());
    }

    /// Takes note that the client asked for something in what was last read: without a look at the clock.
    pub(super) fn asked_in_last_read(&self) {
        self.pings.heard(self.last_activity.load(Ordering::Relaxed));
    }

    /// Whether the client is to be asked whether it is there.
    pub(super) fn due(&self, interval: Duration, max: u32) -> Due {
        self.pings.due(self.age(), nanos(interval), max)
    }

    /// Whether the client may be told about the broker at any time.
    pub(super) fn takes_info(&self) -> bool {
        self.takes_info.load(Ordering::Relaxed)
    }

    pub(super) fn set_takes_info(&self) {
        self.takes_info.store(true, Ordering::Relaxed);
    }

    /// Takes note of what the client published.
    pub(super) fn published(&self, messages: u64, bytes: u64) {
        self.messages_in.fetch_add(messages, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes note that the client answered.
    pub(super) fn answered_ping(&self) {
        if let Some(round_trip) = self.pings.answered(self.age()) {
            self.round_trip.store(round_trip.max(1), Ordering::Relaxed);
        }
    }

    pub(super) fn subscriptions(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Subscription>>> {
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn info(&self) -> ClientInfo {
        let introduction = self.introduced();
        let sent = self.outbound.sent();
        let active = Duration::from_nanos(self.last_activity.load(Ordering::Relaxed));
        let round_trip = self.round_trip.load(Ordering::Relaxed);
        ClientInfo {
            id: self.outbound.client_id,
            kind: self.kind,
            address: self.address,
            encryption: self.encryption.get().copied(),
            started: self.started,
            last_activity: self.started + active,
            uptime: self.clock.elapsed(),
            round_trip: (round_trip > 0).then(|| Duration::from_nanos(round_trip)),
            pending_bytes: self.outbound.queued(),
            messages_in: self.messages_in.load(Ordering::Relaxed),
            messages_out: sent.messages,
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: sent.bytes,
            subscriptions: self.count_subscriptions(),
            name: introduction.name,
            lang: introduction.lang,
            version: introduction.version,
            user: introduction.user,
            account: introduction.account,
            left: None,
        }
    }

    fn count_subscriptions(&self) -> usize {
        let subscriptions = self.subscriptions();
        let live = subscriptions
            .values()
            .filter(|subscription| !subscription.is_spent());
        live.count()
    }

    pub(super) fn live_subscriptions(&self) -> Vec<SubscriptionInfo> {
        let account = self.introduction().account.clone();
        let subscriptions = self.subscriptions();
        let live = subscriptions
            .values()
            .filter(|subscription| !subscription.is_spent());
        live.map(|subscription| {
            let max = subscription.limit.load(Ordering::Relaxed);
            SubscriptionInfo {
                client_id: self.outbound.client_id,
                account: account.clone(),
                subject: subscription.subject.to_string(),
                queue: subscription.queue.as_deref().map(str::to_owned),
                sid: subscription.sid.to_string(),
                max: (max < u64::MAX).then_some(max),
                delivered: subscription.delivered.load(Ordering::Relaxed),
            }
        })
        .collect()
    }
}

/// A time as Go writes it.
pub(crate) fn go_time(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_clients_are_remembered_that_have_left_and_fewer_with_long_names() {
        let clients = Clients::default();
        let come_and_go = |id, name: String| {
            let address = ([127, 0, 0, 1], 1).into();
            let outbound = Outbound::new(id, 1);
            let client = Client::new(outbound, ClientKind::Standard, address, None);
            client.introduce(Introduction {
                name,
                account: Some("A".into()),
                ..Introduction::default()
            });
            client.published(1, 2);
            clients.insert(Arc::new(client));
            clients.remove(id);
        };
        for id in 0..MAX_LEFT as u64 + 7 {
            come_and_go(id, "short".to_owned());
        }
        let left = clients.left();
        assert_eq!((left.len(), left[0].id), (MAX_LEFT, 7));
        for id in 0..3 {
            come_and_go(id, "x".repeat(MAX_NAMES / 2 - 10));
        }
        let ids: Vec<_> = clients.left().iter().map(|info| info.id).collect();
        assert_eq!(ids, [1, 2]);
        assert_eq!(clients.past_traffic("A").messages_in, MAX_LEFT as u64 + 10);
    }
}
