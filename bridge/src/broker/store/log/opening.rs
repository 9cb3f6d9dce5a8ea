//! Opening a log: which of its segments are there, how much of each counts, and what their records say.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::super::record::Record;
use super::super::scan::{Preamble, SegmentKind, preamble, visit_all};
use super::{Log, Position, Replay, Segment, TEMPORARY, segment_numbers, segment_path};

/// A segment that was read.
struct Found {
    number: u64,
    path: PathBuf,
    bytes: Bytes,
    preamble: Preamble,
}

impl Log {
    /// Opens a log and shows its records in order. What a crash left unfinished at its end is cut off; a record that is
    /// damaged in the middle is reported and passed over.
    pub(in crate::broker) fn open(
        dir: PathBuf,
        segment_bytes: u64,
        mut visit: impl FnMut(Position, Record, Replay),
    ) -> io::Result<Self> {
        let mut log = Log::without_segments(dir, segment_bytes);
        remove_temporaries(&log.dir)?;
        let numbers = segment_numbers(&log.dir)?;
        let last_kind = kind_of_last(&log.dir, &numbers)?;
        // The segments of an older broker do not say which messages there were; each of their records is needed.
        let (earlier, last) = match last_kind {
            Some(SegmentKind::Begun) => (Replay::Stored, Replay::Whole),
            Some(SegmentKind::Rewritten) => (Replay::Stored, Replay::Stored),
            Some(SegmentKind::Older) | None => (Replay::Whole, Replay::Whole),
        };
        let mut pending: Option<Found> = None;
        for number in &numbers {
            let path = segment_path(&log.dir, *number);
            let bytes = Bytes::from(fs::read(&path)?);
            let Some(preamble) = preamble(&bytes) else {
                // If its first write never finished, nothing in it was acknowledged; if it rotted, an operator may want it.
                tracing::error!(segment = %path.display(), "setting aside a segment that has no proper beginning");
                fs::rename(&path, path.with_extension("unusable"))?;
                continue;
            };
            let found = Found {
                number: *number,
                path,
                bytes,
                preamble,
            };
            if let Some(before) = pending.replace(found) {
                // Only its direct successor knows how much of a segment counts, unless it was written as a whole.
                let is_known =
                    before.number + 1 == *number && before.preamble.kind != SegmentKind::Rewritten;
                let len = is_known.then_some(preamble.previous_len);
                let whole = before.bytes.len() as u64;
                log.recover(&before, Some(len.unwrap_or(whole)), |position, record| {
                    visit(position, record, earlier);
                })?;
                if let Some(segment) = log.segments.back_mut() {
                    segment.is_whole |= !is_known;
                }
            }
        }
        if let Some(found) = pending {
            log.distrusted = numbers.last() != Some(&found.number);
            let len = log.distrusted.then_some(found.bytes.len() as u64);
            log.recover(&found, len, |position, record| {
                visit(position, record, last);
            })?;
        }
        // What a crash left in the system's memory alone was read, too, and may be confirmed without another write.
        if let Some(last) = log.segments.back() {
            last.file.sync_all()?;
        }
        File::open(&log.dir)?.sync_all()?;
        Ok(log)
    }

    /// Shows the records of a segment. `len` is how much of it counts if another was begun after it: then it was complete,
    /// and must not be cut off where it cannot be read.
    fn recover(
        &mut self,
        found: &Found,
        len: Option<u64>,
        mut visit: impl FnMut(Position, Record),
    ) -> io::Result<()> {
        let Found {
            number,
            path,
            bytes,
            preamble,
        } = found;
        let counted = len.and_then(|len| usize::try_from(len).ok());
        let counted = bytes.slice(..counted.unwrap_or(bytes.len()).min(bytes.len()));
        let end = visit_all(*number, path, &counted, &mut visit);
        let file = File::options().read(true).write(true).open(path)?;
        let beyond = |len: u64| {
            let range = usize::try_from(end).ok()?..usize::try_from(len).ok()?;
            bytes.get(range)
        };
        // Zeros are room for records that were not written any more.
        let is_room = |len| beyond(len).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
        let mut room = bytes.len() as u64;
        let mut is_spared = false;
        match len {
            Some(len) if end < len && !is_room(len) => {
                tracing::error!(segment = %path.display(), end_bytes = end, len_bytes = len, "keeping a copy of a segment that cannot be read beyond a damage");
                is_spared = true;
                // A second name, for the first goes when nothing of what could be read is needed any more.
                if let Err(error) = fs::hard_link(path, path.with_extension("damaged"))
                    && error.kind() != io::ErrorKind::AlreadyExists
                {
                    tracing::error!(segment = %path.display(), %error, "cannot keep a copy of a damaged segment");
                }
            }
            None if !is_room(room) => {
                tracing::warn!(segment = %path.display(), end_bytes = end, "cutting off the unfinished end of a segment");
                file.set_len(end)?;
                file.sync_all()?;
                room = end;
            }
            _ => {}
        }
        self.segments.push_back(Segment {
            number: *number,
            file: Arc::new(file),
            len: end,
            room,
            preamble: preamble.len,
            // What an operator may want of a damaged one is behind what counts, and must not be cut off.
            is_whole: is_spared,
            is_spared,
        });
        Ok(())
    }
}

/// How the last segment with a proper beginning came about.
fn kind_of_last(dir: &Path, numbers: &[u64]) -> io::Result<Option<SegmentKind>> {
    for number in numbers.iter().rev() {
        let bytes = Bytes::from(fs::read(segment_path(dir, *number))?);
        if let Some(preamble) = preamble(&bytes) {
            return Ok(Some(preamble.kind));
        }
    }
    Ok(None)
}

/// Removes what did not become a segment before a crash.
fn remove_temporaries(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        // A stream that is recovered in a running broker may still take back one itself.
        if path.extension().is_some_and(|end| end == TEMPORARY)
            && let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    Ok(())
}
