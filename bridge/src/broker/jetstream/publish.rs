//! Taking messages in: the conditions a publisher may set, the limits of the stream, duplicates.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::json;

use super::answers::Responder;
use super::batch::{Batch, Effect, Mark, Unsynced};
use super::batches;
use super::counters::INCREMENT;
use super::error::{self, ApiError, Result};
use super::ingest;
use super::json;
use super::lifetimes::{Lifetime, MARKER_REASON, TTL};
use super::release::{ROLLUP, Rollup};
use super::state::{MESSAGE_ID, id_in};
use super::stream::Stream;
use super::stream_config::limit;
use crate::broker::headers;
use crate::broker::protocol::Message;
use crate::broker::store::record::{Record, StoredMessage};
use crate::broker::subjects;

/// The longest id of a message, in bytes.
const MAX_MESSAGE_ID: usize = 1024;
const MAX_HEADERS: usize = u16::MAX as usize;

/// What a publisher expects: the stream, its last message by id or sequence, and the last sequence on the message's own subject or on another.
pub(super) const STREAM: &str = "Nats-Expected-Stream";
pub(super) const LAST_ID: &str = "Nats-Expected-Last-Msg-Id";
pub(super) const LAST_SEQUENCE: &str = "Nats-Expected-Last-Sequence";
pub(super) const LAST_SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
pub(super) const LAST_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// What a stream has taken in at a time.
#[derive(Debug)]
pub(super) struct Checkpoint {
    batch: Mark,
    tail_seq: u64,
    last_id: Box<str>,
}

/// A message of a client in the stream.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) seq: u64,
    /// What else its publisher is told: members of JSON, each behind a comma.
    pub(super) more: Cow<'static, str>,
}

/// What became of a message.
enum TakenIn {
    Stored(u64),
    /// It has a sequence, but no consumer wants it.
    Skipped {
        seq: u64,
        time: i64,
        id: Option<Box<str>>,
    },
    Duplicate(u64),
}

/// Whether a message asks the stream for nothing, as most do: its headers need not be searched for each thing that it may ask for.
fn is_plain(message: &Message) -> bool {
    headers::has_no_other(&message.headers, MESSAGE_ID)
}

impl Stream {
    /// Takes a message into the next batch; the publisher hears of it when that is on disk, or at once when it is refused.
    /// Returns why it was refused, unless it belongs to a batch.
    pub(super) async fn publish(&mut self, message: Message) -> Option<ApiError> {
        let is_plain = is_plain(&message);
        if !is_plain {
            self.settle_removals(&message).await;
        }
        if message.reply.as_deref().is_some_and(ingest::is_ingest) {
            self.ingest(message).await;
            return None;
        }
        let is_part = |message: &Message| {
            let id = headers::value(&message.headers, batches::ID);
            id.is_some_and(|id| !id.is_empty())
        };
        if !is_plain && is_part(&message) {
            self.gather(message).await;
            return None;
        }
        let inbox = message.reply.clone().filter(|_| !self.state.config.no_ack);
        let message = self.transformed(message);
        match (self.take_published(message).await, inbox) {
            (Ok(Taken { seq, more }), Some(inbox)) => {
                self.batch.add(Effect::Published { inbox, seq, more });
                None
            }
            (Ok(_), None) => None,
            (Err(refusal), inbox) => {
                if let Some(inbox) = inbox {
                    self.refuse_publish(&inbox, &refusal);
                }
                Some(refusal)
            }
        }
    }

    /// Publishes a message, or only finds out what would become of it. What did is told when it is on disk.
    pub(super) async fn trace(&mut self, message: Message, only: bool, responder: Responder) {
        let subject = self.transformed(message.clone()).subject;
        let is_wanted = self.state.is_wanted(&subject);
        let refusal = match only {
            true => self.try_out(message).await,
            false => self.publish(message).await,
        };
        let mut outcome = json!({"stream": self.state.config.name});
        match refusal {
            Some(refusal) => json::set(&mut outcome, "error", refusal.description()),
            None => json::set(&mut outcome, "subject", &*subject),
        }
        if !is_wanted {
            json::set(&mut outcome, "nointerest", true);
        }
        self.batch.add(Effect::Answer {
            answer: outcome,
            responder,
        });
    }

    /// Why a message would be refused.
    async fn try_out(&mut self, message: Message) -> Option<ApiError> {
        let inbox = message.reply.clone().filter(|_| !self.state.config.no_ack);
        self.settle_removals(&message).await;
        let message = self.transformed(message);
        let start = self.checkpoint();
        let refusal = self.take_published(message).await.err();
        self.rewind(start);
        if let (Some(refusal), Some(inbox)) = (&refusal, inbox) {
            self.refuse_publish(&inbox, refusal);
        }
        refusal
    }

    /// A place to go back to, if what is added from here on is not to count.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            batch: self.batch.mark(),
            tail_seq: self.tail_seq,
            last_id: self.state.duplicates.last().into(),
        }
    }

    /// Takes back what was added since.
    pub(super) fn rewind(&mut self, to: Checkpoint) {
        self.batch.rewind(to.batch);
        self.tail_seq = to.tail_seq;
        self.state.duplicates.rewind(to.tail_seq, to.last_id);
    }

    /// The message under the subject that the stream stores it on, and without what a client could take for word of the server.
    pub(super) fn transformed(&self, mut message: Message) -> Message {
        let transform = self.state.incoming.as_ref();
        if let Some(subject) = transform.and_then(|transform| transform.apply(&message.subject)) {
            message.subject = subject.into();
        }
        if let Some(headers) = headers::without_status(&message.headers) {
            message.headers = headers;
        }
        message
    }

    /// Takes a message of a client into the next batch.
    pub(super) async fn take_published(&mut self, mut message: Message) -> Result<Taken> {
        let total = match is_plain(&message) {
            true if self.state.config.allow_msg_counter => return Err(error::COUNTER_MISSING),
            true => None,
            false => {
                self.check_schedule(&mut message)?;
                self.count_on(&mut message).await?
            }
        };
        let (seq, is_duplicate) = self.take_in_or_skip(message)?;
        let more = match (is_duplicate, total) {
            (true, _) => ",\"duplicate\":true".into(),
            (false, Some(total)) => format!(",\"val\":\"{total}\"").into(),
            (false, None) => "".into(),
        };
        Ok(Taken { seq, more })
    }

    /// Takes a message into the next batch. Returns its sequence, and whether that is of an earlier message with its id.
    pub(super) fn take_in_or_skip(&mut self, message: Message) -> Result<(u64, bool)> {
        match self.take_in(message)? {
            TakenIn::Stored(seq) => Ok((seq, false)),
            TakenIn::Skipped { seq, time, id } => {
                let noted = id.clone().unwrap_or_default();
                self.batch.push(&Record::Skipped {
                    seq,
                    time,
                    id: noted,
                });
                self.batch.add(Effect::Skipped { seq, time, id });
                Ok((seq, false))
            }
            TakenIn::Duplicate(seq) => Ok((seq, true)),
        }
    }

    /// Takes out what is too old. What is on its way to the disk counts as of its own time, as in a replay of the log: what
    /// leaves later must not have left when limits put out others for it.
    pub(super) fn expire(&mut self, now: i64) {
        let first = self
            .batches_under_way()
            .find_map(|batch| batch.tally.first_time);
        self.state.expire(first.map_or(now, |first| first.min(now)));
    }

    /// Puts marks in the place of what is too old.
    pub(super) fn write_marks(&mut self) {
        for (seq, subject) in std::mem::take(&mut self.state.to_mark) {
            // A newer message would go with it; when that is stored, the old one goes without a mark.
            if self.last_on(&subject) != seq {
                continue;
            }
            let seconds = self.state.config.subject_delete_marker_ttl / json::SECOND;
            let mark = [
                (MARKER_REASON, "MaxAge"),
                (TTL, &format!("{seconds}s")),
                (ROLLUP, "sub"),
            ];
            let message = Message {
                subject,
                reply: None,
                headers: headers::with_status("", &mark),
                payload: Bytes::new(),
            };
            if self.take_in(message).is_err() {
                self.state.give_up(seq);
            }
        }
    }

    /// The sequence of the message that a message repeats, which may be on its way to the disk.
    pub(super) fn known_id(&mut self, message: &Message, now: i64) -> Option<u64> {
        self.find_id(id_in(&message.headers), now)
    }

    fn find_id(&mut self, id: Option<&str>, now: i64) -> Option<u64> {
        self.expire(now);
        self.state.duplicates.find(id?)
    }

    fn take_in(&mut self, message: Message) -> Result<TakenIn> {
        if self.state.config.sealed {
            return Err(error::SEALED);
        }
        let is_plain = is_plain(&message);
        if !is_plain {
            self.check_conditions(&message)?;
        }
        let id = id_in(&message.headers).map(Box::<str>::from);
        if id.as_ref().is_some_and(|id| id.len() > MAX_MESSAGE_ID) {
            return Err(error::bad_request(format!(
                "header `{MESSAGE_ID}` is longer than {MAX_MESSAGE_ID} bytes"
            )));
        }
        let time = json::now();
        if let Some(seq) = self.find_id(id.as_deref(), time) {
            return Ok(TakenIn::Duplicate(seq));
        }
        let mut rolls_up = false;
        if !is_plain {
            self.check_last_id(&message)?;
            rolls_up = self.check_rollup(&message)?;
        }
        let size = self.size_of(&message);
        self.check_size(&message, size)?;
        if !is_plain && Lifetime::of(&message.headers).is_err() {
            return Err(error::TTL_INVALID);
        }
        if !self.state.is_wanted(&message.subject) {
            self.tail_seq += 1;
            let seq = self.tail_seq;
            self.state.duplicates.insert(id.clone(), seq, time);
            return Ok(TakenIn::Skipped { seq, time, id });
        }
        self.check_limits(&message, size, rolls_up)?;
        self.tail_seq += 1;
        let seq = self.tail_seq;
        let (subject, headers, payload) = (message.subject, message.headers, message.payload);
        let record = Record::Message(StoredMessage {
            seq,
            time,
            subject,
            headers,
            payload,
        });
        let (offset, len) = self.batch.push(&record);
        self.state.duplicates.insert(id.clone(), seq, time);
        let Record::Message(StoredMessage {
            subject, headers, ..
        }) = record
        else {
            return Err(error::BUSY);
        };
        self.batch.add(Effect::Store(Unsynced {
            seq,
            time,
            subject,
            size,
            message_id: id,
            headers,
            rolls_up,
            offset,
            len,
        }));
        Ok(TakenIn::Stored(seq))
    }

    fn check_conditions(&mut self, message: &Message) -> Result<()> {
        let expected = |name| headers::value(&message.headers, name);
        let is_other = |stream: &&str| !stream.is_empty() && *stream != self.state.config.name;
        if expected(STREAM).filter(is_other).is_some() {
            return Err(error::EXPECTED_STREAM);
        }
        if expected("Nats-Stream-Source").is_some() {
            return Err(error::SOURCE_HEADER);
        }
        if let Ok(Some(_)) = Lifetime::of(&message.headers)
            && !self.state.config.allow_msg_ttl
        {
            return Err(error::TTL_DISABLED);
        }
        // Which subject's last sequence it is: the message's own unless the publisher names another.
        let subject = expected(LAST_SUBJECT);
        let subject = subject.filter(|subject| !subject.is_empty());
        match expected(LAST_SUBJECT_SEQUENCE) {
            Some(seq) => {
                let last = self.last_on(subject.unwrap_or(&message.subject));
                if seq.parse() != Ok(last) {
                    return Err(error::wrong_last_sequence(last));
                }
            }
            None if subject.is_some() => return Err(error::SUBJECT_WITHOUT_SEQUENCE),
            None => {}
        }
        match expected(LAST_SEQUENCE) {
            Some(seq) if seq.parse() != Ok(self.tail_seq) => {
                Err(error::wrong_last_sequence(self.tail_seq))
            }
            _ => Ok(()),
        }
    }

    fn check_last_id(&self, message: &Message) -> Result<()> {
        let last = self.state.duplicates.last();
        match headers::value(&message.headers, LAST_ID) {
            Some(id) if !id.is_empty() && id != last => Err(error::wrong_last_id(last)),
            _ => Ok(()),
        }
    }

    /// Whether messages go with this one.
    fn check_rollup(&self, message: &Message) -> Result<bool> {
        let config = &self.state.config;
        match Rollup::of(&message.headers) {
            Ok(None) => Ok(self.state.ends_schedule(&message.headers).is_some()),
            _ if !config.allow_rollup_hdrs || config.deny_purge => {
                Err(error::forbidden(10111, "rollup not permitted"))
            }
            Ok(Some(_)) => Ok(true),
            Err(value) => Err(error::forbidden(
                10111,
                format!("rollup value invalid: {value:?}"),
            )),
        }
    }

    /// What a message of a client counts for.
    pub(super) fn size_of(&self, message: &Message) -> u64 {
        let state = &self.state;
        state.size_of(&message.subject, &message.headers, &message.payload)
    }

    pub(super) fn check_size(&self, message: &Message, size: u64) -> Result<()> {
        let config = &self.state.config;
        let len = (message.headers.len() + message.payload.len()) as u64;
        if limit(config.max_msg_size).is_some_and(|max| len > max) {
            return Err(error::MESSAGE_TOO_BIG);
        }
        if message.headers.len() > MAX_HEADERS {
            return Err(error::HEADERS_TOO_BIG);
        }
        self.check_room(size)
    }

    /// Refuses what there is no room for, beside what is on its way to the disk and not reported yet.
    pub(super) fn check_room(&self, size: u64) -> Result<()> {
        let (_, under_way) = self.under_way();
        self.usage
            .check(self.state.config.storage, under_way + size)
    }

    /// How many messages are on their way to the disk, and how much they count for.
    fn under_way(&self) -> (u64, u64) {
        let tallies = self.batches_under_way().map(|batch| batch.tally);
        tallies.fold((0, 0), |(count, size), tally| {
            (count + tally.count, size + tally.size)
        })
    }

    fn check_limits(&mut self, message: &Message, size: u64, rolls_up: bool) -> Result<()> {
        let limits = &self.state.limits;
        if limits.discards_old {
            return Ok(());
        }
        // Then it takes the place of the oldest on its subject, and the stream grows by none.
        let replaces = limits.max_msgs_per_subject.is_some_and(|max| {
            let stored = self.state.messages.count_on(&message.subject);
            let writing = self.writing.as_mut().map(|(batch, _)| batch);
            let unsynced = writing.into_iter().chain([&mut self.batch]);
            let unsynced = unsynced.map(|batch| batch.places_of(&message.subject).len() as u64);
            stored + unsynced.sum::<u64>() >= max
        });
        if replaces && !rolls_up && self.state.config.discard_new_per_subject {
            return Err(error::TOO_MANY_PER_SUBJECT);
        }
        let (count, bytes) = self.under_way();
        if !replaces
            && limits
                .max_msgs
                .is_some_and(|max| self.state.messages.len() + count >= max)
        {
            return Err(error::TOO_MANY_MESSAGES);
        }
        if !replaces
            && limits
                .max_bytes
                .is_some_and(|max| self.state.messages.bytes + bytes + size > max)
        {
            return Err(error::TOO_MANY_BYTES);
        }
        Ok(())
    }

    /// Waits for the disk if a message depends on the last one on a subject, and that is being removed. Not to be called within
    /// a batch that is taken back as a whole.
    pub(super) async fn settle_removals(&mut self, message: &Message) {
        if self.depends_on_removal(message) {
            self.flush().await;
        }
    }

    fn depends_on_removal(&mut self, message: &Message) -> bool {
        let value = |name| headers::value(&message.headers, name);
        if value(LAST_SUBJECT_SEQUENCE).is_none() && value(INCREMENT).is_none() {
            return false;
        }
        if !self.batches_under_way().any(|batch| batch.tally.removes) {
            return false;
        }
        let subject = value(LAST_SUBJECT).filter(|subject| !subject.is_empty());
        let own = || self.transformed(message.clone()).subject;
        let last = self.last_on(&subject.map_or_else(own, Box::from));
        let mut effects = self.batches_under_way().flat_map(|batch| &batch.effects);
        last > 0 && effects.any(|effect| effect.may_remove(last))
    }

    /// The last message on a subject or pattern, also if it is on its way to the disk; 0 for none.
    pub(super) fn last_on(&mut self, pattern: &str) -> u64 {
        let unsynced = match subjects::has_wildcard(pattern) {
            true => self.last_unsynced_matching(pattern),
            false => self.last_unsynced(pattern).map(|(last, _)| last.seq),
        };
        unsynced
            .or_else(|| self.state.messages.last_on(pattern))
            .unwrap_or(0)
    }

    fn last_unsynced_matching(&self, pattern: &str) -> Option<u64> {
        let unsynced = self.batches_under_way().flat_map(Batch::messages);
        let matching = unsynced.filter(|message| subjects::matches(pattern, &message.subject));
        matching.map(|message| message.seq).last()
    }

    /// The last message on a subject that is on its way to the disk, and its body.
    pub(super) fn last_unsynced(&mut self, subject: &str) -> Option<(&Unsynced, &[u8])> {
        let newest = self.batch.places_of(subject).last().copied();
        let (batch, bytes, place) = match (newest, self.writing.as_mut()) {
            (Some(place), _) => (&self.batch, &self.batch.bytes[..], place),
            (None, Some((batch, bytes))) => {
                let place = *batch.places_of(subject).last()?;
                (&*batch, &bytes[..], place)
            }
            (None, None) => return None,
        };
        let last = batch.message_at(place)?;
        Some((last, bytes.get(last.offset..last.offset + last.len)?))
    }

    fn batches_under_way(&self) -> impl Iterator<Item = &Batch> {
        let writing = self.writing.iter();
        writing.map(|(batch, _)| batch).chain([&self.batch])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::lifetimes::tests::Bench;
    use super::super::usage::Usage;
    use super::*;
    use crate::broker::config::JetStreamSettings;

    #[tokio::test]
    async fn what_is_on_its_way_takes_room() {
        let config = json!({"name": "S", "subjects": ["a"]});
        let mut bench = Bench::new(&config, &[], 0);
        bench.stream.usage = Arc::new(Usage::new(&JetStreamSettings {
            max_store: Some(1000),
            ..JetStreamSettings::default()
        }));
        let mut publish = async || {
            let message = Message {
                subject: "a".into(),
                reply: None,
                headers: Bytes::new(),
                payload: vec![b'x'; 400].into(),
            };
            bench.stream.publish(message).await
        };
        assert_eq!(publish().await, None);
        assert_eq!(publish().await, None);
        assert!(publish().await.is_some());
    }

    #[tokio::test]
    async fn a_condition_counts_for_what_a_rollup_on_its_way_leaves() {
        let config = json!({"name": "S", "subjects": ["a", "b"], "allow_rollup_hdrs": true});
        let mut bench = Bench::new(&config, &[("b", 0, "")], 0);
        let rollup = headers::with_status("", &[("Nats-Rollup", "all")]);
        bench.publish_with("a", rollup, Bytes::new());
        let message = Message {
            subject: "b".into(),
            reply: None,
            headers: headers::with_status("", &[(LAST_SUBJECT_SEQUENCE, "1")]),
            payload: Bytes::new(),
        };
        let refusal = bench.stream.publish(message).await;
        assert_eq!(refusal, Some(error::wrong_last_sequence(0)));
    }
}
