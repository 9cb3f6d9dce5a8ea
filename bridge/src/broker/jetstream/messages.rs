//! Which messages a stream holds, where they lie, and which are to go: everything about them but their bytes.
//!
//! Of each message a few bytes are in memory, in [`Chunk`]s in the order of the sequences. Looking at
//! one message means reading its chunk from the start; counting and finding the next one ([`search`]) does not.

mod places;
pub(super) mod search;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use self::places::SegmentUse;
use super::chunk::{Chunk, Entry};
use super::filter::Filter;
use super::subject_table::SubjectTable;
use crate::broker::store::log::Position;

/// The index of a stream's messages.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// By their first sequences; each holds a message that is there.
    chunks: BTreeMap<u64, Chunk>,
    subjects: SubjectTable,
    /// What is needed of each segment of the log.
    segments: HashMap<u64, SegmentUse>,
    /// The bytes of the records of all messages.
    pub(super) disk_bytes: u64,
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
pub(super) fn size_on_disk(subject: usize, headers: usize, payload: usize) -> u64 {
    let header_part = if headers > 0 { headers + 4 } else { 0 };
    (subject + header_part + payload + 30) as u64
}

/// The same for a stream that is in memory alone.
pub(super) fn size_in_memory(subject: usize, headers: usize, payload: usize) -> u64 {
    (subject + headers + payload + 16) as u64
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
        let mut last = self.chunks.last_entry();
        if !last.as_mut().is_some_and(|last| last.get_mut().push(entry)) {
            let chunk = Chunk::new(entry).behind(last.as_ref().map(|last| last.get()));
            self.chunks.insert(seq, chunk);
        }
        self.count_in(&entry);
        self.len += 1;
        self.bytes += size;
        self.last_seq = self.last_seq.max(seq);
        self.last_time = time;
        self.first.get_or_insert(entry);
    }

    /// Takes a message out and returns its subject.
    pub(super) fn remove(&mut self, seq: u64) -> Option<Arc<str>> {
        let (place, chunk) = self.chunks.range_mut(..=seq).next_back()?;
        let entry = match self.first {
            Some(first) if first.seq == seq => first,
            _ => chunk.get(seq)?,
        };
        chunk.remove(seq);
        if chunk.len() == 0 {
            let place = *place;
            self.chunks.remove(&place);
        }
        self.len -= 1;
        self.bytes = self.bytes.saturating_sub(entry.size);
        self.count_out(&entry);
        self.first_when_empty = self.first_when_empty.max(seq + 1);
        if self.first.is_some_and(|first| first.seq == seq) {
            self.first = self.front();
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
        if subject.count == 1 {
            // Either may be the one that is left.
            let (first, last) = (subject.first, subject.last());
            let is_last = self.contains(last);
            let is_first = self.chunk_of(first).and_then(|chunk| chunk.get(first));
            let is_first = is_first.is_some_and(|first| first.subject == entry.subject);
            if let Some(subject) = self.subjects.get_mut(entry.subject) {
                match (is_first, is_last) {
                    (_, true) => subject.first = last,
                    (true, _) => subject.found_last(first),
                    _ => {}
                }
            }
        }
        Some(name)
    }

    /// The last message before a sequence on a wanted subject, in those chunks that may hold one.
    fn last_before(
        &self,
        before: u64,
        may_hold: impl Fn(&Chunk) -> bool,
        wanted: impl Fn(u32) -> bool,
    ) -> Option<u64> {
        let chunks = self.chunks.range(..before).rev().map(|(_, chunk)| chunk);
        let mut candidates = chunks.filter(|chunk| may_hold(chunk));
        let in_chunk = |chunk: &Chunk| {
            let entries = chunk.entries().take_while(|entry| entry.seq < before);
            let wanted = entries.filter(|entry| wanted(entry.subject));
            wanted.last().map(|entry| entry.seq)
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
        self.chunk_of(seq).is_some_and(|chunk| chunk.contains(seq))
    }

    /// The subject of a message that is there.
    pub(super) fn subject_of(&self, seq: u64) -> Option<&str> {
        let subject = self.chunk_of(seq)?.get(seq)?.subject;
        let subject = self.subjects.get(subject)?;
        Some(&subject.name)
    }

    /// Where a message lies that is there.
    pub(super) fn position_of(&self, seq: u64) -> Option<Position> {
        Some(self.chunk_of(seq)?.get(seq)?.position)
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

    /// The wanted subjects in order, with how many messages are on each.
    pub(super) fn subjects(&self, wanted: &Filter) -> impl Iterator<Item = (&str, u64)> {
        let wanted = self.subjects.wanted(wanted);
        wanted.map(|(_, subject)| (&*subject.name, subject.count))
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

    fn front(&self) -> Option<Entry> {
        self.chunks.values().next()?.entries().next()
    }

    /// The chunk that a message is in, if it is there.
    fn chunk_of(&self, seq: u64) -> Option<&Chunk> {
        let (_, chunk) = self.chunks.range(..=seq).next_back()?;
        Some(chunk)
    }

    /// The chunks that may hold messages from a sequence on.
    fn chunks_from(&self, seq: u64) -> impl Iterator<Item = &Chunk> {
        let first = self.chunk_of(seq).map_or(0, Chunk::first_seq);
        self.chunks.range(first..).map(|(_, chunk)| chunk)
    }
}

#[cfg(test)]
mod tests;
