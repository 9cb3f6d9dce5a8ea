//! The data folder: one broker at a time, one folder a stream.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::broker::BrokerError;

const LOCK_FILE: &str = "broker.lock";
pub(super) const STREAMS: &str = "streams";
/// Ends the name of a folder whose stream was deleted; no stream's name can hold a dot.
const DELETED: &str = ".deleted";
/// Ends the name of a folder whose stream is not there yet.
const BEING_MADE: &str = ".creating";
/// Is in the name of a folder from which no stream could be recovered.
const UNUSABLE: &str = ".unusable";

/// The longest name of a folder, in bytes; that of a stream may be as long.
const LONGEST_NAME: usize = 255;

/// Locks a data folder that is there.
///
/// # Errors
/// When another broker has it, or the file for the lock cannot be written.
pub(in crate::broker) fn lock(data_dir: &Path) -> Result<File, BrokerError> {
    let lock_path = data_dir.join(LOCK_FILE);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(at(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(BrokerError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(at(&lock_path)(source)),
    }
}

/// The data folder, locked for as long as any clone lives.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Folder {
    streams: PathBuf,
    _lock: Arc<File>,
}

impl Folder {
    /// Makes the folder if need be, locks it, removes what a crash left of streams half deleted or half made, and
    /// closes the rest to other users.
    pub(in crate::broker) fn open(data_dir: &Path) -> Result<Self, BrokerError> {
        let streams = data_dir.join(STREAMS);
        fs::create_dir_all(&streams).map_err(at(&streams))?;
        let lock = lock(data_dir)?;
        let folder = Folder {
            streams,
            _lock: Arc::new(lock),
        };
        for path in folder.entries()? {
            let name = path.to_string_lossy();
            if name.ends_with(DELETED) || name.ends_with(BEING_MADE) {
                fs::remove_dir_all(&path).map_err(at(&path))?;
            }
        }
        runtime::settings::close_tree(data_dir).map_err(at(data_dir))?;
        Ok(folder)
    }

    /// The folders of the streams that are there.
    pub(in crate::broker) fn stream_dirs(&self) -> Result<Vec<PathBuf>, BrokerError> {
        let mut dirs = self.entries()?;
        let is_stream = |name: &OsStr| !name.to_string_lossy().contains(UNUSABLE);
        dirs.retain(|path| path.is_dir() && path.file_name().is_some_and(is_stream));
        dirs.sort();
        Ok(dirs)
    }

    /// Where a stream of this (valid) name lives.
    pub(in crate::broker) fn stream_dir(&self, name: &str) -> PathBuf {
        self.streams.join(name)
    }

    fn entries(&self) -> Result<Vec<PathBuf>, BrokerError> {
        let entries = fs::read_dir(&self.streams).map_err(at(&self.streams))?;
        entries
            .map(|entry| Ok(entry.map_err(at(&self.streams))?.path()))
            .collect()
    }
}

/// Deletes a stream's folder; once this returns the stream stays deleted whatever happens.
pub(in crate::broker) fn delete_stream_dir(dir: &Path) -> io::Result<()> {
    let doomed = beside(dir, DELETED);
    fs::rename(dir, &doomed)?;
    if let Err(error) = sync_parent(dir) {
        // The stream goes on, and must not do so in a folder that the next start removes.
        fs::rename(&doomed, dir)?;
        return Err(error);
    }
    if let Err(error) = fs::remove_dir_all(&doomed) {
        tracing::warn!(folder = %doomed.display(), %error, "cannot remove the folder of a deleted stream; the next start will try");
    }
    Ok(())
}

/// Where the folder of a stream is until it is complete.
pub(in crate::broker) fn being_made(dir: &Path) -> PathBuf {
    beside(dir, BEING_MADE)
}

/// The name of a stream's folder with a word behind it. A name that would be too long is cut, and a checksum tells it from others.
fn beside(dir: &Path, word: &str) -> PathBuf {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    if name.len() + word.len() <= LONGEST_NAME {
        return dir.with_file_name(format!("{name}{word}"));
    }
    let checksum = crc32fast::hash(name.as_bytes());
    let mut cut = name.into_owned();
    while cut.len() > LONGEST_NAME / 2 {
        cut.pop();
    }
    dir.with_file_name(format!("{cut}-{checksum:08x}{word}"))
}

/// Frees the name of a folder that holds no stream, and keeps what is in it.
pub(in crate::broker) fn set_aside(dir: &Path) -> io::Result<()> {
    // Works for an empty one only, which holds nothing to lose.
    if fs::remove_dir(dir).is_err() {
        let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        fs::rename(dir, beside(dir, &format!("{UNUSABLE}-{now}")))?;
    }
    sync_parent(dir)
}

/// The names of the folders that are set aside, in order.
pub(in crate::broker) fn unusable(data_dir: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(data_dir.join(STREAMS))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let mut unusable: Vec<_> = names.filter(|name| name.contains(UNUSABLE)).collect();
    unusable.sort();
    Ok(unusable)
}

/// Makes a new name in a folder durable.
pub(in crate::broker) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> BrokerError {
    move |source| BrokerError::DataDir {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_broker_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::open(dir.path()).unwrap();
        let message = Folder::open(dir.path()).unwrap_err().to_string();
        assert!(
            message.ends_with("is in use by another broker"),
            "{message}"
        );
        drop(first);
        Folder::open(dir.path()).unwrap();
    }

    #[test]
    fn the_files_of_an_older_broker_become_the_users_own() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let stream = folder.stream_dir("films");
        fs::create_dir(&stream).unwrap();
        let segment = stream.join("0000000000000001.log");
        fs::write(&segment, b"x").unwrap();
        drop(folder);
        let kept = [
            (dir.path().to_owned(), 0o700),
            (dir.path().join(STREAMS), 0o700),
            (stream, 0o700),
            (dir.path().join(LOCK_FILE), 0o600),
            (segment, 0o600),
        ];
        for (path, mode) in &kept {
            let open_to_all = fs::Permissions::from_mode(mode | 0o055);
            fs::set_permissions(path, open_to_all).unwrap();
        }
        let _folder = Folder::open(dir.path()).unwrap();
        for (path, mode) in kept {
            let found = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{}", path.display());
        }
    }

    #[test]
    fn what_a_crash_left_half_done_is_cleared_away() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        fs::create_dir(folder.stream_dir("kept")).unwrap();
        fs::create_dir(folder.stream_dir("gone.deleted")).unwrap();
        fs::create_dir(folder.stream_dir("half.creating")).unwrap();
        drop(folder);
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.stream_dirs().unwrap(), [folder.stream_dir("kept")]);
    }
}
