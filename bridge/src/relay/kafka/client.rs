//! What all clients of Kafka share here: a context that hears of rebalances, and settings.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rdkafka::{
    ClientConfig, ClientContext, Statistics, TopicPartitionList,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, Producer},
};
use tokio::sync::Notify;

use super::super::{
    config::KafkaCluster,
    flow::{Gauge, Interruption, JOIN_PATIENCE, STANDBY_AFTER, Standby},
};

/// A member that was not heard of for so long is shut out of its group.
const SESSION_TIMEOUT_MS: &str = "10000";
/// How often a member is heard of. A member that stops just before is shut out at the earliest after the difference of
/// both, eight seconds: what a sink still has must be too old by then.
const HEARTBEAT_INTERVAL_MS: &str = "2000";

/// How long a broker may take to answer whether it is there.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Settings of every client of `cluster`: `defaults`, with what the operator sets on top.
pub(super) fn settings(
    cluster: &KafkaCluster,
    name: &str,
    defaults: &[(&str, &str)],
) -> ClientConfig {
    let mut config = bus::clients::kafka_config(&cluster.brokers, name);
    config.set("allow.auto.create.topics", "false");
    for (name, value) in defaults {
        config.set(*name, *value);
    }
    for (name, value) in &cluster.properties {
        config.set(name, value);
    }
    config
}

/// Makes a consumer that is a member of `group`, whose offsets are committed when they are stored.
pub(super) fn member(
    cluster: &KafkaCluster,
    name: &str,
    group: &str,
    assignors: &str,
    context: Member,
) -> Result<Arc<StreamConsumer<Member>>, KafkaError> {
    let defaults = [
        ("topic.metadata.refresh.interval.ms", "5000"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.queue.backoff.ms", "5"),
        ("queued.max.messages.kbytes", "16384"),
    ];
    let mut config = settings(cluster, name, &defaults);
    config
        .set("group.id", group)
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "500")
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", assignors)
        .set("session.timeout.ms", SESSION_TIMEOUT_MS)
        .set("heartbeat.interval.ms", HEARTBEAT_INTERVAL_MS)
        .set("statistics.interval.ms", "2000");
    let consumer = StreamConsumer::from_config_and_context(&config, context)?;
    Ok(Arc::new(consumer))
}

/// Whether librdkafka recovers from an error by itself.
pub(super) fn is_transient(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
    matches!(
        error.rdkafka_error_code(),
        Some(BrokerTransportFailure | AllBrokersDown | Resolve | OperationTimedOut)
    )
}

/// How long an instance waits for partitions.
pub(super) struct Wait {
    since: Instant,
    is_told: bool,
}

impl Wait {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            is_told: false,
        }
    }

    /// Says by `standby` that others have all partitions, once that is known.
    ///
    /// # Errors
    ///
    /// If the member is not in its group for too long: then nothing is known.
    pub(super) fn look(&mut self, member: &Member, standby: &Standby) -> Result<(), Interruption> {
        if !member.is_joined() && !self.is_told {
            let is_too_long = self.since.elapsed() > JOIN_PATIENCE;
            let reason = "the consumer group of the route cannot be joined";
            return match is_too_long {
                true => Err(Interruption::unavailable(reason)),
                false => Ok(()),
            };
        }
        if !member.is_joined() {
            // It has been in the group, and has lost it.
            *self = Self::new();
        } else if self.since.elapsed() > STANDBY_AFTER && !self.is_told {
            self.is_told = true;
            standby();
        }
        Ok(())
    }
}

/// Makes a producer, and waits until a broker answers it.
pub(super) async fn producer(config: &ClientConfig) -> Result<FutureProducer<Quiet>, Interruption> {
    let trouble = Trouble::default();
    let producer: FutureProducer<Quiet> = config
        .create_with_context(Quiet(trouble.clone()))
        .map_err(Interruption::unavailable)?;
    let asked = producer.clone();
    let answered = blocking(move || {
        // One topic that is not asked for is enough: all topics of a large cluster would be many.
        let topic = Some("marquee-relay-leases");
        asked.client().fetch_metadata(topic, ANSWER_DEADLINE)
    });
    match answered.await {
        Ok(_) => Ok(producer),
        Err(interruption) => {
            bus::clients::drop_elsewhere(producer);
            Err(trouble.explain(interruption))
        }
    }
}

/// Runs what blocks where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, Interruption> {
    let done = bus::clients::blocking(work).await?;
    done.map_err(Interruption::unavailable)
}

/// How long a connection that failed explains what fails afterwards: librdkafka tries again all the time.
const FAILURE_COUNTS: Duration = Duration::from_secs(30);

/// Why a client has no connection, in the words of librdkafka, whose calls say no more than that it has none.
#[derive(Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    /// A broker does not let the client in.
    refusal: Option<String>,
    /// A connection failed, and when.
    failure: Option<(Instant, String)>,
}

impl Trouble {
    fn note(&self, error: &KafkaError, reason: &str) {
        let mut noted = lock(&self.0);
        if let Some(refusal) = bus::clients::kafka_refusal(error, reason) {
            noted.refusal = Some(refusal);
        } else if let Some(failure) = bus::clients::kafka_connection_failure(error, reason) {
            noted.failure = Some((Instant::now(), failure));
        }
    }

    /// `interruption`, with what is behind it.
    pub(super) fn explain(&self, interruption: Interruption) -> Interruption {
        let Interruption::Unavailable(reason) = interruption else {
            return interruption;
        };
        let Noted { refusal, failure } = std::mem::take(&mut *lock(&self.0));
        let failure = failure.filter(|(at, _)| at.elapsed() < FAILURE_COUNTS);
        Interruption::Unavailable(match (refusal, failure) {
            (Some(refusal), _) => format!("Kafka does not let the relay in: {refusal}"),
            (None, Some((_, failure))) => format!("{reason}: {failure}"),
            (None, None) => reason,
        })
    }
}

/// Passes what librdkafka reports to the log of those who look for faults.
#[derive(Clone, Default)]
pub(super) struct Quiet(pub(super) Trouble);

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.note(&error, reason);
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl ConsumerContext for Quiet {}

/// Receives what librdkafka reports of a member of a group.
pub(super) struct Member {
    /// Counts the times that partitions were assigned or revoked.
    changes: AtomicU64,
    pub(super) changed: Notify,
    /// Whether the member is in its group, as of a few seconds ago.
    is_joined: AtomicBool,
    lag: Arc<KafkaGauge>,
    /// What the client reads next of each partition, as of a few seconds ago.
    next_offsets: Mutex<HashMap<(String, i32), i64>>,
    pub(super) trouble: Trouble,
}

/// How many records wait in the partitions that are assigned, as of a few seconds ago; -1 as long as it is not known.
pub(super) struct KafkaGauge(AtomicI64);

impl Default for KafkaGauge {
    fn default() -> Self {
        Self(AtomicI64::new(-1))
    }
}

#[async_trait]
impl Gauge for KafkaGauge {
    async fn lag(&self) -> Result<Option<u64>, Interruption> {
        Ok(u64::try_from(self.0.load(Ordering::Relaxed)).ok())
    }
}

impl Default for Member {
    fn default() -> Self {
        Self {
            changes: AtomicU64::new(0),
            changed: Notify::new(),
            is_joined: AtomicBool::new(false),
            lag: Arc::default(),
            next_offsets: Mutex::default(),
            trouble: Trouble::default(),
        }
    }
}

impl Member {
    /// A member that tells what waits by `lag`.
    pub(super) fn measured_by(lag: Arc<KafkaGauge>) -> Self {
        Self {
            lag,
            ..Self::default()
        }
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether the member is in its group, as of a few seconds ago. Only then are others known to have what it has not.
    pub(super) fn is_joined(&self) -> bool {
        self.is_joined.load(Ordering::Relaxed)
    }

    /// What the client reads next of a partition, as of a few seconds ago; nothing waits to be handed out before it.
    pub(super) fn next_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        let offsets = lock(&self.next_offsets);
        offsets.get(&(topic.to_owned(), partition)).copied()
    }

    /// Partitions were assigned or revoked, or may have been.
    pub(super) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }
}

impl ClientContext for Member {
    fn stats(&self, statistics: Statistics) {
        let partitions = statistics
            .topics
            .values()
            .flat_map(|topic| topic.partitions.values());
        // Partitions of other members have no lag, -1.
        let lags = partitions
            .map(|partition| partition.consumer_lag)
            .filter(|lag| *lag >= 0);
        self.lag.0.store(lags.sum(), Ordering::Relaxed);
        let mut next_offsets = HashMap::new();
        for topic in statistics.topics.values() {
            for partition in topic.partitions.values() {
                if partition.next_offset >= 0 && partition.fetchq_cnt == 0 {
                    let place = (topic.topic.clone(), partition.partition);
                    next_offsets.insert(place, partition.next_offset);
                }
            }
        }
        *lock(&self.next_offsets) = next_offsets;
        let group = statistics.cgrp.as_ref();
        let is_joined = group.is_some_and(|g| g.state == "up" && g.join_state == "steady");
        self.is_joined.store(is_joined, Ordering::Relaxed);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(&error, reason);
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(_) = rebalance {
            self.note_change();
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(assigned) = rebalance
            && assigned.count() > 0
        {
            self.note_change();
        }
    }
}

/// Locks what no panic can leave half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The partitions that a member has; none after it was shut out of its group.
pub(super) fn assignment(consumer: &StreamConsumer<Member>) -> TopicPartitionList {
    consumer
        .assignment()
        .unwrap_or_else(|_| TopicPartitionList::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(wait: &mut Wait, member: &Member) -> (Result<(), Interruption>, u64) {
        let told = Arc::<AtomicU64>::default();
        let count = told.clone();
        let standby: Standby = Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let done = wait.look(member, &standby);
        (done, told.load(Ordering::Relaxed))
    }

    fn waits_for(wait: &mut Wait, long: Duration) {
        wait.since = Instant::now().checked_sub(long).unwrap();
    }

    #[test]
    fn a_group_that_cannot_be_joined_is_not_waited_for_for_ever() {
        let (mut wait, member) = (Wait::new(), Member::default());
        assert_eq!(looked(&mut wait, &member), (Ok(()), 0));
        waits_for(&mut wait, JOIN_PATIENCE / 2);
        assert_eq!(looked(&mut wait, &member), (Ok(()), 0));
        waits_for(&mut wait, JOIN_PATIENCE);
        let reason = "the consumer group of the route cannot be joined";
        let late = Err(Interruption::unavailable(reason));
        assert_eq!(looked(&mut wait, &member), (late, 0));
    }

    #[test]
    fn a_member_that_is_given_nothing_is_on_standby_until_it_loses_its_group() {
        let (mut wait, member) = (Wait::new(), Member::default());
        member.is_joined.store(true, Ordering::Relaxed);
        assert_eq!(looked(&mut wait, &member), (Ok(()), 0));
        waits_for(&mut wait, STANDBY_AFTER);
        assert_eq!(looked(&mut wait, &member), (Ok(()), 1));
        // It is told once, and waits as long as it is a member.
        waits_for(&mut wait, JOIN_PATIENCE);
        assert_eq!(looked(&mut wait, &member), (Ok(()), 0));
        member.is_joined.store(false, Ordering::Relaxed);
        assert_eq!(looked(&mut wait, &member), (Ok(()), 0));
        // From then on it waits for the group.
        waits_for(&mut wait, JOIN_PATIENCE);
        assert!(looked(&mut wait, &member).0.is_err());
    }
}
