//! The bus over Kafka, by librdkafka.

mod admin;
mod client;
mod consumer;
mod publisher;
mod security;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod waits;

pub use admin::create_absent_topics;
pub(super) use admin::has_topic;
pub use client::{Listener, blocking, config, connection_failure, drop_elsewhere, refusal};
pub(super) use consumer::KafkaSource;
pub(super) use publisher::KafkaPublisher;
pub use security::KafkaSecurity;
