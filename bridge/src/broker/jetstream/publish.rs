//! Taking messages in: the conditions a publisher may set, the limits of the stream, duplicates.

use super::batch::{Effect, Unsynced};
use super::error::{self, Result};
use super::json;
use super::messages::stored_size;
use super::state::MESSAGE_ID;
use super::stream::Stream;
use super::stream_config::limit;
use crate::broker::headers;
use crate::broker::protocol::Message;
use crate::broker::store::record::{Record, StoredMessage};

/// The longest id of a message, in bytes.
const MAX_MESSAGE_ID: usize = 1024;

impl Stream {
    /// Takes a message into the next batch; the publisher hears of it when that is on disk, or at once when it is refused.
    pub(super) fn publish(&mut self, message: Message) {
        let inbox = message.reply.clone().filter(|_| !self.state.config.no_ack);
        match self.take_in(message) {
            Ok((seq, duplicate)) => {
                if let Some(inbox) = inbox {
                    self.batch.effects.push(Effect::Published {
                        inbox,
                        seq,
                        duplicate,
                    });
                }
            }
            Err(refusal) => {
                if let Some(inbox) = inbox {
                    self.refuse_publish(&inbox, &refusal);
                }
            }
        }
    }

    fn take_in(&mut self, message: Message) -> Result<(u64, bool)> {
        let id = headers::value(&message.headers, MESSAGE_ID)
            .filter(|id| !id.is_empty())
            .map(Box::<str>::from);
        if id.as_ref().is_some_and(|id| id.len() > MAX_MESSAGE_ID) {
            return Err(error::bad_request(format!(
                "header `{MESSAGE_ID}` is longer than {MAX_MESSAGE_ID} bytes"
            )));
        }
        let time = json::now();
        self.state.expire(time);
        if let Some(seq) = id.as_deref().and_then(|id| self.state.duplicates.find(id)) {
            return Ok((seq, true));
        }
        self.check_conditions(&message)?;
        let size = stored_size(
            message.subject.len(),
            message.headers.len(),
            message.payload.len(),
        );
        self.check_limits(&message, size)?;
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
        if let Some(id) = &id {
            self.state.duplicates.insert(id, seq, time);
        }
        let Record::Message(StoredMessage { subject, .. }) = record else {
            return Err(error::BUSY);
        };
        self.batch.messages.push(Unsynced {
            seq,
            time,
            subject,
            size,
            message_id: id,
            offset,
            len,
        });
        Ok((seq, false))
    }

    fn check_conditions(&self, message: &Message) -> Result<()> {
        let expected = |name| headers::value(&message.headers, name);
        if expected("Nats-Expected-Stream").is_some_and(|stream| stream != self.state.config.name) {
            return Err(error::EXPECTED_STREAM);
        }
        if let Some(seq) = expected("Nats-Expected-Last-Sequence")
            && seq.parse() != Ok(self.tail_seq)
        {
            return Err(error::wrong_last(
                error::WRONG_LAST_SEQUENCE,
                "sequence",
                self.tail_seq,
            ));
        }
        if let Some(id) = expected("Nats-Expected-Last-Msg-Id")
            && id != self.state.duplicates.last()
        {
            return Err(error::wrong_last(
                error::WRONG_LAST_ID,
                "msg ID",
                self.state.duplicates.last(),
            ));
        }
        if let Some(seq) = expected("Nats-Expected-Last-Subject-Sequence") {
            let last = self.last_on(&message.subject);
            if seq.parse() != Ok(last) {
                return Err(error::wrong_last(
                    error::WRONG_LAST_SEQUENCE,
                    "sequence",
                    last,
                ));
            }
        }
        match [
            "Nats-Rollup",
            "Nats-TTL",
            "Nats-Incr",
            "Nats-Schedule",
            "Nats-Batch-Id",
        ]
        .into_iter()
        .find(|name| expected(name).is_some())
        {
            Some(name) => Err(error::bad_request(format!(
                "header `{name}` is not supported"
            ))),
            None => Ok(()),
        }
    }

    fn check_limits(&self, message: &Message, size: u64) -> Result<()> {
        let config = &self.state.config;
        let len = (message.headers.len() + message.payload.len()) as u64;
        if limit(config.max_msg_size).is_some_and(|max| len > max) {
            return Err(error::MESSAGE_TOO_BIG);
        }
        let limits = &self.state.limits;
        if limits.discards_old {
            return Ok(());
        }
        let unsynced = self.unsynced();
        let (count, bytes) = unsynced.fold((0, 0), |(count, bytes), message| {
            (count + 1, bytes + message.size)
        });
        if config.discard_new_per_subject {
            let on_subject = self
                .unsynced()
                .filter(|unsynced| unsynced.subject == message.subject)
                .count() as u64;
            let max = limits.max_msgs_per_subject.unwrap_or(u64::MAX);
            if self.state.messages.count_on(&message.subject) + on_subject >= max {
                return Err(error::TOO_MANY_PER_SUBJECT);
            }
        }
        if limits
            .max_msgs
            .is_some_and(|max| self.state.messages.len() + count >= max)
        {
            return Err(error::TOO_MANY_MESSAGES);
        }
        if limits
            .max_bytes
            .is_some_and(|max| self.state.messages.bytes + bytes + size > max)
        {
            return Err(error::TOO_MANY_BYTES);
        }
        Ok(())
    }

    fn last_on(&self, subject: &str) -> u64 {
        let unsynced = self
            .unsynced()
            .filter(|message| *message.subject == *subject)
            .map(|message| message.seq)
            .max();
        unsynced
            .or_else(|| self.state.messages.last_on(subject))
            .unwrap_or(0)
    }

    fn unsynced(&self) -> impl Iterator<Item = &Unsynced> {
        let writing = self.writing.iter().flat_map(|(batch, _)| &batch.messages);
        writing.chain(&self.batch.messages)
    }
}
