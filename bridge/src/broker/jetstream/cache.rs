//! The bodies of recent messages, so that consumers that keep up never touch the disk. The caches of all streams have a bound
//! together, and a stream to which nothing is added lets go of its own.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::stream::Stream;
use super::unreadable::is_damage;
use super::usage::Usage;
use crate::broker::capacity;
use crate::broker::store::record::{self, Record, StoredMessage};

/// The most that one stream has.
const MAX_OF_STREAM: usize = 8 << 20;
/// For how long a stream keeps its bodies when none is added.
const IDLE: Duration = Duration::from_secs(10);

/// What all streams together may have: a sixteenth of the memory, but no more than is of use.
static MAX_BYTES: LazyLock<usize> = LazyLock::new(|| {
    let share = capacity::memory_or_guess() / 16;
    usize::try_from(share).map_or(256 << 20, |share| share.min(256 << 20))
});

/// The caches of all streams.
#[derive(Debug)]
pub(super) struct CacheTotals {
    bytes: AtomicUsize,
    /// How many streams have something in theirs.
    streams: AtomicUsize,
    pub(super) max: usize,
}

impl Default for CacheTotals {
    fn default() -> Self {
        CacheTotals {
            bytes: AtomicUsize::default(),
            streams: AtomicUsize::default(),
            max: *MAX_BYTES,
        }
    }
}

impl CacheTotals {
    /// How much there is room for in a stream's cache that has so much, beside those of the others.
    fn room(&self, own: usize) -> usize {
        let others = self.bytes.load(Ordering::Relaxed).saturating_sub(own);
        self.max.saturating_sub(others)
    }

    /// How much of that it may take. When half of all is taken, each has its share of the other half.
    fn allowed(&self, own: usize) -> usize {
        let (all, half) = (self.bytes.load(Ordering::Relaxed), self.max / 2);
        let streams = self.streams.load(Ordering::Relaxed).max(1);
        let share = if all > half { half / streams } else { half };
        share.min(MAX_OF_STREAM).min(self.room(own))
    }
}

/// Bodies by sequence; the earliest put in go first.
#[derive(Debug)]
pub(super) struct Cache {
    bodies: BTreeMap<u64, Bytes>,
    order: VecDeque<u64>,
    bytes: usize,
    /// How many of its bytes the totals have.
    counted: usize,
    /// How many bodies were put in since it was last trimmed, and when that was.
    fresh: usize,
    trimmed: Option<Instant>,
    usage: Arc<Usage>,
}

impl Cache {
    pub(super) fn new(usage: &Arc<Usage>) -> Self {
        Cache {
            bodies: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            counted: 0,
            fresh: 0,
            trimmed: None,
            usage: Arc::clone(usage),
        }
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Bytes> {
        self.bodies.get(&seq)
    }

    /// Puts a body in; [`Cache::trim`] is due after that.
    pub(super) fn insert(&mut self, seq: u64, body: Bytes) {
        self.bytes += body.len();
        if let Some(before) = self.bodies.insert(seq, body) {
            self.bytes -= before.len();
        } else {
            self.order.push_back(seq);
            self.fresh += 1;
        }
    }

    /// Lets go of what is too much. What was put in are parts of a buffer of so many bytes: what is left of them is copied if
    /// most of the buffer would stay in memory for nothing.
    pub(super) fn trim(&mut self, buffer: usize, now: Instant) {
        if self.fresh == 0 {
            return;
        }
        self.count();
        let totals = &self.usage.caches;
        let (allowed, room) = (totals.allowed(self.bytes), totals.room(self.bytes));
        // A client that is behind is offered the newest again and again, however long it is.
        while self.bytes > allowed
            && (self.order.len() > 1 || self.bytes > room)
            && let Some(seq) = self.order.pop_front()
        {
            let gone = self.bodies.remove(&seq);
            self.bytes -= gone.map_or(0, |gone| gone.len());
        }
        self.count();
        let fresh = self.order.iter().rev().take(self.fresh);
        let kept: usize = fresh
            .clone()
            .filter_map(|seq| self.bodies.get(seq))
            .map(Bytes::len)
            .sum();
        if buffer / 2 > kept {
            for seq in fresh {
                if let Some(body) = self.bodies.get_mut(seq) {
                    *body = Bytes::copy_from_slice(body);
                }
            }
        }
        self.fresh = 0;
        self.trimmed = Some(now);
    }

    /// Lets go of all when nothing was put in for long.
    pub(super) fn tend(&mut self, now: Instant) {
        if self.next_due().is_some_and(|due| due <= now) {
            *self = Cache::new(&self.usage);
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.trimmed.map(|trimmed| trimmed + IDLE)
    }

    /// Has the totals count what it has.
    fn count(&mut self) {
        let totals = &self.usage.caches;
        match (self.counted, self.bytes) {
            (0, 1..) => _ = totals.streams.fetch_add(1, Ordering::Relaxed),
            (1.., 0) => _ = totals.streams.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
        // Both directions wrap alike, and what is subtracted was added before.
        let more = self.bytes.wrapping_sub(self.counted);
        totals.bytes.fetch_add(more, Ordering::Relaxed);
        self.counted = self.bytes;
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.bytes = 0;
        self.count();
    }
}

impl Stream {
    /// Whether the body of a message is in memory.
    pub(super) fn has_body(&self, seq: u64) -> bool {
        self.state.bodies.is_some() || self.cache.get(seq).is_some()
    }

    /// A message that there is, from memory or from disk; `None` when it is damaged, and so there no more.
    pub(super) async fn message(&mut self, seq: u64) -> io::Result<Option<StoredMessage>> {
        let body = match (&self.state.bodies, self.cache.get(seq)) {
            (Some(bodies), _) => bodies.get(&seq).cloned(),
            (None, Some(body)) => Some(body.clone()),
            (None, None) => match self.read_ahead(seq).await {
                Ok(body) => {
                    self.note_readable(seq);
                    body
                }
                Err(error) if is_damage(&error) => None,
                Err(error) => {
                    self.note_unreadable(seq, &error);
                    return Err(error);
                }
            },
        };
        match body.and_then(record::decode) {
            Some(Record::Message(message)) if message.seq == seq => Ok(Some(message)),
            _ => {
                self.pass_over_damage(seq);
                Ok(None)
            }
        }
    }

    /// Reads a message and some that follow it, as far as they can be read, where blocking does no harm. Returns the
    /// body of the first, for which there may be no room.
    async fn read_ahead(&mut self, seq: u64) -> io::Result<Option<Bytes>> {
        // Nobody waits for the disk who need not.
        self.filled.flush();
        const MESSAGES: usize = 128;
        const BYTES: usize = 1 << 20;
        let allowed = self.usage.caches.allowed(self.cache.counted);
        let room = BYTES.min(allowed) as u64;
        let mut positions = Vec::new();
        let mut bytes = 0;
        for entry in self.state.messages.range(seq).take(MESSAGES) {
            if bytes > 0
                && (bytes + u64::from(entry.position.len) > room
                    || self.cache.get(entry.seq).is_some())
            {
                break;
            }
            bytes += u64::from(entry.position.len);
            positions.push((entry.seq, entry.position));
        }
        let reader = self
            .log
            .reader(positions.iter().map(|(_, position)| *position).collect());
        let bodies = tokio::task::spawn_blocking(move || reader.read())
            .await
            .map_err(io::Error::other)??;
        let mut own = None;
        for ((number, _), body) in positions.into_iter().zip(bodies) {
            if number == seq {
                own = Some(body.clone());
            }
            self.cache.insert(number, body);
        }
        self.cache.trim(0, Instant::now());
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(max: usize) -> Arc<Usage> {
        let mut usage = Usage::default();
        usage.caches.max = max;
        Arc::new(usage)
    }

    /// Puts in so many bodies, parts of one buffer, of 100 bytes each.
    fn fill(cache: &mut Cache, from: u64, count: usize, now: Instant) -> Bytes {
        let buffer = Bytes::from(vec![0; count * 100]);
        for (seq, number) in (from..).zip(0..count) {
            cache.insert(seq, buffer.slice(number * 100..(number + 1) * 100));
        }
        cache.trim(buffer.len(), now);
        buffer
    }

    fn total(usage: &Usage) -> usize {
        usage.caches.bytes.load(Ordering::Relaxed)
    }

    #[test]
    fn all_streams_have_a_bound_together_and_each_its_share() {
        let (usage, now) = (usage(10_000), Instant::now());
        let mut caches: Vec<Cache> = (0..50).map(|_| Cache::new(&usage)).collect();
        for round in 0..4 {
            for cache in &mut caches {
                fill(cache, 1 + round * 70, 70, now);
                assert!(total(&usage) <= 10_000);
                let own: usize = cache.bodies.values().map(Bytes::len).sum();
                assert_eq!(cache.bytes, own);
            }
        }
        for cache in &caches {
            assert_eq!(cache.bytes, 100, "a fiftieth of a half");
            assert!(cache.get(280).is_some(), "the newest");
        }
        drop(caches);
        assert_eq!(total(&usage), 0);
        let mut alone = Cache::new(&usage);
        fill(&mut alone, 1, 70, now);
        assert_eq!(alone.bytes, 5000);
    }

    #[test]
    fn a_buffer_of_which_little_is_kept_is_let_go_of() {
        let (usage, now) = (usage(10_000), Instant::now());
        let mut cache = Cache::new(&usage);
        let small = fill(&mut cache, 1, 20, now);
        assert!(!small.is_unique(), "all of it is there");
        let large = fill(&mut cache, 100, 200, now);
        assert!(large.is_unique());
        assert!(small.is_unique());
        assert_eq!(cache.get(299).map(Bytes::len), Some(100));
        assert_eq!(cache.bytes, 5000);
        for (len, is_kept) in [(9000, true), (11_000, false)] {
            cache.insert(len, vec![0; len as usize].into());
            cache.trim(len as usize, now);
            assert_eq!(cache.get(len).is_some(), is_kept, "{len}");
        }
    }

    #[test]
    fn a_stream_that_is_idle_has_nothing() {
        let (usage, now) = (usage(10_000), Instant::now());
        let mut cache = Cache::new(&usage);
        assert_eq!(cache.next_due(), None);
        fill(&mut cache, 1, 10, now);
        fill(&mut cache, 11, 10, now + IDLE / 2);
        cache.tend(now + IDLE);
        assert!(cache.get(1).is_some());
        let due = cache.next_due().unwrap();
        assert_eq!(due, now + IDLE / 2 + IDLE);
        cache.tend(due);
        assert!(cache.get(20).is_none());
        assert_eq!((total(&usage), cache.next_due()), (0, None));
        let streams = &usage.caches.streams;
        assert_eq!(streams.load(Ordering::Relaxed), 0);
    }
}
