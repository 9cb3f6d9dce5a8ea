//! Publishing to Kafka, in order and durably.
//!
//! A cancelled publication leaves its events in librdkafka; the next publication waits for them, so that none overtakes.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use rdkafka::{
    config::FromClientConfigAndContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{
        FutureProducer, FutureRecord, Producer,
        future_producer::{DeliveryFuture, FutureProducerContext},
    },
};
use tokio::time::timeout;

use super::{
    admin::make_topics,
    client::{Listener, config, drop_elsewhere, unavailable},
};
use crate::{BusError, Condition, Event, KafkaBrokers, Published, Publisher, Retention};

/// A delivery that takes longer, with no connection left, means that the broker is unavailable.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an ending producer waits for what is on its way.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

/// Publishes with an idempotent producer.
///
/// What librdkafka once has it delivers in order, however long the broker is unavailable: a message has no
/// time limit of its own. So a publication that was cancelled leaves its events on their way; the
/// next one waits for them first, and its events cannot overtake them. What is on its way is
/// therefore never more than one publication.
pub(crate) struct KafkaPublisher {
    brokers: KafkaBrokers,
    limits: Retention,
    name: String,
    condition: Arc<Condition>,
    listener: Listener,
    /// What the broker is asked about, to see whether it is there: all topics of a large cluster would be many.
    topic: Option<String>,
    producer: Option<FutureProducer<Listener>>,
    on_their_way: VecDeque<DeliveryFuture>,
}

impl KafkaPublisher {
    pub(crate) fn new(
        brokers: &KafkaBrokers,
        limits: Retention,
        name: &str,
        condition: &Arc<Condition>,
    ) -> Self {
        Self {
            brokers: brokers.clone(),
            limits,
            name: name.into(),
            condition: condition.clone(),
            listener: Listener::new(condition),
            topic: None,
            producer: None,
            on_their_way: VecDeque::new(),
        }
    }

    fn producer(&mut self) -> Result<FutureProducer<Listener>, KafkaError> {
        if let Some(producer) = &self.producer {
            return Ok(producer.clone());
        }
        let mut config = config(&self.brokers, &self.name);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "1")
            .set("compression.type", "lz4")
            // What Java and Python peers agree on.
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", "0")
            .set("queue.buffering.max.kbytes", "65536");
        let producer = FutureProducer::from_config_and_context(&config, self.listener.clone())?;
        Ok(self.producer.insert(producer).clone())
    }

    /// Enqueues `events` in order and waits for their deliveries. Counts in `durable`.
    async fn send(&mut self, events: &[Event], durable: &mut usize) -> Result<(), KafkaError> {
        let producer = self.producer()?;
        while !self.on_their_way.is_empty() {
            // The callers that published these were told that they failed, and send them again.
            self.first_delivery().await.ok();
        }
        for event in events {
            let mut record = record(event);
            loop {
                match producer.send_result(record) {
                    Ok(delivery) => {
                        self.on_their_way.push_back(delivery);
                        break;
                    }
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same))
                        if !self.on_their_way.is_empty() =>
                    {
                        self.first_delivery().await?;
                        *durable += 1;
                        record = same;
                    }
                    Err((error, _)) => {
                        while !self.on_their_way.is_empty() {
                            self.first_delivery().await?;
                            *durable += 1;
                        }
                        return Err(error);
                    }
                }
            }
        }
        while !self.on_their_way.is_empty() {
            self.first_delivery().await?;
            *durable += 1;
        }
        Ok(())
    }

    /// Waits for the oldest of what is on its way. May be cancelled.
    async fn first_delivery(&mut self) -> Result<(), KafkaError> {
        let Some(delivery) = self.on_their_way.front_mut() else {
            return Ok(());
        };
        let delivered = loop {
            match timeout(PATIENCE, &mut *delivery).await {
                Ok(delivered) => break delivered,
                Err(_) if self.condition.is_broker_suspected() => self
                    .condition
                    .broker_unavailable(self.listener.unreachable()),
                Err(_) => {}
            }
        };
        self.on_their_way.pop_front();
        match delivered {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(error),
            Err(_) => Err(KafkaError::Canceled),
        }
    }

    /// Ends a producer that has failed for good; the next publication makes a new one.
    fn discard(&mut self) {
        self.on_their_way.clear();
        if let Some(producer) = self.producer.take() {
            drop_elsewhere(producer);
        }
    }
}

#[async_trait]
impl Publisher for KafkaPublisher {
    async fn prepare(&mut self, topics: &[String]) -> Result<(), BusError> {
        self.topic = topics.first().cloned();
        make_topics(
            &self.brokers,
            self.limits,
            &self.name,
            &self.condition,
            &self.listener,
            topics,
        )
        .await
    }

    async fn publish(&mut self, events: &[Event]) -> Published {
        let mut durable = 0;
        let sent = self.send(events, &mut durable).await;
        let failure = sent.err().map(|error| {
            let fatal = self
                .producer
                .as_ref()
                .is_none_or(|p| p.client().fatal_error().is_some());
            if fatal {
                self.discard();
            }
            failure(&error)
        });
        if failure.is_none() {
            self.condition.broker_available();
        }
        Published { durable, failure }
    }

    async fn probe(&mut self) {
        if let Ok(producer) = self.producer() {
            let topic = self.topic.clone();
            let ask = move |deadline| {
                let metadata = producer.client().fetch_metadata(topic.as_deref(), deadline);
                metadata.is_ok()
            };
            self.listener.look_for_broker(&self.condition, ask).await;
        }
    }
}

impl Drop for KafkaPublisher {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            // Dropped without it, the producer drops what is in flight.
            let flushed = Flushed(producer);
            drop_elsewhere(flushed);
        }
    }
}

struct Flushed(FutureProducer<Listener>);

impl Drop for Flushed {
    fn drop(&mut self) {
        let flushed: Result<(), KafkaError> =
            Producer::<FutureProducerContext<Listener>>::flush(&self.0, FLUSH_DEADLINE);
        if let Err(error) = flushed {
            tracing::debug!(%error, "a Kafka producer ends with events on their way");
        }
    }
}

fn record(event: &Event) -> FutureRecord<'_, str, [u8]> {
    let mut record = FutureRecord::to(&event.topic).payload(event.payload.as_slice());
    if !event.key.is_empty() {
        record = record.key(event.key.as_str());
    }
    if !event.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(event.headers.len());
        record = record.headers(event.headers.iter().fold(headers, |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        }));
    }
    record
}

fn failure(error: &KafkaError) -> BusError {
    use RDKafkaErrorCode::{InvalidMessageSize, InvalidRecord, MessageSizeTooLarge};
    match error.rdkafka_error_code() {
        Some(MessageSizeTooLarge | InvalidMessageSize | InvalidRecord) => {
            BusError::Refused(error.to_string())
        }
        _ => unavailable(error),
    }
}
