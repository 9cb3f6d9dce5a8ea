//! What publisher and consumer share of librdkafka: settings, its reports, and calls that block.
//!
//! Closing a client blocks, so it is dropped on a thread that may wait.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use super::security::HAS_TLS;
use crate::{BusError, Condition, KafkaBrokers};

const UNREACHABLE: &str = "no broker of Kafka can be reached";
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
    if HAS_TLS {
        // An OpenSSL of one's own does not know where the system has its authorities.
        config.set("ssl.ca.location", "probe");
    }
    config.extend(brokers.security.clone());
    config
}

/// Hears what librdkafka has to say. Clones are the same.
#[derive(Clone, Default)]
pub struct Listener {
    condition: Option<Arc<Condition>>,
    /// Why the last connection failed.
    failure: Arc<Mutex<Option<String>>>,
}

impl Listener {
    /// A listener that also tells `condition` of brokers that may be unavailable.
    pub(super) fn new(condition: &Arc<Condition>) -> Self {
        Self {
            condition: Some(condition.clone()),
            failure: Arc::default(),
        }
    }

    /// The words for `error`. Why there is no connection librdkafka says beside its errors.
    pub fn explain(&self, error: &KafkaError) -> String {
        match is_of_connection(error) {
            true => self.unreachable(),
            false => error.to_string(),
        }
    }

    /// That no broker can be reached, and why.
    pub(super) fn unreachable(&self) -> String {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match failure.as_deref() {
            Some(failure) => format!("{UNREACHABLE}: {failure}"),
            None => UNREACHABLE.to_owned(),
        }
    }

    /// Looks whether the broker is there.
    pub(super) async fn look_for_broker(
        &self,
        condition: &Condition,
        ask: impl FnOnce(Duration) -> bool + Send + 'static,
    ) {
        if blocking(move || ask(PROBE_DEADLINE)).await == Ok(true) {
            condition.broker_available();
        } else {
            condition.broker_unavailable(self.unreachable());
        }
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            if let Some(condition) = &self.condition {
                condition.suspect_broker();
            }
        } else if let Some(reason) = connection_failure(&error, reason) {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            *failure = Some(reason);
        }
    }
}

impl ConsumerContext for Listener {}

/// Why a connection failed, for an operator.
fn in_words(reason: &str) -> String {
    of_certificates(reason).unwrap_or_else(|| head(reason).to_owned())
}

/// Why a connection to one of the brokers failed, for an operator, if that is what an error is about.
pub fn connection_failure(error: &KafkaError, reason: &str) -> Option<String> {
    let is_of_one = error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown);
    (is_of_one && is_of_connection(error)).then(|| in_words(reason))
}

/// Why a broker does not let a client in, for an operator, if it does not. With TLS 1.3 a client learns that its certificate is refused
/// when it reads, and librdkafka takes that for a broken connection.
pub fn refusal(error: &KafkaError, reason: &str) -> Option<String> {
    use RDKafkaErrorCode::{Authentication, SSL};
    let is_refusal = matches!(error.rdkafka_error_code(), Some(Authentication | SSL));
    of_certificates(reason).or_else(|| is_refusal.then(|| head(reason).to_owned()))
}

/// A reason without how often and how fast, which is another each time.
fn head(reason: &str) -> &str {
    reason
        .split_once(" (after ")
        .map_or(reason, |(head, _)| head)
}

/// The words for what has to do with certificates, where those of librdkafka are either wrong or a riddle.
fn of_certificates(reason: &str) -> Option<String> {
    let reason = head(reason);
    let (broker, _) = reason.split_once(": ").unwrap_or((reason, ""));
    if reason.contains("certificate verify failed") {
        return Some(format!(
            "{broker}: the certificate of the broker has expired, is for another host, or is of an authority that \
             KAFKA_CA_FILE (`ssl.ca.location`) does not have"
        ));
    }
    let is_alert = reason.contains(" alert ");
    (is_alert && (reason.contains("certificate") || reason.contains("unknown ca"))).then(|| {
        format!(
            "{broker}: the broker refuses the certificate KAFKA_CERT_FILE (`ssl.certificate.location`), which may have \
             expired, or wants one"
        )
    })
}

/// Whether an error is one of connections to brokers.
fn is_of_connection(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, Authentication, BrokerTransportFailure, Resolve, SSL};
    matches!(
        error.rdkafka_error_code(),
        Some(AllBrokersDown | Authentication | BrokerTransportFailure | Resolve | SSL)
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each reason is one that librdkafka gave, with Apache Kafka 4.1.
    #[test]
    fn why_a_connection_failed_is_told() {
        let listener = Listener::default();
        let error = KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure);
        assert_eq!(listener.explain(&error), UNREACHABLE);
        for (code, reason, told) in [
            (
                RDKafkaErrorCode::Authentication,
                "sasl_ssl://kafka:9094/bootstrap: SASL authentication error: Authentication failed during authentication \
                 due to invalid credentials with SASL mechanism SCRAM-SHA-512 (after 312ms in state AUTH_REQ, \
                 4 identical error(s) suppressed)",
                "sasl_ssl://kafka:9094/bootstrap: SASL authentication error: Authentication failed during authentication \
                 due to invalid credentials with SASL mechanism SCRAM-SHA-512",
            ),
            (
                RDKafkaErrorCode::SSL,
                "ssl://kafka:9095/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: \
                 broker certificate could not be verified, verify that ssl.ca.location is correctly configured or root CA \
                 certificates are installed (install ca-certificates package) (after 5ms in state SSL_HANDSHAKE)",
                "ssl://kafka:9095/bootstrap: the certificate of the broker has expired, is for another host, or is of an \
                 authority that KAFKA_CA_FILE (`ssl.ca.location`) does not have",
            ),
            (
                RDKafkaErrorCode::SSL,
                "ssl://kafka:9095/bootstrap: Receive failed: error:0A000416:SSL routines::ssl/tls alert certificate unknown: \
                 SSL alert number 46 (after 3ms in state APIVERSION_QUERY)",
                "ssl://kafka:9095/bootstrap: the broker refuses the certificate KAFKA_CERT_FILE \
                 (`ssl.certificate.location`), which may have expired, or wants one",
            ),
        ] {
            listener.error(KafkaError::Global(code), reason);
            assert_eq!(listener.explain(&error), format!("{UNREACHABLE}: {told}"));
        }
        let late = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        assert_eq!(listener.explain(&late), late.to_string());
    }
}
