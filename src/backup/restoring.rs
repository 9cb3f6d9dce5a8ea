//! Restores a backup into a data folder: checked whole before anything is changed, and not to be started from before it is complete.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use runtime::{
    Fault,
    settings::{self, Claimed, FolderClaim, UNFINISHED_RESTORE, claim_to_restore},
};

use super::{
    ACCOUNTS, BROKER, FOLDER, Kept, MOVIES, RECOMMENDATIONS, SECRETS, keep_apart,
    manifest::{Listed, Manifest, new_file},
    say,
};

/// Begins the name of a folder with what a restore has moved aside.
const REPLACED: &str = "replaced-";

/// Restores the backup in `folder`. What the data folder holds is moved aside if `replace` says so.
pub(super) fn restore(kept: &Kept, folder: &Path, replace: bool) -> Result<(), Fault> {
    let missing = missing(&kept.data_dir);
    let mut claims = Vec::new();
    let outcome = restore_claimed(kept, folder, replace, &mut claims);
    if outcome.is_err() {
        for claim in claims {
            claim.withdraw();
        }
        for made in missing {
            // Only if it is empty, and it may not have been made.
            let _ = fs::remove_dir(made);
        }
    }
    outcome
}

/// The folder and those above it that are not there, the innermost first.
fn missing(folder: &Path) -> Vec<PathBuf> {
    let above = folder.ancestors().filter(|path| *path != Path::new(""));
    let missing = above.take_while(|path| !path.exists());
    missing.map(Path::to_owned).collect()
}

/// Restores a backup, with the parts of the data folder that it claims for itself in `claims`.
fn restore_claimed(
    kept: &Kept,
    folder: &Path,
    replace: bool,
    claims: &mut Vec<FolderClaim>,
) -> Result<(), Fault> {
    let data = &kept.data_dir;
    let refused = |reason: String| Fault::bad_setting(settings::name("data-dir"), reason);
    let outside = [
        ("movies-database-url", &kept.movies, MOVIES),
        (
            "recommendations-database-url",
            &kept.recommendations,
            RECOMMENDATIONS,
        ),
        ("accounts-database-url", &kept.accounts, ACCOUNTS),
    ];
    for (flag, path, name) in outside {
        if *path != data.join(name) {
            let reason = format!(
                "a restore puts `{name}` into the data folder: leave the setting out, and move `{name}` and `{name}.id` afterwards"
            );
            return Err(Fault::bad_setting(settings::name(flag), reason));
        }
    }
    keep_apart(kept, folder)?;
    let manifest = Manifest::read(folder)?;
    let parts = [
        Claimed::Broker,
        Claimed::Movies,
        Claimed::Recommendations,
        Claimed::Accounts,
    ];
    for part in parts {
        claims.push(claim_to_restore(data, part)?);
    }
    check_owner(data).map_err(refused)?;
    let present = present(data).map_err(|error| cannot_restore(data, &error))?;
    if !present.is_empty() && !replace {
        let name = data.display();
        let reason = if data.join(UNFINISHED_RESTORE).exists() {
            format!(
                "a restore into the folder `{name}` was interrupted: add `--replace`, which moves what it has left aside"
            )
        } else {
            format!(
                "the folder `{name}` is not empty: choose another one, or add `--replace`, which moves its databases, streams and secrets aside"
            )
        };
        return Err(refused(reason));
    }
    manifest.verify(folder)?;
    let mut change = Change {
        data,
        was_unfinished: data.join(UNFINISHED_RESTORE).exists(),
        aside: None,
        made: Vec::new(),
    };
    match change.carry_out(&manifest, folder, &present) {
        Ok(films) => {
            let name = folder.display();
            let aside = change.aside.as_ref().map_or_else(String::new, |aside| {
                format!("; what was there is in `{}`", aside.display())
            });
            say(&format!(
                "restored the backup `{name}` of {} into `{}`, and queued {films} films for the recommendations{aside}",
                manifest.completed_at.escape_debug(),
                data.display()
            ));
            Ok(())
        }
        Err(fault) => {
            change.take_back();
            Err(fault)
        }
    }
}

fn cannot_restore(data: &Path, error: &io::Error) -> Fault {
    Fault::Failed(format!("cannot restore into `{}`: {error}", data.display()))
}

/// What would be another user's could not be used by the program of the folder's owner.
fn check_owner(data: &Path) -> Result<(), String> {
    let name = data.display();
    let owner = fs::metadata(data).map_err(|error| format!("cannot look at `{name}`: {error}"))?;
    let own = rustix::process::geteuid().as_raw();
    match owner.uid() {
        uid if uid == own => Ok(()),
        uid => Err(format!(
            "the folder `{name}` belongs to user {uid}, and this is user {own}: restore as the user that runs Marquee"
        )),
    }
}

/// What the data folder holds besides locks, and what earlier restores have moved aside.
fn present(data: &Path) -> io::Result<Vec<PathBuf>> {
    let mut present = Vec::new();
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_nothing = name.ends_with(".lock") || name.starts_with(REPLACED);
        if !is_nothing && name != "lost+found" {
            present.push(path);
        }
    }
    Ok(present)
}

/// Whether a restore brings this file, or it would be misleading beside what a restore brings.
fn is_replaced(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let databases =
        [MOVIES, RECOMMENDATIONS, ACCOUNTS].map(|database| storage::files_of(Path::new(database)));
    let is_of_database = databases
        .iter()
        .flatten()
        .any(|file| file.as_os_str() == name);
    is_of_database || name == BROKER || SECRETS.iter().any(|secret| name == *secret)
}

/// What a restore has done so far.
struct Change<'a> {
    data: &'a Path,
    /// Whether an earlier restore was interrupted: taking this one back does not complete that one.
    was_unfinished: bool,
    /// Where what was there is.
    aside: Option<PathBuf>,
    /// Files and folders that were made, without what is in these folders.
    made: Vec<PathBuf>,
}

impl Change<'_> {
    /// Returns how many films were queued.
    fn carry_out(
        &mut self,
        manifest: &Manifest,
        from: &Path,
        present: &[PathBuf],
    ) -> Result<usize, Fault> {
        let data = self.data;
        let failed = |error: io::Error| cannot_restore(data, &error);
        let unfinished = data.join(UNFINISHED_RESTORE);
        File::create(&unfinished)
            .and_then(|file| file.sync_all())
            .and_then(|()| sync(data))
            .map_err(failed)?;
        let replaced: Vec<_> = present.iter().filter(|path| is_replaced(path)).collect();
        if !replaced.is_empty() {
            self.move_aside(&replaced).map_err(failed)?;
        }
        for listed in &manifest.files {
            if !self.copy(from, listed).map_err(failed)? {
                let name = listed.name_in(from);
                let reason = format!("the file `{name}` has changed meanwhile");
                return Err(Fault::bad_setting(FOLDER, reason));
            }
        }
        let movies = data.join(MOVIES);
        let films = match movies.exists() {
            true => storage::change_unused(&movies, catalog::films::outbox::queue_all)?,
            false => 0,
        };
        for path in &self.made {
            if path.is_dir() {
                sync_tree(path).map_err(failed)?;
            }
        }
        sync(data).map_err(failed)?;
        fs::remove_file(&unfinished).map_err(failed)?;
        sync(data).map_err(failed)?;
        Ok(films)
    }

    fn move_aside(&mut self, paths: &[&PathBuf]) -> io::Result<()> {
        let time = chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ");
        let aside = self.data.join(format!("{REPLACED}{time}"));
        DirBuilder::new().mode(0o700).create(&aside)?;
        self.aside = Some(aside.clone());
        for path in paths {
            fs::rename(path, aside.join(path.file_name().unwrap_or_default()))?;
        }
        sync(&aside)?;
        sync(self.data)
    }

    /// Returns whether it was the file that is listed.
    fn copy(&mut self, from: &Path, listed: &Listed) -> io::Result<bool> {
        let to = self.data.join(&listed.path);
        let mut file = match listed.path.split_once('/') {
            None => {
                let file = new_file(&to)?;
                self.made.push(to);
                file
            }
            Some((first, _)) => {
                let top = self.data.join(first);
                let mut folders = DirBuilder::new();
                folders.mode(0o700);
                if !self.made.contains(&top) {
                    folders.create(&top)?;
                    self.made.push(top);
                }
                if let Some(parent) = to.parent() {
                    folders.recursive(true).create(parent)?;
                }
                new_file(&to)?
            }
        };
        let is_listed = listed.copy(from, &mut file)?;
        file.sync_all()?;
        Ok(is_listed)
    }

    /// Leaves the data folder as it was, as far as that can be done; if it cannot, no program starts from it.
    fn take_back(&self) {
        let take_back = || {
            for path in &self.made {
                let removed = match path.is_dir() {
                    true => fs::remove_dir_all(path),
                    false => fs::remove_file(path),
                };
                match removed {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            if let Some(aside) = &self.aside {
                for entry in fs::read_dir(aside)? {
                    let entry = entry?;
                    fs::rename(entry.path(), self.data.join(entry.file_name()))?;
                }
                fs::remove_dir(aside)?;
            }
            sync(self.data)?;
            if self.was_unfinished {
                return Ok(());
            }
            match fs::remove_file(self.data.join(UNFINISHED_RESTORE)) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        if let Err(error) = take_back() {
            let name = self.data.display();
            runtime::telemetry::say_error(&format!(
                "cannot leave the folder `{name}` as it was: {error}"
            ));
        }
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folders {
        _root: tempfile::TempDir,
        kept: Kept,
        backup: PathBuf,
    }

    /// An empty data folder, and a backup of these files.
    fn folders(files: &[(&str, &str)]) -> Folders {
        let root = tempfile::tempdir().unwrap();
        let (data_dir, backup) = (root.path().join("data"), root.path().join("backup"));
        DirBuilder::new().mode(0o700).create(&data_dir).unwrap();
        for (name, text) in files {
            let path = backup.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let manifest = Manifest::of(&backup, String::new()).unwrap();
        manifest.write(&backup).unwrap();
        let kept = Kept {
            movies: data_dir.join(MOVIES),
            recommendations: data_dir.join(RECOMMENDATIONS),
            accounts: data_dir.join(ACCOUNTS),
            data_dir,
        };
        Folders {
            _root: root,
            kept,
            backup,
        }
    }

    #[test]
    fn a_restore_that_fails_after_an_interrupted_one_leaves_the_folder_unfinished() {
        let folders = folders(&[(MOVIES, "no database")]);
        let data = &folders.kept.data_dir;
        let restore = || restore(&folders.kept, &folders.backup, true);
        restore().unwrap_err();
        assert!(!data.join(UNFINISHED_RESTORE).exists());

        fs::write(data.join(UNFINISHED_RESTORE), "").unwrap();
        fs::write(data.join(RECOMMENDATIONS), "half of it").unwrap();
        restore().unwrap_err();
        assert!(data.join(UNFINISHED_RESTORE).exists());
        assert!(!data.join(MOVIES).exists());
        let half = fs::read(data.join(RECOMMENDATIONS)).unwrap();
        assert_eq!(half, b"half of it");
    }

    #[test]
    fn a_restore_that_fails_leaves_nothing_in_a_new_folder() {
        let folders = folders(&[(MOVIES, "no database")]);
        let data = &folders.kept.data_dir;
        restore(&folders.kept, &folders.backup, false).unwrap_err();
        assert_eq!(fs::read_dir(data).unwrap().count(), 0);

        let data_dir = data.join("deep/deeper");
        let kept = Kept {
            movies: data_dir.join(MOVIES),
            recommendations: data_dir.join(RECOMMENDATIONS),
            accounts: data_dir.join(ACCOUNTS),
            data_dir,
        };
        restore(&kept, &folders.backup, false).unwrap_err();
        assert_eq!(fs::read_dir(data).unwrap().count(), 0);

        let own = data.join("marquee.lock");
        fs::write(&own, "of before").unwrap();
        restore(&folders.kept, &folders.backup, false).unwrap_err();
        assert_eq!(fs::read_dir(data).unwrap().count(), 1);
        assert_eq!(fs::read(own).unwrap(), b"of before");
    }

    #[test]
    fn what_a_restore_did_not_make_it_does_not_take_back() {
        let folders = folders(&[(MOVIES, "a film"), ("broker/streams/a/1", "an event")]);
        let data = &folders.kept.data_dir;
        let manifest = Manifest::read(&folders.backup).unwrap();
        // As if it had come after the others were moved aside.
        for name in [MOVIES, BROKER] {
            fs::write(data.join(name), "of before").unwrap();
            let mut change = Change {
                data,
                was_unfinished: false,
                aside: None,
                made: Vec::new(),
            };
            change
                .carry_out(&manifest, &folders.backup, &[])
                .unwrap_err();
            change.take_back();
            assert_eq!(fs::read(data.join(name)).unwrap(), b"of before");
            fs::remove_file(data.join(name)).unwrap();
            let left = present(data).unwrap();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}
