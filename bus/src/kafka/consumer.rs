//! Consumes a Kafka topic as one member of a consumer group, which older peers may share.
//!
//! librdkafka reconnects by itself and recovers from little else: after a refused join it reports the
//! same error without end. Every error but a lost connection therefore ends the client, and the next fetch
//! creates a new one, which begins at the committed offsets.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::FutureExt;
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers},
};
use tokio::time::{Instant, timeout_at};

use super::{
    admin::make_topics,
    client::{Listener, blocking, config, drop_elsewhere, unavailable},
};
use crate::{
    BusError, Condition, Event, KafkaBrokers, Retention, Source, Subscription,
    event::{Batch, Gap, Position},
    lag::LagProbe,
    with_dead_letters,
};

const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// How long the broker may take to tell which offsets are committed or stored.
const OFFSETS_DEADLINE: Duration = Duration::from_secs(5);
/// How long it may take with each of the questions about what waits.
const LAG_DEADLINE: Duration = Duration::from_secs(2);

/// Consumes a topic as a member of a consumer group.
///
/// Offsets are stored when an event is settled and committed in the background, when partitions are
/// revoked, and when the client closes.
pub(crate) struct KafkaSource {
    brokers: KafkaBrokers,
    limits: Retention,
    name: String,
    subscription: Subscription,
    condition: Arc<Condition>,
    listener: Listener,
    consumer: Option<Arc<StreamConsumer<Member>>>,
    /// Events that arrived while earlier ones were worked on.
    stash: VecDeque<(Event, Position)>,
    paused: bool,
    /// An error that arrived while events were worked on, for the next fetch.
    error: Option<KafkaError>,
    /// The offset that follows the last event received, for each assigned partition.
    expected: HashMap<i32, u64>,
    lag: LagProbe,
}

impl KafkaSource {
    pub(crate) fn new(
        brokers: &KafkaBrokers,
        limits: Retention,
        name: &str,
        subscription: &Subscription,
        condition: &Arc<Condition>,
        lag: LagProbe,
    ) -> Self {
        Self {
            brokers: brokers.clone(),
            limits,
            name: name.into(),
            subscription: subscription.clone(),
            condition: condition.clone(),
            listener: Listener::new(condition),
            consumer: None,
            stash: VecDeque::new(),
            paused: false,
            error: None,
            expected: HashMap::new(),
            lag,
        }
    }

    async fn consumer(&mut self) -> Result<Arc<StreamConsumer<Member>>, BusError> {
        if let Some(consumer) = &self.consumer {
            return Ok(consumer.clone());
        }
        let topic = self.subscription.topic.clone();
        let topics = with_dead_letters([topic.as_str()]);
        make_topics(
            &self.brokers,
            self.limits,
            &self.name,
            &self.condition,
            &self.listener,
            &topics,
        )
        .await?;
        let member = Member {
            listener: self.listener.clone(),
            condition: self.condition.clone(),
            lost: Mutex::default(),
        };
        let config = member_config(&self.brokers, &self.name, &self.subscription.group);
        let consumer =
            StreamConsumer::from_config_and_context(&config, member).map_err(unavailable)?;
        consumer.subscribe(&[&topic]).map_err(unavailable)?;
        let consumer = Arc::new(consumer);
        Ok(self.consumer.insert(consumer).clone())
    }

    async fn fetch_events(&mut self) -> Result<Batch, BusError> {
        let consumer = self.consumer().await?;
        if let Some(error) = self.error.take() {
            self.check(error)?;
        }
        if let Some((code, reason)) = consumer.client().fatal_error() {
            return Err(unavailable(format_args!("{code}: {reason}")));
        }
        if self.paused {
            let resumed = consumer.assignment().and_then(|all| consumer.resume(&all));
            resumed.map_err(unavailable)?;
            self.paused = false;
        }
        self.look_at_lag(&consumer);
        self.forget(&consumer.context().take_lost());
        while self.stash.is_empty() {
            self.first(&consumer).await?;
        }
        while self.stash.len() < Batch::MAX_EVENTS {
            match consumer.recv().now_or_never() {
                Some(Ok(message)) => self.receive(&consumer, &message),
                Some(Err(error)) => self.check(error)?,
                None => break,
            }
        }
        self.forget(&consumer.context().take_lost());
        let mut batch = Batch::default();
        while !batch.is_full()
            && let Some((event, position)) = self.stash.pop_front()
        {
            if let Some(gap) = self.gap_before(&consumer, position).await {
                batch.add_gap(gap);
            }
            batch.push(event, position);
        }
        Ok(batch)
    }

    /// Waits for a message, and meanwhile probes a broker that may be unavailable.
    async fn first(&mut self, consumer: &Arc<StreamConsumer<Member>>) -> Result<(), BusError> {
        // Errors that arrive while the broker is unavailable do not postpone the probe.
        let mut look_at = Instant::now() + PROBE_INTERVAL;
        loop {
            self.look_at_lag(consumer);
            match timeout_at(look_at, consumer.recv()).await {
                Ok(Ok(message)) => {
                    self.condition.broker_available();
                    self.receive(consumer, &message);
                    return Ok(());
                }
                Ok(Err(error)) => self.check(error)?,
                Err(_) => {
                    if self.condition.is_broker_suspected() {
                        let (asked, topic) = (consumer.clone(), self.subscription.topic.clone());
                        let ask =
                            move |deadline| asked.fetch_metadata(Some(&topic), deadline).is_ok();
                        self.listener.look_for_broker(&self.condition, ask).await;
                    }
                    look_at = Instant::now() + PROBE_INTERVAL;
                }
            }
        }
    }

    /// Ignores a lost connection, which librdkafka restores; every other error ends the client.
    fn check(&mut self, error: KafkaError) -> Result<(), BusError> {
        use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, Resolve};
        tracing::debug!(target: "librdkafka", %error, "a consumer reports: {error}");
        match error.rdkafka_error_code() {
            Some(BrokerTransportFailure | AllBrokersDown | Resolve) => {
                self.condition.suspect_broker();
                Ok(())
            }
            _ => Err(BusError::Unavailable(self.listener.explain(&error))),
        }
    }

    /// Ends the client. What was received and not settled is fetched again by the next one.
    fn discard(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            drop_elsewhere(consumer);
        }
        self.stash.clear();
        self.expected.clear();
        self.error = None;
        self.paused = false;
    }

    /// Has the broker asked how many events of the assigned partitions are not settled. What librdkafka knows of that by itself stands
    /// still while the partitions pause.
    fn look_at_lag(&mut self, consumer: &Arc<StreamConsumer<Member>>) {
        let topic = &self.subscription.topic;
        self.lag.look(|| {
            let (asked, topic) = (consumer.clone(), topic.clone());
            blocking(move || lag_of(&asked, &topic)).map(|lag| lag.ok().flatten())
        });
    }

    /// The events before `position` that the broker deleted before this group received them.
    async fn gap_before(
        &mut self,
        consumer: &Arc<StreamConsumer<Member>>,
        position: Position,
    ) -> Option<Gap> {
        let Position { partition, offset } = position;
        let expected = match self.expected.insert(partition, offset + 1) {
            Some(expected) => Some(expected),
            None => self.committed(consumer, partition).await,
        };
        // Offsets may be missing for other reasons: those of transactions are no events.
        let from = expected.filter(|expected| *expected < offset)?;
        let (asked, topic) = (consumer.clone(), self.subscription.topic.clone());
        let stored = blocking(move || asked.fetch_watermarks(&topic, partition, OFFSETS_DEADLINE));
        let (first_stored, _) = stored.await.ok()?.ok()?;
        let until = u64::try_from(first_stored).ok()?.min(offset);
        (from < until).then_some(Gap {
            partition,
            from,
            until,
        })
    }

    /// The offset at which the group goes on in a partition; `None` for a group that is new to it.
    async fn committed(
        &self,
        consumer: &Arc<StreamConsumer<Member>>,
        partition: i32,
    ) -> Option<u64> {
        let mut asked_for = TopicPartitionList::new();
        asked_for.add_partition(&self.subscription.topic, partition);
        let asked = consumer.clone();
        let committed = blocking(move || asked.committed_offsets(asked_for, OFFSETS_DEADLINE));
        let committed = committed.await.ok()?.ok()?;
        match committed.elements().first()?.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok(),
            _ => None,
        }
    }

    fn receive(&mut self, consumer: &StreamConsumer<Member>, message: &BorrowedMessage<'_>) {
        // Receiving may have brought a rebalance before this message.
        self.forget(&consumer.context().take_lost());
        self.stash.push_back((event(message), position(message)));
    }

    fn forget(&mut self, lost: &[i32]) {
        self.stash
            .retain(|(_, position)| !lost.contains(&position.partition));
        self.expected
            .retain(|partition, _| !lost.contains(partition));
    }
}

#[async_trait]
impl Source for KafkaSource {
    async fn fetch(&mut self) -> Result<Batch, BusError> {
        let fetched = self.fetch_events().await;
        if fetched.is_err() {
            self.discard();
        }
        fetched
    }

    /// A member of a group has to poll. So that this brings nothing, the partitions pause.
    async fn keep(&mut self) -> Vec<i32> {
        let Some(consumer) = self.consumer.clone() else {
            return Vec::new();
        };
        self.look_at_lag(&consumer);
        self.paused = true;
        let paused = consumer.assignment().and_then(|all| consumer.pause(&all));
        if let Err(error) = paused {
            tracing::debug!(target: "librdkafka", %error, "partitions do not pause: {error}");
        }
        let mut lost = consumer.context().take_lost();
        // What else waits to be polled is received by the next call.
        for _ in 0..Batch::MAX_EVENTS {
            match consumer.recv().now_or_never() {
                Some(Ok(message)) => {
                    let newly_lost = consumer.context().take_lost();
                    self.forget(&newly_lost);
                    lost.extend(newly_lost);
                    self.stash.push_back((event(&message), position(&message)));
                }
                Some(Err(error)) => {
                    self.error.get_or_insert(error);
                }
                None => break,
            }
        }
        let newly_lost = consumer.context().take_lost();
        self.forget(&newly_lost);
        lost.extend(newly_lost);
        lost
    }

    async fn settle(&mut self, position: Position) {
        let Some(consumer) = &self.consumer else {
            return;
        };
        let offset = i64::try_from(position.offset).unwrap_or(i64::MAX);
        let topic = &self.subscription.topic;
        if let Err(error) = consumer.store_offset(topic, position.partition, offset) {
            // The partition is revoked: its next consumer receives the event again.
            tracing::debug!(target: "librdkafka", %error, "an offset is not stored: {error}");
        }
    }

    async fn close(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            blocking(move || drop(consumer)).await.ok();
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            drop_elsewhere(consumer);
        }
    }
}

/// How many events of the partitions that `consumer` has are not committed. Blocks.
fn lag_of(consumer: &StreamConsumer<Member>, topic: &str) -> Option<u64> {
    let assigned = consumer.assignment().ok()?;
    if assigned.count() == 0 {
        return None;
    }
    let committed = consumer.committed_offsets(assigned, LAG_DEADLINE).ok()?;
    let mut lag = 0;
    for partition in committed.elements_for_topic(topic) {
        let number = partition.partition();
        let (first, end) = consumer
            .fetch_watermarks(topic, number, LAG_DEADLINE)
            .ok()?;
        let from = match partition.offset() {
            Offset::Offset(offset) => offset.max(first),
            _ => first,
        };
        lag += u64::try_from(end - from).unwrap_or_default();
    }
    Some(lag)
}

/// The settings of a member of `group`.
fn member_config(brokers: &KafkaBrokers, name: &str, group: &str) -> ClientConfig {
    let mut config = config(brokers, name);
    config
        .set("group.id", group)
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("auto.offset.reset", "earliest")
        // The eager assignors of older peers: a group does not admit a member that shares none with it.
        .set("partition.assignment.strategy", "range,roundrobin")
        // The group goes on soon after one of its members has crashed; brokers accept no less by default.
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "2000")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "50")
        .set("queued.max.messages.kbytes", "16384");
    config
}

/// Receives what librdkafka reports: errors, and which partitions are assigned and revoked.
struct Member {
    listener: Listener,
    condition: Arc<Condition>,
    lost: Mutex<Vec<i32>>,
}

impl Member {
    /// Returns the partitions that were revoked since the last call.
    fn take_lost(&self) -> Vec<i32> {
        std::mem::take(&mut self.lost.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.listener.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.listener.error(error, reason);
    }
}

impl ConsumerContext for Member {
    /// librdkafka keeps in mind that a partition was paused when it was revoked, as may happen while events are worked on. It comes back
    /// paused, and nothing would resume it.
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance
            && let Err(error) = consumer.resume(partitions)
        {
            tracing::debug!(target: "librdkafka", %error, "partitions do not resume: {error}");
        }
    }

    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(partitions) => {
                let partitions = partitions.elements();
                let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
                lost.extend(partitions.iter().map(|p| p.partition()));
            }
            // Only now is it certain that the group admits this client.
            Rebalance::Assign(_) => self.condition.going_on(),
            Rebalance::Error(error) => {
                tracing::debug!(target: "librdkafka", %error, "a rebalance failed: {error}");
            }
        }
    }
}

fn position(message: &BorrowedMessage<'_>) -> Position {
    Position {
        partition: message.partition(),
        offset: u64::try_from(message.offset()).unwrap_or_default(),
    }
}

/// Text that is not UTF-8 comes from another producer; its valid parts are kept.
fn event(message: &BorrowedMessage<'_>) -> Event {
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    Event {
        topic: message.topic().to_owned(),
        key: text(message.key()),
        payload: message.payload().unwrap_or_default().to_vec(),
        headers: headers.map(|h| (h.key.to_owned(), text(h.value))).collect(),
    }
}
