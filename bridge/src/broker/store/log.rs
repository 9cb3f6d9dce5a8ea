//! A stream's log: numbered segment files of records, appended to in batches.
//!
//! Each segment starts with the whole state of the stream and with which messages there are, so that of all segments but
//! the last only messages and ids count. They may therefore be rewritten without the rest ([`rewriting`]).
//!
//! A batch has a head with its length and checksum. The next is begun when it is on disk, so that a crash can only tear the
//! last, which then does not count at all; anything else that cannot be read is damage ([`super::scan`]).

mod opening;
mod rewriting;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

pub(in crate::broker) use self::rewriting::{Group, Need, Plan};
use super::folder::{being_made, sync_parent};
use super::record::{self, BATCH_HEAD, FRAME, Record};
use super::write::{Target, Write, Written};

/// Ends the name of a file that is to become a segment.
pub(super) const TEMPORARY: &str = "rewriting";
/// A segment holds at least so many times what its beginning takes, or the beginnings would take more than the records.
const MIN_SHARE: u64 = 4;

/// Where a record's body lies.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::broker) struct Position {
    pub(in crate::broker) segment: u64,
    pub(in crate::broker) offset: u64,
    pub(in crate::broker) len: u32,
}

/// How a record that is shown counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::broker) enum Replay {
    /// Only if it says that a message or an id was there; what became of it, and all else, is said further on.
    Stored,
    /// As it stands.
    Whole,
}

/// What a segment starts with.
#[derive(Clone, Debug, Default)]
pub(in crate::broker) struct Opening {
    /// The state as JSON.
    pub(in crate::broker) snapshot: Bytes,
    /// Which messages there are, as [`super::live`] writes it.
    pub(in crate::broker) live: Bytes,
}

#[derive(Clone, Debug)]
struct Segment {
    number: u64,
    file: Arc<File>,
    len: u64,
    /// How long the file is: there are zeros behind `len`.
    room: u64,
    /// How many bytes of `len` its beginning takes.
    preamble: u64,
    /// The mark of its batches.
    mark: u64,
    /// What counts of it need not be said by the segment after it.
    is_whole: bool,
    /// It has a damage, and is not rewritten.
    is_spared: bool,
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
            in_memory: Some(0),
            ..Log::without_segments(PathBuf::new(), 0)
        }
    }

    fn without_segments(dir: PathBuf, segment_bytes: u64) -> Self {
        Log {
            dir,
            segments: VecDeque::new(),
            segment_bytes,
            distrusted: false,
            ended: false,
            in_memory: None,
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
        opening: Opening,
    ) -> io::Result<Self> {
        let unfinished = being_made(&dir);
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir(&unfinished)?,
        }
        let mut log = Log::without_segments(unfinished.clone(), segment_bytes);
        let begun = log.write(Bytes::new(), || opening).run();
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

    /// The folder of the log.
    pub(in crate::broker) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The size at which the next segment is begun.
    pub(in crate::broker) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Prepares the next batch. When it starts a new segment, `opening` gives what that starts with.
    pub(in crate::broker) fn write(
        &self,
        bytes: Bytes,
        opening: impl FnOnce() -> Opening,
    ) -> Write {
        let last = self.segments.back();
        let more = (BATCH_HEAD + bytes.len()) as u64;
        let (target, mark) = match last.filter(|last| self.has_room(last, more)) {
            Some(last) => {
                let target = Target::Append {
                    file: Arc::clone(&last.file),
                    offset: last.len,
                    segment: last.number,
                    room: last.room,
                    most: last.preamble + self.capacity(last),
                };
                (target, last.mark)
            }
            None => {
                let segment = last.map_or(1, |last| last.number + 1);
                let Opening { snapshot, live } = opening();
                let mut preamble = BytesMut::new();
                let mark = RandomState::new().hash_one(segment) | 1;
                let start = Record::Start {
                    previous_len: last.map_or(0, |last| last.len),
                    is_rewritten: false,
                    mark,
                };
                for record in [start, Record::Snapshot(snapshot), Record::Live(live)] {
                    record::encode(&mut preamble, &record);
                }
                let previous = last.map(|last| (Arc::clone(&last.file), last.len));
                let target = Target::Begin {
                    path: segment_path(&self.dir, segment),
                    previous: previous.filter(|_| !self.distrusted),
                    segment,
                    preamble: preamble.freeze(),
                };
                (target, mark)
            }
        };
        Write {
            target,
            mark,
            bytes,
        }
    }

    /// Whether the last segment takes so many bytes more. It takes one batch whatever its size.
    fn has_room(&self, last: &Segment, more: u64) -> bool {
        let records = last.len.saturating_sub(last.preamble);
        let fits = records == 0 || records + more <= self.capacity(last);
        fits && !self.distrusted && !self.ended
    }

    fn capacity(&self, segment: &Segment) -> u64 {
        self.segment_bytes.max(MIN_SHARE * segment.preamble)
    }

    /// Takes note of a batch that is on disk.
    pub(in crate::broker) fn finish(&mut self, written: Written) {
        match (written.begun, self.segments.back_mut()) {
            (Some((file, mark)), _) => {
                self.segments.push_back(Segment {
                    number: written.segment,
                    file,
                    len: written.end,
                    room: written.room,
                    preamble: written.offset,
                    mark,
                    is_whole: false,
                    is_spared: false,
                });
                self.distrusted = false;
                self.ended = false;
            }
            (None, Some(last)) => (last.len, last.room) = (written.end, written.room),
            (None, None) => {}
        }
    }

    /// Has the next batch start a new segment, so that the last can be deleted.
    pub(in crate::broker) fn end_segment(&mut self) {
        self.ended = true;
    }

    /// Takes note of a batch that could not be written.
    pub(in crate::broker) fn failed(&mut self) {
        self.distrusted = true;
    }

    /// Takes note that a record of a segment is damaged: the segment is not rewritten, and a copy of it stays.
    pub(in crate::broker) fn note_damage(&mut self, number: u64) {
        let place = self.place_of(number);
        if let Some(segment) = place.and_then(|place| self.segments.get_mut(place))
            && !segment.is_spared
        {
            segment.is_spared = true;
            keep_copy(&segment_path(&self.dir, number));
        }
    }

    fn place_of(&self, number: u64) -> Option<usize> {
        let place = self
            .segments
            .partition_point(|segment| segment.number < number);
        let segment = self.segments.get(place)?;
        (segment.number == number).then_some(place)
    }

    /// What is needed to read records elsewhere than where the log lives.
    pub(in crate::broker) fn reader(&self, positions: Vec<Position>) -> Reader {
        let find = |number| {
            let segment = self.segments.get(self.place_of(number)?)?;
            Some(Arc::clone(&segment.file))
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
    /// The bodies of the records up to the first that cannot be read.
    ///
    /// # Errors
    /// Why the very first cannot be read; `InvalidData` if it is not as it was written.
    pub(in crate::broker) fn read(self) -> io::Result<Vec<Bytes>> {
        let mut bodies = Vec::with_capacity(self.0.len());
        for (file, position) in self.0 {
            match read_one(file, position) {
                Ok(body) => bodies.push(body),
                Err(error) if bodies.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(bodies)
    }
}

fn read_one(file: Option<Arc<File>>, position: Position) -> io::Result<Bytes> {
    let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let len = position.len as usize;
    let mut record = vec![0; FRAME + len];
    file.read_exact_at(&mut record, position.offset.saturating_sub(FRAME as u64))?;
    let body = record::body_at(&record.into(), 0).filter(|body| body.len() == len);
    body.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Gives a damaged segment a second name, for the first goes when nothing of what can be read is needed any more.
fn keep_copy(path: &Path) {
    tracing::error!(segment = %path.display(), "keeping a copy of a segment that is damaged");
    if let Err(error) = fs::hard_link(path, path.with_extension("damaged"))
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        tracing::error!(segment = %path.display(), %error, "cannot keep a copy of a damaged segment");
    }
}

pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016}.log"))
}

pub(super) fn segment_numbers(dir: &Path) -> io::Result<Vec<u64>> {
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
