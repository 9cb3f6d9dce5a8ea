//! Looks at an event bus as its clients do, with their credentials, and changes nothing: for an operator who asks what is wrong.

use std::time::Duration;

use tokio::time::timeout;

use crate::{BusError, BusUrl, kafka, nats};

/// Connects with the credentials of the clients, and asks whether the bus has `topic`.
///
/// # Errors
///
/// Why it cannot be used, for an operator.
pub async fn examine(url: &BusUrl, topic: &str, within: Duration) -> Result<bool, String> {
    let asked = async {
        match url {
            BusUrl::Nats(servers) => nats::has_topic(servers, topic).await,
            BusUrl::Kafka(brokers) => kafka::has_topic(brokers, topic).await,
        }
    };
    match timeout(within, asked).await {
        Ok(Ok(has_topic)) => Ok(has_topic),
        Ok(Err(BusError::Unavailable(reason))) => Err(reason),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {within:?}")),
    }
}
