//! The actors of the broker: who owns what, and what happens when it fails.
//!
//! They pass no messages of clients on: those flow between the tasks that the actors own. See `docs/adr/0007-actors-of-the-broker.md`.

mod broker;
mod connection;
mod listener;

pub use broker::Broker;
pub use listener::Listener;

pub(super) use connection::{Close, Connection, End, Introduced};

#[cfg(test)]
mod tests;
