//! The connections of a broker: the address of each one's actor, by the number of its client.
//!
//! They belong to the broker, not to the listener that started them, which may be restarted meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::Addr;
use tokio::sync::Notify;

use super::actors::{Close, Connection, End};
use super::closing::Closing;
use super::stats::Counters;

/// The connections of a broker.
#[derive(Debug)]
pub(super) struct Connections {
    last_id: AtomicU64,
    state: Mutex<State>,
    /// Told when one has ended.
    ended: Notify,
    stats: Arc<Counters>,
}

#[derive(Debug, Default)]
struct State {
    by_id: BTreeMap<u64, Addr<Connection>>,
    /// Whether the broker ends, and takes no more of them.
    closed: bool,
}

/// A connection's place among the others, given back when it ends, in whatever way.
#[derive(Debug)]
pub(super) struct Registration {
    connections: Arc<Connections>,
    id: u64,
}

impl Connections {
    pub(super) fn new(stats: Arc<Counters>) -> Self {
        Connections {
            last_id: AtomicU64::new(0),
            state: Mutex::default(),
            ended: Notify::new(),
            stats,
        }
    }

    /// The number of the next client.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes up a connection; `None` when the broker ends.
    pub(super) fn register(
        self: &Arc<Self>,
        id: u64,
        connection: Addr<Connection>,
    ) -> Option<Registration> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        state.by_id.insert(id, connection);
        self.count(&state);
        drop(state);
        Some(Registration {
            connections: Arc::clone(self),
            id,
        })
    }

    /// Whether the broker takes clients.
    pub(super) fn is_open(&self) -> bool {
        !self.lock().closed
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.lock().by_id.keys().copied().collect()
    }

    /// Closes a connection, if it is there.
    pub(super) fn close(&self, id: u64, reason: Closing) {
        if let Some(connection) = self.lock().by_id.get(&id) {
            connection.do_send(Close(reason));
        }
    }

    /// Takes no more connections, and closes those that there are: they may still write what waits for their clients.
    pub(super) fn close_all(&self, reason: Closing) {
        let mut state = self.lock();
        state.closed = true;
        for connection in state.by_id.values() {
            connection.do_send(Close(reason));
        }
    }

    /// Takes no more connections, and ends those that there are at once.
    pub(super) fn end_all(&self) {
        let mut state = self.lock();
        state.closed = true;
        for connection in state.by_id.values() {
            connection.do_send(End);
        }
    }

    /// Waits until there is no connection.
    pub(super) async fn gone(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.lock().by_id.is_empty() {
                return;
            }
            ended.await;
        }
    }

    fn count(&self, state: &State) {
        self.stats
            .connections
            .store(state.by_id.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let connections = &self.connections;
        if std::thread::panicking() {
            let panics = &connections.stats.connection_panics;
            panics.fetch_add(1, Ordering::Relaxed);
        }
        let mut state = connections.lock();
        let ended = state.by_id.remove(&self.id);
        connections.count(&state);
        drop(state);
        // Its mailbox is not to be dropped below the lock.
        drop(ended);
        connections.ended.notify_waiters();
    }
}
