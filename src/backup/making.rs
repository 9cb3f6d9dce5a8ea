//! Makes a backup: everything is copied into `FOLDER.partial`, which gets its name when it is complete and on disk.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use runtime::{
    Fault,
    settings::{self, open_plain, open_plain_itself},
};

use super::{
    ACCOUNTS, BROKER, FOLDER, Kept, MOVIES, RECOMMENDATIONS, SECRETS, keep_apart,
    manifest::{self, Manifest, copy_hashed, new_file},
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
    let absent = absent_databases(kept)?;
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
                "the backup `{name}` is complete: {files} files, {kilobytes} kB{absent}"
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

/// Which database is not there, in words for the end of a sentence: the folder may be that of one service alone. One that a setting names
/// has to be there.
fn absent_databases(kept: &Kept) -> Result<String, Fault> {
    let databases = [
        (&kept.movies, MOVIES, "movies-database-url"),
        (
            &kept.recommendations,
            RECOMMENDATIONS,
            "recommendations-database-url",
        ),
        (&kept.accounts, ACCOUNTS, "accounts-database-url"),
    ];
    let mut absent = String::new();
    for (path, name, setting) in databases {
        if is_there(path) {
            continue;
        }
        if *path != kept.data_dir.join(name) {
            let reason = format!("`{}` is not there", path.display());
            return Err(Fault::bad_setting(settings::name(setting), reason));
        }
        // Data folders of releases without accounts have none.
        if name == ACCOUNTS {
            continue;
        }
        absent = format!(", without `{name}`, which is not there");
    }
    Ok(absent)
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
    let setting = settings::name("accounts-database-url");
    storage::copy_database(&setting, &kept.accounts, &to.join(ACCOUNTS))?;
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
    copy_hashed(open_plain(from)?, &mut file)?;
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
                remove_interrupted(&path, folder)?;
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

/// Removes `path` if a backup to `folder` was interrupted while it wrote there, and nothing else.
fn remove_interrupted(path: &Path, folder: &Path) -> Result<(), Fault> {
    let name = path.display();
    let refused = |reason: String| Err(Fault::bad_setting(FOLDER, reason));
    let in_use = || refused(format!("another backup is being written to `{name}`"));
    let incomplete = path.join(INCOMPLETE);
    let Ok(lock) = open_plain_itself(&incomplete) else {
        return match fs::remove_dir(path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(_) if Manifest::read(path).is_ok() => refused(format!(
                "`{name}` is a complete backup that only lacks its name: rename it to `{}`, or move it away",
                folder.display()
            )),
            Err(_) => refused(format!(
                "`{name}` is in the way, and no backup has left it: move it away"
            )),
        };
    };
    if lock.try_lock().is_err() {
        return in_use();
    }
    // Another backup may have removed that file before it was locked here, and have made the folder once more.
    let is_same = match (lock.metadata(), incomplete.symlink_metadata()) {
        (Ok(locked), Ok(there)) => (locked.dev(), locked.ino()) == (there.dev(), there.ino()),
        _ => false,
    };
    if !is_same {
        return in_use();
    }
    // Locked until it is gone.
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => refused(format!(
            "`{name}`, which an interrupted backup has left, cannot be removed: {error}"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::manifest::MANIFEST, *};

    #[test]
    fn a_database_that_is_named_has_to_be_there() {
        let data = tempfile::tempdir().unwrap();
        let path = |name: &str| data.path().join(name);
        fs::write(path(RECOMMENDATIONS), "").unwrap();
        let mut kept = Kept {
            data_dir: data.path().to_owned(),
            movies: path(MOVIES),
            recommendations: path(RECOMMENDATIONS),
            accounts: path(ACCOUNTS),
        };
        let absent = absent_databases(&kept).unwrap();
        assert_eq!(absent, ", without `movies.db`, which is not there");
        kept.movies = path("films.db");
        let refusal = absent_databases(&kept).unwrap_err().to_string();
        assert!(refusal.contains("MOVIES_DATABASE_URL"), "{refusal}");
        fs::write(path("films.db"), "").unwrap();
        assert_eq!(absent_databases(&kept).unwrap(), "");
    }

    #[test]
    fn only_what_an_interrupted_backup_has_left_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let (folder, partial) = (root.path().join("x"), root.path().join("x.partial"));
        let begin = || Partial::begin(&folder).map_err(|fault| fault.to_string());
        fs::create_dir(&partial).unwrap();
        fs::write(partial.join(MANIFEST), r#"{"name":"an app"}"#).unwrap();
        let refusal = begin().err().unwrap();
        assert!(refusal.contains("is in the way"), "{refusal}");
        assert!(partial.join(MANIFEST).exists());

        fs::remove_file(partial.join(MANIFEST)).unwrap();
        fs::write(partial.join(MOVIES), "a film").unwrap();
        let manifest = Manifest::of(&partial, manifest::now()).unwrap();
        manifest.write(&partial).unwrap();
        let refusal = begin().err().unwrap();
        assert!(refusal.contains("rename it"), "{refusal}");
        assert!(partial.join(MOVIES).exists());

        fs::write(partial.join(INCOMPLETE), "").unwrap();
        let begun = begin().unwrap();
        assert!(!partial.join(MOVIES).exists());
        let refusal = begin().err().unwrap();
        assert!(refusal.contains("another backup"), "{refusal}");
        drop(begun);
        begin().unwrap();
    }
}
