use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::FutureExt;
use rdkafka::{
    ClientContext, Message,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers},
};
use tokio::time::{Instant, timeout_at};

use super::{
    admin::make_topics,
    client::{Listener, blocking, config, drop_elsewhere, look_for_broker, unavailable},
};
use crate::{
    BusError, Condition, Event, Source, Subscription,
    event::{Batch, Position},
    with_dead_letters,
};

const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Consumes a topic as a member of a consumer group.
///
/// Offsets are stored when an event is settled and committed in the background, when partitions are
/// taken away, and when the consumer closes.
pub(crate) struct KafkaSource {
    brokers: Vec<String>,
    name: String,
    subscription: Subscription,
    condition: Arc<Condition>,
    consumer: Option<Arc<StreamConsumer<Member>>>,
    /// What arrived while something else took long.
    stash: VecDeque<(Event, Position)>,
    paused: bool,
}

impl KafkaSource {
    pub(crate) fn new(
        brokers: &[String],
        name: &str,
        subscription: &Subscription,
        condition: &Arc<Condition>,
    ) -> Self {
        Self {
            brokers: brokers.to_vec(),
            name: name.into(),
            subscription: subscription.clone(),
            condition: condition.clone(),
            consumer: None,
            stash: VecDeque::new(),
            paused: false,
        }
    }

    async fn consumer(&mut self) -> Result<Arc<StreamConsumer<Member>>, BusError> {
        if let Some(consumer) = &self.consumer {
            return Ok(consumer.clone());
        }
        let topic = self.subscription.topic.clone();
        let topics = with_dead_letters([topic.as_str()]);
        make_topics(&self.brokers, &self.name, &self.condition, &topics).await?;
        let mut config = config(&self.brokers, &self.name);
        config
            .set("group.id", &self.subscription.group)
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // The group goes on soon after one of its members has crashed. Brokers accept no less by default.
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "2000")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "50")
            .set("queued.max.messages.kbytes", "16384");
        let member = Member {
            listener: Listener::new(&self.condition),
            lost: Mutex::default(),
        };
        let consumer =
            StreamConsumer::from_config_and_context(&config, member).map_err(unavailable)?;
        consumer.subscribe(&[&topic]).map_err(unavailable)?;
        self.condition.going_on();
        let consumer = Arc::new(consumer);
        Ok(self.consumer.insert(consumer).clone())
    }

    /// Waits for a message, and meanwhile looks for a broker that is away.
    async fn first(&mut self, consumer: &Arc<StreamConsumer<Member>>) -> Result<(), BusError> {
        // Not put off by the errors that come while the broker is away.
        let mut look_at = Instant::now() + PROBE_INTERVAL;
        loop {
            match timeout_at(look_at, consumer.recv()).await {
                Ok(Ok(message)) => {
                    self.condition.broker_back();
                    self.receive(consumer, &message);
                    return Ok(());
                }
                Ok(Err(error)) => self.check(error)?,
                Err(_) => {
                    if self.condition.is_broker_suspected() {
                        let (asked, topic) = (consumer.clone(), self.subscription.topic.clone());
                        let ask =
                            move |deadline| asked.fetch_metadata(Some(&topic), deadline).is_ok();
                        look_for_broker(&self.condition, ask).await;
                    }
                    look_at = Instant::now() + PROBE_INTERVAL;
                }
            }
        }
    }

    /// Passes over what librdkafka sees to by itself.
    fn check(&mut self, error: KafkaError) -> Result<(), BusError> {
        tracing::debug!(target: "librdkafka", %error, "a consumer says: {error}");
        if let KafkaError::MessageConsumptionFatal(_) = error {
            if let Some(consumer) = self.consumer.take() {
                drop_elsewhere(consumer);
            }
            self.stash.clear();
            return Err(unavailable(error));
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {
                self.condition.suspect_broker();
                Ok(())
            }
            // It may have been deleted; whoever made it when it was absent does so again.
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Err(unavailable(error))
            }
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::InconsistentGroupProtocol
                | RDKafkaErrorCode::InvalidSessionTimeout,
            ) => Err(unavailable(error)),
            _ => Ok(()),
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
    }
}

#[async_trait]
impl Source for KafkaSource {
    async fn fetch(&mut self) -> Result<Batch, BusError> {
        let consumer = self.consumer().await?;
        if self.paused {
            let resumed = consumer.assignment().and_then(|all| consumer.resume(&all));
            resumed.map_err(unavailable)?;
            self.paused = false;
        }
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
            batch.push(event, position);
        }
        Ok(batch)
    }

    /// A member of a group has to poll. So that this brings nothing, the partitions pause.
    async fn keep(&mut self) -> Vec<i32> {
        let Some(consumer) = self.consumer.clone() else {
            return Vec::new();
        };
        self.paused = true;
        let paused = consumer.assignment().and_then(|all| consumer.pause(&all));
        if let Err(error) = paused {
            tracing::debug!(target: "librdkafka", %error, "partitions do not pause: {error}");
        }
        let mut lost = consumer.context().take_lost();
        // Whatever else waits to be polled comes with the next call.
        for _ in 0..Batch::MAX_EVENTS {
            match consumer.recv().now_or_never() {
                Some(Ok(message)) => {
                    let newly_lost = consumer.context().take_lost();
                    self.forget(&newly_lost);
                    lost.extend(newly_lost);
                    self.stash.push_back((event(&message), position(&message)));
                }
                Some(Err(_)) => {}
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
            // Another has the partition now, and will have the event again.
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

/// Hears what librdkafka says, and which partitions are taken away.
struct Member {
    listener: Listener,
    lost: Mutex<Vec<i32>>,
}

impl Member {
    /// The partitions that were taken away since this was last asked.
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
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            let partitions = partitions.elements();
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.extend(partitions.iter().map(|p| p.partition()));
        }
    }
}

fn position(message: &BorrowedMessage<'_>) -> Position {
    Position {
        partition: message.partition(),
        offset: u64::try_from(message.offset()).unwrap_or_default(),
    }
}

/// Text that is not UTF-8 comes from another producer; it is kept as far as it is text.
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
