//! What other users of the same brokers need: the settings of clients, how to create topics, and how to end a client.

pub use crate::{
    kafka::{
        Listener as KafkaListener, blocking, config as kafka_config,
        connection_failure as kafka_connection_failure, create_absent_topics, drop_elsewhere,
        refusal as kafka_refusal,
    },
    nats::{KEY_HEADER, addresses as nats_addresses, credentials as nats_credentials},
};
