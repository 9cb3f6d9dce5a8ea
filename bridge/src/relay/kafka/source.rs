//! Reads topics as a member of a consumer group.
//!
//! A session has the partitions that the member is given; whenever they change, another session begins. An offset is
//! committed together with the marks of the output, so that whoever has the partition next knows where to look for what
//! was written and not committed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers},
};
use tokio::time::{Instant, timeout};

use super::{
    super::{
        config::KafkaCluster,
        flow::{
            BATCH_BYTES, BATCH_RECORDS, Fetched, Gauge, Incoming, Interruption, Marks, Opened,
            Receipt, Source, Standby,
        },
        record::KafkaRecord,
    },
    client::{KafkaGauge, Member, Wait, assignment, blocking, is_transient, member},
    offsets::{add, kept, metadata},
    topics::provide_topics,
    watch::{Waiting, look},
};

/// How long the broker may take to tell which offsets are committed.
const OFFSETS_DEADLINE: Duration = Duration::from_secs(5);
/// Without a connection for so long the session ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// A member that receives nothing for so long asks the brokers whether that is right.
const QUIET_PATIENCE: Duration = Duration::from_secs(10);

/// Reads the topics of a route.
pub(in super::super) struct KafkaSource {
    cluster: KafkaCluster,
    name: String,
    group: String,
    /// How the ids of records begin.
    id_prefix: String,
    topics: Vec<String>,
    /// Topics that are made if they are absent.
    creates: Vec<(String, i32)>,
    consumer: Option<Arc<StreamConsumer<Member>>>,
    /// The number of changes of the assignment when the session began.
    changes: u64,
    /// What the group had committed then, for each partition of the member.
    committed: TopicPartitionList,
    /// Records that arrived while the session was being prepared.
    stash: Vec<KafkaRecord>,
    lag: Arc<KafkaGauge>,
}

impl KafkaSource {
    pub(in super::super) fn new(
        cluster: KafkaCluster,
        name: &str,
        group: &str,
        id_prefix: &str,
        topics: Vec<String>,
        creates: Vec<(String, i32)>,
    ) -> Self {
        Self {
            cluster,
            name: name.into(),
            group: group.into(),
            id_prefix: id_prefix.into(),
            topics,
            creates,
            consumer: None,
            changes: 0,
            committed: TopicPartitionList::new(),
            stash: Vec::new(),
            lag: Arc::default(),
        }
    }

    /// Waits until the member has partitions.
    async fn assigned(
        &mut self,
        standby: &Standby,
    ) -> Result<Arc<StreamConsumer<Member>>, Interruption> {
        let consumer = match &self.consumer {
            Some(consumer) => consumer.clone(),
            None => {
                provide_topics(&self.cluster, &self.name, &self.creates).await?;
                let context = Member::measured_by(self.lag.clone());
                let assignors = "range,roundrobin";
                let consumer = member(&self.cluster, &self.name, &self.group, assignors, context)
                    .map_err(Interruption::unavailable)?;
                let topics: Vec<_> = self.topics.iter().map(String::as_str).collect();
                consumer
                    .subscribe(&topics)
                    .map_err(Interruption::unavailable)?;
                self.consumer.insert(consumer).clone()
            }
        };
        let mut failing_since = None;
        let mut wait = Wait::new();
        loop {
            wait.look(consumer.context(), standby)?;
            self.changes = consumer.context().changes();
            if assignment(&consumer).count() > 0 {
                return Ok(consumer);
            }
            self.receive(&consumer, &mut failing_since, Duration::from_millis(200))
                .await?;
        }
    }

    /// Waits for a record for at most `patience`.
    async fn receive(
        &mut self,
        consumer: &StreamConsumer<Member>,
        failing_since: &mut Option<Instant>,
        patience: Duration,
    ) -> Result<(), Interruption> {
        match timeout(patience, consumer.recv()).await {
            Ok(Ok(message)) => {
                *failing_since = None;
                self.stash.push(record(&message));
                Ok(())
            }
            Ok(Err(error)) => {
                let since = *failing_since.get_or_insert_with(Instant::now);
                check(error, since.elapsed() > PATIENCE)
            }
            Err(_) => Ok(()),
        }
    }
}

/// Forgets what was acknowledged since the last commit: a client that ends would commit it, and it may be of a topic that was
/// deleted. What is not committed is read again.
fn forget(consumer: &StreamConsumer<Member>) {
    let mut stored = assignment(consumer);
    let forgotten = stored.set_all_offsets(Offset::Invalid);
    if let Err(error) = forgotten.and_then(|()| consumer.store_offsets(&stored)) {
        tracing::debug!(target: "librdkafka", %error, "offsets are not forgotten: {error}");
    }
}

/// Whether the session can go on after an error.
fn check(error: KafkaError, is_too_long: bool) -> Result<(), Interruption> {
    tracing::debug!(target: "librdkafka", %error, "a consumer reports: {error}");
    if is_transient(&error) && !is_too_long {
        return Ok(());
    }
    Err(match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
            Interruption::Unavailable("there is no such topic yet".into())
        }
        _ => Interruption::unavailable(error),
    })
}

#[async_trait]
impl Source<KafkaRecord> for KafkaSource {
    async fn open(&mut self, standby: &Standby) -> Result<Opened, Interruption> {
        let assigned = self.assigned(standby).await;
        let consumer = self.or_discard(assigned)?;
        let mine = assignment(&consumer);
        let asked = consumer.clone();
        let rewind = move || {
            let mut ends = mine.clone();
            let committed = asked.committed_offsets(mine, OFFSETS_DEADLINE)?;
            ends.set_all_offsets(Offset::End)?;
            let ends = asked.offsets_for_times(ends, OFFSETS_DEADLINE)?;
            let mut begin = TopicPartitionList::new();
            for mut element in committed.elements() {
                let end = ends.find_partition(element.topic(), element.partition());
                if let Offset::Offset(at) = element.offset()
                    && let Some(Offset::Offset(end)) = end.map(|end| end.offset())
                    && at > end
                {
                    // It is of a topic that was deleted; this one has the same name.
                    element.set_offset(Offset::Invalid)?;
                }
                let offset = match element.offset() {
                    Offset::Offset(offset) => Offset::Offset(offset),
                    _ => Offset::Beginning,
                };
                begin.add_partition_offset(element.topic(), element.partition(), offset)?;
            }
            // What the session before has read and not acknowledged is read again.
            asked.seek_partitions(begin, OFFSETS_DEADLINE)?;
            Ok(committed)
        };
        let committed = self.or_discard(blocking(rewind).await)?;
        self.stash.clear();
        self.committed = committed;
        let mut opened = Opened::default();
        for element in self.committed.elements() {
            let lane = KafkaRecord::lane(&self.id_prefix, element.topic(), element.partition());
            let Offset::Offset(offset) = element.offset() else {
                opened.begins.insert(lane, 0);
                continue;
            };
            let begin = u64::try_from(offset).unwrap_or_default();
            opened.begins.insert(lane, begin);
            if let Some(marks) = kept(&element) {
                let lowest = opened.kept.get_or_insert_with(|| marks.clone());
                lowest.lower(&marks);
            }
        }
        Ok(opened)
    }

    async fn keep(&mut self, marks: &Marks) -> Result<(), Interruption> {
        let Some(consumer) = self.consumer.clone() else {
            return Err(Interruption::Rebalanced);
        };
        if consumer.context().changes() != self.changes {
            return Err(Interruption::Rebalanced);
        }
        let (committed, marks) = (self.committed.clone(), metadata(marks)?);
        let commit = move || {
            let mut offsets = TopicPartitionList::new();
            for element in committed.elements() {
                // The oldest record is where a group begins that has committed nothing.
                let (topic, partition) = (element.topic(), element.partition());
                let offset = match element.offset() {
                    Offset::Offset(offset) => offset,
                    _ => {
                        let ends = consumer.fetch_watermarks(topic, partition, OFFSETS_DEADLINE)?;
                        ends.0
                    }
                };
                add(&mut offsets, topic, partition, offset, &marks)?;
            }
            consumer.commit(&offsets, CommitMode::Sync)
        };
        let committed = blocking(commit).await;
        self.or_discard(committed)
    }

    async fn fetch(&mut self) -> Result<Fetched<KafkaRecord>, Interruption> {
        let fetched = self.next().await;
        self.or_discard(fetched)
    }

    fn gauge(&self) -> Arc<dyn Gauge> {
        self.lag.clone()
    }

    /// The member stays in its group: leaving it would only have the partitions shared out again.
    async fn rewind(&mut self) {
        self.stash.clear();
    }

    async fn close(&mut self) {
        // A list that the client made keeps it from ending.
        self.committed = TopicPartitionList::new();
        if let Some(consumer) = self.consumer.take() {
            // Leaving the group commits what is stored.
            bus::clients::blocking(move || drop(consumer)).await.ok();
        }
    }
}

impl KafkaSource {
    async fn next(&mut self) -> Result<Fetched<KafkaRecord>, Interruption> {
        let Some(consumer) = self.consumer.clone() else {
            return Err(Interruption::Rebalanced);
        };
        let mut failing_since = None;
        let mut waiting = Waiting::default();
        let mut looked_at = Instant::now();
        while self.stash.is_empty() {
            self.receive(&consumer, &mut failing_since, Duration::from_secs(1))
                .await?;
            if consumer.context().changes() != self.changes {
                return Err(Interruption::Rebalanced);
            }
            if self.stash.is_empty() && looked_at.elapsed() >= QUIET_PATIENCE {
                match look(&consumer).await {
                    Ok(looked) => waiting.judge(looked).inspect_err(|_| forget(&consumer))?,
                    // The client says itself that it has no connection.
                    Err(error) => tracing::debug!(%error, "a look at a quiet topic fails: {error}"),
                }
                looked_at = Instant::now();
            }
        }
        let mut bytes: usize = self.stash.iter().map(KafkaRecord::size).sum();
        while self.stash.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
            match consumer.recv().now_or_never() {
                Some(Ok(message)) => {
                    let record = record(&message);
                    bytes += record.size();
                    self.stash.push(record);
                }
                Some(Err(error)) => check(error, false)?,
                None => break,
            }
        }
        if consumer.context().changes() != self.changes {
            return Err(Interruption::Rebalanced);
        }
        let records = std::mem::take(&mut self.stash);
        let mut reached = HashMap::new();
        for record in &records {
            reached.insert((record.topic.clone(), record.partition), record.offset + 1);
        }
        let incoming = |record: KafkaRecord| Incoming {
            id: record.message_id(&self.id_prefix),
            record,
        };
        Ok(Fetched {
            records: records.into_iter().map(incoming).collect(),
            receipt: Box::new(Offsets { consumer, reached }),
        })
    }

    /// Ends the client after an error: librdkafka recovers from little by itself.
    fn or_discard<T>(&mut self, done: Result<T, Interruption>) -> Result<T, Interruption> {
        let Err(interruption @ Interruption::Unavailable(_)) = done else {
            return done;
        };
        self.stash.clear();
        self.committed = TopicPartitionList::new();
        let Some(consumer) = self.consumer.take() else {
            return Err(interruption);
        };
        let explained = consumer.context().trouble.explain(interruption);
        bus::clients::drop_elsewhere(consumer);
        Err(explained)
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            bus::clients::drop_elsewhere(consumer);
        }
    }
}

/// The offsets behind a batch.
struct Offsets {
    consumer: Arc<StreamConsumer<Member>>,
    reached: HashMap<(String, i32), i64>,
}

#[async_trait]
impl Receipt for Offsets {
    async fn acknowledge(self: Box<Self>, marks: &Marks) {
        let marks = match metadata(marks) {
            Ok(marks) => marks,
            // The next session begins where this one did.
            Err(error) => {
                tracing::warn!(%error, "offsets are not committed: {error}");
                return;
            }
        };
        let mut offsets = TopicPartitionList::new();
        let mut stored = Ok(());
        for ((topic, partition), offset) in &self.reached {
            stored = stored.and_then(|()| add(&mut offsets, topic, *partition, *offset, &marks));
        }
        let stored = stored.and_then(|()| self.consumer.store_offsets(&offsets));
        if let Err(error) = stored {
            // The partition is revoked: its next owner reads the records again.
            tracing::debug!(target: "librdkafka", %error, "an offset is not stored: {error}");
        }
    }
}

fn record(message: &BorrowedMessage<'_>) -> KafkaRecord {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    KafkaRecord {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: headers
            .map(|header| {
                (
                    header.key.to_owned(),
                    header.value.map(Bytes::copy_from_slice),
                )
            })
            .collect(),
        timestamp_ms: message.timestamp().to_millis(),
    }
}
