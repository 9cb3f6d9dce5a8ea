//! The actors of the broker: who owns what, and what happens when it fails.
//!
//! They pass no messages of clients on: those flow between the tasks that the actors own. See `docs/adr/0007-actors-of-the-broker.md`.

mod broker;
mod connection;
mod listener;

use std::net::TcpListener;

use runtime::{Handle, Place, Supervisor};

use super::{BrokerConfig, BrokerStats, ClientKind};

pub use broker::Broker;
pub use listener::Listener;

pub(super) use connection::{Close, Connection, End, Introduced};

/// Starts the broker, and then its listeners, so that a stop ends the accepting of clients first.
pub fn supervise(
    supervisor: &Supervisor,
    socket: TcpListener,
    websockets: Option<TcpListener>,
    config: BrokerConfig,
    stats: BrokerStats,
) -> Handle<Listener> {
    let messaging = supervisor.group("messaging");
    let counters = stats.clone();
    messaging.supervise("broker", Place::Here, move |guard| {
        Broker::new(config.clone(), counters.clone(), guard)
    });
    let listen = |name, kind, socket: TcpListener| {
        let stats = stats.clone();
        messaging.supervise(name, Place::Here, move |guard| {
            Listener::new(socket.try_clone(), kind, stats.clone(), guard)
        })
    };
    if let Some(socket) = websockets {
        listen("websocket-listener", ClientKind::WebSocket, socket);
    }
    listen("listener", ClientKind::Standard, socket)
}

#[cfg(test)]
mod tests;
