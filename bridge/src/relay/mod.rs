//! The relay between Kafka and NATS JetStream: routes, each in one direction, that lose nothing.
//!
//! [`record`] holds the two kinds of record, [`mapping`] turns one kind into the other, [`config`] reads routes from a
//! file or from flags, and [`report`] is what a route tells of itself. All of these are plain code: they know no client of
//! either broker.

pub mod config;
pub mod mapping;
pub mod record;
pub mod report;

mod envelope;
mod escape;
mod key;
mod relay_path;
mod template;
