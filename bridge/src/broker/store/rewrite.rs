//! Rewriting segments without what is gone: the part that is done on a thread of its own.
//!
//! A rewritten segment is complete before it gets its name, and holds only messages that there were when the last
//! segment was begun, so that what was there before it and what takes its place add up to the same stream.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};

use super::live::Runs;
use super::log::TEMPORARY;
use super::record::{self, FRAME, ID_OVERHEAD, Record, StoredMessage};
use super::scan;

/// Names no two files alike, also those of streams that have the same name one after the other.
static NEXT_FILE: AtomicU64 = AtomicU64::new(0);

/// One step of a compaction.
#[derive(Debug)]
pub(in crate::broker) enum Job {
    Rewrite(Rewriting),
    Settle(Settling),
}

/// What came of a step.
#[derive(Debug)]
pub(in crate::broker) enum Done {
    Rewritten(Rewritten),
    Settled,
}

/// Segments of which one is to be made.
#[derive(Debug)]
pub(in crate::broker) struct Rewriting {
    pub(super) dir: PathBuf,
    /// In the order of their numbers.
    pub(super) sources: Vec<Source>,
    pub(in crate::broker) kept: Kept,
    /// How many messages are to be kept.
    pub(super) messages: u64,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) number: u64,
    pub(super) file: Arc<File>,
    pub(super) len: u64,
}

/// What is kept of segments that are rewritten.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Kept {
    /// A state to start from, as JSON.
    pub(in crate::broker) snapshot: Bytes,
    /// The messages that there were when the last segment was begun.
    pub(in crate::broker) live: Runs,
    /// From when on ids are known of messages that are gone, and which id a message has.
    pub(in crate::broker) ids_since: i64,
    pub(in crate::broker) id_of: fn(&StoredMessage) -> Option<&str>,
}

/// What was made of some segments, not yet in their place.
#[derive(Debug)]
pub(in crate::broker) struct Rewritten {
    /// The segments; the first has its place taken, the others are no longer needed then.
    pub(in crate::broker) numbers: Vec<u64>,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) len: u64,
    pub(super) preamble: u64,
    /// The messages with the places of their bodies.
    pub(in crate::broker) moved: Vec<(u64, u64)>,
    /// How many bytes the ids of messages that are gone take, and when the last of these messages was stored.
    pub(in crate::broker) id_bytes: u64,
    pub(in crate::broker) last_id: i64,
}

/// What has to be on disk before segments are deleted.
#[derive(Debug)]
pub(in crate::broker) struct Settling {
    /// Files that are to end where what counts of them ends.
    pub(super) seals: Vec<(Arc<File>, u64)>,
    pub(super) dir: PathBuf,
}

impl Job {
    pub(super) fn run(self) -> io::Result<Done> {
        match self {
            Job::Rewrite(rewriting) => rewriting.run().map(Done::Rewritten),
            Job::Settle(settling) => settling.run().map(|()| Done::Settled),
        }
    }
}

impl Done {
    /// Takes back a step that has come too late.
    pub(super) fn discard(self) {
        if let Done::Rewritten(rewritten) = self {
            rewritten.discard();
        }
    }
}

impl Rewritten {
    pub(super) fn discard(self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Settling {
    /// Whether there is more to it than names, which do no harm when they come back.
    pub(in crate::broker) fn is_needed(&self) -> bool {
        !self.seals.is_empty()
    }

    fn run(self) -> io::Result<()> {
        for (file, len) in self.seals {
            file.set_len(len)?;
            file.sync_all()?;
        }
        File::open(&self.dir)?.sync_all()
    }
}

impl Rewriting {
    /// Writes what is to be kept to a file that has no segment's name.
    ///
    /// # Errors
    /// `InvalidData` if not everything in the segments can be read, or a message is missing: they are better left alone.
    pub(super) fn run(mut self) -> io::Result<Rewritten> {
        let numbers: Vec<u64> = self.sources.iter().map(|source| source.number).collect();
        let first = numbers.first().copied().unwrap_or_default();
        let unique = NEXT_FILE.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{first:016}.{unique}.{TEMPORARY}"));
        let mut copy = Copy::default();
        for source in std::mem::take(&mut self.sources) {
            copy.take(&source.read()?, &mut self.kept)?;
        }
        if copy.moved.len() as u64 != self.messages {
            return Err(damage("messages are missing"));
        }
        let file = write(&path, &copy.out).inspect_err(|_| {
            let _ = fs::remove_file(&path);
        })?;
        Ok(Rewritten {
            numbers,
            path,
            file,
            len: copy.out.len() as u64,
            preamble: copy.preamble,
            moved: copy.moved,
            id_bytes: copy.id_bytes,
            last_id: copy.last_id,
        })
    }
}

impl Source {
    fn read(&self) -> io::Result<Bytes> {
        let len = usize::try_from(self.len).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        let read = self.file.read_exact_at(&mut bytes, 0);
        read.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(bytes.into())
    }
}

fn write(path: &PathBuf, bytes: &[u8]) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    Ok(file)
}

fn damage(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A segment in the making.
#[derive(Default)]
struct Copy {
    out: BytesMut,
    preamble: u64,
    moved: Vec<(u64, u64)>,
    last_seq: u64,
    id_bytes: u64,
    last_id: i64,
}

impl Copy {
    /// Takes over what is to be kept of a segment.
    fn take(&mut self, bytes: &Bytes, kept: &mut Kept) -> io::Result<()> {
        let preamble = scan::preamble(bytes).ok_or_else(|| damage("it has no proper beginning"))?;
        if self.out.is_empty() {
            let start = Record::Start {
                previous_len: preamble.previous_len,
                is_rewritten: true,
                mark: 0,
            };
            record::encode(&mut self.out, &start);
            record::encode(&mut self.out, &Record::Snapshot(kept.snapshot.clone()));
            self.preamble = self.out.len() as u64;
        }
        let mut offset = 0;
        while offset < bytes.len() {
            let body =
                record::body_at(bytes, offset).ok_or_else(|| damage("a record is damaged"))?;
            let end = offset + FRAME + body.len();
            match record::decode(body).ok_or_else(|| damage("a record is of an unknown kind"))? {
                Record::Message(message) if message.seq > self.last_seq => {
                    self.last_seq = message.seq;
                    if kept.live.contains(message.seq) {
                        let place = (self.out.len() + FRAME) as u64;
                        self.moved.push((message.seq, place));
                        self.out
                            .extend_from_slice(bytes.get(offset..end).unwrap_or_default());
                        if let Some(id) = (kept.id_of)(&message)
                            && message.time >= kept.ids_since
                        {
                            self.id_bytes += ID_OVERHEAD + id.len() as u64;
                            self.last_id = self.last_id.max(message.time);
                        }
                    } else if let Some(id) = (kept.id_of)(&message) {
                        self.keep_id(message.seq, message.time, id.into(), kept);
                    }
                }
                Record::Skipped { seq, time, id } if seq > self.last_seq && !id.is_empty() => {
                    self.last_seq = seq;
                    self.keep_id(seq, time, id, kept);
                }
                _ => {}
            }
            offset = end;
        }
        Ok(())
    }

    fn keep_id(&mut self, seq: u64, time: i64, id: Box<str>, kept: &Kept) {
        if time >= kept.ids_since {
            let before = self.out.len();
            record::encode(&mut self.out, &Record::Skipped { seq, time, id });
            self.id_bytes += (self.out.len() - before) as u64;
            self.last_id = self.last_id.max(time);
        }
    }
}
