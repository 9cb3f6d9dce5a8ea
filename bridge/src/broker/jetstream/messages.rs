//! Which messages a stream holds, where they lie, and which are to go: everything about them but their bytes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::stream_config::{Discard, StreamConfig, limit};
use crate::broker::store::log::Position;
use crate::broker::subjects;

/// What is kept in memory of each message.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) time: i64,
    pub(super) subject: Arc<str>,
    pub(super) size: u64,
}

/// The index of a stream's messages.
#[derive(Debug, Default)]
pub(super) struct Messages {
    entries: BTreeMap<u64, Entry>,
    /// The sequences of each subject's messages, ascending.
    subjects: HashMap<Arc<str>, VecDeque<u64>>,
    /// How many messages live in each segment of the log.
    segments: HashMap<u64, u64>,
    pub(super) bytes: u64,
    pub(super) last_seq: u64,
    pub(super) last_time: i64,
    /// The first sequence when nothing is left.
    first_when_empty: u64,
}

/// The bytes that a message counts for in a stream's limits, as the servers in the field count.
pub(super) fn stored_size(subject: usize, headers: usize, payload: usize) -> u64 {
    let header_part = if headers > 0 { headers + 4 } else { 0 };
    (subject + header_part + payload + 30) as u64
}

impl Messages {
    pub(super) fn insert(
        &mut self,
        seq: u64,
        subject: &str,
        position: Position,
        time: i64,
        size: u64,
    ) {
        let subject = match self.subjects.get_key_value(subject) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(subject),
        };
        self.subjects
            .entry(Arc::clone(&subject))
            .or_default()
            .push_back(seq);
        *self.segments.entry(position.segment).or_default() += 1;
        self.bytes += size;
        self.last_seq = self.last_seq.max(seq);
        self.last_time = time;
        self.entries.insert(
            seq,
            Entry {
                position,
                time,
                subject,
                size,
            },
        );
    }

    pub(super) fn remove(&mut self, seq: u64) -> Option<Entry> {
        let entry = self.entries.remove(&seq)?;
        if let Some(seqs) = self.subjects.get_mut(&entry.subject) {
            if let Ok(place) = seqs.binary_search(&seq) {
                seqs.remove(place);
            }
            if seqs.is_empty() {
                self.subjects.remove(&entry.subject);
            }
        }
        if let Some(live) = self.segments.get_mut(&entry.position.segment) {
            *live -= 1;
            if *live == 0 {
                self.segments.remove(&entry.position.segment);
            }
        }
        self.bytes -= entry.size;
        self.first_when_empty = self.first_when_empty.max(seq + 1);
        Some(entry)
    }

    /// Says that sequences go on from here although no message shows it.
    pub(super) fn advance(&mut self, first_seq: u64, last_seq: u64, last_time: i64) {
        self.first_when_empty = self.first_when_empty.max(first_seq);
        self.last_seq = self.last_seq.max(last_seq);
        self.last_time = self.last_time.max(last_time);
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(&seq)
    }

    /// The messages from a sequence on.
    pub(super) fn range(&self, from: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.range(from..).map(|(seq, entry)| (*seq, entry))
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn first_seq(&self) -> u64 {
        let empty = || {
            self.first_when_empty.max(if self.last_seq > 0 {
                self.last_seq + 1
            } else {
                0
            })
        };
        self.entries.keys().next().copied().unwrap_or_else(empty)
    }

    pub(super) fn first_time(&self) -> i64 {
        self.entries.values().next().map_or(0, |entry| entry.time)
    }

    pub(super) fn subjects(&self) -> impl Iterator<Item = (&str, usize)> {
        self.subjects
            .iter()
            .map(|(subject, seqs)| (&**subject, seqs.len()))
    }

    pub(super) fn subject_count(&self) -> usize {
        self.subjects.len()
    }

    pub(super) fn count_on(&self, subject: &str) -> u64 {
        self.subjects
            .get(subject)
            .map_or(0, |seqs| seqs.len() as u64)
    }

    /// Sequences between first and last that hold no message any more, at most `max` of them.
    pub(super) fn deleted(&self, max: usize) -> Vec<u64> {
        let holes =
            (self.first_seq()..=self.last_seq).filter(|seq| !self.entries.contains_key(seq));
        holes.take(max).collect()
    }

    /// How many sequences between first and last hold no message any more.
    pub(super) fn deleted_count(&self) -> u64 {
        if self.entries.is_empty() {
            return 0;
        }
        (self.last_seq + 1)
            .saturating_sub(self.first_seq())
            .saturating_sub(self.len())
    }

    /// The newest message on a subject or pattern.
    pub(super) fn last_on(&self, pattern: &str) -> Option<u64> {
        if !subjects::has_wildcard(pattern) {
            return self.subjects.get(pattern)?.back().copied();
        }
        let matching = self
            .subjects
            .iter()
            .filter(|(subject, _)| subjects::matches(pattern, subject));
        matching.filter_map(|(_, seqs)| seqs.back().copied()).max()
    }

    /// The first message from `from` on whose subject is wanted.
    pub(super) fn next_wanted(&self, from: u64, wanted: &Filter) -> Option<u64> {
        match wanted {
            Filter::All => self.entries.range(from..).next().map(|(seq, _)| *seq),
            Filter::One(subject) => {
                let seqs = self.subjects.get(&**subject)?;
                seqs.get(seqs.partition_point(|seq| *seq < from)).copied()
            }
            Filter::Patterns(_) => self
                .entries
                .range(from..)
                .find(|(_, entry)| wanted.takes(&entry.subject))
                .map(|(seq, _)| *seq),
        }
    }

    /// How many messages from `from` on are wanted.
    pub(super) fn count_wanted(&self, from: u64, wanted: &Filter) -> u64 {
        let matching = self
            .subjects
            .iter()
            .filter(|(subject, _)| wanted.takes(subject));
        matching
            .map(|(_, seqs)| (seqs.len() - seqs.partition_point(|seq| *seq < from)) as u64)
            .sum()
    }

    /// The first message at or after a time.
    pub(super) fn first_since(&self, time: i64) -> Option<u64> {
        self.entries
            .iter()
            .find(|(_, entry)| entry.time >= time)
            .map(|(seq, _)| *seq)
    }

    /// All sequences that a purge with these bounds takes.
    pub(super) fn to_purge(&self, filter: &Filter, below: Option<u64>, keep: u64) -> Vec<u64> {
        let taken = self
            .entries
            .iter()
            .filter(|(_, entry)| filter.takes(&entry.subject))
            .map(|(seq, _)| *seq);
        let mut taken: Vec<u64> = taken
            .take_while(|seq| below.is_none_or(|below| *seq < below))
            .collect();
        let left = taken
            .len()
            .saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
        taken.truncate(left);
        taken
    }

    /// The next message that the limits of a stream put out, if any.
    pub(super) fn surplus(&self, config: &StreamConfig, newest: Option<&str>) -> Option<u64> {
        if let (Some(max), Some(seqs)) = (
            limit(config.max_msgs_per_subject),
            newest.and_then(|subject| self.subjects.get(subject)),
        ) && seqs.len() as u64 > max
        {
            return seqs.front().copied();
        }
        let too_many = limit(config.max_msgs).is_some_and(|max| self.len() > max);
        let too_much = limit(config.max_bytes).is_some_and(|max| self.bytes > max);
        if config.discard == Discard::Old && (too_many || too_much) {
            self.entries.keys().next().copied()
        } else {
            None
        }
    }

    /// A subject that holds more than its share, after that share became smaller.
    pub(super) fn crowded_subject(&self, config: &StreamConfig) -> Option<Arc<str>> {
        let max = limit(config.max_msgs_per_subject)?;
        self.subjects
            .iter()
            .find(|(_, seqs)| seqs.len() as u64 > max)
            .map(|(subject, _)| Arc::clone(subject))
    }

    /// The oldest message, if it is from before a time.
    pub(super) fn first_before(&self, time: i64) -> Option<u64> {
        self.entries
            .iter()
            .next()
            .filter(|(_, entry)| entry.time < time)
            .map(|(seq, _)| *seq)
    }

    pub(super) fn segment_is_live(&self, segment: u64) -> bool {
        self.segments.contains_key(&segment)
    }
}

/// Which subjects are wanted.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    All,
    One(Box<str>),
    Patterns(Vec<Box<str>>),
}

impl Filter {
    pub(super) fn of<S: AsRef<str>>(patterns: &[S]) -> Self {
        match patterns {
            [] => Filter::All,
            [one] if one.as_ref() == ">" => Filter::All,
            [one] if !subjects::has_wildcard(one.as_ref()) => Filter::One(one.as_ref().into()),
            many => Filter::Patterns(many.iter().map(|pattern| pattern.as_ref().into()).collect()),
        }
    }

    pub(super) fn takes(&self, subject: &str) -> bool {
        match self {
            Filter::All => true,
            Filter::One(one) => **one == *subject,
            Filter::Patterns(patterns) => patterns
                .iter()
                .any(|pattern| subjects::matches(pattern, subject)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Messages {
        let mut messages = Messages::default();
        for (seq, subject) in [(1, "a.x"), (2, "a.y"), (3, "a.x"), (4, "b"), (5, "a.y")] {
            let position = Position {
                segment: seq / 3,
                offset: seq,
                len: 1,
            };
            messages.insert(seq, subject, position, seq as i64 * 10, 100);
        }
        messages
    }

    #[test]
    fn wanted_messages_are_found_and_counted() {
        let messages = filled();
        for (patterns, from, first, count) in [
            (vec![], 2, Some(2), 4),
            (vec!["a.x"], 2, Some(3), 1),
            (vec!["a.x"], 4, None, 0),
            (vec!["a.*"], 3, Some(3), 2),
            (vec!["b", "a.y"], 3, Some(4), 2),
            (vec!["c"], 0, None, 0),
        ] {
            let filter = Filter::of(&patterns);
            assert_eq!(
                messages.next_wanted(from, &filter),
                first,
                "{patterns:?} from {from}"
            );
            assert_eq!(
                messages.count_wanted(from, &filter),
                count,
                "{patterns:?} from {from}"
            );
        }
        assert_eq!(
            (
                messages.last_on("a.*"),
                messages.last_on("a.x"),
                messages.last_on("c")
            ),
            (Some(5), Some(3), None)
        );
        assert_eq!(messages.first_since(25), Some(3));
    }

    #[test]
    fn removals_leave_holes_and_dead_segments() {
        let mut messages = filled();
        for seq in [1, 2, 4] {
            messages.remove(seq).unwrap();
        }
        assert!(messages.remove(4).is_none());
        assert_eq!(
            (messages.first_seq(), messages.last_seq, messages.bytes),
            (3, 5, 200)
        );
        assert_eq!(
            (messages.deleted(10), messages.deleted_count()),
            (vec![4], 1)
        );
        assert!(!messages.segment_is_live(0) && messages.segment_is_live(1));
        assert_eq!(messages.subject_count(), 2);
        messages.remove(3);
        messages.remove(5);
        assert_eq!(
            (messages.first_seq(), messages.last_seq, messages.len()),
            (6, 5, 0)
        );
    }

    #[test]
    fn purges_are_bounded_by_filter_sequence_and_count() {
        let messages = filled();
        assert_eq!(messages.to_purge(&Filter::All, None, 0), [1, 2, 3, 4, 5]);
        assert_eq!(messages.to_purge(&Filter::All, Some(3), 0), [1, 2]);
        assert_eq!(messages.to_purge(&Filter::of(&["a.*"]), None, 1), [1, 2, 3]);
    }
}
