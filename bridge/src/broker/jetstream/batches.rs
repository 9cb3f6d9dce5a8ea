//! Batches that are stored as a whole or not at all: a batch is gathered here until its last message comes, and goes into
//! one write, which a crash cannot tear apart unnoticed ([`crate::broker::store::write`]).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::advisories;
use super::batch::Effect;
use super::error::{self, Result};
use super::json;
use super::release::Rollup;
use super::stream::Stream;
use super::usage::Usage;
use super::versions;
use crate::broker::capacity;
use crate::broker::headers;
use crate::broker::protocol::Message;

pub(super) const ID: &str = "Nats-Batch-Id";
const SEQUENCE: &str = "Nats-Batch-Sequence";
const COMMIT: &str = "Nats-Batch-Commit";

pub(super) const MAX_ID: usize = 64;
const MAX_MESSAGES: u64 = 1000;
/// How many batches a stream gathers at once, and how many all of them do.
const MAX_OF_STREAM: usize = 50;
const MAX_OF_ALL: u64 = 1000;
/// What a message takes besides its bytes, in a list that has just grown: its place, and three allocations.
const EACH_MESSAGE: u64 = 2 * size_of::<Message>() as u64 + 3 * 16;

/// What all batches together may come to.
static MAX_BYTES: LazyLock<u64> = LazyLock::new(|| max_bytes(capacity::memory_or_guess()));

/// A sixteenth of the memory: a batch is there twice while it is written.
fn max_bytes(memory: u64) -> u64 {
    (memory / 16).min(256 << 20)
}

/// How long a batch may wait for its next message.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The batches of all streams.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Those that are gathered, and the memory that they take.
    atomic: AtomicU64,
    bytes: AtomicU64,
    /// Those that are stored as they come.
    pub(super) fast: AtomicU64,
}

impl Totals {
    fn has_room(&self, bytes: u64) -> bool {
        self.bytes.load(Ordering::Relaxed) + bytes + EACH_MESSAGE <= *MAX_BYTES
    }
}

/// The batches that a stream gathers, by their ids.
#[derive(Debug, Default)]
pub(super) struct AtomicBatches {
    by_id: HashMap<Box<str>, AtomicBatch>,
    /// The memory of those that are complete: in the next write, and in the one on its way.
    committed: Vec<Reserved>,
    writing: Vec<Reserved>,
}

/// Memory that counts among that of all batches.
#[derive(Debug)]
struct Reserved {
    bytes: u64,
    usage: Arc<Usage>,
}

impl Reserved {
    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        let total = &self.usage.batches.bytes;
        total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Hands over what was reserved.
    fn take(&mut self) -> Self {
        Reserved {
            bytes: std::mem::take(&mut self.bytes),
            usage: Arc::clone(&self.usage),
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let total = &self.usage.batches.bytes;
        total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The messages of a batch that have come, in their order.
#[derive(Debug)]
struct AtomicBatch {
    messages: Vec<Message>,
    last_came: Instant,
    reserved: Reserved,
}

impl AtomicBatch {
    fn new(usage: &Arc<Usage>) -> Self {
        usage.batches.atomic.fetch_add(1, Ordering::Relaxed);
        AtomicBatch {
            messages: Vec::new(),
            last_came: Instant::now(),
            reserved: Reserved {
                bytes: 0,
                usage: Arc::clone(usage),
            },
        }
    }

    /// Adds a copy, so that a message does not keep what came with it in memory.
    fn add(&mut self, message: &Message) {
        let [headers, payload] = [&message.headers, &message.payload];
        let bytes = message.subject.len() + headers.len() + payload.len();
        self.reserved.add(bytes as u64 + EACH_MESSAGE);
        self.messages.push(Message {
            subject: message.subject.clone(),
            reply: None,
            headers: Bytes::copy_from_slice(&versions::without_level(headers)),
            payload: Bytes::copy_from_slice(payload),
        });
    }
}

impl Drop for AtomicBatch {
    fn drop(&mut self) {
        let totals = &self.reserved.usage.batches;
        totals.atomic.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a message ends its batch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Commit {
    /// It is the last one.
    Last,
    /// The one before was the last; it is not stored itself.
    Behind,
}

impl Commit {
    fn of(block: &[u8]) -> Result<Option<Self>> {
        match headers::value(block, COMMIT) {
            None => Ok(None),
            Some("1") => Ok(Some(Commit::Last)),
            Some("eob") => Ok(Some(Commit::Behind)),
            Some(_) => Err(error::BATCH_COMMIT),
        }
    }
}

/// What the acknowledgement of a batch says besides its last sequence.
pub(super) fn end_of(id: &str, count: u64) -> String {
    format!(",\"batch\":{},\"count\":{count}", serde_json::json!(id))
}

impl AtomicBatches {
    /// When the first of them has waited for too long.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let since = self.by_id.values().map(|gathered| gathered.last_came).min();
        since.map(|since| since + PATIENCE)
    }

    /// Takes note that those which are complete are on their way to the disk.
    pub(super) fn submit(&mut self) {
        self.writing = std::mem::take(&mut self.committed);
    }

    /// Gives back the memory of those that were on their way to the disk.
    pub(super) fn written(&mut self) {
        self.writing.clear();
    }
}

impl Stream {
    /// Takes a message of a batch. Its publisher hears that it is here, or what became of the batch.
    pub(super) async fn gather(&mut self, message: Message) {
        let inbox = message.reply.clone().filter(|_| !self.state.config.no_ack);
        let gathered = self.try_gather(&message, inbox.clone()).await;
        match (gathered, inbox) {
            (Ok(true), Some(inbox)) => {
                self.router
                    .answer_with_others(&inbox, &[], &[], &mut self.filled);
            }
            (Err(refusal), Some(inbox)) => self.refuse_publish(&inbox, &refusal),
            _ => {}
        }
    }

    /// Whether the batch goes on.
    async fn try_gather(&mut self, message: &Message, inbox: Option<Box<str>>) -> Result<bool> {
        if self.state.config.sealed {
            return Err(error::SEALED);
        }
        let size = self.size_of(message);
        self.check_size(message, size)?;
        if !self.state.config.allow_atomic {
            return Err(error::BATCHES_DISABLED);
        }
        let id = headers::value(&message.headers, ID).unwrap_or_default();
        if id.len() > MAX_ID {
            return Err(error::BATCH_ID);
        }
        let seq = headers::value(&message.headers, SEQUENCE).and_then(|seq| seq.parse().ok());
        let seq: u64 = seq.ok_or(error::BATCH_WITHOUT_SEQUENCE)?;
        let commit = Commit::of(&message.headers);
        let stored = seq.saturating_sub(u64::from(commit == Ok(Some(Commit::Behind))));
        let mut gathered = match self.atomic_batches.by_id.remove(id) {
            Some(gathered) => gathered,
            None if seq != 1 && stored > MAX_MESSAGES => {
                return Err(error::batch_too_large(MAX_MESSAGES));
            }
            None if seq != 1 => return Err(error::BATCH_INCOMPLETE),
            None => self.new_batch(size)?,
        };
        let commit = commit?;
        if versions::needs_another_level(&message.headers) {
            self.abandon_batch(id, "unsupported");
            return Err(error::API_LEVEL);
        }
        if seq != gathered.messages.len() as u64 + 1 || stored == 0 {
            self.abandon_batch(id, "incomplete");
            return Err(error::BATCH_INCOMPLETE);
        }
        if stored > MAX_MESSAGES {
            self.abandon_batch(id, "large");
            return Err(error::batch_too_large(MAX_MESSAGES));
        }
        if !self.usage.batches.has_room(size) {
            self.abandon_batch(id, "large");
            return Err(error::TOO_MANY_BATCHES);
        }
        match commit {
            None => {
                gathered.add(message);
                gathered.last_came = Instant::now();
                self.atomic_batches.by_id.insert(id.into(), gathered);
                return Ok(true);
            }
            Some(Commit::Last) => gathered.add(message),
            Some(Commit::Behind) => {
                if let Some(last) = gathered.messages.last_mut() {
                    last.headers = headers::extended(&last.headers, &[(COMMIT, "1")]);
                }
            }
        }
        let messages = std::mem::take(&mut gathered.messages);
        self.commit(id, messages, inbox).await?;
        let reserved = gathered.reserved.take();
        self.atomic_batches.committed.push(reserved);
        Ok(false)
    }

    fn new_batch(&self, size: u64) -> Result<AtomicBatch> {
        let totals = &self.usage.batches;
        if self.atomic_batches.by_id.len() >= MAX_OF_STREAM
            || totals.atomic.load(Ordering::Relaxed) >= MAX_OF_ALL
            || !totals.has_room(size)
        {
            return Err(error::TOO_MANY_BATCHES);
        }
        Ok(AtomicBatch::new(&self.usage))
    }

    /// Takes all messages into the next write, or none.
    async fn commit(
        &mut self,
        id: &str,
        messages: Vec<Message>,
        inbox: Option<Box<str>>,
    ) -> Result<()> {
        let sizes = messages.iter().map(|message| self.size_of(message));
        let size: u64 = sizes.sum();
        self.check_room(size)?;
        for message in &messages {
            self.settle_removals(message).await;
        }
        let count = messages.len();
        let start = self.checkpoint();
        let mut subjects = HashSet::new();
        for message in messages {
            let message = self.transformed(message);
            let subject = message.subject.clone();
            let taken = match self.check_in_batch(&message, &subjects) {
                Ok(()) => self.take_published(message).await,
                Err(refusal) => Err(refusal),
            };
            if let Err(refusal) = taken {
                self.rewind(start);
                return Err(refusal);
            }
            subjects.insert(subject);
        }
        if let Some(inbox) = inbox {
            self.batch.add(Effect::Published {
                inbox,
                seq: self.tail_seq,
                more: end_of(id, count as u64).into(),
            });
        }
        Ok(())
    }

    /// What a message must not ask for because of those before it in its batch.
    fn check_in_batch(&mut self, message: &Message, before: &HashSet<Box<str>>) -> Result<()> {
        let value = |name| headers::value(&message.headers, name).filter(|text| !text.is_empty());
        if value("Nats-Expected-Last-Msg-Id").is_some() {
            return Err(error::unsupported_in_batch("Nats-Expected-Last-Msg-Id"));
        }
        if self.known_id(message, json::now()).is_some() {
            return Err(error::BATCH_WITH_DUPLICATE);
        }
        if let Some(seq) = value("Nats-Expected-Last-Sequence")
            && seq.parse() == Ok(self.tail_seq)
            && !before.is_empty()
        {
            return Err(error::WRONG_LAST_SEQUENCE);
        }
        if value("Nats-Expected-Last-Subject-Sequence").is_some() {
            let subject = value("Nats-Expected-Last-Subject-Sequence-Subject");
            if before.contains(subject.unwrap_or(&message.subject)) {
                return Err(error::WRONG_LAST_SEQUENCE);
            }
        }
        match Rollup::of(&message.headers) {
            Ok(Some(Rollup::Subject)) if before.contains(&message.subject) => {
                Err(error::forbidden(10111, "batch rollup sub invalid"))
            }
            Ok(Some(Rollup::All)) if !before.is_empty() => {
                Err(error::forbidden(10111, "batch rollup all invalid"))
            }
            _ => Ok(()),
        }
    }

    /// Gives up the batches whose next message does not come.
    pub(super) fn end_late_batches(&mut self, now: Instant) {
        let is_late = |gathered: &AtomicBatch| now >= gathered.last_came + PATIENCE;
        let late = self
            .atomic_batches
            .by_id
            .extract_if(|_, gathered| is_late(gathered));
        for (id, _) in late.collect::<Vec<_>>() {
            self.abandon_batch(&id, "timeout");
        }
    }

    fn abandon_batch(&self, id: &str, reason: &str) {
        advisories::batch_abandoned(&self.router, &self.state.config, id, reason);
    }
}

#[cfg(test)]
mod tests;
