//! One consumer's progress through its stream, as a plain state machine: what to hand out next, what waits for its
//! acknowledgement, what is due again. It knows nothing of clients, disks or clocks.

mod saved;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};

pub(super) use self::saved::SavedConsumer;
use self::saved::runs;
use super::beginning::Beginning;
use super::consumer_config::{AckPolicy, ConsumerConfig};
use super::filter::Filter;
use super::messages::Messages;
use super::messages::search::{SEARCH_STEP, Search};

/// The count of deliveries by which the log says that a message was given up. An older broker takes it for the last delivery.
pub(super) const GIVEN_UP: u32 = u32::MAX;

/// A message that was handed out and waits for its acknowledgement.
#[derive(Clone, Debug, PartialEq)]
struct Pending {
    /// The consumer's own sequence by which it was first handed out, or last where an acknowledgement counts for all before it.
    consumer_seq: u64,
    deliveries: u32,
    due: Instant,
}

/// How far something got, in the consumer's own count and in the stream's.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Progress {
    pub(super) consumer_seq: u64,
    pub(super) stream_seq: u64,
}

/// A message to hand out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Next {
    pub(super) seq: u64,
    /// How many times it was handed out, this time included.
    pub(super) deliveries: u32,
}

/// The progress of a consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) id: u32,
    pub(super) created: i64,
    pub(super) config: ConsumerConfig,
    filter: Filter,
    beginning: Beginning,
    /// How far the next message was searched for: what is wanted before was handed out.
    searched: u64,
    pub(super) delivered: Progress,
    pub(super) ack_floor: Progress,
    /// Wanted messages that were never handed out.
    pub(super) num_pending: u64,
    /// What it was done with since the stream last asked: the stream may let go of it.
    pub(super) settled: Vec<u64>,
    pending: BTreeMap<u64, Pending>,
    due: BTreeSet<(Instant, u64)>,
    again: BTreeSet<u64>,
    /// What was handed out as often as may be. It counts as not acknowledged, but is not waited for.
    given_up: BTreeSet<u64>,
    /// What was given up since it was last asked for.
    exhausted: Vec<Exhausted>,
    /// When it last handed out and was last acknowledged a message, in nanoseconds since 1970.
    pub(super) last_delivery: Option<i64>,
    pub(super) last_ack: Option<i64>,
}

/// A message that was handed out as often as may be, in vain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exhausted {
    pub(super) seq: u64,
    pub(super) deliveries: u32,
}

impl Consumer {
    /// A consumer as it was saved. What waits for its acknowledgement has all of its time again.
    pub(super) fn restore(saved: SavedConsumer, messages: &Messages, now: Instant) -> Self {
        let mut consumer = Self::replayed(saved, messages, now);
        consumer.recount(messages);
        consumer
    }

    /// As [`Consumer::restore`], while more of the log is to be replayed: [`Consumer::recount`] is due
    /// after that.
    pub(super) fn replayed(saved: SavedConsumer, messages: &Messages, now: Instant) -> Self {
        let filter = Filter::of(saved.config.filters());
        let mut consumer = Consumer {
            id: saved.id,
            created: saved.created,
            config: saved.config,
            filter,
            beginning: saved.beginning,
            searched: 0,
            delivered: saved.delivered,
            ack_floor: saved.ack_floor,
            num_pending: 0,
            settled: Vec::new(),
            pending: BTreeMap::new(),
            due: BTreeSet::new(),
            again: BTreeSet::new(),
            given_up: BTreeSet::new(),
            exhausted: Vec::new(),
            last_delivery: None,
            last_ack: None,
        };
        consumer.beginning.retain(|seq| messages.contains(seq));
        for (first, last) in saved.given_up {
            let run = messages.range(first).map(|entry| entry.seq);
            let run = run.take_while(|seq| *seq <= last);
            consumer.given_up.extend(run);
        }
        for (seq, consumer_seq, deliveries) in saved.pending {
            if messages.contains(seq) {
                consumer.wait_for_ack(seq, consumer_seq, deliveries, now);
            }
        }
        consumer
    }

    pub(super) fn save(&self) -> SavedConsumer {
        let pending = self
            .pending
            .iter()
            .map(|(seq, pending)| (*seq, pending.consumer_seq, pending.deliveries));
        SavedConsumer {
            id: self.id,
            created: self.created,
            config: self.config.clone(),
            delivered: self.delivered,
            ack_floor: self.ack_floor,
            pending: pending.collect(),
            given_up: runs(&self.given_up),
            beginning: self.beginning.clone(),
        }
    }

    /// Takes a changed configuration.
    pub(super) fn reconfigure(&mut self, config: ConsumerConfig, messages: &Messages) {
        self.config = config;
        self.filter = Filter::of(self.config.filters());
        self.searched = 0;
        let wanted = |seq| {
            messages
                .subject_of(seq)
                .is_some_and(|subject| self.filter.takes(subject))
        };
        self.given_up.retain(|seq| wanted(*seq));
        self.recount(messages);
    }

    /// Counts the wanted messages that were never handed out.
    pub(super) fn recount(&mut self, messages: &Messages) {
        let from = self.delivered.stream_seq + 1;
        let behind = messages.count_wanted(self.beginning.behind(from), &self.filter);
        self.num_pending = self.beginning.count(from) + behind;
    }

    /// The next wanted message that was never handed out, as far as a step of the search finds it.
    fn next_wanted(&mut self, messages: &Messages) -> Search {
        let from = self.delivered.stream_seq + 1;
        if let Some(listed) = self.beginning.next(from) {
            return Search::Found(listed);
        }
        let from = self.beginning.behind(from).max(self.searched);
        let search = messages.search(from, &self.filter, SEARCH_STEP);
        self.searched = match search {
            Search::Found(seq) | Search::Further(seq) => seq,
            Search::Nothing => messages.last_seq + 1,
        };
        search
    }

    /// Whether [`Consumer::next`] says that there is none only because it has searched for long enough.
    pub(super) fn is_searching(&self, messages: &Messages) -> bool {
        self.num_pending > 0 && !self.is_stalled() && self.searched <= messages.last_seq
    }

    fn wants(&self, seq: u64, subject: &str) -> bool {
        let is_listed = self.beginning.contains(seq);
        is_listed || (!self.beginning.covers(seq) && self.filter.takes(subject))
    }

    /// Whether it outlives its clients.
    pub(super) fn is_durable(&self) -> bool {
        !self.config.durable_name.is_empty()
    }

    /// Whether it is durable and there are messages that it has not acknowledged.
    pub(super) fn is_behind(&self) -> bool {
        self.is_durable() && (self.num_pending > 0 || !self.pending.is_empty())
    }

    /// Whether a stream keeps messages on this subject for it.
    pub(super) fn is_interested(&self, subject: &str) -> bool {
        !self.config.direct && self.filter.takes(subject)
    }

    /// Whether a stream that keeps what is wanted has to keep a message for it: it has not acknowledged it, and may have given it up.
    pub(super) fn needs(&self, seq: u64, subject: &str) -> bool {
        self.awaits(seq, subject) || self.given_up.contains(&seq)
    }

    /// Whether it wants a message that it has neither acknowledged nor given up.
    pub(super) fn awaits(&self, seq: u64, subject: &str) -> bool {
        self.pending.contains_key(&seq)
            || (seq > self.delivered.stream_seq && self.wants(seq, subject))
    }

    /// All messages that it needs.
    pub(super) fn needed(&self, messages: &Messages) -> Vec<u64> {
        let from = self.delivered.stream_seq + 1;
        let listed = self.beginning.from(from);
        let wanted = messages.all_wanted(self.beginning.behind(from), &self.filter);
        let unacknowledged = self.pending.keys().chain(&self.given_up);
        let unacknowledged = unacknowledged.copied();
        unacknowledged.chain(listed).chain(wanted).collect()
    }

    /// What to hand out next: what is due again first, else the next wanted message unless too many are unacknowledged.
    pub(super) fn next(&mut self, messages: &Messages) -> Option<Next> {
        while let Some(seq) = self.again.first().copied() {
            match self.pending.get(&seq) {
                Some(pending) if pending.deliveries < self.config.max_deliver() => {
                    return Some(Next {
                        seq,
                        deliveries: pending.deliveries + 1,
                    });
                }
                _ => self.exhaust(seq),
            }
        }
        if self.num_pending == 0 || self.is_stalled() {
            return None;
        }
        match self.next_wanted(messages) {
            Search::Found(seq) => Some(Next { seq, deliveries: 1 }),
            Search::Nothing | Search::Further(_) => None,
        }
    }

    /// Whether it hands out nothing new because too much is unacknowledged.
    pub(super) fn is_stalled(&self) -> bool {
        self.pending.len() >= self.config.max_ack_pending()
    }

    /// Gives a message up that was handed out as often as may be.
    fn exhaust(&mut self, seq: u64) {
        self.again.remove(&seq);
        if let Some(pending) = self.give_up(seq) {
            self.exhausted.push(Exhausted {
                seq,
                deliveries: pending.deliveries,
            });
        }
    }

    /// Waits for a message no more. It may be acknowledged all the same.
    fn give_up(&mut self, seq: u64) -> Option<Pending> {
        let pending = self.pending.remove(&seq)?;
        self.due.remove(&(pending.due, seq));
        self.given_up.insert(seq);
        Some(pending)
    }

    /// What was given up since the last call.
    pub(super) fn take_exhausted(&mut self) -> Vec<Exhausted> {
        std::mem::take(&mut self.exhausted)
    }

    /// Takes note that a message is being handed out. Returns its consumer sequence.
    pub(super) fn handed_out(&mut self, next: Next, now: Instant) -> u64 {
        self.delivered.consumer_seq += 1;
        let consumer_seq = self.delivered.consumer_seq;
        if next.deliveries == 1 {
            self.delivered.stream_seq = next.seq;
            self.num_pending = self.num_pending.saturating_sub(1);
            if !self.beginning.is_none() && !self.beginning.covers(next.seq) {
                self.beginning = Beginning::default();
            }
        }
        self.again.remove(&next.seq);
        if self.config.ack_policy == AckPolicy::None {
            self.settled.push(next.seq);
            self.ack_floor = self.delivered;
        } else {
            self.wait_for_ack(next.seq, consumer_seq, next.deliveries, now);
        }
        consumer_seq
    }

    /// Takes note that a log says so: everything wanted up to here was handed out.
    pub(super) fn replay_delivered(
        &mut self,
        seq: u64,
        consumer_seq: u64,
        messages: &Messages,
        now: Instant,
    ) {
        loop {
            match self.next_wanted(messages) {
                Search::Found(next) if next <= seq => {
                    let (seq, deliveries) = (next, 1);
                    self.handed_out(Next { seq, deliveries }, now);
                }
                Search::Further(next) if next <= seq => {}
                _ => break,
            }
        }
        self.delivered.stream_seq = self.delivered.stream_seq.max(seq);
        self.delivered.consumer_seq = self.delivered.consumer_seq.max(consumer_seq);
        if self.pending.is_empty() {
            self.ack_floor = self.delivered;
        }
    }

    /// Takes note that a log says so: a message was handed out so many times, or given up.
    pub(super) fn replay_attempts(&mut self, seq: u64, count: u32, consumer_seq: u64) {
        if count == GIVEN_UP {
            self.give_up(seq);
            return;
        }
        if let Some(pending) = self.pending.get_mut(&seq) {
            pending.deliveries = pending.deliveries.max(count);
            if self.config.ack_policy == AckPolicy::All {
                pending.consumer_seq = pending.consumer_seq.max(consumer_seq);
            }
        }
        self.delivered.consumer_seq = self.delivered.consumer_seq.max(consumer_seq);
    }

    /// The message is done with. Returns the messages that this settles.
    pub(super) fn acknowledge(&mut self, seq: u64) -> Vec<u64> {
        let first = match self.config.ack_policy {
            AckPolicy::All => 0,
            AckPolicy::None | AckPolicy::Explicit | AckPolicy::FlowControl => seq,
        };
        let pending = self.pending.range(first..=seq).map(|(seq, _)| *seq);
        let given_up = self.given_up.range(first..=seq).copied();
        let settled: Vec<u64> = pending.chain(given_up).collect();
        let last = self.pending.range(first..=seq).next_back();
        let last = last.map(|(seq, pending)| (*seq, pending.consumer_seq));
        for seq in &settled {
            self.settle(*seq);
        }
        match last {
            Some((stream_seq, consumer_seq)) if self.config.ack_policy == AckPolicy::All => {
                self.ack_floor = Progress {
                    consumer_seq,
                    stream_seq,
                };
            }
            Some((seq, consumer_seq)) => self.raise_floor(seq, consumer_seq),
            None => {}
        }
        self.settled.extend(&settled);
        settled
    }

    /// The message is to be delivered again, at `when` or at once.
    pub(super) fn reject(&mut self, seq: u64, when: Option<Instant>) {
        let Some(pending) = self.pending.get_mut(&seq) else {
            return;
        };
        self.due.remove(&(pending.due, seq));
        match when {
            Some(when) => {
                pending.due = when;
                self.due.insert((when, seq));
            }
            None => {
                self.again.insert(seq);
            }
        }
    }

    /// The message is still being worked on.
    pub(super) fn extend(&mut self, seq: u64, now: Instant) {
        let Some(pending) = self.pending.get_mut(&seq) else {
            return;
        };
        self.due.remove(&(pending.due, seq));
        pending.due = now + self.config.ack_wait(pending.deliveries);
        self.due.insert((pending.due, seq));
        self.again.remove(&seq);
    }

    /// Puts what was not acknowledged in time in line to be handed out again.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((_, seq)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.pop_first();
            match self.pending.get(&seq) {
                Some(pending) if pending.deliveries >= self.config.max_deliver() => {
                    self.exhaust(seq);
                }
                _ => {
                    self.again.insert(seq);
                }
            }
        }
    }

    /// When [`Consumer::expire`] next has something to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A message entered the stream.
    pub(super) fn message_added(&mut self, seq: u64, subject: &str) {
        if seq > self.delivered.stream_seq && self.wants(seq, subject) {
            self.num_pending += 1;
        }
    }

    /// A message left the stream.
    pub(super) fn message_removed(&mut self, seq: u64, subject: &str) {
        let was_next = seq > self.delivered.stream_seq && self.wants(seq, subject);
        self.beginning.remove(seq);
        if let Some(pending) = self.settle(seq) {
            self.raise_floor(seq, pending.consumer_seq);
        } else if was_next {
            self.num_pending = self.num_pending.saturating_sub(1);
        }
    }

    /// When a message was handed out that waits for its acknowledgement, as far as that is known.
    pub(super) fn handed_out_at(&self, seq: u64) -> Option<Instant> {
        let pending = self.pending.get(&seq)?;
        pending
            .due
            .checked_sub(self.config.ack_wait(pending.deliveries))
    }

    pub(super) fn is_pending(&self, seq: u64) -> bool {
        self.pending.contains_key(&seq)
    }

    pub(super) fn num_ack_pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn num_redelivered(&self) -> usize {
        let pending = self.pending.values();
        let given_up = match self.config.max_deliver() {
            1 => 0,
            _ => self.given_up.len(),
        };
        pending.filter(|pending| pending.deliveries > 1).count() + given_up
    }

    /// Up to where it has nothing more to do.
    pub(super) fn done_until(&self) -> u64 {
        let pending = self.pending.first_key_value();
        pending.map_or(self.delivered.stream_seq, |(seq, _)| seq - 1)
    }

    /// How many messages a request could get now.
    pub(super) fn available(&self) -> u64 {
        self.num_pending + self.again.len() as u64
    }

    fn wait_for_ack(&mut self, seq: u64, consumer_seq: u64, deliveries: u32, now: Instant) {
        let due = now + self.config.ack_wait(deliveries);
        let pending = self.pending.entry(seq).or_insert(Pending {
            consumer_seq,
            deliveries,
            due,
        });
        self.due.remove(&(pending.due, seq));
        self.due.insert((due, seq));
        (pending.due, pending.deliveries) = (due, deliveries);
        if self.config.ack_policy == AckPolicy::All {
            pending.consumer_seq = consumer_seq;
        }
    }

    fn settle(&mut self, seq: u64) -> Option<Pending> {
        self.again.remove(&seq);
        self.given_up.remove(&seq);
        let pending = self.pending.remove(&seq)?;
        self.due.remove(&(pending.due, seq));
        Some(pending)
    }

    /// Raises the floor for a message that was waited for, as nats-server does: up to the next message that is waited for, unless
    /// others before it are waited for or were given up. When nothing is waited for, what was given up does not count.
    fn raise_floor(&mut self, seq: u64, consumer_seq: u64) {
        let floor = self.ack_floor;
        let before = floor.stream_seq + 1..seq.max(floor.stream_seq + 1);
        if self.pending.is_empty() {
            self.ack_floor = self.delivered;
        } else if self.pending.range(before.clone()).next().is_none()
            && self.given_up.range(before).next().is_none()
        {
            let next = self.pending.range(seq..).next();
            let (consumer_seq, stream_seq) = next.map_or((consumer_seq, seq), |(next, pending)| {
                (pending.consumer_seq.saturating_sub(1), next - 1)
            });
            self.ack_floor = Progress {
                consumer_seq: floor.consumer_seq.max(consumer_seq),
                stream_seq: floor.stream_seq.max(stream_seq),
            };
        }
    }
}

#[cfg(test)]
mod tests;
