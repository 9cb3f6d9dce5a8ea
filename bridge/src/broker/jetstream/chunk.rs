//! What a stream knows of the messages among 128 sequences that are in one segment: a few bytes each.
//!
//! Each message is written as its difference from the one before it, so that a message is found by
//! reading the chunk from its start. A bit for each message says whether it is still there.

use crate::broker::store::live::{read_number, write_number};
use crate::broker::store::log::Position;
use crate::broker::store::record::FRAME;

/// How many sequences a chunk spans.
pub(super) const CAPACITY: u32 = u128::BITS;

/// A message starts right behind the one before it.
const IS_ADJACENT: u8 = 1;
const HAS_SAME_LEN: u8 = 2;
const HAS_SAME_OVERHEAD: u8 = 4;
const HAS_SAME_SUBJECT: u8 = 8;
/// There are sequences without a message before it.
const HAS_GAP: u8 = 16;

/// What is known of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) position: Position,
    pub(super) time: i64,
    /// The number of its subject in the table of subjects.
    pub(super) subject: u32,
    pub(super) size: u64,
}

impl Entry {
    fn overhead(&self) -> u64 {
        self.size.wrapping_sub(u64::from(self.position.len))
    }

    fn end(&self) -> u64 {
        self.position.offset + u64::from(self.position.len)
    }
}

/// Messages with sequences near one another, in one segment.
#[derive(Debug)]
pub(super) struct Chunk {
    first_seq: u64,
    /// From the first sequence to the last.
    span: u32,
    live: u128,
    /// The bits of the subjects that occur; several subjects may share a bit.
    subjects: u64,
    /// The latest time of a message here or in a chunk before this one: the clock may have been set back.
    latest: i64,
    /// The first message as the differences start from it.
    base: Entry,
    last: Entry,
    differences: Vec<u8>,
}

impl Chunk {
    pub(super) fn new(entry: Entry) -> Self {
        Chunk {
            first_seq: entry.seq,
            span: 1,
            live: 1,
            subjects: subject_bit(entry.subject),
            latest: entry.time,
            base: entry,
            last: entry,
            differences: Vec::new(),
        }
    }

    /// The chunk as the one that follows another.
    pub(super) fn behind(mut self, before: Option<&Chunk>) -> Self {
        self.latest = before.map_or(self.latest, |before| self.latest.max(before.latest));
        self
    }

    /// Adds a message behind the others; false if it does not fit here.
    pub(super) fn push(&mut self, entry: Entry) -> bool {
        let follows = entry.seq > self.last.seq
            && entry.position.segment == self.last.position.segment
            && entry.position.offset >= self.last.end();
        let place = u32::try_from(entry.seq.wrapping_sub(self.first_seq));
        let Some(place) = place.ok().filter(|place| follows && *place < CAPACITY) else {
            return false;
        };
        write_difference(&mut self.differences, &self.last, &entry);
        self.live |= 1 << place;
        self.span = place + 1;
        self.subjects |= subject_bit(entry.subject);
        self.latest = self.latest.max(entry.time);
        self.last = entry;
        if self.span == CAPACITY {
            self.differences.shrink_to_fit();
        }
        true
    }

    pub(super) fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The segment that its messages are in.
    pub(super) fn segment(&self) -> u64 {
        self.base.position.segment
    }

    /// How many messages are there.
    pub(super) fn len(&self) -> u32 {
        self.live.count_ones()
    }

    pub(super) fn contains(&self, seq: u64) -> bool {
        self.bit(seq).is_some_and(|bit| self.live & bit != 0)
    }

    /// The first sequence from `from` on whose message is there.
    pub(super) fn next_live(&self, from: u64) -> Option<u64> {
        let live = self.live & self.bits_from(from);
        (live != 0).then(|| self.first_seq + u64::from(live.trailing_zeros()))
    }

    /// How many messages from `from` on are there.
    pub(super) fn count_from(&self, from: u64) -> u64 {
        u64::from((self.live & self.bits_from(from)).count_ones())
    }

    /// No message here or in a chunk before this one is later.
    pub(super) fn latest(&self) -> i64 {
        self.latest
    }

    /// Whether a message on one of the subjects with these bits may be here.
    pub(super) fn may_hold(&self, bits: u64) -> bool {
        self.subjects & bits != 0
    }

    /// The messages that are there.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        let mut differences = self.differences.as_slice();
        let mut next = Some(self.base);
        std::iter::from_fn(move || {
            let entry = next?;
            next = read_difference(&mut differences, &entry);
            Some(entry)
        })
        .filter(move |entry| self.contains(entry.seq))
    }

    pub(super) fn get(&self, seq: u64) -> Option<Entry> {
        if !self.contains(seq) {
            return None;
        }
        self.entries().find(|entry| entry.seq == seq)
    }

    /// Takes note that a message is no longer there.
    pub(super) fn remove(&mut self, seq: u64) {
        if let Some(bit) = self.bit(seq) {
            self.live &= !bit;
        }
    }

    /// The runs of sequences whose messages are there: the first and the last of each.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u64, u64)> {
        let (mut live, mut next) = (self.live, self.first_seq);
        std::iter::from_fn(move || {
            let gap = (live != 0).then(|| live.trailing_zeros())?;
            let len = (live >> gap).trailing_ones();
            live = live.checked_shr(gap + len).unwrap_or(0);
            let first = next + u64::from(gap);
            next = first + u64::from(len);
            Some((first, next - 1))
        })
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.differences.capacity()
    }

    fn bit(&self, seq: u64) -> Option<u128> {
        let place = seq.checked_sub(self.first_seq)?;
        (place < u64::from(self.span)).then(|| 1 << place)
    }

    fn bits_from(&self, from: u64) -> u128 {
        match u32::try_from(from.saturating_sub(self.first_seq)) {
            Ok(place) => u128::MAX.checked_shl(place).unwrap_or(0),
            Err(_) => 0,
        }
    }
}

/// The bit by which a chunk knows a subject.
pub(super) fn subject_bit(subject: u32) -> u64 {
    1 << (subject % u64::BITS)
}

fn write_difference(out: &mut Vec<u8>, last: &Entry, entry: &Entry) {
    let gap = entry.position.offset - last.end();
    let mut flags = 0;
    if gap == FRAME as u64 {
        flags |= IS_ADJACENT;
    }
    if entry.position.len == last.position.len {
        flags |= HAS_SAME_LEN;
    }
    if entry.overhead() == last.overhead() {
        flags |= HAS_SAME_OVERHEAD;
    }
    if entry.subject == last.subject {
        flags |= HAS_SAME_SUBJECT;
    }
    let missing = entry.seq - last.seq - 1;
    if missing > 0 {
        flags |= HAS_GAP;
    }
    out.push(flags);
    if missing > 0 {
        write_number(out, missing);
    }
    let times = entry.time.wrapping_sub(last.time);
    // Zigzag: small numbers of either sign are short.
    write_number(out, ((times << 1) ^ (times >> 63)).cast_unsigned());
    if flags & IS_ADJACENT == 0 {
        write_number(out, gap);
    }
    if flags & HAS_SAME_LEN == 0 {
        write_number(out, u64::from(entry.position.len));
    }
    if flags & HAS_SAME_OVERHEAD == 0 {
        write_number(out, entry.overhead());
    }
    if flags & HAS_SAME_SUBJECT == 0 {
        write_number(out, u64::from(entry.subject));
    }
}

fn read_difference(from: &mut &[u8], last: &Entry) -> Option<Entry> {
    let (flags, rest) = from.split_first()?;
    *from = rest;
    let missing = match flags & HAS_GAP {
        0 => 0,
        _ => read_number(from)?,
    };
    let mut read_unless = |flag: u8, value: u64| {
        if flags & flag == 0 {
            read_number(from)
        } else {
            Some(value)
        }
    };
    let times = read_unless(0, 0)?;
    let times = (times >> 1).cast_signed() ^ -(times & 1).cast_signed();
    let gap = read_unless(IS_ADJACENT, FRAME as u64)?;
    let len = read_unless(HAS_SAME_LEN, u64::from(last.position.len))?;
    let overhead = read_unless(HAS_SAME_OVERHEAD, last.overhead())?;
    let subject = read_unless(HAS_SAME_SUBJECT, u64::from(last.subject))?;
    Some(Entry {
        seq: last.seq + 1 + missing,
        position: Position {
            segment: last.position.segment,
            offset: last.end() + gap,
            len: u32::try_from(len).ok()?,
        },
        time: last.time.wrapping_add(times),
        subject: u32::try_from(subject).ok()?,
        size: len.wrapping_add(overhead),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages as different from one another as can be.
    fn entries() -> Vec<Entry> {
        let mut offset = 0;
        let mut entries = Vec::new();
        for number in 0..u64::from(CAPACITY) {
            let len = if number % 3 == 0 {
                200
            } else {
                1 << (number % 20)
            };
            offset += if number % 2 == 0 {
                FRAME as u64
            } else {
                number * 1000
            };
            entries.push(Entry {
                seq: 1000 + number,
                position: Position {
                    segment: 7,
                    offset,
                    len,
                },
                time: [0, i64::MAX, i64::MIN, -1, 1_700_000_000_000_000_000][(number % 5) as usize],
                subject: if number < 64 { 3 } else { number as u32 * 1000 },
                size: u64::from(len) + if number % 4 == 0 { 9 } else { 5 },
            });
            offset += u64::from(len);
        }
        entries
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let entries = entries();
        let mut chunk = Chunk::new(entries[0]);
        assert!(entries[1..].iter().all(|entry| chunk.push(*entry)));
        assert_eq!(chunk.entries().collect::<Vec<_>>(), entries);
        for entry in &entries {
            assert_eq!(chunk.get(entry.seq), Some(*entry));
            assert!(chunk.may_hold(subject_bit(entry.subject)));
        }
        let mut further = *entries.last().unwrap();
        further.seq += 1;
        further.position.offset += 1 << 30;
        assert!(!chunk.push(further), "it is full");
    }

    #[test]
    fn what_does_not_follow_is_not_taken() {
        let entries = entries();
        let mut chunk = Chunk::new(entries[0]);
        let mut far = entries[1];
        far.seq = entries[0].seq + u64::from(CAPACITY);
        assert!(!chunk.push(far) && !chunk.push(entries[0]));
        let mut elsewhere = entries[1];
        elsewhere.position.segment += 1;
        assert!(!chunk.push(elsewhere));
    }

    #[test]
    fn sequences_without_a_message_take_no_place() {
        let mut entries = entries();
        entries.retain(|entry| entry.seq % 5 == 3 || entry.seq > 1120);
        let mut chunk = Chunk::new(entries[0]);
        assert!(entries[1..].iter().all(|entry| chunk.push(*entry)));
        assert_eq!(chunk.entries().collect::<Vec<_>>(), entries);
        assert_eq!(chunk.len() as usize, entries.len());
        let runs: Vec<_> = chunk.runs().collect();
        assert_eq!(runs[..2], [(1003, 1003), (1008, 1008)]);
        assert_eq!(runs.last(), Some(&(1121, 1127)));
    }

    #[test]
    fn removed_messages_are_passed_over() {
        let entries = entries();
        let mut chunk = Chunk::new(entries[0]);
        assert!(entries[1..].iter().all(|entry| chunk.push(*entry)));
        for seq in [1000, 1001, 1005, 1127] {
            chunk.remove(seq);
            assert!(!chunk.contains(seq) && chunk.get(seq).is_none());
        }
        assert_eq!((chunk.len(), chunk.count_from(1004)), (124, 122));
        assert_eq!(
            (
                chunk.next_live(0),
                chunk.next_live(1005),
                chunk.next_live(1127),
                chunk.next_live(5000)
            ),
            (Some(1002), Some(1006), None, None)
        );
        assert_eq!(chunk.entries().count(), 124);
    }
}
