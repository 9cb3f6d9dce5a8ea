//! Going through the bytes of a segment: where its records are, and where they end.

use std::path::Path;

use bytes::Bytes;

use super::log::Position;
use super::record::{self, FRAME, Record};

/// The start of each segment: how much of the segment before it counts, then the state, then which messages there were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Preamble {
    pub(super) previous_len: u64,
    pub(super) kind: SegmentKind,
    /// How many bytes it has.
    pub(super) len: u64,
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
    let (previous_len, kind) = match next()? {
        Record::PurgedBelow { seq } => (seq, SegmentKind::Older),
        Record::Start {
            previous_len,
            is_rewritten: false,
        } => (previous_len, SegmentKind::Begun),
        Record::Start { previous_len, .. } => (previous_len, SegmentKind::Rewritten),
        _ => return None,
    };
    let is_complete = matches!(next()?, Record::Snapshot(_))
        && (kind != SegmentKind::Begun || matches!(next()?, Record::Live(_)));
    is_complete.then_some(Preamble {
        previous_len,
        kind,
        len: len as u64,
    })
}

/// Shows all records after the first and returns where the last good one ends.
pub(super) fn visit_all(
    segment: u64,
    path: &Path,
    bytes: &Bytes,
    visit: &mut impl FnMut(Position, Record),
) -> u64 {
    let mut offset = record::body_at(bytes, 0).map_or(0, |first| FRAME + first.len());
    loop {
        if let Some(body) = record::body_at(bytes, offset) {
            let position = Position {
                segment,
                offset: (offset + FRAME) as u64,
                len: u32::try_from(body.len()).unwrap_or(0),
            };
            offset += FRAME + body.len();
            match record::decode(body) {
                Some(record) => visit(position, record),
                None => {
                    tracing::error!(segment = %path.display(), offset, "passing over a record of an unknown kind")
                }
            }
            continue;
        }
        // A whole record right behind a damaged one means rot, not an unfinished write.
        let claimed = bytes
            .get(offset..)
            .and_then(record::frame_len)
            .and_then(|len| len.checked_add(offset + FRAME));
        match claimed.filter(|next| record::body_at(bytes, *next).is_some()) {
            Some(next) => {
                tracing::error!(segment = %path.display(), offset, "passing over a damaged record");
                offset = next;
            }
            None => return offset as u64,
        }
    }
}
