//! A batch on its way to the disk, at the end of a segment or at the beginning of the next.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::folder::sync_parent;
use super::record::{self, BATCH_HEAD, Record};

/// A segment grows by so much at a time, in zeros that records are then written over: a sync that does not have to put
/// down a new length of the file, too, takes a fraction of the time.
pub(super) const ROOM: u64 = 256 * 1024;

/// One batch on its way to the disk.
#[derive(Debug)]
pub(in crate::broker) struct Write {
    pub(super) target: Target,
    /// The mark of the segment's batches.
    pub(super) mark: u64,
    pub(super) bytes: Bytes,
}

#[derive(Debug)]
pub(super) enum Target {
    Append {
        file: Arc<File>,
        offset: u64,
        segment: u64,
        room: u64,
        most: u64,
    },
    Begin {
        path: PathBuf,
        /// The segment before it, and how much of that counts.
        previous: Option<(Arc<File>, u64)>,
        segment: u64,
        preamble: Bytes,
    },
}

/// A batch that is on disk: where its first record lies.
#[derive(Debug)]
pub(in crate::broker) struct Written {
    pub(in crate::broker) segment: u64,
    pub(in crate::broker) offset: u64,
    /// The file of a segment that it is the first of, and the mark of the batches.
    pub(super) begun: Option<(Arc<File>, u64)>,
    pub(super) end: u64,
    pub(super) room: u64,
}

impl Written {
    /// Whether it is the first of its segment.
    pub(in crate::broker) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// A batch that stays in memory.
    pub(super) fn in_memory(offset: u64) -> Self {
        Written {
            segment: 1,
            offset,
            begun: None,
            end: offset,
            room: offset,
        }
    }
}

impl Write {
    /// Writes and syncs.
    pub(in crate::broker) fn run(self) -> io::Result<Written> {
        let Write {
            target,
            mark,
            bytes,
        } = self;
        match target {
            Target::Append {
                offset: end,
                segment,
                room,
                ..
            } if bytes.is_empty() => Ok(Written {
                segment,
                offset: end,
                begun: None,
                end,
                room,
            }),
            Target::Append {
                file,
                offset: begin,
                segment,
                mut room,
                most,
            } => {
                let offset = begin + BATCH_HEAD as u64;
                let end = offset + bytes.len() as u64;
                let write = |room: &mut u64| {
                    put(&file, begin, mark, &bytes)?;
                    if end > *room {
                        *room = make_room(&file, end, most)?;
                    }
                    file.sync_data()
                };
                if let Err(error) = write(&mut room) {
                    let _ = file.set_len(begin);
                    return Err(error);
                }
                Ok(Written {
                    segment,
                    offset,
                    begun: None,
                    end,
                    room,
                })
            }
            Target::Begin {
                path,
                previous,
                segment,
                preamble,
            } => {
                let begin = || {
                    let file = File::options()
                        .read(true)
                        .write(true)
                        .create(true)
                        .truncate(true)
                        .open(&path)?;
                    // The beginning may know already what the records behind it bring about, and counts only with them.
                    file.write_all_at(&preamble, 0)?;
                    put(&file, preamble.len() as u64, mark, &bytes)?;
                    file.sync_all()?;
                    sync_parent(&path)?;
                    Ok(file)
                };
                let file = begin().inspect_err(|_: &io::Error| {
                    let _ = fs::remove_file(&path);
                })?;
                if let Some((previous, len)) = previous {
                    // Its zeros do no harm; they only take room.
                    let _ = previous.set_len(len);
                }
                let offset = (preamble.len() + BATCH_HEAD) as u64;
                let end = offset + bytes.len() as u64;
                Ok(Written {
                    segment,
                    offset,
                    begun: Some((Arc::new(file), mark)),
                    end,
                    room: end,
                })
            }
        }
    }
}

/// Writes a batch with its head. Whatever part of it a crash leaves out, the checksum tells.
fn put(file: &File, at: u64, mark: u64, bytes: &[u8]) -> io::Result<()> {
    let mut head = BytesMut::with_capacity(BATCH_HEAD);
    let batch = Record::Batch {
        len: bytes.len() as u64,
        checksum: crc32fast::hash(bytes),
        mark,
    };
    record::encode(&mut head, &batch);
    file.write_all_at(&head, at)?;
    file.write_all_at(bytes, at + BATCH_HEAD as u64)
}

/// Lengthens a file that ends at `end` by zeros, to `most` bytes at most and if the disk has room for them; returns how
/// long it is then.
fn make_room(file: &File, end: u64, most: u64) -> io::Result<u64> {
    static ZEROS: [u8; ROOM as usize] = [0; ROOM as usize];
    let room = end.next_multiple_of(ROOM).min(most.max(end));
    let zeros = usize::try_from(room - end).ok();
    let zeros = zeros.and_then(|count| ZEROS.get(..count)).unwrap_or(&[]);
    match file.write_all_at(zeros, end) {
        Ok(()) => Ok(room),
        Err(_) => file.set_len(end).map(|()| end),
    }
}
