//! Which messages a stream holds, where they lie, and which are to go: everything about them but their bytes.
//!
//! Of each message a few bytes are in memory, in [`Chunk`]s in the order of the sequences. Looking at
//! one message means reading its chunk from the start; counting and finding the next one does not.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::chunk::{Chunk, Entry};
use super::retention::Limits;
use super::subject_table::SubjectTable;
use crate::broker::store::log::Position;
use crate::broker::subjects;

/// The index of a stream's messages.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// In the order of their sequences; each holds a message that is there.
    chunks: VecDeque<Chunk>,
    subjects: SubjectTable,
    /// How many messages live in each segment of the log.
    segments: HashMap<u64, u64>,
    len: u64,
    /// The first message: its age is asked for with every publish.
    first: Option<Entry>,
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
    /// Adds a message behind all others.
    pub(super) fn insert(
        &mut self,
        seq: u64,
        subject: &str,
        position: Position,
        time: i64,
        size: u64,
    ) {
        let entry = Entry {
            seq,
            position,
            time,
            subject: self.subjects.add(subject, seq),
            size,
        };
        if !self.chunks.back_mut().is_some_and(|last| last.push(entry)) {
            self.chunks.push_back(Chunk::new(entry));
        }
        *self.segments.entry(position.segment).or_default() += 1;
        self.len += 1;
        self.bytes += size;
        self.last_seq = self.last_seq.max(seq);
        self.last_time = time;
        self.first.get_or_insert(entry);
    }

    /// Takes a message out and returns its subject.
    pub(super) fn remove(&mut self, seq: u64) -> Option<Arc<str>> {
        let place = self.chunk_place(seq)?;
        let chunk = self.chunks.get_mut(place)?;
        let entry = match self.first {
            Some(first) if first.seq == seq => first,
            _ => chunk.get(seq)?,
        };
        chunk.remove(seq);
        if chunk.len() == 0 {
            self.chunks.remove(place);
        }
        self.len -= 1;
        self.bytes = self.bytes.saturating_sub(entry.size);
        if let Some(live) = self.segments.get_mut(&entry.position.segment) {
            *live -= 1;
            if *live == 0 {
                self.segments.remove(&entry.position.segment);
            }
        }
        self.first_when_empty = self.first_when_empty.max(seq + 1);
        if self.first.is_some_and(|first| first.seq == seq) {
            self.first = self.chunks.front().and_then(|chunk| chunk.entries().next());
        }
        self.uncount(entry)
    }

    /// Takes note that a subject has a message less. Returns the subject.
    fn uncount(&mut self, entry: Entry) -> Option<Arc<str>> {
        let subject = self.subjects.get_mut(entry.subject)?;
        let name = Arc::clone(&subject.name);
        subject.count -= 1;
        if subject.count == 0 {
            self.subjects.forget(entry.subject);
            return Some(name);
        }
        if subject.first == entry.seq {
            subject.first += 1;
        }
        if subject.last == entry.seq {
            let last = self.last_before(entry.subject, entry.seq);
            if let (Some(last), Some(subject)) = (last, self.subjects.get_mut(entry.subject)) {
                subject.last = last;
            }
        }
        if let Some(subject) = self.subjects.get_mut(entry.subject)
            && subject.count == 1
        {
            subject.first = subject.last;
        }
        Some(name)
    }

    fn last_before(&self, subject: u32, before: u64) -> Option<u64> {
        let chunks = self.chunks.iter().rev();
        let mut candidates =
            chunks.filter(|chunk| chunk.first_seq() < before && chunk.may_hold(subject));
        let in_chunk = |chunk: &Chunk| {
            let entries = chunk.entries().take_while(|entry| entry.seq < before);
            let on_subject = entries.filter(|entry| entry.subject == subject);
            on_subject.last().map(|entry| entry.seq)
        };
        candidates.find_map(in_chunk)
    }

    /// Says that sequences go on from here although no message shows it.
    pub(super) fn advance(&mut self, first_seq: u64, last_seq: u64, last_time: i64) {
        self.first_when_empty = self.first_when_empty.max(first_seq);
        self.last_seq = self.last_seq.max(last_seq);
        self.last_time = self.last_time.max(last_time);
    }

    pub(super) fn contains(&self, seq: u64) -> bool {
        self.chunk_place(seq)
            .and_then(|place| self.chunks.get(place))
            .is_some_and(|chunk| chunk.contains(seq))
    }

    /// The messages from a sequence on.
    pub(super) fn range(&self, from: u64) -> impl Iterator<Item = Entry> {
        self.chunks_from(from)
            .flat_map(Chunk::entries)
            .skip_while(move |entry| entry.seq < from)
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn first_seq(&self) -> u64 {
        let empty = || {
            self.first_when_empty.max(if self.last_seq > 0 {
                self.last_seq + 1
            } else {
                0
            })
        };
        self.first.map_or_else(empty, |first| first.seq)
    }

    pub(super) fn first_time(&self) -> i64 {
        self.first.map_or(0, |first| first.time)
    }

    pub(super) fn subjects(&self) -> impl Iterator<Item = (&str, u64)> {
        self.subjects
            .iter()
            .map(|subject| (&*subject.name, subject.count))
    }

    pub(super) fn subject_count(&self) -> usize {
        self.subjects.len()
    }

    pub(super) fn count_on(&self, subject: &str) -> u64 {
        self.subjects
            .by_name(subject)
            .map_or(0, |subject| subject.count)
    }

    /// Sequences between first and last that hold no message any more, at most `max` of them.
    pub(super) fn deleted(&self, max: usize) -> Vec<u64> {
        let mut deleted = Vec::new();
        let mut expected = self.first_seq();
        for seq in self.range(expected).map(|entry| entry.seq) {
            deleted.extend((expected..seq).take(max - deleted.len()));
            expected = seq + 1;
        }
        deleted.extend((expected..=self.last_seq).take(max - deleted.len()));
        deleted
    }

    /// How many sequences between first and last hold no message any more.
    pub(super) fn deleted_count(&self) -> u64 {
        if self.len == 0 {
            return 0;
        }
        (self.last_seq + 1)
            .saturating_sub(self.first_seq())
            .saturating_sub(self.len)
    }

    /// The newest message on a subject or pattern.
    pub(super) fn last_on(&self, pattern: &str) -> Option<u64> {
        if !subjects::has_wildcard(pattern) {
            return Some(self.subjects.by_name(pattern)?.last);
        }
        let matching = self
            .subjects
            .iter()
            .filter(|subject| subjects::matches(pattern, &subject.name));
        matching.map(|subject| subject.last).max()
    }

    /// The first message from `from` on whose subject is wanted.
    pub(super) fn next_wanted(&self, from: u64, wanted: &Filter) -> Option<u64> {
        match wanted {
            Filter::All => self
                .chunks_from(from)
                .find_map(|chunk| chunk.next_live(from)),
            Filter::One(name) => {
                let number = self.subjects.number(name)?;
                let subject = self.subjects.get(number)?;
                if subject.count == self.len {
                    return self.next_wanted(from, &Filter::All);
                }
                self.next_on(number, from.max(subject.first))
            }
            Filter::Patterns(_) => {
                let name = |number| self.subjects.get(number).map(|subject| &*subject.name);
                self.range(from)
                    .find(|entry| name(entry.subject).is_some_and(|name| wanted.takes(name)))
                    .map(|entry| entry.seq)
            }
        }
    }

    fn next_on(&self, subject: u32, from: u64) -> Option<u64> {
        self.chunks_from(from)
            .filter(|chunk| chunk.may_hold(subject))
            .flat_map(Chunk::entries)
            .find(|entry| entry.seq >= from && entry.subject == subject)
            .map(|entry| entry.seq)
    }

    /// How many messages from `from` on are wanted.
    pub(super) fn count_wanted(&self, from: u64, wanted: &Filter) -> u64 {
        let on_wanted: u64 = match wanted {
            Filter::All => self.len,
            Filter::One(name) => self.count_on(name),
            Filter::Patterns(_) => self
                .subjects
                .iter()
                .filter(|subject| wanted.takes(&subject.name))
                .map(|subject| subject.count)
                .sum(),
        };
        if on_wanted == self.len {
            return self
                .chunks_from(from)
                .map(|chunk| chunk.count_from(from))
                .sum();
        }
        if on_wanted == 0 || from <= self.first_seq() {
            return on_wanted;
        }
        let name = |number| self.subjects.get(number).map(|subject| &*subject.name);
        let taken = self
            .range(from)
            .filter(|entry| name(entry.subject).is_some_and(|name| wanted.takes(name)));
        taken.count() as u64
    }

    /// The first message at or after a time.
    pub(super) fn first_since(&self, time: i64) -> Option<u64> {
        self.range(0)
            .find(|entry| entry.time >= time)
            .map(|entry| entry.seq)
    }

    /// All sequences that a purge with these bounds takes.
    pub(super) fn to_purge(&self, filter: &Filter, below: Option<u64>, keep: u64) -> Vec<u64> {
        let name = |number| self.subjects.get(number).map(|subject| &*subject.name);
        let taken = self
            .range(0)
            .filter(|entry| name(entry.subject).is_some_and(|name| filter.takes(name)))
            .map(|entry| entry.seq);
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
    pub(super) fn surplus(&self, limits: &Limits, newest: Option<&str>) -> Option<u64> {
        if let Some(max) = limits.max_msgs_per_subject
            && let Some(number) = newest.and_then(|name| self.subjects.number(name))
            && let Some(subject) = self.subjects.get(number)
            && subject.count > max
        {
            return self.next_on(number, subject.first);
        }
        let too_many = limits.max_msgs.is_some_and(|max| self.len > max);
        let too_much = limits.max_bytes.is_some_and(|max| self.bytes > max);
        if limits.discards_old && (too_many || too_much) {
            self.first.map(|first| first.seq)
        } else {
            None
        }
    }

    /// A subject that holds more than its share, after that share became smaller.
    pub(super) fn crowded_subject(&self, limits: &Limits) -> Option<Arc<str>> {
        let max = limits.max_msgs_per_subject?;
        self.subjects
            .iter()
            .find(|subject| subject.count > max)
            .map(|subject| Arc::clone(&subject.name))
    }

    /// The oldest message, if it is from before a time.
    pub(super) fn first_before(&self, time: i64) -> Option<u64> {
        self.first
            .filter(|first| first.time < time)
            .map(|first| first.seq)
    }

    /// When the first message from `seq` on was stored.
    pub(super) fn time_from(&self, seq: u64) -> Option<i64> {
        self.range(seq).next().map(|entry| entry.time)
    }

    pub(super) fn segment_is_live(&self, segment: u64) -> bool {
        self.segments.contains_key(&segment)
    }

    fn chunk_place(&self, seq: u64) -> Option<usize> {
        self.chunks
            .partition_point(|chunk| chunk.first_seq() <= seq)
            .checked_sub(1)
    }

    /// The chunks that may hold messages from a sequence on.
    fn chunks_from(&self, seq: u64) -> impl Iterator<Item = &Chunk> {
        self.chunks.range(self.chunk_place(seq).unwrap_or(0)..)
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

    /// What the index was before it was compact, for comparison.
    fn plain(seq: u64) -> (String, Position, u64) {
        let position = Position {
            segment: seq / 1000,
            offset: (seq % 1000) * 250,
            len: 242,
        };
        (format!("s.{}", seq % 7), position, 247)
    }

    fn many(count: u64) -> Messages {
        let mut messages = Messages::default();
        for seq in 1..=count {
            let (subject, position, size) = plain(seq);
            let time = 1_700_000_000_000_000_000 + seq as i64 * 5_700;
            messages.insert(seq, &subject, position, time, size);
        }
        messages
    }

    #[test]
    fn a_message_takes_a_few_bytes_of_memory() {
        let messages = many(100_000);
        let bytes: usize = messages.chunks.iter().map(Chunk::memory).sum();
        let each = bytes as f64 / 100_000.0;
        assert!(each < 8.0, "{each} bytes a message");
    }

    #[test]
    fn any_order_of_removals_leaves_the_right_messages() {
        let mut messages = many(3000);
        let mut left: std::collections::BTreeMap<u64, String> =
            (1..=3000).map(|seq| (seq, plain(seq).0)).collect();
        let mut seed = 7_u64;
        while left.len() > 5 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let from = (seed >> 33) % 3000;
            let Some(seq) = left.range(from..).next().map(|(seq, _)| *seq) else {
                continue;
            };
            let subject = left.remove(&seq).unwrap();
            assert_eq!(messages.remove(seq).as_deref(), Some(&*subject));
            assert!(!messages.contains(seq) && messages.remove(seq).is_none());
            if left.len().is_multiple_of(100) {
                let one = Filter::of(&[&subject]);
                let on_one = |(_, other): &(&u64, &String)| **other == subject;
                assert_eq!(messages.first_seq(), *left.keys().next().unwrap());
                assert_eq!(
                    messages.next_wanted(from, &one),
                    left.range(from..).find(on_one).map(|(seq, _)| *seq)
                );
                assert_eq!(
                    messages.count_wanted(from, &one),
                    left.range(from..).filter(on_one).count() as u64
                );
                assert_eq!(
                    messages.count_wanted(from, &Filter::All),
                    left.range(from..).count() as u64
                );
                assert_eq!(
                    messages.last_on(&subject),
                    left.iter().filter(on_one).map(|(seq, _)| *seq).max()
                );
                let seqs: Vec<u64> = messages.range(0).map(|entry| entry.seq).collect();
                assert_eq!(seqs, left.keys().copied().collect::<Vec<_>>());
                assert_eq!(messages.bytes, left.len() as u64 * 247);
                let holes = messages.deleted(usize::MAX).len() as u64;
                assert_eq!(holes, messages.deleted_count());
            }
        }
    }
}
