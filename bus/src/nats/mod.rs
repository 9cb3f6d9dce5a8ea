//! The bus over NATS JetStream.

mod connection;
mod consumer;
mod files;
mod publisher;

pub(super) use connection::has_topic;
pub use connection::{addresses, credentials};
pub(super) use consumer::NatsSource;
pub use files::{BadNatsFile, NatsFiles};
pub(super) use publisher::NatsPublisher;

/// The header that carries an event's key.
pub const KEY_HEADER: &str = "marquee-key";
