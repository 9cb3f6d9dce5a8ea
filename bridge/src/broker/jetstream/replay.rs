//! Replaying a log: what each record adds to the state of a stream.
//!
//! Of all segments but the last only messages and ids count, for the last begins with everything else.

use std::time::Instant;

use super::state::{State, id_of};
use crate::broker::store::log::{Position, Replay};
use crate::broker::store::record::{Record, StoredMessage};

impl State {
    /// Applies a record of the log. When the last is applied, [`State::end_replay`] is due.
    pub(super) fn replay(
        &mut self,
        position: Position,
        record: Record,
        replay: Replay,
        now: Instant,
    ) {
        match (record, replay) {
            (Record::Message(message), _) if message.seq <= self.messages.last_seq => {}
            (Record::Message(message), Replay::Stored) => {
                self.replay_id(position.segment, &message);
                self.replay_stored(position, &message);
            }
            (Record::Message(message), Replay::Whole) => {
                self.replay_id(position.segment, &message);
                self.replay_message(position, &message);
            }
            (Record::Skipped { seq, .. }, _) if seq <= self.messages.last_seq => {}
            (Record::Skipped { seq, time, id }, _) => {
                self.replay_seen(position.segment, &id, seq, time);
                self.messages.advance(0, seq, time);
            }
            (Record::Snapshot(json), replay) => match serde_json::from_slice(&json) {
                Ok(snapshot) if replay == Replay::Whole => self.take_snapshot(snapshot, now),
                Ok(snapshot) => self.take_config(snapshot.config),
                Err(error) => {
                    tracing::error!(stream = self.config.name, %error, "passing over a snapshot that cannot be read")
                }
            },
            (_, Replay::Stored) => {}
            (record, Replay::Whole) => self.replay_change(record, now),
        }
    }

    fn replay_change(&mut self, record: Record, now: Instant) {
        match record {
            Record::Done { consumer, seq } => {
                let mut is_direct = false;
                if let Some(consumer) = self.consumer_by_id(consumer) {
                    consumer.acknowledge(seq);
                    is_direct = consumer.config.direct;
                }
                // A snapshot may have said so already, and then the consumer has nothing to release.
                if !is_direct {
                    self.release(seq);
                }
                self.release_settled();
            }
            Record::Delivered {
                consumer: id,
                seq,
                consumer_seq,
            } => {
                if let Some(consumer) = self
                    .consumers
                    .values_mut()
                    .find(|consumer| consumer.id == id)
                {
                    consumer.replay_delivered(seq, consumer_seq, &self.messages, now);
                }
                self.release_settled();
            }
            Record::Attempts {
                consumer,
                seq,
                count,
                consumer_seq,
            } => {
                if let Some(consumer) = self.consumer_by_id(consumer) {
                    consumer.replay_attempts(seq, count, consumer_seq);
                }
            }
            Record::Deleted { seq } => self.remove(seq),
            Record::PurgedBelow { seq } => self.remove_below(seq),
            Record::Expired { time } => self.expire(time),
            Record::Change(json) => match serde_json::from_slice(&json) {
                Ok(change) => {
                    self.apply(change, now);
                    self.release_settled();
                }
                Err(error) => {
                    tracing::error!(stream = self.config.name, %error, "passing over a change that cannot be read")
                }
            },
            // No consumer of the snapshot before it waits for any of them.
            Record::Live(runs) => {
                for seq in self.messages.not_in(runs) {
                    self.take_out(seq);
                }
            }
            Record::Message(_)
            | Record::Skipped { .. }
            | Record::Snapshot(_)
            | Record::Start { .. }
            | Record::Batch { .. } => {}
        }
    }

    fn replay_message(&mut self, position: Position, message: &StoredMessage) {
        let (seq, time, size) = (message.seq, message.time, self.size(message));
        self.take_over(
            seq,
            &message.subject,
            position,
            time,
            size,
            &message.headers,
        );
    }

    /// Adds a message that puts out nothing.
    fn replay_stored(&mut self, position: Position, message: &StoredMessage) {
        let (seq, time) = (message.seq, message.time);
        let size = self.size(message);
        self.messages
            .insert(seq, &message.subject, position, time, size);
        self.note_lifetime(seq, time, &message.headers);
    }

    fn size(&self, message: &StoredMessage) -> u64 {
        self.size_of(&message.subject, &message.headers, &message.payload)
    }

    fn replay_id(&mut self, segment: u64, message: &StoredMessage) {
        let id = id_of(message).unwrap_or_default();
        self.replay_seen(segment, id, message.seq, message.time);
    }

    /// Takes note of a message that may have an id, and may be gone. What was forgotten by then is forgotten; what is old by
    /// now need not be, for the window may have become longer.
    fn replay_seen(&mut self, segment: u64, id: &str, seq: u64, stored: i64) {
        if !id.is_empty() {
            self.duplicates
                .forget_before(stored.saturating_sub(self.config.duplicate_window));
            self.duplicates.insert(Some(id.into()), seq, stored);
            self.messages.note_id(segment, id, stored);
        }
        self.duplicates.set_last(id);
    }

    /// Counts what cannot be counted while a log is replayed.
    pub(super) fn end_replay(&mut self) {
        self.lost = 0;
        self.lost_by.clear();
        // Most of the marks are further on in the log.
        self.to_mark.retain(|(seq, _)| self.messages.contains(*seq));
        for consumer in self.consumers.values_mut() {
            consumer.recount(&self.messages);
        }
    }
}
