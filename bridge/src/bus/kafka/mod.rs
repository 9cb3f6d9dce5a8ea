//! The bus over Kafka, by librdkafka.

mod client;
mod admin;
mod publisher;
mod consumer;

pub(super) use consumer::KafkaSource;
pub(super) use publisher::KafkaPublisher;
