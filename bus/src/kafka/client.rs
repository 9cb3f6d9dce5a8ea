//! What publisher and consumer share of librdkafka: settings, its reports, and calls that block.
//!
//! Closing a client blocks, so it is dropped on a thread that may wait.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{BusError, Condition, KafkaBrokers};

pub(super) const UNREACHABLE: &str = "no broker of Kafka can be reached";
/// How long a broker may take to answer whether it is there.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// Settings that all clients share.
pub fn config(brokers: &KafkaBrokers, name: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers.hosts.join(","))
        .set("client.id", format!("marquee-{name}"))
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        // A topic that was just made is found soon.
        .set("topic.metadata.refresh.interval.ms", "30000");
    config.extend(brokers.security.clone());
    config
}

/// Hears what librdkafka has to say.
#[derive(Clone)]
pub(super) struct Listener {
    condition: Arc<Condition>,
}

impl Listener {
    pub(super) fn new(condition: &Arc<Condition>) -> Self {
        Self {
            condition: condition.clone(),
        }
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.condition.suspect_broker();
        }
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

/// Looks whether the broker is there.
pub(super) async fn look_for_broker(
    condition: &Condition,
    ask: impl FnOnce(Duration) -> bool + Send + 'static,
) {
    if blocking(move || ask(PROBE_DEADLINE)).await == Ok(true) {
        condition.broker_available();
    } else {
        condition.broker_unavailable(UNREACHABLE);
    }
}

/// Runs what blocks where it may.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BusError> {
    tokio::task::spawn_blocking(work).await.map_err(unavailable)
}

/// Ends a client, which blocks, on a thread of its own: it can be too late for the runtime's.
pub fn drop_elsewhere<T: Send + 'static>(client: T) {
    let dropping = std::thread::Builder::new()
        .name("kafka-close".into())
        .spawn(move || drop(client));
    if let Err(error) = dropping {
        tracing::debug!(%error, "a Kafka client ends on a thread that it blocks");
    }
}

pub(super) fn unavailable(error: impl std::fmt::Display) -> BusError {
    BusError::Unavailable(error.to_string())
}
