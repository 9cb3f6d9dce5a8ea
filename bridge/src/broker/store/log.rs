//! A stream's log: numbered segment files of records, appended to in batches, dropped from the front.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::folder::{being_made, sync_parent};
use super::record::{self, Record};
use super::scan::{Preamble, preamble, visit_all};
use super::write::{Target, Write, Written};

/// Where a record's body lies.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::broker) struct Position {
    pub(in crate::broker) segment: u64,
    pub(in crate::broker) offset: u64,
    pub(in crate::broker) len: u32,
}

#[derive(Clone, Debug)]
struct Segment {
    number: u64,
    file: Arc<File>,
    len: u64,
    /// How long the file is: there are zeros behind `len`.
    room: u64,
}

/// The segments of one stream. The last is written to.
#[derive(Debug)]
pub(in crate::broker) struct Log {
    dir: PathBuf,
    segments: VecDeque<Segment>,
    segment_bytes: u64,
    /// After a failed write nothing is known of the file's end, so that the next batch starts a new file.
    distrusted: bool,
    /// The next batch starts a new file although there is room in the last.
    ended: bool,
    /// Of a stream that is in memory alone: how many bytes were given to it. There are no files.
    in_memory: Option<u64>,
}

impl Log {
    /// The log of a stream that is in memory alone: it has positions, and no files.
    pub(in crate::broker) fn in_memory() -> Self {
        Log {
            dir: PathBuf::new(),
            segments: VecDeque::new(),
            segment_bytes: 0,
            distrusted: false,
            ended: false,
            in_memory: Some(0),
        }
    }

    pub(in crate::broker) fn is_in_memory(&self) -> bool {
        self.in_memory.is_some()
    }

    /// Where a batch is that is written to no file; `None` if it has to be.
    pub(in crate::broker) fn keep_in_memory(&mut self, bytes: &Bytes) -> Option<Written> {
        let offset = self.in_memory?;
        self.in_memory = Some(offset + bytes.len() as u64);
        Some(Written::in_memory(offset))
    }

    /// Makes the folder and the first segment of a new stream, durably. Whatever happens meanwhile, the folder is there
    /// with all that belongs in it, or not at all.
    pub(in crate::broker) fn create(
        dir: PathBuf,
        segment_bytes: u64,
        snapshot: Bytes,
    ) -> io::Result<Self> {
        let unfinished = being_made(&dir);
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir(&unfinished)?,
        }
        let mut log = Log {
            dir: unfinished.clone(),
            segments: VecDeque::new(),
            segment_bytes,
            distrusted: false,
            ended: false,
            in_memory: None,
        };
        let begun = log.write(Bytes::new(), |_| snapshot).run();
        let renamed = begun.and_then(|written| {
            log.finish(written);
            fs::rename(&unfinished, &dir)
        });
        if let Err(error) = renamed {
            let _ = fs::remove_dir_all(&unfinished);
            return Err(error);
        }
        log.dir = dir;
        if let Err(error) = sync_parent(&log.dir) {
            let _ = fs::remove_dir_all(&log.dir);
            return Err(error);
        }
        Ok(log)
    }

    /// Opens a log and shows its records in order. What a crash left unfinished at its end is cut off; a record that is
    /// damaged in the middle is reported and passed over.
    pub(in crate::broker) fn open(
        dir: PathBuf,
        segment_bytes: u64,
        mut visit: impl FnMut(Position, Record),
    ) -> io::Result<Self> {
        let mut log = Log {
            dir,
            segments: VecDeque::new(),
            segment_bytes,
            distrusted: false,
            ended: false,
            in_memory: None,
        };
        let numbers = segment_numbers(&log.dir)?;
        let mut pending: Option<(u64, PathBuf, Bytes)> = None;
        for number in &numbers {
            let path = segment_path(&log.dir, *number);
            let bytes = Bytes::from(fs::read(&path)?);
            let Some(Preamble { previous_len }) = preamble(&bytes) else {
                // If its first write never finished, nothing in it was acknowledged; if it rotted, an operator may want it.
                tracing::error!(segment = %path.display(), "setting aside a segment that has no proper beginning");
                fs::rename(&path, path.with_extension("unusable"))?;
                continue;
            };
            let earlier = pending.replace((*number, path, bytes));
            if let Some((earlier, path, bytes)) = earlier {
                // Only its direct successor knows how much of a segment counts.
                let known = (earlier + 1 == *number).then_some(previous_len);
                let len = known.unwrap_or(bytes.len() as u64);
                log.recover(earlier, &path, &bytes, Some(len), &mut visit)?;
            }
        }
        if let Some((number, path, bytes)) = pending {
            log.distrusted = numbers.last() != Some(&number);
            let len = log.distrusted.then_some(bytes.len() as u64);
            log.recover(number, &path, &bytes, len, &mut visit)?;
        }
        Ok(log)
    }

    /// Shows the records of a segment. `len` is how much of it counts if another was begun after it: then it was complete,
    /// and must not be cut off where it cannot be read.
    fn recover(
        &mut self,
        number: u64,
        path: &Path,
        bytes: &Bytes,
        len: Option<u64>,
        visit: &mut impl FnMut(Position, Record),
    ) -> io::Result<()> {
        let counted = len.and_then(|len| usize::try_from(len).ok());
        let counted = bytes.slice(..counted.unwrap_or(bytes.len()).min(bytes.len()));
        let end = visit_all(number, path, &counted, visit);
        let file = File::options().read(true).write(true).open(path)?;
        let beyond = |len: u64| {
            let range = usize::try_from(end).ok()?..usize::try_from(len).ok()?;
            bytes.get(range)
        };
        // Zeros are room for records that were not written any more.
        let is_room = |len| beyond(len).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
        let mut room = bytes.len() as u64;
        match len {
            Some(len) if end < len && !is_room(len) => {
                tracing::error!(segment = %path.display(), end_bytes = end, len_bytes = len, "keeping a copy of a segment that cannot be read beyond a damage");
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
            number,
            file: Arc::new(file),
            len: end,
            room,
        });
        Ok(())
    }

    /// The folder of the log.
    pub(in crate::broker) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Prepares the next batch. When it starts a new segment, `snapshot` gives the state as JSON.
    pub(in crate::broker) fn write(
        &self,
        bytes: Bytes,
        snapshot: impl FnOnce(u64) -> Bytes,
    ) -> Write {
        match self.segments.back() {
            Some(last)
                if !self.distrusted
                    && !self.ended
                    && (last.len + bytes.len() as u64 <= self.segment_bytes || last.len == 0) =>
            {
                Write {
                    target: Target::Append {
                        file: Arc::clone(&last.file),
                        offset: last.len,
                        segment: last.number,
                        room: last.room,
                        most: self.segment_bytes,
                    },
                    bytes,
                }
            }
            last => {
                let segment = last.map_or(1, |last| last.number + 1);
                let previous_len = last.map_or(0, |last| last.len);
                let mut preamble = BytesMut::new();
                record::encode(&mut preamble, &Record::PurgedBelow { seq: previous_len });
                record::encode(&mut preamble, &Record::Snapshot(snapshot(segment)));
                let path = segment_path(&self.dir, segment);
                let previous = last.map(|last| (Arc::clone(&last.file), last.len));
                Write {
                    target: Target::Begin {
                        path,
                        previous: previous.filter(|_| !self.distrusted),
                        segment,
                        preamble: preamble.freeze(),
                    },
                    bytes,
                }
            }
        }
    }

    /// Takes note of a batch that is on disk.
    pub(in crate::broker) fn finish(&mut self, written: Written) {
        match (written.begun, self.segments.back_mut()) {
            (Some(file), _) => {
                self.segments.push_back(Segment {
                    number: written.segment,
                    file,
                    len: written.end,
                    room: written.room,
                });
                self.distrusted = false;
                self.ended = false;
            }
            (None, Some(last)) => (last.len, last.room) = (written.end, written.room),
            (None, None) => {}
        }
    }

    /// The bytes of the segment that is written to.
    pub(in crate::broker) fn last_len(&self) -> u64 {
        self.segments.back().map_or(0, |last| last.len)
    }

    /// Has the next batch start a new segment, so that the last can be deleted.
    pub(in crate::broker) fn end_segment(&mut self) {
        self.ended = true;
    }

    /// Takes note of a batch that could not be written.
    pub(in crate::broker) fn failed(&mut self) {
        self.distrusted = true;
    }

    /// Deletes the segments at the front in which nothing lives. The last always stays.
    pub(in crate::broker) fn drop_front(&mut self, is_live: impl Fn(u64) -> bool) {
        while self.segments.len() > 1
            && self
                .segments
                .front()
                .is_some_and(|first| !is_live(first.number))
        {
            if let Some(first) = self.segments.pop_front() {
                let path = segment_path(&self.dir, first.number);
                if let Err(error) = fs::remove_file(&path) {
                    tracing::warn!(segment = %path.display(), %error, "cannot delete a segment that is no longer needed");
                }
            }
        }
    }

    /// What is needed to read records elsewhere than where the log lives.
    pub(in crate::broker) fn reader(&self, positions: Vec<Position>) -> Reader {
        let find = |number| {
            self.segments
                .iter()
                .find(|segment| segment.number == number)
                .map(|segment| Arc::clone(&segment.file))
        };
        Reader(
            positions
                .into_iter()
                .map(|position| (find(position.segment), position))
                .collect(),
        )
    }
}

/// Records to be read, on a thread that may block.
#[derive(Debug)]
pub(in crate::broker) struct Reader(Vec<(Option<Arc<File>>, Position)>);

impl Reader {
    pub(in crate::broker) fn read(self) -> io::Result<Vec<Bytes>> {
        let read_one = |(file, position): (Option<Arc<File>>, Position)| {
            let mut body = vec![0; position.len as usize];
            file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?
                .read_exact_at(&mut body, position.offset)?;
            Ok(Bytes::from(body))
        };
        self.0.into_iter().map(read_one).collect()
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016}.log"))
}

fn segment_numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        numbers.extend(
            name.to_str()
                .and_then(|name| name.strip_suffix(".log")?.parse::<u64>().ok()),
        );
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests;
