//! The ends of routes at Kafka: a member of a consumer group, an idempotent producer, and the lease of a route that
//! reads from NATS.

mod client;
mod lease;
mod offsets;
mod recall;
mod sink;
mod source;
mod topics;
mod watch;

pub(super) use lease::{Lease, MarksKeeper};
pub(super) use recall::ID_HEADER;
pub(super) use sink::KafkaSink;
pub(super) use source::KafkaSource;
