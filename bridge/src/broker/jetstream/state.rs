//! Everything a stream is but its bytes: what the records of its log add up to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::consumer::{Consumer, SavedConsumer};
use super::duplicates::Duplicates;
use super::lifetimes::Lifetimes;
use super::messages::{Messages, size_in_memory, size_on_disk};
use super::recovery::Recovery;
use super::retention::Limits;
use super::schedules::Schedules;
use super::stream_config::{Storage, StreamConfig};
use super::transform::Transform;
use crate::broker::Retention;
use crate::broker::headers;
use crate::broker::store::live::Runs;
use crate::broker::store::log::{Opening, Position};
use crate::broker::store::record::{Record, StoredMessage};
use crate::broker::store::rewrite::Kept;

/// The header that makes a publish safe to repeat.
/// The largest sequence that a client may name: it leaves room to count on.
pub(super) const MAX_SEQ: u64 = 1 << 62;

pub(super) const MESSAGE_ID: &str = "Nats-Msg-Id";

/// The state of one stream. Only what is durable gets here.
#[derive(Debug)]
pub(super) struct State {
    pub(super) config: StreamConfig,
    pub(super) created: i64,
    pub(super) messages: Messages,
    pub(super) consumers: BTreeMap<String, Consumer>,
    pub(super) duplicates: Duplicates,
    pub(super) next_consumer_id: u32,
    pub(super) limits: Limits,
    /// Messages that were given up before a durable consumer had acknowledged them.
    pub(super) lost: u64,
    /// Of these, how many each durable consumer lost since they were last told. A deleted consumer is not among them.
    pub(super) lost_by: BTreeMap<String, u64>,
    /// The bodies of a stream that is in memory alone.
    pub(super) bodies: Option<BTreeMap<u64, Bytes>>,
    /// What the subjects of published messages become.
    pub(super) incoming: Option<Transform>,
    /// The subjects on which stored messages are published again.
    pub(super) republish: Option<Transform>,
    /// Which messages are kept for a time of their own.
    pub(super) lifetimes: Lifetimes,
    /// Which messages have others published later.
    pub(super) schedules: Schedules,
    /// What is too old, and is to be replaced by a mark on its subject.
    pub(super) to_mark: Vec<(u64, Box<str>)>,
    retention: Retention,
}

/// The rarer changes of a stream, as they stand in its log.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Change {
    Configured(Box<StreamConfig>),
    ConsumerSaved(Box<SavedConsumer>),
    ConsumerDeleted(String),
}

/// The state without the messages, as it stands at the start of each segment.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Snapshot {
    pub(super) config: StreamConfig,
    created: i64,
    first_seq: u64,
    last_seq: u64,
    last_time: i64,
    next_consumer_id: u32,
    consumers: Vec<SavedConsumer>,
    /// The id of the last message.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    last_id: Box<str>,
    /// Schedules by their sequences, and when they are due again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    schedules: Vec<(u64, i64)>,
}

impl State {
    pub(super) fn new(config: StreamConfig, created: i64, recovery: &Recovery) -> Self {
        let mut messages = Messages::default();
        if config.first_seq > 1 {
            messages.advance(config.first_seq, config.first_seq - 1, 0);
        }
        State {
            limits: Limits::of(&config, &recovery.retention),
            lost: 0,
            lost_by: BTreeMap::new(),
            bodies: (config.storage == Storage::Memory).then(BTreeMap::new),
            incoming: config.incoming_transform(),
            republish: config.republish_transform(),
            lifetimes: Lifetimes::default(),
            schedules: Schedules::default(),
            to_mark: Vec::new(),
            retention: recovery.retention,
            config,
            created,
            messages,
            consumers: BTreeMap::new(),
            duplicates: Duplicates::among(Arc::clone(&recovery.known_ids)),
            next_consumer_id: 1,
        }
    }

    /// The state a log starts from; `None` when the record holds none.
    pub(super) fn from_snapshot(
        record: &Record,
        now: Instant,
        recovery: &Recovery,
    ) -> Option<Self> {
        let Record::Snapshot(json) = record else {
            return None;
        };
        let snapshot: Snapshot = serde_json::from_slice(json).ok()?;
        let mut state = State::new(snapshot.config.clone(), snapshot.created, recovery);
        state.take_snapshot(snapshot, now);
        Some(state)
    }

    /// The bytes that a message counts for.
    pub(super) fn size_of(&self, subject: &str, headers: &[u8], payload: &[u8]) -> u64 {
        let (subject, headers, payload) = (subject.len(), headers.len(), payload.len());
        match self.config.storage {
            Storage::File => size_on_disk(subject, headers, payload),
            Storage::Memory => size_in_memory(subject, headers, payload),
        }
    }

    /// What a segment starts with.
    pub(super) fn opening(&self) -> Opening {
        let snapshot = Snapshot {
            first_seq: self.messages.first_seq(),
            last_seq: self.messages.last_seq,
            last_time: self.messages.last_time,
            consumers: self.consumers.values().map(Consumer::save).collect(),
            last_id: self.duplicates.last_stored().into(),
            schedules: self.schedules.saved(),
            ..self.outline()
        };
        Opening {
            snapshot: to_json(&snapshot),
            live: self.messages.live(),
        }
    }

    /// What is kept of segments that are rewritten, when `live` says which messages there were at the last beginning of a
    /// segment. That segment says all the rest.
    pub(super) fn kept(&self, live: Runs, now: i64) -> Kept {
        Kept {
            snapshot: to_json(&self.outline()),
            live,
            ids_since: self.ids_since(now),
            id_of,
        }
    }

    /// From when on the ids of messages are known.
    pub(super) fn ids_since(&self, now: i64) -> i64 {
        let window = now.saturating_sub(self.config.duplicate_window);
        self.duplicates.known_since(window)
    }

    /// A snapshot that says nothing of messages and consumers.
    fn outline(&self) -> Snapshot {
        Snapshot {
            config: self.config.clone(),
            created: self.created,
            first_seq: 0,
            last_seq: 0,
            last_time: 0,
            next_consumer_id: self.next_consumer_id,
            consumers: Vec::new(),
            last_id: Box::default(),
            schedules: Vec::new(),
        }
    }

    /// Adds a message and puts out what no longer fits.
    pub(super) fn add(
        &mut self,
        seq: u64,
        subject: &str,
        position: Position,
        time: i64,
        size: u64,
    ) {
        if seq <= self.messages.last_seq {
            return;
        }
        self.messages.insert(seq, subject, position, time, size);
        for consumer in self.consumers.values_mut() {
            consumer.message_added(seq, subject);
        }
        // Its last consumer may have gone while it was on its way to the disk.
        if !self.is_wanted(subject) {
            return self.remove(seq);
        }
        while let Some(surplus) = self.messages.surplus(&self.limits, Some(subject)) {
            self.give_up(surplus);
        }
    }

    /// Takes a message out.
    pub(super) fn remove(&mut self, seq: u64) {
        let Some(subject) = self.take_out(seq) else {
            return;
        };
        for consumer in self.consumers.values_mut() {
            consumer.message_removed(seq, &subject);
        }
    }

    pub(super) fn take_out(&mut self, seq: u64) -> Option<Arc<str>> {
        self.lifetimes.remove(seq);
        self.schedules.remove(seq);
        if let Some(bodies) = &mut self.bodies {
            bodies.remove(&seq);
        }
        self.messages.remove(seq)
    }

    /// Takes out a message that the limits no longer leave room or time for.
    pub(super) fn give_up(&mut self, seq: u64) {
        let Some(subject) = self.take_out(seq) else {
            return;
        };
        let mut is_lost = false;
        for consumer in self.consumers.values_mut() {
            if consumer.is_durable() && consumer.awaits(seq, &subject) {
                is_lost = true;
                *self
                    .lost_by
                    .entry(consumer.config.name.clone())
                    .or_default() += 1;
            }
            consumer.message_removed(seq, &subject);
        }
        self.lost += u64::from(is_lost);
    }

    /// Whether there are durable consumers, and all of them have acknowledged or given up everything up to here.
    pub(super) fn is_acknowledged(&self, seq: u64) -> bool {
        let mut durable = self
            .consumers
            .values()
            .filter(|consumer| consumer.is_durable())
            .peekable();
        durable.peek().is_some() && durable.all(|consumer| consumer.done_until() >= seq)
    }

    /// Takes out every message before a sequence.
    pub(super) fn remove_below(&mut self, seq: u64) {
        while self.messages.len() > 0 && self.messages.first_seq() < seq {
            self.remove(self.messages.first_seq());
        }
        self.messages.advance(seq, seq.saturating_sub(1), 0);
    }

    pub(super) fn apply(&mut self, change: Change, now: Instant) {
        match change {
            Change::Configured(config) => {
                let before = self.config.retention;
                self.take_config(*config);
                for surplus in self.messages.beyond_shares(&self.limits) {
                    self.give_up(surplus);
                }
                while let Some(surplus) = self.messages.surplus(&self.limits, None) {
                    self.give_up(surplus);
                }
                if self.config.retention != before {
                    self.release_all();
                }
            }
            Change::ConsumerSaved(saved) => {
                self.next_consumer_id = self.next_consumer_id.max(saved.id + 1);
                let existing = self.consumers.get(&saved.config.name);
                let wants_others = existing.is_some_and(|existing| {
                    existing.id != saved.id || existing.config.filters() != saved.config.filters()
                });
                let awaited = match wants_others {
                    true => self.awaited_by(&saved.config.name),
                    false => Vec::new(),
                };
                match self.consumers.get_mut(&saved.config.name) {
                    Some(existing) if existing.id == saved.id => {
                        existing.reconfigure(saved.config, &self.messages)
                    }
                    _ => {
                        let consumer = Consumer::restore(*saved, &self.messages, now);
                        self.consumers
                            .insert(consumer.config.name.clone(), consumer);
                    }
                }
                self.release_awaited(&awaited);
            }
            Change::ConsumerDeleted(name) => {
                let awaited = self.awaited_by(&name);
                self.consumers.remove(&name);
                self.lost_by.remove(&name);
                self.release_awaited(&awaited);
            }
        }
    }

    pub(super) fn take_config(&mut self, config: StreamConfig) {
        self.limits = Limits::of(&config, &self.retention);
        self.incoming = config.incoming_transform();
        self.republish = config.republish_transform();
        self.config = config;
    }

    pub(super) fn take_snapshot(&mut self, snapshot: Snapshot, now: Instant) {
        self.take_config(snapshot.config);
        self.created = snapshot.created;
        // Those of before need not hear of what goes.
        self.consumers.clear();
        self.remove_below(snapshot.first_seq);
        self.messages
            .advance(snapshot.first_seq, snapshot.last_seq, snapshot.last_time);
        self.duplicates.set_last(&snapshot.last_id);
        self.next_consumer_id = snapshot.next_consumer_id;
        self.schedules.restore(snapshot.schedules);
        let consumers = snapshot.consumers.into_iter();
        let consumers = consumers.map(|saved| {
            (
                saved.config.name.clone(),
                Consumer::replayed(saved, &self.messages, now),
            )
        });
        self.consumers = consumers.collect();
    }

    pub(super) fn consumer_by_id(&mut self, id: u32) -> Option<&mut Consumer> {
        self.consumers
            .values_mut()
            .find(|consumer| consumer.id == id)
    }
}

/// The id of a message.
pub(super) fn id_of(message: &StoredMessage) -> Option<&str> {
    id_in(&message.headers)
}

/// The id that the headers of a message say.
pub(super) fn id_in(block: &[u8]) -> Option<&str> {
    headers::value(block, MESSAGE_ID).filter(|id| !id.is_empty())
}

/// JSON of our own types, for the log.
pub(super) fn to_json(value: &impl Serialize) -> Bytes {
    Bytes::from(
        serde_json::to_vec(value).expect("our own types have string keys and no fallible parts"),
    )
}
