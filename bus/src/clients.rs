//! What other users of the same brokers need: the settings of clients, and how to end one.

pub use crate::{
    kafka::{blocking, config as kafka_config, drop_elsewhere},
    nats::{KEY_HEADER, addresses as nats_addresses, credentials as nats_credentials},
};
