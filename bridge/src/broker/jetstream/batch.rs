//! What a stream gathers for its next write, and what happens when that write is done.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::answers::Responder;
use super::ingest::FastBatchId;
use super::state::Change;
use crate::broker::store::record::{self, FRAME, Record};

/// A message on its way to the disk.
#[derive(Debug)]
pub(super) struct Unsynced {
    pub(super) seq: u64,
    pub(super) time: i64,
    pub(super) subject: Box<str>,
    pub(super) size: u64,
    pub(super) message_id: Option<Box<str>>,
    /// Its headers may say more: which messages it replaces, how long it is kept.
    pub(super) headers: Bytes,
    /// Whether others go with it, besides those for which there is no room.
    pub(super) rolls_up: bool,
    /// Where its body starts in the batch, and how long it is.
    pub(super) offset: usize,
    pub(super) len: usize,
}

/// What is due once a batch is on disk.
#[derive(Debug)]
pub(super) enum Effect {
    /// Take a message over.
    Store(Unsynced),
    /// Take out what was too old at a time, before what follows.
    Expire(i64),
    /// Let go of messages with which a consumer is done.
    Release(Vec<u64>),
    /// Tell a publisher.
    Published {
        inbox: Box<str>,
        seq: u64,
        /// What else the acknowledgement says: members of JSON, each behind a comma.
        more: Cow<'static, str>,
    },
    /// Take note that a message of a batch is stored, and tell its publisher when that is due.
    Ingested {
        batch: FastBatchId,
        batch_seq: u64,
        /// None for a message that the stream had before.
        seq: Option<u64>,
        inbox: Box<str>,
    },
    /// Take note of a sequence that no message has.
    Skipped {
        seq: u64,
        time: i64,
        /// The id of the message.
        id: Option<Box<str>>,
    },
    /// Tell a client that its acknowledgement counts.
    Confirm { inbox: Box<str> },
    /// Answer who asked for what is before it in the batch.
    Answer { answer: Value, responder: Responder },
    /// Take over a change, and answer who asked for it.
    Change {
        change: Change,
        created: bool,
        responder: Responder,
    },
    /// Take messages out, and answer who asked for it.
    Remove {
        seqs: Vec<u64>,
        purge: bool,
        responder: Responder,
    },
    /// Take everything below out, and answer who asked for it.
    RemoveBelow { seq: u64, responder: Responder },
}

/// Records with what they bring about, both in the order in which a log that is replayed shows them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: BytesMut,
    pub(super) effects: Vec<Effect>,
    by_subject: Subjects,
    pub(super) tally: Tally,
}

/// What the effects of a batch come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// How many messages are to be stored, and how much they count for.
    pub(super) count: u64,
    pub(super) size: u64,
    /// Whether one of the effects puts messages in or out, so that others of that kind have to follow it.
    pub(super) moves_messages: bool,
    /// Whether one of the effects may take messages out.
    pub(super) removes: bool,
    /// When the first effect came that depends on what is too old.
    pub(super) first_time: Option<i64>,
    /// Whether a client or a caller waits for it.
    pub(super) is_awaited: bool,
}

/// Where the messages on each subject are among the effects of a batch, the oldest first. Made as far as somebody asks: most
/// publications depend on no other.
#[derive(Debug, Default)]
struct Subjects {
    places: HashMap<Box<str>, Vec<usize>>,
    /// How many effects were looked at.
    seen: usize,
}

/// A place in a batch to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    bytes: usize,
    effects: usize,
    tally: Tally,
}

impl Effect {
    /// The message that is taken over.
    fn stored(&self) -> Option<&Unsynced> {
        match self {
            Effect::Store(message) => Some(message),
            _ => None,
        }
    }

    /// Whether messages may be gone afterwards: [`Effect::may_remove`] says which.
    fn removes(&self) -> bool {
        matches!(
            self,
            Effect::Remove { .. }
                | Effect::RemoveBelow { .. }
                | Effect::Release(_)
                | Effect::Change { .. }
                | Effect::Store(Unsynced { rolls_up: true, .. })
        )
    }

    /// Whether the message with this sequence may be gone afterwards.
    pub(super) fn may_remove(&self, message: u64) -> bool {
        match self {
            Effect::Remove { seqs, .. } => seqs.binary_search(&message).is_ok(),
            Effect::RemoveBelow { seq, .. } => message < *seq,
            Effect::Release(seqs) => seqs.contains(&message),
            // It may let go of messages, or leave room for fewer.
            Effect::Change { .. } => true,
            Effect::Store(newer) => newer.rolls_up && message < newer.seq,
            _ => false,
        }
    }
}

impl Subjects {
    fn find(&mut self, subject: &str, effects: &[Effect]) -> &[usize] {
        for (place, effect) in effects.iter().enumerate().skip(self.seen) {
            let Some(message) = effect.stored() else {
                continue;
            };
            match self.places.get_mut(&message.subject) {
                Some(places) => places.push(place),
                None => {
                    self.places.insert(message.subject.clone(), vec![place]);
                }
            }
        }
        self.seen = effects.len();
        self.places.get(subject).map_or(&[], Vec::as_slice)
    }

    /// Forgets what lies behind the first `kept` effects.
    fn forget(&mut self, kept: usize, effects: &[Effect]) {
        let behind = effects.iter().take(self.seen).skip(kept);
        for message in behind.filter_map(Effect::stored) {
            if let Some(places) = self.places.get_mut(&message.subject) {
                places.pop();
            }
        }
        self.seen = self.seen.min(kept);
    }
}

impl Batch {
    pub(super) fn mark(&self) -> Mark {
        Mark {
            bytes: self.bytes.len(),
            effects: self.effects.len(),
            tally: self.tally,
        }
    }

    /// Takes back what was added since.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.by_subject.forget(mark.effects, &self.effects);
        self.effects.truncate(mark.effects);
        self.tally = mark.tally;
    }

    /// Adds a record. Returns where its body lies in the batch.
    pub(super) fn push(&mut self, record: &Record) -> (usize, usize) {
        let start = self.bytes.len() + FRAME;
        let len = record::encode(&mut self.bytes, record);
        (start, len)
    }

    /// Adds what is due once the records before it are on disk.
    pub(super) fn add(&mut self, effect: Effect) {
        let is_answer = matches!(
            effect,
            Effect::Published { .. }
                | Effect::Ingested { .. }
                | Effect::Confirm { .. }
                | Effect::Answer { .. }
        );
        let tally = &mut self.tally;
        tally.moves_messages |= !is_answer;
        tally.removes |= effect.removes();
        if let Effect::Store(message) = &effect {
            tally.count += 1;
            tally.size += message.size;
        }
        if let Effect::Store(Unsynced { time, .. }) | Effect::Expire(time) = &effect {
            tally.first_time.get_or_insert(*time);
        }
        tally.is_awaited |= !matches!(effect, Effect::Release(_));
        self.effects.push(effect);
    }

    /// The messages on their way to the disk.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Unsynced> {
        self.effects.iter().filter_map(Effect::stored)
    }

    /// Where those on a subject are, for [`Batch::message_at`], the oldest first.
    pub(super) fn places_of(&mut self, subject: &str) -> &[usize] {
        self.by_subject.find(subject, &self.effects)
    }

    pub(super) fn message_at(&self, place: usize) -> Option<&Unsynced> {
        self.effects.get(place)?.stored()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.effects.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(seq: u64, subject: &str) -> Effect {
        Effect::Store(Unsynced {
            seq,
            time: 0,
            subject: subject.into(),
            size: seq,
            message_id: None,
            headers: Bytes::new(),
            rolls_up: false,
            offset: 0,
            len: 0,
        })
    }

    proptest! {
        /// What a batch knows of a subject, while it is asked, grows and is taken back at any time, is what is in it.
        #[test]
        fn a_batch_knows_what_is_on_each_subject(steps in prop::collection::vec((0..6u8, 0..3usize), 0..60)) {
            let subjects = ["a", "b", "c"];
            let mut batch = Batch::default();
            let mut mark = batch.mark();
            for (seq, (step, which)) in (1..).zip(steps) {
                match step {
                    0..=2 => batch.add(message(seq, subjects[which])),
                    3 => batch.add(Effect::Confirm { inbox: "i".into() }),
                    4 => mark = batch.mark(),
                    _ => {
                        batch.rewind(mark);
                    }
                }
                let subject = subjects[which];
                let on_it = batch.messages().filter(|message| &*message.subject == subject);
                let wanted: Vec<u64> = on_it.map(|message| message.seq).collect();
                let places = batch.places_of(subject).to_vec();
                let found = places.iter().map(|place| batch.message_at(*place).unwrap().seq);
                prop_assert_eq!(found.collect::<Vec<_>>(), wanted);
                let sizes = batch.messages().map(|message| message.size);
                let totals = sizes.fold((0, 0), |(count, size), one| (count + 1, size + one));
                prop_assert_eq!((batch.tally.count, batch.tally.size), totals);
            }
        }
    }
}
