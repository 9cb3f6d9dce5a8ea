//! The relay between Kafka and NATS JetStream: routes, each in one direction, that lose nothing.
//!
//! [`record`] holds the two kinds of record, [`mapping`] turns one kind into the other, [`config`] reads routes from a
//! file or from flags, and [`report`] is what a route tells of itself. All of these are plain code: they know no client of
//! either broker. [`route`] starts the actors of a route; `flow` says what passes between them, and `kafka` and `nats`
//! hold the ends.

pub mod config;
pub mod mapping;
pub mod program;
pub mod record;
pub mod report;
pub mod route;

mod flow;

mod pipeline;
mod sink_actor;
mod source_actor;

mod direction;

mod kafka;
mod nats;
mod window;

mod envelope;
mod escape;
mod key;
mod relay_path;
mod template;
