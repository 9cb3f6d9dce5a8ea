//! The message ids that a stream saw lately, each as a hash of a fixed size.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// How many ids are remembered; beyond that the oldest are forgotten before their time.
const MAX_IDS: usize = 1_000_000;

/// Two hashes with keys that no client knows: 128 bits, so that no two ids share them.
type Hashes = [u64; 2];

/// Message ids with the sequence of their message, forgotten after the stream's window.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    hashers: [RandomState; 2],
    seen: HashMap<Hashes, u64>,
    order: VecDeque<(i64, Hashes)>,
    last: Box<str>,
    last_stored: Box<str>,
}

impl Duplicates {
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
        while self.order.len() >= MAX_IDS {
            self.forget_oldest();
        }
        let hashes = self.hashes(&self.last);
        self.seen.insert(hashes, seq);
        self.order.push_back((time, hashes));
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
        let is_full = self.order.len() >= MAX_IDS;
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
        }
        self.last = self.last_stored.clone();
    }

    /// Forgets what is from before a time.
    pub(super) fn forget_before(&mut self, time: i64) {
        while self.order.front().is_some_and(|(seen, _)| *seen < time) {
            self.forget_oldest();
        }
        if self.order.is_empty() && self.order.capacity() > 1024 {
            self.order = VecDeque::new();
            self.seen = HashMap::new();
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
        let mut duplicates = Duplicates::default();
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

    #[test]
    fn only_so_many_ids_are_remembered() {
        let mut duplicates = Duplicates::default();
        for seq in 0..=MAX_IDS as u64 {
            duplicates.insert(Some(seq.to_string().into()), seq, 0);
        }
        assert_eq!(duplicates.seen.len(), MAX_IDS);
        assert_eq!(
            (duplicates.find("0"), duplicates.find("1")),
            (None, Some(1))
        );
    }
}
