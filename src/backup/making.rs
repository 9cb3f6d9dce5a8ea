//! Makes a backup: everything is copied into `FOLDER.partial`, which gets its name when it is complete and on disk.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use runtime::{Fault, settings};

use super::{
    BROKER, FOLDER, Kept, MOVIES, RECOMMENDATIONS, SECRETS, keep_apart,
    manifest::{self, MANIFEST, Manifest, copy_hashed, new_file},
    say,
};

/// Is in a folder that is no complete backup yet, and locked by the program that makes it.
pub(super) const INCOMPLETE: &str = "incomplete";

/// Backs everything that is kept up into the new folder `folder`.
pub(super) fn back_up(kept: &Kept, folder: &Path) -> Result<(), Fault> {
    let name = folder.display();
    if !is_there(&kept.movies) && !is_there(&kept.recommendations) {
        let reason = format!(
            "there is nothing to back up in `{}`: it has neither `{MOVIES}` nor `{RECOMMENDATIONS}`",
            kept.data_dir.display()
        );
        return Err(Fault::bad_setting(settings::name("data-dir"), reason));
    }
    keep_apart(kept, folder)?;
    if is_there(folder) {
        let reason = format!("`{name}` is there already: a backup is a new folder");
        return Err(Fault::bad_setting(FOLDER, reason));
    }
    let begun_at = manifest::now();
    let partial = Partial::begin(folder)?;
    let written = fill(kept, &partial.path, begun_at).and_then(|manifest| {
        let failed = |error: io::Error| cannot_write(folder, &error);
        partial.publish(folder).map_err(failed).map(|()| manifest)
    });
    match written {
        Ok(manifest) => {
            let (files, kilobytes) = (manifest.files.len(), manifest.bytes().div_ceil(1_000));
            say(&format!(
                "the backup `{name}` is complete: {files} files, {kilobytes} kB"
            ));
            Ok(())
        }
        Err(fault) => {
            // What is left of it is recognised by the next backup.
            let _ = fs::remove_dir_all(&partial.path);
            Err(fault)
        }
    }
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// In the order that lets a restore make up for what a later part has and an earlier one lacks.
fn fill(kept: &Kept, to: &Path, begun_at: String) -> Result<Manifest, Fault> {
    let failed = |error: io::Error| cannot_write(to, &error);
    let setting = settings::name("recommendations-database-url");
    storage::copy_database(&setting, &kept.recommendations, &to.join(RECOMMENDATIONS))?;
    let broker = kept.data_dir.join(BROKER);
    if is_there(&broker) {
        bridge::broker::copy_streams(&broker, &to.join(BROKER)).map_err(|error| {
            Fault::Failed(format!(
                "cannot copy the streams of the broker in `{}`: {error}",
                broker.display()
            ))
        })?;
    }
    let setting = settings::name("movies-database-url");
    storage::copy_database(&setting, &kept.movies, &to.join(MOVIES))?;
    for secret in SECRETS {
        copy_secret(&kept.data_dir.join(secret), &to.join(secret)).map_err(failed)?;
    }
    let manifest = Manifest::of(to, begun_at).map_err(failed)?;
    manifest.write(to).map_err(failed)?;
    Ok(manifest)
}

/// Copies a file with a secret, if there is one.
fn copy_secret(from: &Path, to: &Path) -> io::Result<()> {
    if !from.try_exists()? {
        return Ok(());
    }
    let mut file = new_file(to)?;
    copy_hashed(from, &mut file)?;
    file.sync_all()
}

fn cannot_write(folder: &Path, error: &io::Error) -> Fault {
    Fault::Failed(format!(
        "cannot write the backup `{}`: {error}",
        folder.display()
    ))
}

/// The folder of a backup that is not complete.
struct Partial {
    path: PathBuf,
    _lock: File,
}

impl Partial {
    /// Makes the folder, in place of one that a backup which was interrupted has left.
    fn begin(folder: &Path) -> Result<Self, Fault> {
        let mut name = folder.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        let failed = |error: io::Error| cannot_write(folder, &error);
        let make = || DirBuilder::new().mode(0o700).create(&path);
        match make() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                remove_interrupted(&path)?;
                make().map_err(failed)?;
            }
            made => made.map_err(failed)?,
        }
        let lock = new_file(&path.join(INCOMPLETE)).map_err(failed)?;
        lock.try_lock().map_err(|error| failed(error.into()))?;
        Ok(Self { path, _lock: lock })
    }

    /// Gives the folder the name of the backup, unless that has been taken meanwhile.
    fn publish(&self, folder: &Path) -> io::Result<()> {
        fs::remove_file(self.path.join(INCOMPLETE))?;
        File::open(&self.path)?.sync_all()?;
        let (cwd, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::NOREPLACE);
        match rustix::fs::renameat_with(cwd, &self.path, cwd, folder, flags) {
            // Not every file system can do it in one step.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !folder.exists() => {
                fs::rename(&self.path, folder)?;
            }
            renamed => renamed?,
        }
        match folder.parent() {
            Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }
}

fn remove_interrupted(path: &Path) -> Result<(), Fault> {
    let name = path.display();
    let refused = |reason: String| Err(Fault::bad_setting(FOLDER, reason));
    if let Ok(lock) = File::open(path.join(INCOMPLETE)) {
        if lock.try_lock().is_err() {
            return refused(format!("another backup is being written to `{name}`"));
        }
    } else if !path.join(MANIFEST).exists() && fs::remove_dir(path).is_err() {
        return refused(format!(
            "`{name}` is in the way, and no backup has left it: move it away"
        ));
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => refused(format!(
            "`{name}`, which an interrupted backup has left, cannot be removed: {error}"
        )),
        _ => Ok(()),
    }
}
