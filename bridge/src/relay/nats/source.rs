//! Reads a stream by a durable consumer, as the active instance of its route.
//!
//! A server hands out new messages while older ones are still with an instance that crashed. A session therefore gives
//! out nothing until it has all messages that were handed out before it, and sorts them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        AckKind,
        consumer::{
            AckPolicy, DeliverPolicy, PullConsumer,
            pull::{Config, Stream as Messages},
        },
        message::Acker,
    },
};
use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    super::{
        config::NatsCluster,
        flow::{Fetched, Incoming, Interruption, Marks, Opened, Receipt, Source},
        kafka::{Lease, MarksKeeper},
        record::NatsRecord,
    },
    connection::{ANSWER_DEADLINE, Connection},
};

/// The most records and bytes of a batch.
const MAX_RECORDS: usize = 500;
const MAX_BYTES: usize = 1 << 20;
/// A message that is not acknowledged is handed out again after this: longer than a batch may take.
const ACK_WAIT: Duration = Duration::from_secs(12);
const PULL_EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long to wait for messages that another session had before looking again whether they are to come.
const SORT_INTERVAL: Duration = Duration::from_millis(250);
/// How often marks are kept.
const KEEP_INTERVAL: Duration = Duration::from_millis(500);

/// What is read, and as whom.
#[derive(Debug, Clone)]
pub(in super::super) struct Reading {
    pub(in super::super) cluster: NatsCluster,
    /// The stream; none for the one that has the first of the subjects.
    pub(in super::super) stream: Option<String>,
    pub(in super::super) subjects: Vec<String>,
    /// The name of the durable consumer.
    pub(in super::super) durable: String,
    /// Whether the stream is made if there is none.
    pub(in super::super) creates: bool,
    /// How many messages may be on their way.
    pub(in super::super) max_in_flight: usize,
}

/// Reads the stream of a route.
pub(in super::super) struct NatsSource {
    reading: Reading,
    lease: Lease,
    session: Option<Session>,
}

impl NatsSource {
    pub(in super::super) fn new(reading: Reading, lease: Lease) -> Self {
        Self {
            reading,
            lease,
            session: None,
        }
    }
}

#[async_trait]
impl Source<NatsRecord> for NatsSource {
    async fn open(&mut self) -> Result<Opened, Interruption> {
        self.session = None;
        let kept = self.lease.acquire().await?;
        let keeper = self.lease.keeper().ok_or(Interruption::Rebalanced)?;
        let session = self
            .session
            .insert(Session::open(&self.reading, keeper).await?);
        Ok(Opened {
            kept,
            begins: [(session.lane.clone(), session.begin)].into(),
        })
    }

    async fn keep(&mut self, marks: &Marks) -> Result<(), Interruption> {
        let keeper = self.lease.keeper().ok_or(Interruption::Rebalanced)?;
        keeper.keep(marks).await
    }

    async fn fetch(&mut self) -> Result<Fetched<NatsRecord>, Interruption> {
        let Some(session) = &mut self.session else {
            return Err(Interruption::Rebalanced);
        };
        let connection = session.connection.clone();
        tokio::select! {
            fetched = session.fetch(&self.lease) => fetched,
            interruption = connection.lost() => Err(interruption),
        }
    }

    fn lag(&self) -> Option<u64> {
        Some(self.session.as_ref()?.pending)
    }

    async fn rewind(&mut self) {
        if let Some(session) = self.session.take() {
            session.give_back().await;
        }
    }

    async fn close(&mut self) {
        self.lease.give_up().await;
    }
}

/// The consumption of the stream while nothing goes wrong.
struct Session {
    /// Cluster and stream, with which the ids of messages begin.
    lane: String,
    /// The first message that is not acknowledged, or a later one.
    begin: u64,
    connection: Connection,
    consumer: PullConsumer,
    messages: Messages,
    /// Messages up to this sequence were handed out before this session; those that are not acknowledged come again.
    sorted_from: Option<u64>,
    passed_on: u64,
    waiting: BTreeMap<u64, (NatsRecord, Acker)>,
    settling: Arc<Mutex<Settling>>,
    /// How many messages the server has for later.
    pending: u64,
}

impl Session {
    async fn open(reading: &Reading, keeper: MarksKeeper) -> Result<Self, Interruption> {
        let connection = Connection::open(&reading.cluster, &reading.durable).await?;
        let jetstream = &connection.jetstream;
        let stream = match &reading.stream {
            Some(stream) => stream.clone(),
            None => {
                let subject = reading.subjects.first().map_or("", String::as_str);
                connection.stream(subject, reading.creates).await?
            }
        };
        let found = jetstream.get_stream(&stream).await;
        let found = found.map_err(|error| {
            Interruption::Unavailable(format!("the stream `{stream}` cannot be read: {error}"))
        })?;
        let (filter_subject, filter_subjects) = match reading.subjects.as_slice() {
            [only] => (only.clone(), Vec::new()),
            several => (String::new(), several.to_vec()),
        };
        let config = Config {
            durable_name: Some(reading.durable.clone()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            filter_subject,
            filter_subjects,
            max_ack_pending: i64::try_from(reading.max_in_flight).unwrap_or(i64::MAX),
            ..Config::default()
        };
        let consumer: PullConsumer = found
            .create_consumer(config)
            .await
            .map_err(Interruption::unavailable)?;
        let info = consumer
            .get_info()
            .await
            .map_err(Interruption::unavailable)?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(reading.max_in_flight.min(5_000))
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(Interruption::unavailable)?;
        let is_sorted = info.num_ack_pending == 0;
        Ok(Self {
            lane: format!("{}/{stream}", reading.cluster.id),
            begin: info.ack_floor.stream_sequence + 1,
            connection,
            consumer,
            messages,
            sorted_from: (!is_sorted).then_some(info.delivered.stream_sequence),
            passed_on: 0,
            waiting: BTreeMap::new(),
            settling: Arc::new(Mutex::new(Settling::new(keeper))),
            pending: info.num_pending,
        })
    }

    async fn fetch(&mut self, lease: &Lease) -> Result<Fetched<NatsRecord>, Interruption> {
        loop {
            if !lease.is_held() {
                return Err(Interruption::Rebalanced);
            }
            if self.sorted_from.is_some() {
                self.look_whether_sorted().await?;
            }
            if self.sorted_from.is_none() && !self.waiting.is_empty() {
                return Ok(self.take());
            }
            if let Ok(next) = timeout(SORT_INTERVAL, self.messages.next()).await {
                let ended = || Interruption::unavailable("the stream of messages ended");
                let message = next.ok_or_else(ended)?;
                self.receive(message.map_err(Interruption::unavailable)?)
                    .await?;
                while self.waiting.len() < MAX_RECORDS
                    && let Some(next) = self.messages.next().now_or_never()
                {
                    let message = next.ok_or_else(ended)?;
                    self.receive(message.map_err(Interruption::unavailable)?)
                        .await?;
                }
            }
        }
    }

    /// Sorts in a message.
    async fn receive(
        &mut self,
        message: async_nats::jetstream::Message,
    ) -> Result<(), Interruption> {
        let info = message.info().map_err(Interruption::unavailable)?;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        let published = info.published.unix_timestamp_nanos() / 1_000_000;
        let (message, acker) = message.split();
        self.pending = pending;
        if sequence <= self.passed_on {
            // It is on its way, or its acknowledgement was lost.
            let mut settling = self.settling.lock().await;
            return settling.came_again(sequence, acker).await;
        }
        let record = NatsRecord {
            subject: message.subject.to_string(),
            headers: headers(message.headers.as_ref()),
            payload: message.payload,
            sequence,
            timestamp_ms: i64::try_from(published).ok(),
        };
        self.waiting.insert(sequence, (record, acker));
        Ok(())
    }

    /// Looks whether every message that was handed out before this session is here.
    async fn look_whether_sorted(&mut self) -> Result<(), Interruption> {
        let Some(until) = self.sorted_from else {
            return Ok(());
        };
        let info = self
            .consumer
            .get_info()
            .await
            .map_err(Interruption::unavailable)?;
        let is_here = self.waiting.len() >= info.num_ack_pending;
        let is_acknowledged = info.ack_floor.stream_sequence >= until;
        if is_here || is_acknowledged {
            self.sorted_from = None;
        }
        Ok(())
    }

    fn take(&mut self) -> Fetched<NatsRecord> {
        let mut records = Vec::new();
        let mut ackers = Vec::new();
        let mut bytes = 0;
        while records.len() < MAX_RECORDS
            && bytes < MAX_BYTES
            && let Some((sequence, (record, acker))) = self.waiting.pop_first()
        {
            bytes += record.size();
            self.passed_on = sequence;
            ackers.push((sequence, acker));
            let time = record.timestamp_ms.unwrap_or(-1);
            records.push(Incoming {
                id: format!("{}/{sequence}/{time}", self.lane),
                record,
            });
        }
        Fetched {
            records,
            receipt: Box::new(Acknowledgements {
                ackers,
                settling: self.settling.clone(),
            }),
        }
    }

    /// Has the server hand out again at once what is not acknowledged.
    async fn give_back(mut self) {
        while let Some(Some(Ok(message))) = self.messages.next().now_or_never() {
            message.ack_with(AckKind::Nak(None)).await.ok();
        }
        for (_, acker) in self.waiting.into_values() {
            acker.ack_with(AckKind::Nak(None)).await.ok();
        }
        self.connection.client.flush().await.ok();
    }
}

/// What is acknowledged, and when marks were kept last.
struct Settling {
    keeper: MarksKeeper,
    /// Acknowledged up to here.
    settled: u64,
    kept_at: Instant,
}

impl Settling {
    fn new(keeper: MarksKeeper) -> Self {
        Self {
            keeper,
            settled: 0,
            kept_at: Instant::now(),
        }
    }

    async fn came_again(&mut self, sequence: u64, acker: Acker) -> Result<(), Interruption> {
        let kind = if sequence <= self.settled {
            AckKind::Ack
        } else {
            AckKind::Progress
        };
        acker
            .ack_with(kind)
            .await
            .map_err(Interruption::unavailable)
    }
}

/// Acknowledges the messages of a batch.
struct Acknowledgements {
    ackers: Vec<(u64, Acker)>,
    settling: Arc<Mutex<Settling>>,
}

#[async_trait]
impl Receipt for Acknowledgements {
    async fn acknowledge(self: Box<Self>, marks: &Marks) {
        let mut settling = self.settling.lock().await;
        let Some((last, last_acker)) = self.ackers.last() else {
            return;
        };
        let is_time = settling.kept_at.elapsed() >= KEEP_INTERVAL;
        for (sequence, acker) in &self.ackers {
            // What the server does not hear of it hands out again.
            if is_time && sequence == last {
                break;
            }
            if let Err(error) = acker.ack().await {
                tracing::debug!(%error, "an acknowledgement is not sent: {error}");
            }
        }
        settling.settled = *last;
        if !is_time {
            return;
        }
        // Marks may only be kept when the server knows what is before them.
        let known = timeout(ANSWER_DEADLINE, last_acker.double_ack()).await;
        settling.kept_at = Instant::now();
        match known {
            Ok(Ok(())) => {
                if let Err(error) = settling.keeper.keep(marks).await {
                    tracing::debug!(%error, "the marks of a route are not kept: {error}");
                }
            }
            _ => tracing::debug!("an acknowledgement is not confirmed"),
        }
    }
}

/// The headers, sorted by name: the client keeps them in a hash map.
fn headers(headers: Option<&HeaderMap>) -> Vec<(String, String)> {
    let all = headers.into_iter().flat_map(|headers| headers.iter());
    let mut sorted: Vec<_> = all
        .flat_map(|(name, values)| {
            values
                .iter()
                .map(move |value| (name.to_string(), value.to_string()))
        })
        .collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    sorted
}
