//! Consumes a JetStream stream by a durable consumer that all members of the group share.
//!
//! JetStream hands out later events while earlier ones are still with a consumer that crashed, so the
//! order is restored here. Events that the stream's limits removed too early are reported as a gap.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_nats::jetstream::{
    AckKind, Message,
    consumer::{
        AckPolicy, DeliverPolicy, Info, PullConsumer,
        pull::{Config, Stream as Messages},
    },
    message::Acker,
    stream::Stream,
};
use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout};

use super::{
    KEY_HEADER,
    connection::{Connection, unavailable},
};
use crate::{
    BusError, Condition, Event, KEEP_INTERVAL, NatsServers, Retention, Source, Subscription,
    event::{Batch, Gap, Position},
    lag::LagProbe,
    with_dead_letters,
};

/// An event that was delivered to a consumer which then vanished is delivered again after this.
const ACK_WAIT: Duration = Duration::from_secs(3);
const PULL_EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long to wait for the events of a gap before looking again who has them.
const GAP_INTERVAL: Duration = Duration::from_millis(200);

/// Consumes a stream by a durable consumer named for the group.
pub(crate) struct NatsSource {
    servers: NatsServers,
    limits: Retention,
    name: String,
    subscription: Subscription,
    condition: Arc<Condition>,
    connection: Option<Connection>,
    session: Option<Session>,
    lag: LagProbe,
}

impl NatsSource {
    pub(crate) fn new(
        servers: &NatsServers,
        limits: Retention,
        name: &str,
        subscription: &Subscription,
        condition: &Arc<Condition>,
        lag: LagProbe,
    ) -> Self {
        Self {
            servers: servers.clone(),
            limits,
            name: name.into(),
            subscription: subscription.clone(),
            condition: condition.clone(),
            connection: None,
            session: None,
            lag,
        }
    }

    async fn fetch_from(&mut self, connection: &Connection) -> Result<Batch, BusError> {
        let link = connection.connected().await;
        let session = match &mut self.session {
            Some(session) => session,
            none => {
                let opened = Session::open(connection, &self.subscription).await?;
                self.condition.going_on();
                none.insert(opened)
            }
        };
        tokio::select! {
            batch = session.fetch(&mut self.lag) => batch,
            () = connection.lost(link) => Err(unavailable("the connection to NATS is lost")),
        }
    }
}

#[async_trait]
impl Source for NatsSource {
    async fn fetch(&mut self) -> Result<Batch, BusError> {
        let connection = match &self.connection {
            Some(connection) => connection.clone(),
            None => {
                let opened =
                    Connection::open(&self.servers, self.limits, &self.name, &self.condition)
                        .await?;
                self.connection.insert(opened).clone()
            }
        };
        let fetched = self.fetch_from(&connection).await;
        if fetched.is_err()
            && let Some(session) = self.session.take()
        {
            session.give_back().await;
        }
        fetched
    }

    async fn keep(&mut self) -> Vec<i32> {
        if let Some(session) = &mut self.session {
            session.extend_claims().await;
            session.look_at(&mut self.lag);
        }
        Vec::new()
    }

    async fn settle(&mut self, position: Position) {
        let acker = self
            .session
            .as_mut()
            .and_then(|s| s.unsettled.remove(&position.offset));
        if let Some(acker) = acker {
            // A broker that does not receive the acknowledgement delivers the event again.
            acker.ack().await.ok();
        }
    }

    async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.give_back().await;
        }
        if let Some(connection) = &self.connection {
            connection.flush().await;
        }
    }
}

/// The consumption of one stream while nothing goes wrong.
///
/// The broker gives out later events while earlier ones are still with a consumer that crashed, or
/// with another replica. To keep the order, an event is passed on only when every earlier one is
/// settled or was passed on before it.
struct Session {
    topic: String,
    stream: Stream,
    consumer: PullConsumer,
    messages: Messages,
    /// Every event up to this sequence is settled, was passed on, or is in a gap.
    passed_on: u64,
    /// A gap that no batch has reported yet.
    gap: Option<Gap>,
    /// What waits for its turn, by sequence.
    waiting: BTreeMap<u64, (Event, Acker)>,
    /// What was passed on and is not settled.
    unsettled: BTreeMap<u64, Acker>,
    claimed: Instant,
}

impl Session {
    async fn open(connection: &Connection, subscription: &Subscription) -> Result<Self, BusError> {
        let topic = &subscription.topic;
        for topic in with_dead_letters([topic.as_str()]) {
            connection.stream(&topic).await?;
        }
        let stream = connection.stream(topic).await?;
        let durable = subscription.group.replace('.', "-");
        let config = Config {
            durable_name: Some(durable.clone()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            filter_subject: topic.clone(),
            max_ack_pending: i64::try_from(Batch::MAX_EVENTS).unwrap_or(i64::MAX),
            ..Config::default()
        };
        let stream = connection.jetstream.get_stream(stream).await;
        let stream = stream.map_err(unavailable)?;
        let consumer: PullConsumer = stream
            .get_or_create_consumer(&durable, config)
            .await
            .map_err(unavailable)?;
        let info = consumer.get_info().await.map_err(unavailable)?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(Batch::MAX_EVENTS)
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(unavailable)?;
        let mut session = Self {
            topic: topic.clone(),
            stream,
            consumer,
            messages,
            passed_on: info.ack_floor.stream_sequence,
            gap: None,
            waiting: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            claimed: Instant::now(),
        };
        session.find_gap(&info).await?;
        Ok(session)
    }

    async fn fetch(&mut self, lag: &mut LagProbe) -> Result<Batch, BusError> {
        loop {
            self.look_at(lag);
            let batch = self.take_turn().await?;
            if !batch.is_empty() || !batch.gaps().is_empty() {
                return Ok(batch);
            }
            let patience = if self.waiting.is_empty() {
                KEEP_INTERVAL
            } else {
                GAP_INTERVAL
            };
            if let Ok(next) = timeout(patience, self.messages.next()).await {
                let message = next.ok_or_else(|| unavailable("the stream of messages ended"))?;
                self.receive(message.map_err(unavailable)?).await?;
                while let Some(Some(message)) = self.messages.next().now_or_never() {
                    self.receive(message.map_err(unavailable)?).await?;
                }
            }
            if self.claimed.elapsed() >= KEEP_INTERVAL {
                self.extend_claims().await;
            }
        }
    }

    /// Has the broker asked how many events no consumer of the group has settled.
    fn look_at(&self, lag: &mut LagProbe) {
        lag.look(|| {
            let consumer = self.consumer.clone();
            async move {
                let info = consumer.get_info().await.ok()?;
                Some(info.num_pending + info.num_ack_pending as u64)
            }
        });
    }

    /// Sorts in a message that was delivered.
    async fn receive(&mut self, message: Message) -> Result<(), BusError> {
        let sequence = message.info().map_err(unavailable)?.stream_sequence;
        let (message, acker) = message.split();
        if let Some(unsettled) = self.unsettled.get_mut(&sequence) {
            *unsettled = acker;
        } else if sequence <= self.passed_on {
            // It is settled, but the broker did not receive the acknowledgement.
            acker.ack().await.map_err(unavailable)?;
        } else {
            self.waiting
                .insert(sequence, (event(&self.topic, &message), acker));
        }
        Ok(())
    }

    /// Takes out the events that can be passed on now.
    async fn take_turn(&mut self) -> Result<Batch, BusError> {
        if let Some(first) = self.waiting.keys().next().copied()
            && first > self.passed_on + 1
        {
            let info = self.consumer.get_info().await.map_err(unavailable)?;
            if self.are_settled_before(first, &info) {
                self.find_gap(&info).await?;
                self.passed_on = first - 1;
            }
        }
        let mut batch = Batch::default();
        if let Some(gap) = self.gap.take() {
            batch.add_gap(gap);
        }
        while !batch.is_full()
            && let Some(next) = self.waiting.first_entry()
            && *next.key() == self.passed_on + 1
        {
            let (sequence, (event, acker)) = next.remove_entry();
            self.passed_on = sequence;
            self.unsettled.insert(sequence, acker);
            batch.push(
                event,
                Position {
                    partition: 0,
                    offset: sequence,
                },
            );
        }
        Ok(batch)
    }

    /// Whether no event before `first` is being worked on by another consumer, or will be
    /// delivered.
    fn are_settled_before(&self, first: u64, info: &Info) -> bool {
        info.ack_floor.stream_sequence + 1 >= first || info.num_ack_pending <= self.claims()
    }

    /// How many events are here.
    fn claims(&self) -> usize {
        self.waiting.len() + self.unsettled.len()
    }

    /// Looks for events that no consumer of the group has settled and that the stream no longer has.
    async fn find_gap(&mut self, info: &Info) -> Result<(), BusError> {
        let done = self.passed_on.max(info.ack_floor.stream_sequence);
        // What others of the group hold is theirs to settle, even if the stream has removed it.
        let others_hold = info.num_ack_pending > self.claims();
        let delivered = info.delivered.stream_sequence;
        let from = if others_hold {
            done.max(delivered)
        } else {
            done
        } + 1;
        let stream = self.stream.get_info().await.map_err(unavailable)?;
        let until = stream.state.first_sequence;
        if from < until {
            self.passed_on = until - 1;
            self.gap = Some(Gap {
                partition: 0,
                from,
                until,
            });
        }
        Ok(())
    }

    /// Keeps the broker from delivering the events that are here again.
    async fn extend_claims(&mut self) {
        let waiting = self.waiting.values().map(|(_, acker)| acker);
        for acker in waiting.chain(self.unsettled.values()) {
            acker.ack_with(AckKind::Progress).await.ok();
        }
        self.claimed = Instant::now();
    }

    /// Has the broker deliver the events that are not settled, or were not even received, again at
    /// once.
    async fn give_back(mut self) {
        while let Some(Some(Ok(message))) = self.messages.next().now_or_never() {
            message.ack_with(AckKind::Nak(None)).await.ok();
        }
        let waiting = self.waiting.into_values().map(|(_, acker)| acker);
        for acker in self.unsettled.into_values().chain(waiting) {
            acker.ack_with(AckKind::Nak(None)).await.ok();
        }
    }
}

fn event(topic: &str, message: &async_nats::Message) -> Event {
    let mut key = String::new();
    let mut headers = Vec::new();
    let all = message.headers.iter().flat_map(|headers| headers.iter());
    for (name, values) in all {
        let name: &str = name.as_ref();
        for value in values {
            if name.eq_ignore_ascii_case(KEY_HEADER) {
                key = value.to_string();
            } else if !name.starts_with("Nats-") {
                headers.push((name.to_owned(), value.to_string()));
            }
        }
    }
    // The client keeps them in a hash map.
    headers.sort();
    Event {
        topic: topic.to_owned(),
        key,
        payload: message.payload.to_vec(),
        headers,
    }
}
