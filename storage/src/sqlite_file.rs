//! What is on disk where a SQLite database is to be, looked at before SQLite opens any of it.
//!
//! SQLite takes a missing or empty file for a new database and drops a log that it cannot read, so
//! a lost database would come up empty and take its log with it. A marker beside the file says that
//! there was a database, and which one. All files are the user's own (mode 0600).

use std::{
    ffi::OsString,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use runtime::settings::open_plain;

use crate::{commits::CommitsFile, marker::Marker, sqlite_log};

/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How much of a database is its header.
const HEADER_LEN: usize = 100;
/// Read and written by the user alone.
const PRIVATE: u32 = 0o600;

/// A place where a SQLite database is or will be.
#[derive(Debug, Clone)]
pub(crate) struct SqliteFile {
    path: PathBuf,
}

/// What is at that place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing, and nothing says that there was a database.
    Nothing,
    /// A database. If it has a marker, this is the identity that the database has to have.
    Database(Option<String>),
}

/// The file that a path led to when it was looked at: another file at the path is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inode {
    device: u64,
    number: u64,
}

impl SqliteFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Says in a sentence that SQLite cannot use the database.
    pub(crate) fn refuses(&self, error: &dyn fmt::Display) -> String {
        let (name, error) = (self.path.display(), error.to_string());
        if is_damage(&error) {
            format!(
                "the database `{name}` is damaged ({error}): restore it from a backup {}",
                self.without_its_files()
            )
        } else {
            format!("cannot open the file `{name}`: {error}")
        }
    }

    /// Says in a sentence that the database has pages which belong to no table, and how to free them.
    pub(crate) fn leaks(&self, words: &str) -> String {
        let name = self.path.display();
        format!(
            "the database `{name}` is whole, but has pages that belong to no table ({words}): stop the program, copy the database, and run \
             `sqlite3 {name} VACUUM`"
        )
    }

    /// How a backup has to be restored.
    pub(crate) fn without_its_files(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().display();
        format!("with `{name}-wal`, `{name}-shm` and `{name}.commits` moved away")
    }

    /// The marker of the database.
    pub(crate) fn marker(&self) -> Marker {
        Marker::new(self.beside(".id"))
    }

    /// The file in which its acknowledged commits are noted.
    pub(crate) fn commits(&self) -> CommitsFile {
        CommitsFile::new(self.beside(".commits"))
    }

    /// Its log, which is there while the database is open and after a crash.
    pub(crate) fn log(&self) -> PathBuf {
        self.beside("-wal")
    }

    /// Whether all of the database is in its main file.
    ///
    /// # Errors
    ///
    /// Why that cannot be known, in one sentence.
    pub(crate) fn log_is_empty(&self) -> Result<bool, String> {
        let log_len = len(&self.log()).map_err(|error| self.refuses(&error))?;
        Ok(log_len.unwrap_or(0) == 0)
    }

    /// Whether a program that writes without a log was interrupted.
    pub(crate) fn has_journal(&self) -> bool {
        matches!(len(&self.beside("-journal")), Ok(Some(1..)))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        PathBuf::from(name)
    }

    /// Looks whether a database can be opened without losing anything.
    ///
    /// # Errors
    ///
    /// Why not, and what to do, in one sentence.
    pub(crate) fn check(&self) -> Result<Found, String> {
        let name = self.path.display();
        let unreadable = |error| format!("cannot open the file `{name}`: {error}");
        let marker = self.marker().read()?;
        let log = self.log();
        let log_len = len(&log).map_err(unreadable)?.unwrap_or(0);
        let state = match len(&self.path).map_err(unreadable)? {
            None => "missing",
            Some(0) => "empty",
            Some(file_len) => {
                look_again(|| self.check_file(file_len, log_len))?;
                return Ok(Found::Database(marker));
            }
        };
        let (log, marker_path) = (log.display(), self.marker());
        let (marker_path, without) = (marker_path.path().display(), self.without_its_files());
        match (marker, log_len) {
            (None, 0) => Ok(Found::Nothing),
            (None, _) => Err(format!(
                "the database `{name}` is {state}, but its log `{log}` is there and may hold what was written: restore the database from \
                 a backup {without}, or move the log away to begin with an empty database"
            )),
            (Some(_), 0) => Err(format!(
                "the database `{name}` is {state}, though `{marker_path}` says that there was one: restore it from a backup, or delete \
                 `{marker_path}` to begin with an empty database"
            )),
            (Some(_), _) => Err(format!(
                "the database `{name}` is {state}, though `{marker_path}` says that there was one, and its log `{log}` may hold what was \
                 written: restore it from a backup {without}, or delete `{marker_path}` and move the log away to begin with an empty \
                 database"
            )),
        }
    }

    fn check_file(&self, file_len: u64, log_len: u64) -> Result<(), String> {
        let name = self.path.display();
        let unreadable = |error| format!("cannot open the file `{name}`: {error}");
        let mut header = [0; HEADER_LEN];
        let mut file = open_plain(&self.path).map_err(unreadable)?;
        match file.read_exact(&mut header) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => {
                return Err(unreadable(error));
            }
            _ => {}
        }
        if !header.starts_with(MAGIC) {
            return Err(format!(
                "cannot open the file `{name}`: it is no SQLite database; restore it from a backup"
            ));
        }
        if log_len > 0 {
            let log = self.log();
            return sqlite_log::check(&log).map_err(|reason| {
                format!(
                    "the log `{}` of the database `{name}` {reason}, and opening the database would lose what is in the log: restore both \
                     from a backup, or move the log away and delete `{}` to go on with what is in `{name}` alone",
                    log.display(),
                    self.commits().path().display()
                )
            });
        }
        // With a log the file may be behind its own header.
        match pages_missing(&header, file_len) {
            Some((has, of)) => Err(format!(
                "the database `{name}` is cut off after {has} of {of} bytes: restore it from a backup {}",
                self.without_its_files()
            )),
            None => Ok(()),
        }
    }

    /// Makes an empty file for a new database, from which SQLite takes the mode of its other files.
    pub(crate) fn create(&self) -> io::Result<()> {
        create_private(&self.path).map(drop)
    }

    /// Revokes what other users may do with the database's files, if these are the user's own.
    pub(crate) fn keep_private(&self) -> io::Result<()> {
        // Linux says there who this process is.
        let Ok(this_process) = fs::metadata("/proc/self") else {
            return Ok(());
        };
        for suffix in ["", "-wal", "-shm", ".id", ".commits"] {
            let path = self.beside(suffix);
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                continue;
            };
            let is_own = metadata.is_file() && metadata.uid() == this_process.uid();
            if is_own && metadata.mode() & 0o077 != 0 {
                fs::set_permissions(&path, fs::Permissions::from_mode(PRIVATE))?;
            }
        }
        Ok(())
    }

    /// Opens the file by whose lock replicas on this machine take turns.
    pub(crate) fn lock_file(&self) -> io::Result<File> {
        create_private(&self.path.with_extension("lock"))
    }

    /// Which file is at the path.
    pub(crate) fn inode(&self) -> io::Result<Inode> {
        let metadata = fs::metadata(&self.path)?;
        Ok(Inode {
            device: metadata.dev(),
            number: metadata.ino(),
        })
    }
}

/// Looks at the files of a database up to three times: a program that has them open may go on, or begin its log again, while they are
/// looked at.
pub(crate) fn look_again<T, E>(look: impl Fn() -> Result<T, E>) -> Result<T, E> {
    look().or_else(|_| look()).or_else(|_| look())
}

/// Opens or creates a file that only this user can read, without following a link or losing what
/// is in it.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        let message = format!("`{}` is no plain file", path.display());
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE);
    options.open(path)
}

/// Whether SQLite says so that it found damage in a file.
pub(crate) fn is_damage(words: &str) -> bool {
    ["malformed", "file is not a database"]
        .iter()
        .any(|damage| words.contains(damage))
}

fn len(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// How long the file is and should be, if its header says that it should be longer.
fn pages_missing(header: &[u8; HEADER_LEN], file_len: u64) -> Option<(u64, u64)> {
    let number = |at: usize| {
        let bytes = header.get(at..at + 4)?.try_into().ok()?;
        Some(u64::from(u32::from_be_bytes(bytes)))
    };
    let page_size = match u16::from_be_bytes(header.get(16..18)?.try_into().ok()?) {
        1 => 65_536,
        size => u64::from(size),
    };
    let (changes, pages, counted_at) = (number(24)?, number(28)?, number(92)?);
    // Programs that do not count pages leave an old count in place.
    let is_counted = pages > 0 && changes == counted_at;
    let expected = pages * page_size;
    (is_counted && file_len < expected).then_some((file_len, expected))
}
