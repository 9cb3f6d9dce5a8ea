//! The message ids that a stream saw lately, each as a hash of a fixed size. All streams of a broker together remember so many.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::broker::capacity;

/// The bytes of memory that an id takes when the map and the queue have just grown. It takes half of them before.
const BYTES: u64 = 105;

/// So many ids are remembered however little memory there is.
const LEAST_IDS: u64 = 1_000_000;

/// So many ids each stream remembers, whatever the others do.
const LEAST_IDS_OF_STREAM: usize = 100;

/// As many as an eighth of the memory has room for.
fn max_ids(memory: u64) -> usize {
    let ids = (memory / 8 / BYTES).max(LEAST_IDS);
    usize::try_from(ids).unwrap_or(usize::MAX)
}

/// How many ids the streams of a broker remember together; beyond that the oldest of a stream are forgotten before their time.
#[derive(Debug)]
pub(super) struct KnownIds {
    max: usize,
    count: AtomicUsize,
    streams: AtomicUsize,
}

impl Default for KnownIds {
    fn default() -> Self {
        /// The memory of a machine stays what it is, and looking for it means reading several files.
        static MAX: LazyLock<usize> = LazyLock::new(|| max_ids(capacity::memory_or_guess()));
        KnownIds::up_to(*MAX)
    }
}

impl KnownIds {
    pub(super) fn up_to(max: usize) -> Self {
        KnownIds {
            max,
            count: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
        }
    }

    fn is_full(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= self.max
    }

    /// What each stream may have when all have the same.
    fn share(&self) -> usize {
        self.max / self.streams.load(Ordering::Relaxed).max(1)
    }
}

/// Two hashes with keys that no client knows: 128 bits, so that no two ids share them.
type Hashes = [u64; 2];

/// Message ids with the sequence of their message, forgotten after the stream's window.
#[derive(Debug)]
pub(super) struct Duplicates {
    known: Arc<KnownIds>,
    hashers: [RandomState; 2],
    seen: HashMap<Hashes, u64>,
    order: VecDeque<(i64, Hashes)>,
    last: Box<str>,
    last_stored: Box<str>,
}

impl Drop for Duplicates {
    fn drop(&mut self) {
        let known = &self.known;
        known.count.fetch_sub(self.order.len(), Ordering::Relaxed);
        known.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Duplicates {
    /// None yet, of those that the streams of a broker know.
    pub(super) fn among(known: Arc<KnownIds>) -> Self {
        known.streams.fetch_add(1, Ordering::Relaxed);
        Duplicates {
            known,
            hashers: Default::default(),
            seen: HashMap::new(),
            order: VecDeque::new(),
            last: Box::default(),
            last_stored: Box::default(),
        }
    }

    /// The sequence of the message that had this id.
    pub(super) fn find(&self, id: &str) -> Option<u64> {
        self.seen.get(&self.hashes(id)).copied()
    }

    /// Takes note of a message, which may have no id.
    pub(super) fn insert(&mut self, id: Option<Box<str>>, seq: u64, time: i64) {
        self.last = id.unwrap_or_default();
        if self.last.is_empty() {
            return;
        }
        if self.known.is_full() {
            self.make_room();
        }
        let hashes = self.hashes(&self.last);
        self.seen.insert(hashes, seq);
        self.order.push_back((time, hashes));
        self.known.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets an id for the next one, and another one for the other streams if there are more here than the stream's share.
    fn make_room(&mut self) {
        for most in [0, self.known.share()] {
            if self.order.len() >= most.max(LEAST_IDS_OF_STREAM) {
                self.forget_oldest();
            }
        }
    }

    /// Takes note that the message with this id, or without one, is on disk.
    pub(super) fn stored(&mut self, id: Option<Box<str>>) {
        self.last_stored = id.unwrap_or_default();
    }

    /// Takes note that the last message, which is on disk, has this id, or none if it is empty.
    pub(super) fn set_last(&mut self, id: &str) {
        self.last = id.into();
        self.last_stored = id.into();
    }

    /// The id of the last message that is on disk.
    pub(super) fn last_stored(&self) -> &str {
        &self.last_stored
    }

    /// From when on ids are known, if the stream's window begins at a time.
    pub(super) fn known_since(&self, window: i64) -> i64 {
        let oldest = self.order.front().map(|(seen, _)| *seen);
        let is_full = self.known.is_full();
        oldest
            .filter(|_| is_full)
            .map_or(window, |oldest| oldest.max(window))
    }

    /// Forgets the messages behind a sequence, which were not stored.
    pub(super) fn forget_behind(&mut self, seq: u64) {
        // They came last.
        while let Some((_, hashes)) = self.order.back() {
            match self.seen.get(hashes) {
                Some(known) if *known <= seq => break,
                _ => self.seen.remove(hashes),
            };
            self.order.pop_back();
            self.known.count.fetch_sub(1, Ordering::Relaxed);
        }
        self.last = self.last_stored.clone();
    }

    /// Forgets the messages behind a sequence, which are not to be stored; the one that has it has this id.
    pub(super) fn rewind(&mut self, seq: u64, last: Box<str>) {
        self.forget_behind(seq);
        self.last = last;
    }

    /// Forgets what is from before a time.
    pub(super) fn forget_before(&mut self, time: i64) {
        while self.order.front().is_some_and(|(seen, _)| *seen < time) {
            self.forget_oldest();
        }
    }

    /// The id of the message that came last; empty if it has none.
    pub(super) fn last(&self) -> &str {
        &self.last
    }

    /// How many ids are known.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    fn forget_oldest(&mut self) {
        if let Some((_, hashes)) = self.order.pop_front() {
            self.seen.remove(&hashes);
            self.known.count.fetch_sub(1, Ordering::Relaxed);
        }
        // What this stream leaves empty, the others fill.
        if self.order.capacity() > (4 * self.order.len()).max(1024) {
            self.order.shrink_to(2 * self.order.len());
            self.seen.shrink_to(2 * self.order.len());
        }
    }

    fn hashes(&self, id: &str) -> Hashes {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_for_a_while() {
        let mut duplicates = Duplicates::among(Arc::default());
        duplicates.insert(Some("a".into()), 1, 10);
        duplicates.insert(Some("b".into()), 2, 20);
        assert_eq!(
            (
                duplicates.find("a"),
                duplicates.find("b"),
                duplicates.find("c")
            ),
            (Some(1), Some(2), None)
        );
        duplicates.forget_before(20);
        assert_eq!(
            (
                duplicates.find("a"),
                duplicates.find("b"),
                duplicates.last()
            ),
            (None, Some(2), "b")
        );
        duplicates.stored(Some("b".into()));
        duplicates.insert(Some("d".into()), 3, 40);
        duplicates.forget_behind(2);
        assert_eq!((duplicates.find("d"), duplicates.last()), (None, "b"));
        assert_eq!(duplicates.find("b"), Some(2));
    }

    fn add(duplicates: &mut Duplicates, seqs: std::ops::Range<u64>) {
        for seq in seqs {
            duplicates.insert(Some(seq.to_string().into()), seq, 7);
        }
    }

    #[test]
    fn only_so_many_ids_are_remembered() {
        let mut duplicates = Duplicates::among(Arc::new(KnownIds::up_to(1000)));
        add(&mut duplicates, 0..1001);
        assert_eq!(duplicates.seen.len(), 1000);
        assert_eq!(
            (duplicates.find("0"), duplicates.find("1")),
            (None, Some(1))
        );
        assert_eq!(duplicates.known_since(5), 7);
    }

    #[test]
    fn streams_share_what_there_is_room_for() {
        let known = Arc::new(KnownIds::up_to(1000));
        let mut streams = [(); 4].map(|()| Duplicates::among(Arc::clone(&known)));
        let total = || known.count.load(Ordering::Relaxed);
        add(&mut streams[0], 0..5000);
        assert_eq!((streams[0].len(), total()), (1000, 1000));
        // While the one that has all of the room says nothing, the others remember a few.
        add(&mut streams[1], 0..500);
        assert_eq!((streams[1].len(), total()), (100, 1100));
        assert_eq!(streams[1].find("400"), Some(400));
        for seq in 5000..8000 {
            for stream in &mut streams {
                add(stream, seq..seq + 1);
            }
        }
        let counts = streams.each_ref().map(Duplicates::len);
        assert!(
            counts.iter().all(|count| (240..=260).contains(count)),
            "{counts:?}"
        );
        assert!(total() <= 1000);
        let [first, mut second, third, fourth] = streams;
        drop((first, third, fourth));
        second.forget_behind(7900);
        assert_eq!((second.len(), total()), (counts[1] - 99, counts[1] - 99));
        second.forget_before(8);
        assert_eq!(total(), 0);
    }

    #[test]
    fn what_was_forgotten_takes_no_memory() {
        let mut duplicates = Duplicates::among(Arc::default());
        for seq in 0..100_000 {
            duplicates.insert(Some(seq.to_string().into()), seq, seq as i64);
        }
        duplicates.forget_before(90_000);
        assert!(duplicates.order.capacity() <= 40_000 && duplicates.seen.capacity() <= 80_000);
        duplicates.forget_before(100_000);
        assert!(duplicates.order.capacity() <= 1024);
        assert_eq!(duplicates.find("99999"), None);
    }

    /// A fast publisher sends millions of ids in the two minutes that a window has if nothing else is said.
    #[test]
    fn as_many_ids_are_remembered_as_the_memory_has_room_for() {
        assert_eq!([0, 8 << 30].map(max_ids), [1_000_000, 10_226_112]);
        let count = max_ids(1 << 30).min(max_ids(capacity::memory_or_guess())) as u64;
        let mut duplicates = Duplicates::among(Arc::default());
        for seq in 0..count {
            duplicates.insert(Some(seq.to_string().into()), seq, 0);
        }
        assert_eq!(duplicates.find("0"), Some(0));
        assert_eq!(duplicates.len() as u64, count);
        let bytes = (duplicates.seen.capacity() * 8 / 7 * 25
            + duplicates.order.capacity() * size_of::<(i64, Hashes)>()) as u64;
        assert!(bytes <= count * BYTES, "{bytes} bytes for {count} ids");
    }
}
