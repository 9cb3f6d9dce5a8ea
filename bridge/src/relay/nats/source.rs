//! Reads a stream by a durable consumer, as the active instance of its route.
//!
//! A server hands out new messages while older ones are still with an instance that crashed or is paused. Each session
//! therefore has a consumer of its own, which begins behind what is acknowledged, and ends that of the session before.

use std::{sync::Arc, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        AckKind,
        consumer::pull::{MessagesError, Stream as Messages},
        message::Acker,
        stream::Stream,
    },
};
use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use super::{
    super::{
        config::{NatsCluster, RouteLimits},
        flow::{
            BATCH_BYTES, BATCH_RECORDS, Fetched, Gauge, Incoming, Interruption, Marks, Opened,
            Receipt, Source, Standby,
        },
        kafka::{Lease, MarksKeeper},
        record::NatsRecord,
    },
    connection::{ANSWER_DEADLINE, Connection},
    consumers::Earlier,
    gauge::NatsGauge,
    raw,
};

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
    /// Where the session before began, if it failed at reading.
    failed_at: Option<u64>,
    gauge: Arc<NatsGauge>,
}

impl NatsSource {
    pub(in super::super) fn new(reading: Reading, lease: Lease) -> Self {
        Self {
            gauge: Arc::new(NatsGauge::new(reading.clone())),
            reading,
            lease,
            session: None,
            failed_at: None,
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
            .insert(Session::open(&self.reading, keeper, self.failed_at, &self.gauge).await?);
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
        let fetched = tokio::select! {
            fetched = session.fetch(&self.lease) => fetched,
            interruption = connection.lost() => Err(interruption),
        };
        self.failed_at = fetched.is_err().then_some(session.begin);
        fetched
    }

    fn gauge(&self) -> Arc<dyn Gauge> {
        self.gauge.clone()
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
    reading: Reading,
    stream: Stream,
    earlier: Earlier,
    /// The sequences of messages that no consumer hands on, since the client cannot read some of them.
    raw: Vec<u64>,
    /// None as long as those are not durable.
    messages: Option<Messages>,
    /// How often the consumer has handed out a message.
    deliveries: u64,
    passed_on: u64,
    waiting: Vec<(NatsRecord, Option<Acker>)>,
    settling: Arc<Mutex<Settling>>,
    gauge: Arc<NatsGauge>,
}

impl Session {
    async fn open(
        reading: &Reading,
        keeper: MarksKeeper,
        failed_at: Option<u64>,
        gauge: &Arc<NatsGauge>,
    ) -> Result<Self, Interruption> {
        let connection = Connection::open(&reading.cluster, &reading.durable).await?;
        let (name, stream) = connection.read_stream(reading, reading.creates).await?;
        let earlier = Earlier::find(&stream, &reading.durable).await?;
        let begin = earlier.floor + 1;
        let mut waiting = Vec::new();
        // There may be messages that the client cannot read.
        if failed_at == Some(begin) {
            let range = (begin, earlier.delivered);
            let subject = reading.subjects.first().map_or("", String::as_str);
            waiting = raw::read(&connection, &name, subject, range).await?;
        }
        let mut session = Self {
            lane: format!("{}/{name}", reading.id_prefix),
            begin,
            connection,
            reading: reading.clone(),
            stream,
            messages: None,
            deliveries: 0,
            passed_on: earlier.floor,
            earlier,
            raw: waiting.iter().map(|record| record.sequence).collect(),
            waiting: waiting.into_iter().map(|record| (record, None)).collect(),
            settling: Arc::new(Mutex::new(Settling::new(keeper))),
            gauge: gauge.clone(),
        };
        match session.waiting.last() {
            Some((last, _)) => session.passed_on = last.sequence,
            None => session.consume().await?,
        }
        Ok(session)
    }

    /// Begins to consume behind what is passed on.
    async fn consume(&mut self) -> Result<(), Interruption> {
        let (reading, floor) = (&self.reading, self.passed_on);
        let consumer = self
            .earlier
            .replace(&self.stream, reading, floor, &self.raw)
            .await?;
        self.begin = floor + 1;
        self.gauge
            .read_by(self.connection.clone(), consumer.clone());
        let limits = &reading.limits;
        let room = MIN_PULLED_MESSAGES * self.connection.client.max_payload();
        let messages = consumer
            .stream()
            .max_messages_per_batch(limits.max_in_flight.min(MAX_PULL))
            .max_bytes_per_batch(limits.max_in_flight_bytes.max(room))
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await;
        self.messages = Some(messages.map_err(Interruption::unavailable)?);
        Ok(())
    }

    async fn fetch(&mut self, lease: &Lease) -> Result<Fetched<NatsRecord>, Interruption> {
        loop {
            if !lease.is_held() {
                return Err(Interruption::Rebalanced);
            }
            if !self.waiting.is_empty() {
                return Ok(self.take());
            }
            let Some(messages) = &mut self.messages else {
                // The consumer begins behind messages that it cannot hand out: they have to be durable before.
                let settled = self.settling.lock().await.settled;
                match settled < self.passed_on {
                    true => sleep(LOOK_INTERVAL).await,
                    false => self.consume().await?,
                }
                continue;
            };
            if let Ok(next) = timeout(LOOK_INTERVAL, messages.next()).await {
                let mut bytes = self.receive(next).await?;
                while self.waiting.len() < BATCH_RECORDS
                    && bytes < BATCH_BYTES
                    && let Some(messages) = &mut self.messages
                    && let Some(next) = messages.next().now_or_never()
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
        let sequence = info.stream_sequence;
        self.deliveries += 1;
        if info.consumer_sequence != self.deliveries {
            let reason = "a message that NATS handed out has not arrived";
            return Err(Interruption::unavailable(reason));
        }
        let published = info.published.unix_timestamp_nanos() / 1_000_000;
        let (message, acker) = message.split();
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
            flaw: None,
        };
        self.passed_on = sequence;
        let bytes = record.size();
        self.waiting.push((record, Some(acker)));
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
    ackers: Vec<(u64, Option<Acker>)>,
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
            if let Some(acker) = acker
                && let Err(error) = acker.ack().await
            {
                tracing::debug!(%error, "an acknowledgement is not sent: {error}");
            }
        }
        settling.settled = *last;
        let Some(last_acker) = last_acker.as_ref().filter(|_| is_time) else {
            return;
        };
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
