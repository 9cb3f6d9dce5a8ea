//! Publishing to JetStream with many publications in flight.
//!
//! Events of one key are never in flight together: a failed one could otherwise be overtaken by the next.

use std::{
    collections::{HashSet, VecDeque},
    str::FromStr,
    sync::Arc,
};

use async_nats::{
    HeaderMap, HeaderName, HeaderValue,
    header::NATS_MESSAGE_ID,
    jetstream::{
        ErrorCode,
        context::{PublishAckFuture, PublishError, PublishErrorKind},
    },
};
use async_trait::async_trait;

use super::{KEY_HEADER, connection::Connection};
use crate::{BusError, Condition, Event, ID_HEADER, NatsServers, Published, Publisher, Retention};

/// So many events may be on their way at a time.
const WINDOW: usize = 256;

/// Publishes to JetStream streams.
pub(crate) struct NatsPublisher {
    servers: NatsServers,
    limits: Retention,
    name: String,
    condition: Arc<Condition>,
    connection: Option<Connection>,
}

impl NatsPublisher {
    pub(crate) fn new(
        servers: &NatsServers,
        limits: Retention,
        name: &str,
        condition: &Arc<Condition>,
    ) -> Self {
        Self {
            servers: servers.clone(),
            limits,
            name: name.into(),
            condition: condition.clone(),
            connection: None,
        }
    }

    async fn connection(&mut self) -> Result<&Connection, BusError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                Connection::open(&self.servers, self.limits, &self.name, &self.condition).await?
            }
        };
        Ok(self.connection.insert(connection))
    }
}

#[async_trait]
impl Publisher for NatsPublisher {
    async fn prepare(&mut self, topics: &[String]) -> Result<(), BusError> {
        let connection = self.connection().await?;
        for topic in topics {
            connection.stream(topic).await?;
        }
        Ok(())
    }

    async fn publish(&mut self, events: &[Event]) -> Published {
        let connection = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => {
                return Published {
                    durable: 0,
                    failure: Some(error),
                };
            }
        };
        let link = connection.connected().await;
        let mut pipeline = Pipeline::default();
        tokio::select! {
            failure = pipeline.publish(connection, events) => Published {
                durable: pipeline.durable,
                failure: failure.err(),
            },
            // Confirmations that were on their way never arrive.
            () = connection.lost(link) => Published {
                durable: pipeline.durable,
                failure: Some(BusError::Unavailable("the connection to NATS is lost".into())),
            },
        }
    }

    /// The connection looks for the broker by itself.
    async fn probe(&mut self) {}
}

/// Events on their way, in order.
#[derive(Default)]
struct Pipeline<'a> {
    in_flight: VecDeque<(&'a str, PublishAckFuture)>,
    keys: HashSet<&'a str>,
    durable: usize,
}

impl<'a> Pipeline<'a> {
    /// Sends events while their predecessors are not confirmed yet, but never two of a key. If the
    /// first of two were refused and the second stored, then sending both again would leave the
    /// first behind the second, the more so as the broker would drop the second by its id.
    async fn publish(
        &mut self,
        connection: &Connection,
        events: &'a [Event],
    ) -> Result<(), BusError> {
        for event in events {
            let key = event.key.as_str();
            while self.in_flight.len() >= WINDOW || self.keys.contains(key) {
                self.confirm_first().await?;
            }
            let headers = headers(event)?;
            let payload = event.payload.clone().into();
            let sent =
                connection
                    .jetstream
                    .publish_with_headers(event.topic.clone(), headers, payload);
            match sent.await {
                Ok(confirmation) => self.in_flight.push_back((key, confirmation)),
                Err(error) => {
                    while !self.in_flight.is_empty() {
                        self.confirm_first().await?;
                    }
                    return Err(failure(&error));
                }
            }
            if !key.is_empty() {
                self.keys.insert(key);
            }
        }
        while !self.in_flight.is_empty() {
            self.confirm_first().await?;
        }
        Ok(())
    }

    async fn confirm_first(&mut self) -> Result<(), BusError> {
        if let Some((key, confirmation)) = self.in_flight.pop_front() {
            confirmation.await.map_err(|error| failure(&error))?;
            self.keys.remove(key);
            self.durable += 1;
        }
        Ok(())
    }
}

fn headers(event: &Event) -> Result<HeaderMap, BusError> {
    let refuse = |name: &str| BusError::Refused(format!("its header `{name}` is no header"));
    let mut headers = HeaderMap::new();
    let mut append = |name: &str, value: &str| {
        let parsed = HeaderName::from_str(name)
            .ok()
            .zip(HeaderValue::from_str(value).ok());
        let (parsed_name, parsed_value) = parsed.ok_or_else(|| refuse(name))?;
        headers.append(parsed_name, parsed_value);
        Ok::<_, BusError>(())
    };
    append(KEY_HEADER, &event.key)?;
    for (name, value) in &event.headers {
        append(name, value)?;
    }
    if let Some(id) = event.header(ID_HEADER) {
        append(NATS_MESSAGE_ID.as_ref(), id)?;
    }
    Ok(headers)
}

fn failure(error: &PublishError) -> BusError {
    use std::error::Error;
    let api_error = error
        .source()
        .and_then(|e| e.downcast_ref::<async_nats::jetstream::Error>());
    let too_large = api_error
        .is_some_and(|e| e.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)
        || error.kind() == PublishErrorKind::MaxPayloadExceeded;
    if too_large {
        BusError::Refused(error.to_string())
    } else {
        BusError::Unavailable(error.to_string())
    }
}
