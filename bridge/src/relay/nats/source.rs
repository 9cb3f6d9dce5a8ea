//! Reads a stream by a durable consumer, as the active instance of its route.
//!
//! A server hands out new messages while older ones are still with an instance that crashed or is paused. Each session
//! therefore has a consumer of its own, which begins behind what is acknowledged, and ends that of the session before.

use std::{sync::Arc, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        AckKind,
        consumer::{
            AckPolicy, DeliverPolicy, PullConsumer,
            pull::{Config, MessagesError, Stream as Messages},
        },
        message::Acker,
        stream::{RetentionPolicy, Stream},
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
        config::{NatsCluster, RouteLimits},
        flow::{
            BATCH_BYTES, BATCH_RECORDS, Fetched, Incoming, Interruption, Marks, Opened, Receipt,
            Source, Standby,
        },
        kafka::{Lease, MarksKeeper},
        record::NatsRecord,
    },
    connection::{ANSWER_DEADLINE, Connection},
};

/// A message that is not acknowledged is handed out again after this: longer than a batch may take.
const ACK_WAIT: Duration = Duration::from_secs(12);
/// The most messages that are asked for at a time.
const MAX_PULL: usize = 1_000;
/// A request that has no room for a message ends without it, so there has to be room for a few of the largest.
const MIN_PULLED_MESSAGES: usize = 2;
const PULL_EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long to wait for a message before looking again whether this instance is still the active one.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How often marks are kept.
const KEEP_INTERVAL: Duration = Duration::from_millis(500);

/// What is read, and as whom.
#[derive(Debug, Clone)]
pub(in super::super) struct Reading {
    pub(in super::super) cluster: NatsCluster,
    /// How the ids of messages begin.
    pub(in super::super) id_prefix: String,
    /// The stream; none for the one that has the first of the subjects.
    pub(in super::super) stream: Option<String>,
    pub(in super::super) subjects: Vec<String>,
    /// How the names of the durable consumers begin; a number follows.
    pub(in super::super) durable: String,
    /// Whether the stream is made if there is none.
    pub(in super::super) creates: bool,
    /// How many messages, and bytes of them, may be on their way.
    pub(in super::super) limits: RouteLimits,
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
    async fn open(&mut self, standby: &Standby) -> Result<Opened, Interruption> {
        self.session = None;
        let kept = self.lease.acquire(standby).await?;
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
        self.session = None;
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
    messages: Messages,
    /// How often the consumer has handed out a message.
    deliveries: u64,
    passed_on: u64,
    waiting: Vec<(NatsRecord, Acker)>,
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
        let (consumer, floor) = consumer(&found, reading).await?;
        let pending = consumer.cached_info().num_pending;
        let limits = &reading.limits;
        let room = MIN_PULLED_MESSAGES * connection.client.max_payload();
        let messages = consumer
            .stream()
            .max_messages_per_batch(limits.max_in_flight.min(MAX_PULL))
            .max_bytes_per_batch(limits.max_in_flight_bytes.max(room))
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(Interruption::unavailable)?;
        Ok(Self {
            lane: format!("{}/{stream}", reading.id_prefix),
            begin: floor + 1,
            connection,
            messages,
            deliveries: 0,
            passed_on: floor,
            waiting: Vec::new(),
            settling: Arc::new(Mutex::new(Settling::new(keeper))),
            pending,
        })
    }

    async fn fetch(&mut self, lease: &Lease) -> Result<Fetched<NatsRecord>, Interruption> {
        loop {
            if !lease.is_held() {
                return Err(Interruption::Rebalanced);
            }
            if !self.waiting.is_empty() {
                return Ok(self.take());
            }
            if let Ok(next) = timeout(LOOK_INTERVAL, self.messages.next()).await {
                let mut bytes = self.receive(next).await?;
                while self.waiting.len() < BATCH_RECORDS
                    && bytes < BATCH_BYTES
                    && let Some(next) = self.messages.next().now_or_never()
                {
                    bytes += self.receive(next).await?;
                }
            }
        }
    }

    /// Takes a message; returns the bytes of it that now wait.
    async fn receive(
        &mut self,
        next: Option<Result<async_nats::jetstream::Message, MessagesError>>,
    ) -> Result<usize, Interruption> {
        let ended = || Interruption::unavailable("the stream of messages ended");
        let message = next.ok_or_else(ended)?.map_err(Interruption::unavailable)?;
        let info = message.info().map_err(Interruption::unavailable)?;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        self.deliveries += 1;
        if info.consumer_sequence != self.deliveries {
            let reason = "a message that NATS handed out has not arrived";
            return Err(Interruption::unavailable(reason));
        }
        let published = info.published.unix_timestamp_nanos() / 1_000_000;
        let (message, acker) = message.split();
        self.pending = pending;
        if sequence <= self.passed_on {
            // It is on its way, or its acknowledgement was lost.
            let mut settling = self.settling.lock().await;
            settling.came_again(sequence, acker).await?;
            return Ok(0);
        }
        let record = NatsRecord {
            subject: message.subject.to_string(),
            headers: headers(message.headers.as_ref()),
            payload: message.payload,
            sequence,
            timestamp_ms: i64::try_from(published).ok(),
        };
        self.passed_on = sequence;
        let bytes = record.size();
        self.waiting.push((record, acker));
        Ok(bytes)
    }

    fn take(&mut self) -> Fetched<NatsRecord> {
        let waiting = self.waiting.drain(..).map(|(record, acker)| {
            let sequence = record.sequence;
            let time = record.timestamp_ms.unwrap_or(-1);
            let id = format!("{}/{sequence}/{time}", self.lane);
            (Incoming { id, record }, (sequence, acker))
        });
        let (records, ackers) = waiting.unzip();
        Fetched {
            records,
            receipt: Box::new(Acknowledgements {
                ackers,
                settling: self.settling.clone(),
            }),
        }
    }
}

/// Makes the consumer of a session, which begins behind what those before it have acknowledged, and deletes them: what
/// they were handed out is for this one. Returns the sequence behind which it begins.
async fn consumer(stream: &Stream, reading: &Reading) -> Result<(PullConsumer, u64), Interruption> {
    let mut names = stream.consumer_names();
    let (mut earlier, mut number) = (Vec::new(), 0);
    while let Some(name) = names.next().await {
        let name = name.map_err(Interruption::unavailable)?;
        let suffix = name.strip_prefix(&reading.durable);
        let suffix = suffix.and_then(|suffix| suffix.strip_prefix('-')?.parse::<u64>().ok());
        if let Some(suffix) = suffix {
            number = suffix.max(number);
            earlier.push(name);
        }
    }
    let mut floor = 0;
    for name in &earlier {
        let info = stream.consumer_info(name).await;
        let info = info.map_err(Interruption::unavailable)?;
        floor = info.ack_floor.stream_sequence.max(floor);
    }
    // Such a stream has one consumer for a message, and what it has is not acknowledged.
    let is_queue = stream.cached_info().config.retention == RetentionPolicy::WorkQueue;
    if is_queue {
        delete(stream, &earlier).await?;
    }
    let (filter_subject, filter_subjects) = match reading.subjects.as_slice() {
        [only] => (only.clone(), Vec::new()),
        several => (String::new(), several.to_vec()),
    };
    let config = Config {
        durable_name: Some(format!("{}-{}", reading.durable, number + 1)),
        deliver_policy: match floor {
            floor if floor > 0 && !is_queue => DeliverPolicy::ByStartSequence {
                start_sequence: floor + 1,
            },
            _ => DeliverPolicy::All,
        },
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        filter_subject,
        filter_subjects,
        max_ack_pending: i64::try_from(reading.limits.max_in_flight).unwrap_or(i64::MAX),
        ..Config::default()
    };
    let made = stream.create_consumer(config).await;
    let made = made.map_err(Interruption::unavailable)?;
    if !is_queue {
        delete(stream, &earlier).await?;
    }
    Ok((made, floor))
}

async fn delete(stream: &Stream, consumers: &[String]) -> Result<(), Interruption> {
    for name in consumers {
        let deleted = stream.delete_consumer(name).await;
        deleted.map_err(Interruption::unavailable)?;
    }
    Ok(())
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
