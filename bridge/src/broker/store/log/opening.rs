//! Opening a log: which of its segments are there, how much of each counts, and what their records say.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::super::record::{BATCH_HEAD, Record};
use super::super::scan::{self, Preamble, Scan, SegmentKind};
use super::{Log, Position, Replay, Segment, TEMPORARY, keep_copy, segment_numbers, segment_path};

/// A segment that was read.
struct Found {
    number: u64,
    path: PathBuf,
    bytes: Bytes,
    preamble: Preamble,
}

impl Log {
    /// Opens a log and shows its records in order. A batch that a crash left unfinished at its end is cut off; what is
    /// damaged is reported and passed over.
    pub(in crate::broker) fn open(
        dir: PathBuf,
        segment_bytes: u64,
        mut visit: impl FnMut(Position, Record, Replay),
    ) -> io::Result<Self> {
        let mut log = Log::without_segments(dir, segment_bytes);
        remove_temporaries(&log.dir)?;
        let mut numbers = segment_numbers(&log.dir)?;
        let mut last = None;
        while last.is_none()
            && let Some(number) = numbers.pop()
        {
            last = Found::read(&log.dir, number, scan::is_begun)?;
            log.distrusted |= last.is_none();
        }
        // The segments of an older broker do not say which messages there were; each of their records is needed.
        let (replay_earlier, replay_last) = match last.as_ref().map(|last| last.preamble.kind) {
            Some(SegmentKind::Begun) => (Replay::Stored, Replay::Whole),
            Some(SegmentKind::Rewritten) => (Replay::Stored, Replay::Stored),
            Some(SegmentKind::Older) | None => (Replay::Whole, Replay::Whole),
        };
        let mut before: Option<Found> = None;
        for number in numbers {
            let Some(found) = Found::read(&log.dir, number, |_, _| true)? else {
                continue;
            };
            if let Some(before) = &before {
                log.recover(before, Some(&found), replay_earlier, &mut visit)?;
            }
            before = Some(found);
        }
        if let Some(last) = &last {
            if let Some(before) = before.take() {
                log.recover(&before, Some(last), replay_earlier, &mut visit)?;
            }
            log.recover(last, None, replay_last, &mut visit)?;
        }
        if let Some(last) = log.segments.back() {
            // Only what has a mark takes batches, and what is behind a damage is not to be written over.
            log.ended = last.mark == 0;
            log.distrusted |= last.is_spared;
            // What a crash left in the system's memory alone was read, too, and may be confirmed without another write.
            last.file.sync_all()?;
        }
        File::open(&log.dir)?.sync_all()?;
        Ok(log)
    }

    /// Shows the records of a segment. The one after it says how much of it counts; then it was complete, and must not be
    /// cut off where it cannot be read.
    fn recover(
        &mut self,
        found: &Found,
        after: Option<&Found>,
        replay: Replay,
        visit: &mut impl FnMut(Position, Record, Replay),
    ) -> io::Result<()> {
        let Found {
            number,
            path,
            bytes,
            preamble,
        } = found;
        let is_rewritten = preamble.kind == SegmentKind::Rewritten;
        // Only its direct successor knows how much of a segment counts, unless it was written as a whole.
        let successor = after.filter(|after| after.number == number + 1 && !is_rewritten);
        let known = successor.map(|after| after.preamble.previous_len);
        let counted = known.and_then(|len| usize::try_from(len).ok());
        let scan = Scan {
            segment: *number,
            path,
            bytes: &bytes.slice(..counted.unwrap_or(bytes.len()).min(bytes.len())),
            preamble,
            may_be_torn: after.is_none() && !is_rewritten,
        };
        let scanned = scan.visit_all(&mut |position, record| visit(position, record, replay));
        let end = scanned.end;
        let file = File::options().read(true).write(true).open(path)?;
        let copy = path.with_extension("damaged");
        // Where another was begun behind it, the last batch was finished.
        let is_damaged = scanned.is_damaged
            || known.is_some_and(|len| end < len)
            || scanned.is_torn && self.distrusted;
        let is_spared = is_damaged || copy.try_exists()?;
        let mut room = bytes.len() as u64;
        if is_damaged {
            keep_copy(path);
        } else if scanned.is_torn && !is_spared {
            tracing::warn!(segment = %path.display(), end_bytes = end, "cutting off the unfinished end of a segment");
            file.set_len(end)?;
            file.sync_all()?;
            room = end;
        }
        let head = if preamble.mark == 0 { 0 } else { BATCH_HEAD };
        self.segments.push_back(Segment {
            number: *number,
            file: Arc::new(file),
            len: end,
            room,
            preamble: (preamble.len + head) as u64,
            mark: preamble.mark,
            // What an operator may want of a damaged one is behind what counts, and must not be cut off.
            is_whole: is_spared || after.is_some() && known.is_none(),
            is_spared,
        });
        Ok(())
    }
}

impl Found {
    /// Reads a segment. One without a proper beginning is set aside: if its first write never finished, nothing in it was
    /// acknowledged; if it rotted, an operator may want it.
    fn read(
        dir: &Path,
        number: u64,
        is_begun: impl Fn(&Bytes, &Preamble) -> bool,
    ) -> io::Result<Option<Self>> {
        let path = segment_path(dir, number);
        let bytes = Bytes::from(fs::read(&path)?);
        let Some(preamble) = scan::preamble(&bytes).filter(|found| is_begun(&bytes, found)) else {
            tracing::error!(segment = %path.display(), "setting aside a segment that has no proper beginning");
            fs::rename(&path, path.with_extension("unusable"))?;
            return Ok(None);
        };
        Ok(Some(Found {
            number,
            path,
            bytes,
            preamble,
        }))
    }
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
