//! The marker of a database: a small file that keeps the identity of the database that belongs here.
//!
//! It stands beside a SQLite file, or in the data folder for a database on a server. A database of another
//! identity, or of none, means that the one that was here was lost or replaced.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use runtime::settings::read_plain_text;

use crate::sqlite_file::create_private;

/// The most bytes of a marker.
const MAX_LEN: u64 = 4_096;

/// Where a marker is or will be.
#[derive(Debug, Clone)]
pub(crate) struct Marker {
    path: PathBuf,
}

impl Marker {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the identity that the database has to have, if there is a marker.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, and what to do, in one sentence.
    pub(crate) fn read(&self) -> Result<Option<String>, String> {
        let name = self.path.display();
        match read_plain_text(&self.path, MAX_LEN) {
            Ok(text) if text.trim().is_empty() => Err(format!(
                "the marker `{name}` is empty: restore it together with its database, or delete it if the database is the right one"
            )),
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot read the marker `{name}`: {error}")),
        }
    }

    /// Writes the marker, on disk when this returns.
    pub(crate) fn write(&self, identity: &str) -> io::Result<()> {
        let part = self.path.with_added_extension("part");
        let mut file = create_private(&part)?;
        file.set_len(0)?;
        writeln!(file, "{identity}")?;
        file.sync_all()?;
        fs::rename(&part, &self.path)?;
        let folder = self.path.parent().filter(|folder| folder != &Path::new(""));
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}
