//! What a consumer starts with that gets the last message of each subject: a list of these, then everything that came
//! after the consumer was made.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Messages by sequence; empty for a consumer that starts in another way.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Beginning {
    seqs: BTreeSet<u64>,
    /// Up to here only what is listed is wanted.
    until: u64,
}

impl Beginning {
    pub(super) fn new(seqs: impl IntoIterator<Item = u64>, until: u64) -> Self {
        let seqs = seqs.into_iter().collect();
        Beginning { seqs, until }
    }

    pub(super) fn is_none(&self) -> bool {
        self.until == 0
    }

    /// Whether the list and not the filter says if a message is wanted.
    pub(super) fn covers(&self, seq: u64) -> bool {
        seq <= self.until
    }

    pub(super) fn contains(&self, seq: u64) -> bool {
        self.seqs.contains(&seq)
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.seqs.first().copied()
    }

    /// The first listed message from a sequence on.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        self.from(from).next()
    }

    /// The messages that are listed from a sequence on.
    pub(super) fn from(&self, from: u64) -> impl Iterator<Item = u64> {
        self.seqs.range(from..).copied()
    }

    /// How many messages are listed from a sequence on.
    pub(super) fn count(&self, from: u64) -> u64 {
        self.from(from).count() as u64
    }

    /// Where the filter says what is wanted, for someone who is at `from`.
    pub(super) fn behind(&self, from: u64) -> u64 {
        from.max(self.until + 1)
    }

    pub(super) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.seqs.retain(|seq| keep(*seq));
    }

    /// Takes a message off the list. Returns whether it was on it.
    pub(super) fn remove(&mut self, seq: u64) -> bool {
        self.seqs.remove(&seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_comes_first() {
        let mut beginning = Beginning::new(vec![7, 2, 5], 9);
        assert_eq!(beginning.first(), Some(2));
        assert_eq!((beginning.next(3), beginning.count(3)), (Some(5), 2));
        assert_eq!((beginning.behind(3), beginning.behind(12)), (10, 12));
        assert!(beginning.covers(9) && !beginning.covers(10));
        assert!(beginning.remove(5) && !beginning.remove(6));
        assert_eq!((beginning.next(3), beginning.next(8)), (Some(7), None));
        assert!(Beginning::default().is_none() && !Beginning::default().covers(1));
    }

    /// It would take minutes if each that goes moved those behind it.
    #[test]
    fn two_million_messages_leave_the_list_one_by_one() {
        let mut beginning = Beginning::new((1..=2_000_000).collect::<Vec<_>>(), 2_000_000);
        assert!((1..=2_000_000).all(|seq| beginning.remove(seq)));
        assert_eq!(beginning.first(), None);
    }
}
