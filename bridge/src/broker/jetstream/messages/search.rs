//! Finding messages of a stream: those on wanted subjects, since a time, and those that are to go.

use std::collections::{HashMap, HashSet};

use super::super::chunk::{CAPACITY, Chunk, Entry, subject_bit};
use super::super::filter::Filter;
use super::super::retention::Limits;
use super::Messages;
use crate::broker::subjects;

/// How many messages a search looks at, where the stream has other things to do as well.
pub(in crate::broker::jetstream) const SEARCH_STEP: usize = 8192;
/// How many messages a search looks at before it finds out which subjects are wanted: most find what they want among these.
const NEARBY: usize = 1024;
/// How many subjects it looks at for that: no more than messages before.
const MAX_SUBJECTS: usize = 1024;

/// What came of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::broker::jetstream) enum Search {
    Found(u64),
    /// There is none.
    Nothing,
    /// There is none before this sequence, from which the search may go on.
    Further(u64),
}

impl Search {
    fn found(self) -> Option<u64> {
        match self {
            Search::Found(seq) => Some(seq),
            Search::Nothing | Search::Further(_) => None,
        }
    }
}

impl Messages {
    /// The newest message on a subject or pattern.
    pub(in crate::broker::jetstream) fn last_on(&self, pattern: &str) -> Option<u64> {
        if !subjects::has_wildcard(pattern) {
            let number = self.subjects.number(pattern)?;
            let subject = self.subjects.get(number)?;
            if !self.contains(subject.last()) {
                let may_hold = |chunk: &Chunk| chunk.may_hold(subject_bit(number));
                let last = self.last_before(subject.last(), may_hold, |other| other == number);
                subject.found_last(last?);
            }
            return Some(subject.last());
        }
        let filter = Filter::of(&[pattern]);
        let wanted = self.subjects.wanted(&filter);
        let last = wanted.map(|(_, subject)| subject.last()).max()?;
        if self.contains(last) {
            return Some(last);
        }
        let name = |number| self.subjects.get(number).map(|subject| &*subject.name);
        let is_wanted = |number| name(number).is_some_and(|name| filter.takes(name));
        self.last_before(last, |_| true, is_wanted)
    }

    /// The last message on each wanted subject among those from `from` to `up_to`, in the order of their sequences.
    pub(in crate::broker::jetstream) fn last_of_each(
        &self,
        wanted: &Filter,
        from: u64,
        up_to: u64,
    ) -> Vec<u64> {
        let (mut seqs, mut open) = (Vec::new(), HashSet::new());
        for (number, subject) in self.subjects.wanted(wanted) {
            let last = subject.last();
            if last < from {
                continue;
            }
            if last <= up_to && self.contains(last) {
                seqs.push(last);
            } else {
                open.insert(number);
            }
        }
        let range = from..up_to.saturating_add(1);
        for chunk in self.chunks.range(..range.end).rev().map(|(_, chunk)| chunk) {
            if open.is_empty() || chunk.first_seq() + u64::from(CAPACITY) <= from {
                break;
            }
            let entries = chunk.entries().filter(|entry| range.contains(&entry.seq));
            let entries: Vec<_> = entries.collect();
            let last = entries
                .iter()
                .rev()
                .filter(|entry| open.remove(&entry.subject));
            seqs.extend(last.map(|entry| entry.seq));
        }
        seqs.sort_unstable();
        seqs
    }

    /// The first message from `from` on whose subject is wanted.
    pub(in crate::broker::jetstream) fn next_wanted(
        &self,
        from: u64,
        wanted: &Filter,
    ) -> Option<u64> {
        self.search(from, wanted, usize::MAX).found()
    }

    /// Searches for the first message from `from` on whose subject is wanted. Looks at about `most` messages.
    pub(in crate::broker::jetstream) fn search(
        &self,
        from: u64,
        wanted: &Filter,
        most: usize,
    ) -> Search {
        match wanted {
            Filter::All => {
                let mut chunks = self.chunks_from(from);
                let next = chunks.find_map(|chunk| chunk.next_live(from));
                next.map_or(Search::Nothing, Search::Found)
            }
            Filter::One(name) => {
                let number = self.subjects.number(name);
                let subject = number.and_then(|number| Some((number, self.subjects.get(number)?)));
                match subject {
                    Some((_, subject)) if subject.count == self.len => {
                        self.search(from, &Filter::All, most)
                    }
                    Some((number, subject)) if subject.last() >= from => {
                        let bit = subject_bit(number);
                        let from = from.max(subject.first);
                        self.search_among(from, most, bit, |other| other == number)
                    }
                    _ => Search::Nothing,
                }
            }
            Filter::Few(_) | Filter::Many(_) => self.search_many(from, wanted, most),
        }
    }

    fn search_many(&self, from: u64, wanted: &Filter, most: usize) -> Search {
        let name = |number| self.subjects.get(number).map(|subject| &*subject.name);
        let is_wanted = |number| name(number).is_some_and(|name| wanted.takes(name));
        let nearby = self.search_among(from, NEARBY.min(most), u64::MAX, is_wanted);
        let Search::Further(from) = nearby else {
            return nearby;
        };
        let Some(mut subjects) = self.subjects.wanted_of(wanted, MAX_SUBJECTS) else {
            return self.search_among(from, most, u64::MAX, is_wanted);
        };
        subjects.retain(|(_, subject)| subject.last() >= from);
        let Some(first) = subjects.iter().map(|(_, subject)| subject.first).min() else {
            return Search::Nothing;
        };
        let numbers: HashSet<u32> = subjects.iter().map(|(number, _)| *number).collect();
        let bits = bits_of(&numbers);
        self.search_among(from.max(first), most, bits, |subject| {
            numbers.contains(&subject)
        })
    }

    /// Searches the chunks that may hold a message on a subject with one of these bits.
    fn search_among(
        &self,
        from: u64,
        most: usize,
        bits: u64,
        is_wanted: impl Fn(u32) -> bool,
    ) -> Search {
        let mut looked_at = 0;
        for chunk in self.chunks_from(from) {
            if looked_at >= most {
                return Search::Further(chunk.first_seq().max(from));
            }
            looked_at += 1;
            if chunk.may_hold(bits) {
                looked_at += chunk.len() as usize;
                let mut entries = chunk.entries();
                let found = entries.find(|entry| entry.seq >= from && is_wanted(entry.subject));
                if let Some(entry) = found {
                    return Search::Found(entry.seq);
                }
            }
        }
        Search::Nothing
    }

    /// All messages from `from` on whose subject is wanted.
    pub(in crate::broker::jetstream) fn all_wanted(
        &self,
        from: u64,
        wanted: &Filter,
    ) -> impl Iterator<Item = u64> {
        let name = |number| self.subjects.get(number).map(|subject| &*subject.name);
        let entries = self.range(from);
        let taken =
            entries.filter(move |entry| name(entry.subject).is_some_and(|name| wanted.takes(name)));
        taken.map(|entry| entry.seq)
    }

    /// How many messages from `from` on are wanted.
    pub(in crate::broker::jetstream) fn count_wanted(&self, from: u64, wanted: &Filter) -> u64 {
        let chunks = self.chunks_from(from);
        let left: u64 = chunks.map(|chunk| chunk.count_from(from)).sum();
        match wanted {
            Filter::All => left,
            Filter::One(name) => {
                let numbers = self.subjects.number(name).into_iter().collect();
                self.count_among(from, left, self.count_on(name), &numbers)
            }
            _ if left < self.subjects.len() as u64 => self.all_wanted(from, wanted).count() as u64,
            Filter::Few(_) | Filter::Many(_) => {
                // Each subject is looked at once, however many messages are on it.
                let (mut numbers, mut on_wanted) = (HashSet::new(), 0);
                for (number, subject) in self.subjects.wanted(wanted) {
                    numbers.insert(number);
                    on_wanted += subject.count;
                }
                self.count_among(from, left, on_wanted, &numbers)
            }
        }
    }

    /// How many of the messages that are `left` from `from` on are among those on the wanted subjects, `on_wanted` of all.
    fn count_among(&self, from: u64, left: u64, on_wanted: u64, wanted: &HashSet<u32>) -> u64 {
        if on_wanted == 0 || on_wanted == self.len || left == self.len {
            return on_wanted.min(left);
        }
        let bits = bits_of(wanted);
        let is_wanted = |entry: &Entry| wanted.contains(&entry.subject);
        let may_hold = |chunk: &&Chunk| chunk.may_hold(bits);
        // On the side where there are fewer.
        if left <= self.len / 2 {
            let entries = self.chunks_from(from).filter(may_hold);
            let entries = entries.flat_map(Chunk::entries);
            return entries
                .filter(|entry| entry.seq >= from && is_wanted(entry))
                .count() as u64;
        }
        let chunks = self.chunks.range(..from).map(|(_, chunk)| chunk);
        let entries = chunks.filter(may_hold).flat_map(Chunk::entries);
        let before = entries.filter(|entry| entry.seq < from && is_wanted(entry));
        on_wanted - before.count() as u64
    }

    /// The first message at or after a time.
    pub(in crate::broker::jetstream) fn first_since(&self, time: i64) -> Option<u64> {
        let (mut from, mut end) = (self.first_seq(), self.last_seq.saturating_add(1));
        while from < end {
            let middle = from + (end - from) / 2;
            match self.chunk_of(middle) {
                Some(chunk) if chunk.latest() >= time => end = middle,
                _ => from = middle + 1,
            }
        }
        let mut behind = self.range(from);
        behind
            .find(|entry| entry.time >= time)
            .map(|entry| entry.seq)
    }

    /// All sequences that a purge with these bounds takes.
    pub(in crate::broker::jetstream) fn to_purge(
        &self,
        filter: &Filter,
        below: Option<u64>,
        keep: u64,
    ) -> Vec<u64> {
        let mut taken: Vec<u64> = self
            .all_wanted(0, filter)
            .take_while(|seq| below.is_none_or(|below| *seq < below))
            .collect();
        let left = taken
            .len()
            .saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
        taken.truncate(left);
        taken
    }

    /// The next message that the limits of a stream put out, if any.
    pub(in crate::broker::jetstream) fn surplus(
        &self,
        limits: &Limits,
        newest: Option<&str>,
    ) -> Option<u64> {
        if let Some(max) = limits.max_msgs_per_subject
            && let Some(number) = newest.and_then(|name| self.subjects.number(name))
            && let Some(subject) = self.subjects.get(number)
            && subject.count > max
        {
            let (bit, most) = (subject_bit(number), usize::MAX);
            let oldest = self.search_among(subject.first, most, bit, |other| other == number);
            return oldest.found();
        }
        let too_many = limits.max_msgs.is_some_and(|max| self.len > max);
        let too_much = limits.max_bytes.is_some_and(|max| self.bytes > max);
        if limits.discards_old && (too_many || too_much) {
            self.first.map(|first| first.seq)
        } else {
            None
        }
    }

    /// What subjects hold beyond their share, after that share became smaller.
    pub(in crate::broker::jetstream) fn beyond_shares(&self, limits: &Limits) -> Vec<u64> {
        let max = limits.max_msgs_per_subject.unwrap_or(u64::MAX);
        let subjects = self.subjects.numbered();
        let crowded = subjects.filter(|(_, subject)| subject.count > max);
        let mut surplus: HashMap<u32, u64> = crowded
            .map(|(number, subject)| (number, subject.count - max))
            .collect();
        let mut is_surplus = |subject: u32| match surplus.get_mut(&subject) {
            Some(left) if *left > 1 => {
                *left -= 1;
                true
            }
            _ => surplus.remove(&subject).is_some(),
        };
        let entries = self.range(0).filter(|entry| is_surplus(entry.subject));
        entries.map(|entry| entry.seq).collect()
    }

    /// When the first message from `seq` on was stored.
    pub(in crate::broker::jetstream) fn time_from(&self, seq: u64) -> Option<i64> {
        self.range(seq).next().map(|entry| entry.time)
    }
}

/// The bits by which chunks know these subjects.
fn bits_of(subjects: &HashSet<u32>) -> u64 {
    let bits = subjects.iter().map(|subject| subject_bit(*subject));
    bits.fold(0, |bits, bit| bits | bit)
}
