//! The ends of routes at NATS: a durable consumer of a stream, and a publisher whose confirmations come in bulk.

mod connection;
mod consumers;
mod gauge;
mod raw;
mod recall;
mod sink;
mod source;

pub(super) use sink::NatsSink;
pub(super) use source::{NatsSource, Reading};
