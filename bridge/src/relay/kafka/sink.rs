//! Writes to topics by an idempotent producer.
//!
//! What librdkafka has it writes in order. The first record that is not written ends the producer and everything behind it:
//! none overtakes. A record is sent within [`MESSAGE_TIMEOUT_MS`] or not at all, which is less than a group takes to give
//! the lease of a paused instance to another one. That time begins when librdkafka gets the record, so that the clock is
//! looked at before and after it is handed over: an instance that was paused writes nothing when it wakes up.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer, PurgeConfig, future_producer::Delivery},
};
use tokio::time::timeout;

use super::{
    super::{
        config::KafkaCluster,
        flow::{Interruption, Marks, NotWritten, Outgoing, Recalled, SharedMarks, Sink, Written},
        record::KafkaRecord,
    },
    client::{Quiet, blocking, producer, settings},
    offsets::have_room,
    recall::{ID_HEADER, part, recall},
    topics::provide_topics,
};

const MESSAGE_TIMEOUT_MS: &str = "6000";
/// How long a batch may take. What is behind it is given up before librdkafka gives up a record in front of it: that
/// would let others overtake.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);
/// How long a topic may be unknown to the broker before its records fail: within the deadline, so that the reason is told.
const TOPIC_PATIENCE_MS: &str = "1000";

/// Whether a topic is one that a route writes to.
pub(in super::super) type IsTarget = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Writes the records of a route.
pub(in super::super) struct KafkaSink {
    cluster: KafkaCluster,
    name: String,
    is_target: IsTarget,
    /// Topics that are made if they are absent.
    creates: Vec<(String, i32)>,
    /// How many partitions a topic gets that is made because a record is for it; none if such topics are not made.
    partitions_if_needed: Option<i32>,
    /// Topics that records were for, and that were absent.
    needed: Arc<Mutex<BTreeSet<String>>>,
    producer: Option<FutureProducer<Quiet>>,
    /// A broker refuses all records that it got together, though only one may be at fault: after that they are sent one by
    /// one, for a session.
    is_careful: Arc<AtomicBool>,
    is_one_by_one: bool,
    marks: SharedMarks,
}

impl KafkaSink {
    pub(in super::super) fn new(
        cluster: KafkaCluster,
        name: &str,
        is_target: IsTarget,
        creates: Vec<(String, i32)>,
        partitions_if_needed: Option<i32>,
    ) -> Self {
        Self {
            cluster,
            name: name.into(),
            is_target,
            creates,
            partitions_if_needed,
            needed: Arc::default(),
            producer: None,
            is_careful: Arc::default(),
            is_one_by_one: false,
            marks: SharedMarks::default(),
        }
    }

    /// Those of `needed` that the route has room for beside what it writes to already.
    fn affordable(&self, needed: BTreeSet<String>, partitions: i32) -> Vec<(String, i32)> {
        let mut marks = Marks::clone(&self.marks.get());
        let mut topics = Vec::new();
        for topic in needed {
            if !has(&marks, &topic) && may_have(&marks, &topic, partitions) {
                for partition in 0..partitions {
                    marks.advance(&part(&topic, partition), 0);
                }
                topics.push((topic, partitions));
            }
        }
        topics
    }

    /// Ends the producer without writing what it has.
    fn discard(&mut self) {
        if let Some(producer) = self.producer.take() {
            purge(&producer);
            bus::clients::drop_elsewhere(producer);
        }
    }
}

/// Gives up all records that are not written.
fn purge(producer: &FutureProducer<Quiet>) {
    producer.purge(PurgeConfig::default().queue().inflight());
}

/// Gives up all records that were not sent. What becomes of the others the broker is about to say.
fn purge_queue(producer: &FutureProducer<Quiet>) {
    producer.purge(PurgeConfig::default().queue());
}

#[async_trait]
impl Sink<KafkaRecord> for KafkaSink {
    async fn prepare(&mut self) -> Result<(), Interruption> {
        self.discard();
        let mut creates = self.creates.clone();
        if let Some(partitions) = self.partitions_if_needed {
            let needed = std::mem::take(&mut *lock(&self.needed));
            creates.extend(self.affordable(needed, partitions));
        }
        let defaults = [
            ("linger.ms", "1"),
            ("compression.type", "lz4"),
            ("partitioner", "murmur2_random"),
            ("queue.buffering.max.messages", "500000"),
            ("queue.buffering.max.kbytes", "262144"),
            ("topic.metadata.propagation.max.ms", TOPIC_PATIENCE_MS),
        ];
        let mut config = settings(&self.cluster, &self.name, &defaults);
        config
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            .set("message.timeout.ms", MESSAGE_TIMEOUT_MS);
        self.is_one_by_one = self.is_careful.swap(false, Ordering::AcqRel);
        if self.is_one_by_one {
            config.set("batch.num.messages", "1");
        }
        self.producer = Some(producer(&config).await?);
        provide_topics(&self.cluster, &self.name, &creates).await
    }

    async fn recall(&mut self, marks: Option<Marks>) -> Result<Recalled, Interruption> {
        let (cluster, name) = (self.cluster.clone(), self.name.clone());
        let is_target = self.is_target.clone();
        let read = move || recall(&cluster, &name, |topic| is_target(topic), marks.as_ref());
        let recalled = blocking(read).await?;
        self.marks.set(&recalled.marks);
        Ok(recalled)
    }

    fn write(
        &mut self,
        batch: Vec<Outgoing<KafkaRecord>>,
        until: Instant,
    ) -> BoxFuture<'static, Result<Written, NotWritten>> {
        let Some(producer) = &self.producer else {
            let failed = NotWritten::by(Interruption::unavailable("Kafka is not connected"));
            return Box::pin(async { Err(failed) });
        };
        let before = self.marks.get();
        let mut refused = Vec::new();
        let mut durable = Vec::new();
        let mut failure = None;
        let mut deliveries = Vec::with_capacity(batch.len());
        for (index, output) in batch.iter().enumerate() {
            if Instant::now() > until {
                break;
            }
            let topic = &output.record.topic;
            if let Some(partitions) = self.partitions_if_needed
                && !has(&before, topic)
                && !may_have(&before, topic, partitions)
            {
                let reason = format!(
                    "there is no topic `{topic}`, and the route makes no more than it can keep offsets of"
                );
                refused.push((index, reason));
                continue;
            }
            match producer.send_result(record(output)) {
                Ok(delivery) => deliveries.push((index, delivery)),
                Err((error, _)) if is_refusal(&error) => refused.push((index, error.to_string())),
                Err((error, _)) => {
                    failure = Some(Interruption::unavailable(error));
                    break;
                }
            }
        }
        // The last record may have been handed over behind a pause. librdkafka sends it after `linger.ms` at the earliest.
        if Instant::now() > until {
            failure = Some(Interruption::Rebalanced);
        }
        let (marks, producer) = (self.marks.clone(), producer.clone());
        let needed = self.needed.clone();
        let (is_one_by_one, is_careful) = (self.is_one_by_one, self.is_careful.clone());
        if failure.is_some() {
            purge(&producer);
        }
        Box::pin(async move {
            let waiting = async {
                for (index, delivery) in deliveries {
                    match delivery.await {
                        Ok(Ok(Delivery {
                            partition, offset, ..
                        })) => {
                            let topic = batch.get(index).map_or("", |o| o.record.topic.as_str());
                            let end = u64::try_from(offset + 1).unwrap_or_default();
                            marks.advance(&part(topic, partition), end);
                            durable.push(index);
                        }
                        Ok(Err((error, _))) => {
                            if is_refusal(&error) {
                                // It ends the producer, and others like it may follow.
                                is_careful.store(true, Ordering::Release);
                                if is_one_by_one {
                                    refused.push((index, error.to_string()));
                                    continue;
                                }
                            }
                            if failure.is_some() {
                                continue;
                            }
                            purge_queue(&producer);
                            let topic = batch.get(index).map_or("", |o| o.record.topic.as_str());
                            if is_absence(&error) {
                                let topics = batch.iter().map(|o| o.record.topic.clone());
                                lock(&needed).extend(topics);
                            }
                            failure = Some(interruption(&error, topic));
                        }
                        Err(_) => {
                            failure.get_or_insert(Interruption::unavailable("the producer ended"));
                        }
                    }
                }
            };
            if timeout(WRITE_DEADLINE, waiting).await.is_err() {
                failure = Some(Interruption::unavailable("Kafka does not answer in time"));
                purge(&producer);
            }
            match failure {
                None => Ok(Written {
                    refused,
                    before,
                    marks: marks.get(),
                }),
                Some(interruption) => Err(NotWritten {
                    refused,
                    durable,
                    interruption,
                }),
            }
        })
    }

    fn abandon(&mut self) {
        self.discard();
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        self.discard();
    }
}

/// Whether `topic` was there when the session began, or is written to since.
fn has(marks: &Marks, topic: &str) -> bool {
    let begin = format!("{topic}/");
    let mut parts = marks.0.range(begin.clone()..);
    parts
        .next()
        .is_some_and(|(part, _)| part.starts_with(&begin))
}

/// Whether there is room for the marks of another topic.
fn may_have(marks: &Marks, topic: &str, partitions: i32) -> bool {
    let more: Vec<_> = (0..partitions).map(|number| part(topic, number)).collect();
    let parts = marks.0.keys().chain(&more);
    have_room(parts.map(String::as_str))
}

/// Why a record for `topic` is not written.
fn interruption(error: &KafkaError, topic: &str) -> Interruption {
    match is_absence(error) {
        true => Interruption::Unavailable(format!("there is no topic `{topic}` yet")),
        false => Interruption::unavailable(error),
    }
}

/// Whether there is no such topic.
fn is_absence(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{UnknownTopic, UnknownTopicOrPartition};
    let code = error.rdkafka_error_code();
    matches!(code, Some(UnknownTopic | UnknownTopicOrPartition))
}

fn lock(topics: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    topics.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the broker will never take this record, whatever becomes of others.
fn is_refusal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        InvalidMessage, InvalidMessageSize, InvalidRecord, InvalidTimestamp, InvalidTopic,
        MessageSizeTooLarge,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            MessageSizeTooLarge
                | InvalidMessage
                | InvalidMessageSize
                | InvalidRecord
                | InvalidTimestamp
                | InvalidTopic
        )
    )
}

fn record(output: &Outgoing<KafkaRecord>) -> FutureRecord<'_, [u8], [u8]> {
    let record = &output.record;
    let headers = OwnedHeaders::new_with_capacity(record.headers.len() + 1);
    let headers = record
        .headers
        .iter()
        .fold(headers, |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: value.as_deref(),
            })
        });
    let headers = headers.insert(Header {
        key: ID_HEADER,
        value: Some(&output.id),
    });
    FutureRecord {
        topic: &record.topic,
        partition: None,
        payload: record.value.as_deref(),
        key: record.key.as_deref(),
        timestamp: record.timestamp_ms,
        headers: Some(headers),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bus::BusUrl;
    use rdkafka::mocking::MockCluster;

    use super::*;

    const TOPIC: &str = "films";
    const RECORDS: usize = 20_000;

    #[actix::test]
    async fn what_is_not_handed_over_in_time_is_not_written() {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic(TOPIC, 3, 1).unwrap();
        let url = format!("kafka://{}", mock.bootstrap_servers());
        let Ok(BusUrl::Kafka(brokers)) = url.parse() else {
            panic!("{url}")
        };
        let cluster = KafkaCluster {
            name: "main".into(),
            id: "main".into(),
            brokers,
            properties: BTreeMap::new(),
        };
        let is_target = Arc::new(|topic: &str| topic == TOPIC);
        let mut sink = KafkaSink::new(cluster, "films", is_target, Vec::new(), None);
        sink.prepare().await.unwrap();
        let output = |number| Outgoing {
            id: format!("films/{number}"),
            order: None,
            record: KafkaRecord {
                topic: TOPIC.into(),
                ..KafkaRecord::default()
            },
        };
        // Handing over all of them takes longer, as if there was a pause among them.
        let until = Instant::now() + Duration::from_millis(1);
        let written = sink.write((0..RECORDS).map(output).collect(), until).await;
        assert_eq!(written.unwrap_err().interruption, Interruption::Rebalanced);
        let recalled = sink.recall(Some(Marks::default())).await.unwrap();
        let written = recalled.ids.len();
        assert!(written < RECORDS, "{written} are written");
    }
}
