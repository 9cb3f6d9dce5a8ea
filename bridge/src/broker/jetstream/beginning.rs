//! What a consumer starts with that gets the last message of each subject: a list of these, then everything that came
//! after the consumer was made.

use serde::{Deserialize, Serialize};

/// Messages by sequence; empty for a consumer that starts in another way.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Beginning {
    /// In ascending order.
    seqs: Vec<u64>,
    /// Up to here only what is listed is wanted.
    until: u64,
}

impl Beginning {
    pub(super) fn new(mut seqs: Vec<u64>, until: u64) -> Self {
        seqs.sort_unstable();
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
        self.seqs.binary_search(&seq).is_ok()
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.seqs.first().copied()
    }

    /// The first listed message from a sequence on.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        let place = self.seqs.partition_point(|seq| *seq < from);
        self.seqs.get(place).copied()
    }

    /// The messages that are listed from a sequence on.
    pub(super) fn from(&self, from: u64) -> &[u64] {
        let place = self.seqs.partition_point(|seq| *seq < from);
        self.seqs.get(place..).unwrap_or_default()
    }

    /// How many messages are listed from a sequence on.
    pub(super) fn count(&self, from: u64) -> u64 {
        self.from(from).len() as u64
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
        match self.seqs.binary_search(&seq) {
            Ok(place) => {
                self.seqs.remove(place);
                true
            }
            Err(_) => false,
        }
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
}
