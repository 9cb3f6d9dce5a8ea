//! Messages that cannot be read. Of those that the disk does not give the stream says that it has some, and tries them again. What
//! is not as it was written is damage, as what is found at a start is: it is passed over for good.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::chunk::Entry;
use super::stream::Stream;
use crate::broker::store::log::Position;

/// How long it takes until a message is tried again.
pub(super) const READ_PAUSE: Duration = Duration::from_secs(1);
/// For how long a consumer waits for a message while others can be read.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// How many messages are remembered.
const MAX_UNREADABLE: usize = 1024;
/// What is so many bytes away is on another part of the disk.
const APART: u64 = 64 << 10;

/// What the disk does not give.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    /// By their sequences. One that was passed over stays until the next try, so that those beside it need not wait again.
    messages: BTreeMap<u64, Failing>,
    next_try: Option<Instant>,
    /// The message that was tried last.
    tried: u64,
}

/// A message that cannot be read.
#[derive(Debug)]
struct Failing {
    position: Position,
    /// Since when, or since when one beside it cannot be read.
    since: Instant,
}

impl Unreadable {
    /// Remembers a message. Returns whether none beside it cannot be read either.
    fn insert(&mut self, seq: u64, position: Position, now: Instant) -> bool {
        let messages = &mut self.messages;
        let beside = messages
            .values()
            .filter(|other| !are_apart(other.position, position));
        let since = beside.map(|other| other.since).min();
        // The oldest has waited for long enough, or no consumer waits for it.
        if messages.len() >= MAX_UNREADABLE
            && let Some(oldest) = messages.iter().min_by_key(|(_, failing)| failing.since)
        {
            let oldest = *oldest.0;
            messages.remove(&oldest);
        }
        let is_first = since.is_none();
        let since = since.unwrap_or(now);
        messages.insert(seq, Failing { position, since });
        is_first
    }

    /// The message whose turn it is to be tried.
    fn next(&self) -> Option<u64> {
        let behind = self.messages.range(self.tried + 1..).next();
        let next = behind.or_else(|| self.messages.first_key_value());
        next.map(|(seq, _)| *seq)
    }
}

impl Stream {
    /// Takes note that a message could not be read.
    pub(super) fn note_unreadable(&mut self, seq: u64, error: &io::Error) {
        let unreadable = &mut self.unreadable;
        let Some(position) = self.state.messages.position_of(seq) else {
            return;
        };
        if unreadable.messages.contains_key(&seq) {
            return;
        }
        let now = Instant::now();
        if unreadable.messages.is_empty() {
            self.stats
                .unreadable_streams
                .fetch_add(1, Ordering::Relaxed);
            unreadable.next_try = Some(now + READ_PAUSE);
        }
        if unreadable.insert(seq, position, now) {
            let stream = &self.state.config.name;
            tracing::error!(stream, seq, %error, "cannot read a message from disk");
        }
    }

    /// Takes note that a message can be read, or need not be any more.
    pub(super) fn note_readable(&mut self, seq: u64) {
        let messages = &mut self.unreadable.messages;
        if messages.remove(&seq).is_some() && messages.is_empty() {
            self.forget_unreadable();
            let stream = &self.state.config.name;
            tracing::info!(stream, "no message is left that cannot be read");
        }
    }

    pub(super) fn forget_unreadable(&mut self) {
        let unreadable = std::mem::take(&mut self.unreadable);
        let counted = usize::from(unreadable.next_try.is_some());
        let total = &self.stats.unreadable_streams;
        total.fetch_sub(counted, Ordering::Relaxed);
    }

    /// Tries one of the messages again that could not be read, each in its turn.
    pub(super) async fn retry_reads(&mut self, now: Instant) {
        if self.unreadable.next_try.is_none_or(|due| due > now) {
            return;
        }
        let Some(seq) = self.unreadable.next() else {
            return;
        };
        self.unreadable.tried = seq;
        self.unreadable.next_try = Some(now + READ_PAUSE);
        if !self.state.messages.contains(seq) || self.message(seq).await.is_ok() {
            self.note_readable(seq);
            self.unreadable.next_try = self.unreadable.next_try.map(|_| now);
        }
    }

    pub(super) fn next_read_retry(&self) -> Option<Instant> {
        self.unreadable.next_try
    }

    /// Whether it is for this message alone that it has not been read for long. If no other can be read either, it may be well.
    pub(super) async fn is_lost(&self, seq: u64, now: Instant) -> bool {
        let Some(failing) = self.unreadable.messages.get(&seq) else {
            return false;
        };
        if now < failing.since + READ_PATIENCE {
            return false;
        }
        let messages = &self.state.messages;
        let own = failing.position;
        let is_apart = |entry: &Entry| are_apart(entry.position, own);
        // What is next may be a part of the same damage.
        let apart = [seq, 0].map(|from| messages.range(from).find(is_apart));
        let last = messages.range(messages.last_seq).find(is_apart);
        let mut others: Vec<Entry> = apart.into_iter().chain([last]).flatten().collect();
        if others.is_empty() {
            others.extend(messages.range(0).find(|entry| entry.seq != seq));
        }
        let readers = others.iter();
        let readers = readers.map(|other| self.log.reader(vec![other.position]));
        let mut readers = readers.collect::<Vec<_>>().into_iter();
        let read_any = move || readers.any(|reader| reader.read().is_ok());
        tokio::task::spawn_blocking(read_any).await.unwrap_or(false)
    }

    /// Passes over a message that is not as it was written, or not there.
    pub(super) fn pass_over_damage(&mut self, seq: u64) {
        self.pass_over(seq, "is damaged on the disk");
        self.note_readable(seq);
    }

    /// Passes over a message for which a consumer has waited for long. The next try forgets it.
    pub(super) fn pass_over_lost(&mut self, seq: u64) {
        self.pass_over(seq, "cannot be read while others can");
    }

    /// Takes a message out, and keeps what its segment holds.
    fn pass_over(&mut self, seq: u64, why: &str) {
        let stream = &self.state.config.name;
        tracing::error!(stream, seq, "passing over a message that {why}");
        if let Some(position) = self.state.messages.position_of(seq) {
            self.log.note_damage(position.segment);
        }
        self.state.remove(seq);
    }
}

/// Whether two messages are on different parts of the disk.
fn are_apart(one: Position, other: Position) -> bool {
    one.segment != other.segment || one.offset.abs_diff(other.offset) > APART
}

/// Whether what was read is not what was written, and will not be.
pub(super) fn is_damage(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
    kinds.contains(&error.kind())
}

#[cfg(test)]
mod tests;
