//! Counters of a running broker, and who is connected to it: for health pages and monitoring.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::clients::{ClientInfo, ClientKind, Clients, SubscriptionInfo, Traffic};
use super::control::BrokerControl;

/// Counters of a running broker, for health pages; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct BrokerStats {
    pub(super) counters: Arc<Counters>,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    server_id: OnceLock<String>,
    pub(super) control: BrokerControl,
    pub(super) clients: Clients,
    /// Listeners that accept clients.
    pub(super) listeners: AtomicUsize,
    pub(super) connections: AtomicUsize,
    pub(super) accepted: AtomicU64,
    pub(super) messages_in: AtomicU64,
    pub(super) messages_out: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) streams: AtomicUsize,
    pub(super) failing_streams: AtomicUsize,
    pub(super) unreadable_streams: AtomicUsize,
    pub(super) lagging_streams: AtomicUsize,
    pub(super) slow_consumers: AtomicU64,
    pub(super) stale_connections: AtomicU64,
    pub(super) stalls: AtomicU64,
    pub(super) stream_restarts: AtomicU64,
    pub(super) connection_panics: AtomicU64,
    pub(super) subscriptions_made: AtomicU64,
    pub(super) subscriptions_ended: AtomicU64,
}

impl BrokerStats {
    /// The id of the server, which it keeps when the broker restarts.
    pub fn server_id(&self) -> &str {
        let new = || format!("M{:055X}", rand::random::<u128>());
        self.counters.server_id.get_or_init(new)
    }

    /// The way to the broker that counts here.
    pub fn control(&self) -> BrokerControl {
        self.counters.control.clone()
    }

    /// Whether a broker serves that is not to end, and each of its listeners accepts clients.
    pub fn is_ready(&self) -> bool {
        let Some(broker) = self.counters.control.broker() else {
            return false;
        };
        let listeners = 1 + usize::from(broker.config.websocket.is_some());
        broker.connections.is_open()
            && !self.counters.control.is_lame_duck()
            && self.counters.listeners.load(Ordering::Relaxed) >= listeners
    }

    /// Clients connected now.
    pub fn connections(&self) -> usize {
        self.counters.connections.load(Ordering::Relaxed)
    }

    /// Clients that have connected since the start.
    pub fn accepted(&self) -> u64 {
        self.counters.accepted.load(Ordering::Relaxed)
    }

    /// Messages that clients published since the start.
    pub fn messages_in(&self) -> u64 {
        self.counters.messages_in.load(Ordering::Relaxed)
    }

    /// Messages handed to clients since the start.
    pub fn messages_out(&self) -> u64 {
        self.counters.messages_out.load(Ordering::Relaxed)
    }

    /// Bytes of the messages that clients published since the start.
    pub fn bytes_in(&self) -> u64 {
        self.counters.bytes_in.load(Ordering::Relaxed)
    }

    /// Bytes of the messages handed to clients since the start.
    pub fn bytes_out(&self) -> u64 {
        self.counters.bytes_out.load(Ordering::Relaxed)
    }

    /// Streams of which a durable consumer is about to lose messages that it has not acknowledged, or has lost some lately.
    pub fn lagging_streams(&self) -> usize {
        self.counters.lagging_streams.load(Ordering::Relaxed)
    }

    /// Streams kept now.
    pub fn streams(&self) -> usize {
        self.counters.streams.load(Ordering::Relaxed)
    }

    /// Streams whose last write failed, for want of room for instance; they refuse messages until a write succeeds.
    pub fn failing_streams(&self) -> usize {
        self.counters.failing_streams.load(Ordering::Relaxed)
    }

    /// Streams with a message that the disk does not give.
    pub fn unreadable_streams(&self) -> usize {
        self.counters.unreadable_streams.load(Ordering::Relaxed)
    }

    /// How many times a stream panicked and was recovered from its log.
    pub fn stream_restarts(&self) -> u64 {
        self.counters.stream_restarts.load(Ordering::Relaxed)
    }

    /// Clients whose connection ended with a panic.
    pub fn connection_panics(&self) -> u64 {
        self.counters.connection_panics.load(Ordering::Relaxed)
    }

    /// Clients that were cut off because they did not read what waited for them.
    pub fn slow_consumers(&self) -> u64 {
        self.counters.slow_consumers.load(Ordering::Relaxed)
    }

    /// Clients that were closed because they did not answer pings.
    pub fn stale_connections(&self) -> u64 {
        self.counters.stale_connections.load(Ordering::Relaxed)
    }

    /// How many times a publisher was held up for a subscriber that was behind.
    pub fn stalls(&self) -> u64 {
        self.counters.stalls.load(Ordering::Relaxed)
    }

    /// When the certificate expires that clients of a kind are shown now, if they are shown one.
    pub fn certificate_expires(&self, kind: ClientKind) -> Option<SystemTime> {
        let broker = self.counters.control.broker()?;
        broker.security.get(kind).tls.as_ref()?.expires
    }

    /// The clients that are connected, in the order in which they came.
    pub fn clients(&self) -> Vec<ClientInfo> {
        let clients = self.counters.clients.all();
        clients.iter().map(|client| client.info()).collect()
    }

    /// The clients that left last, in the order in which they did.
    pub fn left_clients(&self) -> Vec<ClientInfo> {
        self.counters.clients.left()
    }

    /// What the clients of an account have sent and received that have left.
    pub fn past_traffic(&self, account: &str) -> Traffic {
        self.counters.clients.past_traffic(account)
    }

    /// The subscriptions of one client, in no order; none when it is gone.
    pub fn subscriptions_of(&self, client_id: u64) -> Vec<SubscriptionInfo> {
        let client = self.counters.clients.get(client_id);
        client.map_or_else(Vec::new, |client| client.live_subscriptions())
    }

    /// How many subscriptions were made since the start.
    pub fn subscriptions_made(&self) -> u64 {
        self.counters.subscriptions_made.load(Ordering::Relaxed)
    }

    /// How many of them have ended.
    pub fn subscriptions_ended(&self) -> u64 {
        self.counters.subscriptions_ended.load(Ordering::Relaxed)
    }
}
