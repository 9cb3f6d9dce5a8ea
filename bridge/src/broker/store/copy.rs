//! Copies of the logs of all streams, made by another process while the broker writes to them.
//!
//! Segments before the last do not change any more; one that is rewritten becomes another file under its name. Of the last segment
//! the copy has what was complete when it was read, and so all that was acknowledged before the copy was begun.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::folder::STREAMS;
use super::log::{segment_numbers, segment_path};
use super::scan::{self, Scan};

/// How often a stream or a segment that changes is looked at again, and after what time.
const LOOKS: u32 = 500;
const PAUSE: Duration = Duration::from_millis(4);

/// Copies the streams in the broker's folder `from` into the folder `to`, which is made, and returns how many there are. What the
/// broker has set aside is left out. All is on disk when this returns.
///
/// # Errors
///
/// If something cannot be read or written.
pub fn copy_streams(from: &Path, to: &Path) -> io::Result<usize> {
    let (from, to) = (from.join(STREAMS), to.join(STREAMS));
    make_folder(&to)?;
    let mut streams = 0;
    let entries = match fs::read_dir(&from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        // No stream's name can hold a dot; names of what is being made, deleted or set aside do.
        let is_stream = entry.file_type()?.is_dir() && !name.to_string_lossy().contains('.');
        if is_stream && copy_stream(&entry.path(), &to.join(&name))? {
            streams += 1;
        }
    }
    File::open(&to)?.sync_all()?;
    Ok(streams)
}

/// Returns false if the stream was deleted meanwhile.
fn copy_stream(from: &Path, to: &Path) -> io::Result<bool> {
    let Some(mut segments) = segments_of(from)? else {
        return Ok(false);
    };
    make_folder(to)?;
    let last = segments.pop();
    for (number, mut file) in segments {
        let mut copy = new_file(&segment_path(to, number))?;
        io::copy(&mut file, &mut copy)?;
        copy.sync_all()?;
    }
    if let Some((number, file)) = last {
        let bytes = read_complete(number, &segment_path(from, number), &file)?;
        let mut copy = new_file(&segment_path(to, number))?;
        copy.write_all(&bytes)?;
        copy.sync_all()?;
    }
    File::open(to)?.sync_all()?;
    Ok(true)
}

/// The segments of a stream as they are at one moment. `None` if the stream is not there any more.
fn segments_of(dir: &Path) -> io::Result<Option<Vec<(u64, File)>>> {
    for _ in 0..LOOKS {
        if !dir.try_exists()? {
            return Ok(None);
        }
        match open_all(dir) {
            Ok(Some(segments)) => return Ok(Some(segments)),
            // One was deleted, rewritten or begun.
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        pause();
    }
    Err(io::Error::new(
        ErrorKind::TimedOut,
        format!("the stream in `{}` changes too fast", dir.display()),
    ))
}

fn open_all(dir: &Path) -> io::Result<Option<Vec<(u64, File)>>> {
    let numbers = segment_numbers(dir)?;
    let mut segments = Vec::with_capacity(numbers.len());
    for &number in &numbers {
        segments.push((number, File::open(segment_path(dir, number))?));
    }
    let mut is_settled = segment_numbers(dir)? == numbers;
    for (number, file) in &segments {
        let (opened, there) = (file.metadata()?, fs::metadata(segment_path(dir, *number))?);
        is_settled &= (opened.dev(), opened.ino()) == (there.dev(), there.ino());
    }
    Ok(is_settled.then_some(segments))
}

/// Reads the segment that is written to, up to the end of its last batch. One that never comes to rest is damaged or was torn by a
/// crash, and is taken as it is: the broker that reads it knows what to do.
fn read_complete(number: u64, path: &Path, file: &File) -> io::Result<Bytes> {
    let mut bytes = Bytes::new();
    for _ in 0..LOOKS {
        bytes = read_all(file)?;
        if let Some(end) = complete_end(number, path, &bytes) {
            bytes.truncate(end);
            return Ok(bytes);
        }
        pause();
    }
    Ok(bytes)
}

fn read_all(file: &File) -> io::Result<Bytes> {
    use std::os::unix::fs::FileExt;

    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, read as u64) {
            // It was cut off meanwhile.
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(read);
    Ok(bytes.into())
}

/// Where the last batch ends, if all of the segment can be read.
fn complete_end(segment: u64, path: &Path, bytes: &Bytes) -> Option<usize> {
    let preamble = scan::preamble(bytes).filter(|found| scan::is_begun(bytes, found))?;
    let scan = Scan {
        segment,
        path,
        bytes,
        preamble: &preamble,
        may_be_torn: true,
    };
    let scanned = scan.visit_all(&mut |_, _| {});
    let is_complete = !scanned.is_torn && !scanned.is_damaged;
    usize::try_from(scanned.end).ok().filter(|_| is_complete)
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn new_file(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn pause() {
    #[expect(
        clippy::disallowed_methods,
        reason = "copies are made by a command, on its main thread"
    )]
    thread::sleep(PAUSE);
}
