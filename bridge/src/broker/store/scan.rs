//! Going through the bytes of a segment: where its batches and records are, and where they end.
//!
//! What cannot be read is either the last batch, torn by a crash before it was acknowledged, or damage. It is torn if nothing
//! was written behind it and a whole sector of it is missing; then none of it counts. Of damaged batches all counts that can be read.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;

use super::log::Position;
use super::record::{self, BATCH_HEAD, FRAME, Record};

/// What a disk writes as a whole or not at all; what it has not written reads as zeros.
const SECTOR: usize = 512;

/// The start of each segment: how much of the segment before it counts, then the state, then which messages there were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Preamble {
    pub(super) previous_len: u64,
    pub(super) kind: SegmentKind,
    /// The mark of its batches; 0 if its records are not in batches: it was rewritten, or an older broker began it.
    pub(super) mark: u64,
    /// How many bytes it has.
    pub(super) len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SegmentKind {
    /// An older broker began it, and did not write down which messages there were.
    Older,
    Begun,
    /// It is what was left of one or more segments, and counts as a whole.
    Rewritten,
}

/// The start of a segment, if it has a proper one.
pub(super) fn preamble(bytes: &Bytes) -> Option<Preamble> {
    let mut len = 0;
    let mut next = || {
        let body = record::body_at(bytes, len)?;
        len += FRAME + body.len();
        record::decode(body)
    };
    let (previous_len, kind, mark) = match next()? {
        Record::PurgedBelow { seq } => (seq, SegmentKind::Older, 0),
        Record::Start {
            previous_len,
            is_rewritten: false,
            mark,
        } => (previous_len, SegmentKind::Begun, mark),
        Record::Start { previous_len, .. } => (previous_len, SegmentKind::Rewritten, 0),
        _ => return None,
    };
    let is_complete = matches!(next()?, Record::Snapshot(_))
        && (kind != SegmentKind::Begun || matches!(next()?, Record::Live(_)));
    is_complete.then_some(Preamble {
        previous_len,
        kind,
        mark,
        len,
    })
}

/// Whether the last segment was begun: its start counts only with its first batch.
pub(super) fn is_begun(bytes: &Bytes, preamble: &Preamble) -> bool {
    let first = || next_batch(bytes, preamble.len, preamble.mark, true);
    preamble.mark == 0 || !matches!(first(), Next::Nothing | Next::Torn)
}

/// What became of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanned {
    /// Behind the last record that counts.
    pub(super) end: u64,
    /// A crash left the last batch unfinished.
    pub(super) is_torn: bool,
    /// Something cannot be read that was there.
    pub(super) is_damaged: bool,
}

/// A segment's bytes, as far as they count.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    pub(super) segment: u64,
    pub(super) path: &'a Path,
    pub(super) bytes: &'a Bytes,
    pub(super) preamble: &'a Preamble,
    /// Nothing says that its last batch was finished.
    pub(super) may_be_torn: bool,
}

impl Scan<'_> {
    /// Shows all records after the first, but for the heads of batches.
    pub(super) fn visit_all(&self, visit: &mut impl FnMut(Position, Record)) -> Scanned {
        let first = record::body_at(self.bytes, 0).map_or(0, |first| FRAME + first.len());
        let all = self.bytes.len();
        if self.preamble.mark == 0 {
            let (end, is_damaged) = self.show(first..all, visit);
            let has_rest = !is_zero(self.bytes.get(end..));
            return Scanned {
                end: end as u64,
                is_torn: has_rest && self.may_be_torn,
                is_damaged: is_damaged || has_rest && !self.may_be_torn,
            };
        }
        let mut end = self.show(first..self.preamble.len, visit).0;
        let (mut is_torn, mut is_damaged) = (false, end != self.preamble.len);
        while !is_damaged || end >= self.preamble.len {
            match next_batch(self.bytes, end, self.preamble.mark, self.may_be_torn) {
                Next::Nothing => break,
                Next::Torn => {
                    is_torn = true;
                    break;
                }
                Next::Whole(records) => end = self.show(records, visit).0,
                Next::Damaged { records, next } => {
                    is_damaged = true;
                    let (path, offset) = (self.path.display(), end);
                    tracing::error!(segment = %path, offset, "a batch is damaged; what can be read of it counts");
                    let readable = self.show(records.clone(), visit).0;
                    match next {
                        Some(next) => end = next,
                        None => {
                            end = if readable > records.start {
                                readable
                            } else {
                                end
                            };
                            break;
                        }
                    }
                }
            }
        }
        Scanned {
            end: end as u64,
            is_torn,
            is_damaged,
        }
    }

    /// Shows the records of a range. Returns where the last good one ends, and whether one before it is damaged.
    fn show(&self, range: Range<usize>, visit: &mut impl FnMut(Position, Record)) -> (usize, bool) {
        let (mut end, mut is_damaged) = (range.start, false);
        let mut damaged = None;
        for piece in Pieces::of(self.bytes, range) {
            let Some(body) = piece.body else {
                damaged = damaged.or(Some(piece.begin));
                continue;
            };
            let segment = self.path.display();
            if let Some(offset) = damaged.take() {
                tracing::error!(%segment, offset, "passing over a damaged record");
                is_damaged = true;
            }
            let position = Position {
                segment: self.segment,
                offset: (piece.begin + FRAME) as u64,
                len: u32::try_from(body.len()).unwrap_or(0),
            };
            match record::decode(body) {
                Some(Record::Batch { .. }) => {}
                Some(record) => visit(position, record),
                None => {
                    let offset = piece.begin;
                    tracing::error!(%segment, offset, "passing over a record of an unknown kind");
                }
            }
            end = piece.end;
        }
        (end, is_damaged)
    }
}

/// A record, or what should be one.
struct Piece {
    begin: usize,
    end: usize,
    body: Option<Bytes>,
}

/// The records of a range, one behind the other. A damaged one whose length cannot be right takes all that is left.
struct Pieces<'a> {
    bytes: &'a Bytes,
    begin: usize,
    end: usize,
}

impl<'a> Pieces<'a> {
    fn of(bytes: &'a Bytes, range: Range<usize>) -> Self {
        Pieces {
            bytes,
            begin: range.start,
            end: range.end.min(bytes.len()),
        }
    }

    fn body_at(&self, at: usize) -> Option<Bytes> {
        record::body_at(self.bytes, at).filter(|body| at + FRAME + body.len() <= self.end)
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let begin = self.begin;
        if begin >= self.end {
            return None;
        }
        let body = self.body_at(begin);
        let claimed = self.bytes.get(begin..).and_then(record::frame_len);
        let claimed = claimed.and_then(|len| len.checked_add(begin + FRAME));
        // A whole record right behind a damaged one means that the length is right.
        let is_right = |end: &usize| {
            body.is_some() || *end == self.end || *end < self.end && self.body_at(*end).is_some()
        };
        let end = claimed.filter(is_right).unwrap_or(self.end);
        self.begin = end;
        Some(Piece { begin, end, body })
    }
}

/// What is where a batch should begin.
enum Next {
    /// Room, and no more batches.
    Nothing,
    /// The records of a batch.
    Whole(Range<usize>),
    /// The same, not all of which can be read, and where the next begins if that is known.
    Damaged {
        records: Range<usize>,
        next: Option<usize>,
    },
    Torn,
}

fn next_batch(bytes: &Bytes, begin: usize, mark: u64, may_be_torn: bool) -> Next {
    let first = begin + BATCH_HEAD;
    let head = head_at(bytes, begin, mark);
    let end = head.map(|(len, _)| first.saturating_add(len));
    if let (Some(end), Some((_, checksum))) = (end, head) {
        let records = bytes.get(first..end);
        if records.is_some_and(|records| crc32fast::hash(records) == checksum) {
            return Next::Whole(first..end);
        }
    } else if is_zero(bytes.get(begin..)) {
        return Next::Nothing;
    } else if let Some(body) = record::body_at(bytes, begin) {
        let end = begin + FRAME + body.len();
        // A broker from before there were batches went on with the segment.
        if !matches!(record::decode(body), Some(Record::Batch { .. })) {
            return Next::Whole(begin..end);
        }
    }
    let behind = find_head(bytes, begin + 1, mark);
    if behind.is_none() && may_be_torn {
        // The head is written first, and may be all that was.
        let all = end.map_or(begin..bytes.len(), |end| first..end);
        let is_lost = |bad: Range<usize>| has_lost_sector(bytes, &all, bad);
        let is_torn = if end.is_some() {
            let mut pieces = Pieces::of(bytes, first..all.end);
            pieces.any(|piece| piece.body.is_none() && is_lost(piece.begin..piece.end))
        } else {
            is_lost(begin..first)
        };
        if is_torn || first.max(end.unwrap_or(0)) > bytes.len() {
            return Next::Torn;
        }
    }
    let next = match (end, behind) {
        (Some(end), Some(behind)) => Some(end.min(behind)),
        (Some(end), None) => Some(end.min(bytes.len())),
        (None, behind) => behind,
    };
    let until = next.unwrap_or(bytes.len());
    Next::Damaged {
        records: first.min(until)..until,
        next,
    }
}

/// The length and the checksum of a batch, if its head is here.
fn head_at(bytes: &Bytes, at: usize, mark: u64) -> Option<(usize, u32)> {
    match record::decode(record::body_at(bytes, at)?)? {
        Record::Batch {
            len,
            checksum,
            mark: own,
        } if own == mark => Some((usize::try_from(len).ok()?, checksum)),
        _ => None,
    }
}

/// Where the next batch begins, from here on.
fn find_head(bytes: &Bytes, from: usize, mark: u64) -> Option<usize> {
    let mark_bytes = mark.to_le_bytes();
    // It is the end of a head.
    let skipped = from + BATCH_HEAD - mark_bytes.len();
    let mut marks = bytes.get(skipped..)?.windows(mark_bytes.len()).enumerate();
    marks.find_map(|(place, found)| {
        let at = from + place;
        (found == mark_bytes && head_at(bytes, at, mark).is_some()).then_some(at)
    })
}

/// Whether a sector that has a part of what is bad holds nothing of a batch.
fn has_lost_sector(bytes: &[u8], batch: &Range<usize>, bad: Range<usize>) -> bool {
    let first = bad.start - bad.start % SECTOR;
    (first..bad.end.min(bytes.len())).step_by(SECTOR).any(|at| {
        let end = (at + SECTOR).min(batch.end).min(bytes.len());
        is_zero(bytes.get(at.max(batch.start)..end))
    })
}

fn is_zero(bytes: Option<&[u8]>) -> bool {
    bytes.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
}
