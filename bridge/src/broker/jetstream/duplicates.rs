//! The message ids that a stream saw lately.

use std::collections::{HashMap, VecDeque};

/// Message ids with the sequence of their message, forgotten after the stream's window.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    seen: HashMap<Box<str>, u64>,
    order: VecDeque<(i64, Box<str>)>,
    last: Option<Box<str>>,
}

impl Duplicates {
    /// The sequence of the message that had this id.
    pub(super) fn find(&self, id: &str) -> Option<u64> {
        self.seen.get(id).copied()
    }

    pub(super) fn insert(&mut self, id: &str, seq: u64, time: i64) {
        self.seen.insert(id.into(), seq);
        self.order.push_back((time, id.into()));
        self.last = Some(id.into());
    }

    /// Takes back the id of a message that could not be stored.
    pub(super) fn remove(&mut self, id: &str) {
        self.seen.remove(id);
        self.order.retain(|(_, other)| **other != *id);
        self.last = self.order.back().map(|(_, last)| last.clone());
    }

    /// Forgets what is from before a time.
    pub(super) fn forget_before(&mut self, time: i64) {
        while self.order.front().is_some_and(|(seen, _)| *seen < time) {
            if let Some((_, id)) = self.order.pop_front() {
                self.seen.remove(&id);
            }
        }
    }

    /// The id that came last, as far as it is remembered.
    pub(super) fn last(&self) -> &str {
        self.last.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_for_a_while() {
        let mut duplicates = Duplicates::default();
        duplicates.insert("a", 1, 10);
        duplicates.insert("b", 2, 20);
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
        duplicates.remove("b");
        assert_eq!((duplicates.find("b"), duplicates.last()), (None, ""));
    }
}
