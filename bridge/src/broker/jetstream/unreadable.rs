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
    /// Since when, by the sequences of the messages.
    since: BTreeMap<u64, Instant>,
    next_try: Option<Instant>,
}

impl Stream {
    /// Takes note that a message could not be read.
    pub(super) fn note_unreadable(&mut self, seq: u64, error: &io::Error) {
        let since = &mut self.unreadable.since;
        if since.len() >= MAX_UNREADABLE || since.contains_key(&seq) {
            return;
        }
        let stream = &self.state.config.name;
        tracing::error!(stream, seq, %error, "cannot read a message from disk");
        let now = Instant::now();
        if since.is_empty() {
            self.stats
                .unreadable_streams
                .fetch_add(1, Ordering::Relaxed);
            self.unreadable.next_try = Some(now + READ_PAUSE);
        }
        since.insert(seq, now);
    }

    /// Takes note that a message can be read, or need not be any more.
    pub(super) fn note_readable(&mut self, seq: u64) {
        let since = &mut self.unreadable.since;
        if since.remove(&seq).is_some() && since.is_empty() {
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

    /// Tries the first of the messages again that could not be read.
    pub(super) async fn retry_reads(&mut self, now: Instant) {
        if self.unreadable.next_try.is_none_or(|due| due > now) {
            return;
        }
        let Some(seq) = self.unreadable.since.keys().next().copied() else {
            return;
        };
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
        let since = self.unreadable.since.get(&seq);
        if since.is_none_or(|since| now < *since + READ_PATIENCE) {
            return false;
        }
        let messages = &self.state.messages;
        let Some(own) = messages.range(seq).next().map(|entry| entry.position) else {
            return true;
        };
        let is_apart = |entry: &Entry| {
            let Position {
                segment, offset, ..
            } = entry.position;
            segment != own.segment || offset > own.offset + APART
        };
        let apart = messages.range(seq).find(is_apart);
        let other = apart.or_else(|| messages.range(0).find(|entry| entry.seq != seq));
        let Some(other) = other else {
            return false;
        };
        let reader = self.log.reader(vec![other.position]);
        let read = tokio::task::spawn_blocking(move || reader.read()).await;
        matches!(read, Ok(Ok(_)))
    }

    /// Passes over a message that is not as it was written, or not there.
    pub(super) fn pass_over_damage(&mut self, seq: u64) {
        let stream = &self.state.config.name;
        tracing::error!(
            stream,
            seq,
            "passing over a message that is damaged on the disk"
        );
        let entry = self.state.messages.range(seq).next();
        if let Some(entry) = entry.filter(|entry| entry.seq == seq) {
            self.log.note_damage(entry.position.segment);
        }
        self.state.remove(seq);
        self.note_readable(seq);
    }
}

/// Whether what was read is not what was written, and will not be.
pub(super) fn is_damage(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
    kinds.contains(&error.kind())
}

#[cfg(test)]
mod tests;
