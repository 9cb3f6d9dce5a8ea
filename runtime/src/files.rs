//! The data folder, for this user alone and for one program of a kind at a time, and the files that settings name.
//!
//! Other users of the machine must not read what people like, nor hold the locks. What a setting names may be anything: a pipe nobody
//! writes to or a device without an end is refused instead of read.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, ErrorKind, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::{
    fs::{Mode, OFlags},
    process::{geteuid, umask},
};

use crate::{process::Fault, settings};

/// The flag of the folder's setting.
const DATA_DIR: &str = "data-dir";
/// Is in a data folder while a restore is under way: what is there is not complete.
pub const UNFINISHED_RESTORE: &str = "restore.unfinished";
/// The permissions that others have.
const OTHERS: u32 = 0o077;
/// A folder of all users, whose files only their owners may remove, as /tmp is.
const STICKY: u32 = 0o1000;

/// Lets this process make files and folders that only its user can read.
pub(crate) fn keep_private() {
    umask(Mode::from_raw_mode(OTHERS));
}

/// Makes the data folder unless it is there, closes it to other users if it is this user's, and
/// checks that files can be written in it.
///
/// # Errors
///
/// [`Fault::BadSetting`] if it cannot be made or written to.
pub fn writable_folder(path: &Path) -> Result<(), Fault> {
    let fault = |error: io::Error| {
        let reason = format!("cannot write to the folder `{}`: {error}", path.display());
        Fault::bad_setting(settings::name(DATA_DIR), reason)
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(fault)?;
    close_to_others(path).map_err(fault)?;
    // Several services of one process may check the same folder at once.
    static CHECKS: AtomicU32 = AtomicU32::new(0);
    let check = CHECKS.fetch_add(1, Ordering::Relaxed);
    let probe = path.join(format!(".write-check-{}-{check}", std::process::id()));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&probe)
        .map_err(fault)?;
    fs::remove_file(&probe).map_err(fault)
}

/// Closes a folder that earlier versions made readable for all users.
fn close_to_others(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    let mode = metadata.permissions().mode();
    let is_own = metadata.uid() == geteuid().as_raw() && mode & STICKY == 0;
    if mode & OTHERS == 0 || !is_own || !is_data_folder(path)? {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode & 0o7700))?;
    tracing::info!(
        folder = %path.display(),
        "the folder `{}` is closed to other users of this machine now",
        path.display()
    );
    Ok(())
}

/// Closes a folder and all that is in it to other users, as far as it is this user's: earlier versions
/// made it readable for all. Links are not followed, except that `path` may be one.
///
/// # Errors
///
/// If something in it cannot be read, or its permissions cannot be changed.
pub fn close_tree(path: &Path) -> io::Result<()> {
    close_own(path, &fs::metadata(path)?)?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            close_tree(&entry.path())?;
        } else if metadata.is_file() {
            close_own(&entry.path(), &metadata)?;
        }
    }
    Ok(())
}

fn close_own(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    let mode = metadata.permissions().mode();
    if mode & OTHERS == 0 || metadata.uid() != geteuid().as_raw() {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode & 0o7700))
}

/// Whether a folder holds what this system keeps, or nothing: a folder with other things in it may
/// be shared on purpose.
fn is_data_folder(path: &Path) -> io::Result<bool> {
    const OURS: [&str; 6] = [
        "movies.db",
        "recommendations.db",
        "accounts.db",
        "broker",
        "secret_key",
        "marquee.lock",
    ];
    let is_ours = OURS.iter().any(|name| path.join(name).exists());
    Ok(is_ours || fs::read_dir(path)?.next().is_none())
}

/// What one program at a time may work with in a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The broker's log. Older versions lock the same file, the all-in-one program for everything.
    Broker,
    /// The movies database.
    Movies,
    /// The recommendations database.
    Recommendations,
    /// The accounts database.
    Accounts,
}

impl Claimed {
    /// Not the name of a database with `.lock`: that is locked while a database is migrated.
    fn lock_file(self) -> &'static str {
        match self {
            Self::Broker => "marquee.lock",
            Self::Movies => "catalog-service.lock",
            Self::Recommendations => "recommendations-service.lock",
            Self::Accounts => "accounts-service.lock",
        }
    }
}

/// A part of a data folder that this program has for itself, for as long as this is kept.
#[derive(Debug)]
pub struct FolderClaim {
    _lock: File,
    path: PathBuf,
    is_new: bool,
}

impl FolderClaim {
    /// Gives the claim up and leaves the folder as it was before: a lock file that was made for the claim is removed, if that can be done.
    pub fn withdraw(self) {
        if self.is_new {
            // While it is locked: a program that comes now makes one of its own.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the data folder unless it is there, and claims a part of it for this program alone.
///
/// # Errors
///
/// [`Fault::BadSetting`] if it cannot be written to, another program has claimed the part, or a restore into the folder was
/// interrupted.
pub fn claim_folder(path: &Path, part: Claimed) -> Result<FolderClaim, Fault> {
    let claim = claim_to_restore(path, part)?;
    match path.join(UNFINISHED_RESTORE).exists() {
        false => Ok(claim),
        true => Err(Fault::bad_setting(
            settings::name(DATA_DIR),
            format!(
                "a restore into the folder `{}` was interrupted: run `marquee restore --replace` again",
                path.display()
            ),
        )),
    }
}

/// Claims a part of a data folder as [`claim_folder`] does, also if a restore into it was interrupted.
///
/// # Errors
///
/// [`Fault::BadSetting`] if it cannot be written to, or another program has claimed the part.
pub fn claim_to_restore(path: &Path, part: Claimed) -> Result<FolderClaim, Fault> {
    writable_folder(path)?;
    let fault = |reason: String| Fault::bad_setting(settings::name(DATA_DIR), reason);
    let file = path.join(part.lock_file());
    let is_new = fs::symlink_metadata(&file).is_err();
    let lock = open_lock(&file)
        .map_err(|error| fault(format!("cannot write `{}`: {error}", file.display())))?;
    match lock.try_lock() {
        // One that was locked by a claim that is withdrawn is no file of the folder any more.
        Ok(()) if !is_still_at(&lock, &file) => Err(fault(format!(
            "the folder `{}` was given up by another program just now: start again",
            path.display()
        ))),
        Ok(()) => Ok(FolderClaim {
            _lock: lock,
            path: file,
            is_new,
        }),
        Err(TryLockError::WouldBlock) => Err(fault(format!(
            "the folder `{}` is in use by another program",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(fault(error.to_string())),
    }
}

/// Whether a program has claimed the part of the data folder; `None` if that cannot be told. Nothing is made.
pub fn is_claimed(path: &Path, part: Claimed) -> Option<bool> {
    match File::open(path.join(part.lock_file())) {
        Ok(lock) => match lock.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

fn is_still_at(lock: &File, path: &Path) -> bool {
    let (locked, found) = (lock.metadata(), fs::symlink_metadata(path));
    matches!((locked, found), (Ok(locked), Ok(found)) if (locked.dev(), locked.ino()) == (found.dev(), found.ino()))
}

/// Opens a lock file without changing anything: it may be a link that another user has put there.
///
/// # Errors
///
/// If the file cannot be opened, or is a link.
pub fn open_lock(path: &Path) -> io::Result<File> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).map_err(io::Error::other)?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_follow)
        .open(path)
}

/// Opens a plain file, or a link to one, to read it. A pipe, a device, a socket or a folder is refused and not waited for.
///
/// # Errors
///
/// If it cannot be opened, or is no plain file.
pub fn open_plain(path: &Path) -> io::Result<File> {
    open_if_plain(path, OFlags::empty())
}

/// Opens a plain file as [`open_plain`] does, but no link: it could lead anywhere.
///
/// # Errors
///
/// If it cannot be opened, or is no plain file.
pub fn open_plain_itself(path: &Path) -> io::Result<File> {
    open_if_plain(path, OFlags::NOFOLLOW)
}

fn open_if_plain(path: &Path, more: OFlags) -> io::Result<File> {
    // Without NONBLOCK a pipe is opened when somebody opens its other end. With plain files it changes nothing.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | more;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        let reason = "it is no plain file";
        return Err(io::Error::new(ErrorKind::InvalidInput, reason));
    }
    Ok(file)
}

/// Reads a plain file of at most `most` bytes, see [`open_plain`].
///
/// # Errors
///
/// If it cannot be read, is no plain file, or is larger.
pub fn read_plain(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_opened(open_plain(path)?, most)
}

/// Reads a plain file of text as [`read_plain`] does.
///
/// # Errors
///
/// As for [`read_plain`], and if it is no UTF-8.
pub fn read_plain_text(path: &Path, most: u64) -> io::Result<String> {
    text(read_plain(path, most)?)
}

/// Reads at most `most` bytes, which is what the file has.
pub(crate) fn read_opened(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more, which tells that there are too many; the length that a file claims may be wrong.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let reason = format!("it is larger than {most} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// What a file holds, as text.
pub(crate) fn text(bytes: Vec<u8>) -> io::Result<String> {
    let no_text = |_| io::Error::new(ErrorKind::InvalidData, "it is no text in UTF-8");
    String::from_utf8(bytes).map_err(no_text)
}

/// Closes a file that holds a secret to other users, and warns if it was open to them.
///
/// # Errors
///
/// If the file's permissions cannot be read or changed.
pub fn keep_secret(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let mode = metadata.permissions().mode();
    if !metadata.is_file() || mode & OTHERS == 0 {
        return Ok(());
    }
    tracing::warn!(
        file = %path.display(),
        "other users of this machine could read the secret in `{}`; remove the file, and a new one is made at the next start",
        path.display()
    );
    fs::set_permissions(path, Permissions::from_mode(mode & 0o700))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, thread};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_folder_may_be_checked_by_several_services_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        writable_folder(&path).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }

    #[test]
    fn each_part_of_a_folder_is_claimed_by_one_program_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let parts = [
            Claimed::Broker,
            Claimed::Movies,
            Claimed::Recommendations,
            Claimed::Accounts,
        ];
        let claims = parts.map(|part| claim_folder(folder.path(), part).unwrap());
        for part in parts {
            let refused = claim_folder(folder.path(), part).unwrap_err();
            assert_eq!(refused.exit_code(), 64);
            assert!(refused.to_string().starts_with("--data-dir (DATA_DIR): "));
        }
        drop(claims);
        for part in parts {
            claim_folder(folder.path(), part).unwrap();
        }
    }

    #[test]
    fn a_folder_with_an_unfinished_restore_is_for_restores_alone() {
        let folder = tempfile::tempdir().unwrap();
        let unfinished = folder.path().join(UNFINISHED_RESTORE);
        fs::write(&unfinished, "").unwrap();
        let refused = claim_folder(folder.path(), Claimed::Movies).unwrap_err();
        assert!(refused.to_string().contains("restore"), "{refused}");
        drop(claim_to_restore(folder.path(), Claimed::Movies).unwrap());
        fs::remove_file(&unfinished).unwrap();
        claim_folder(folder.path(), Claimed::Movies).unwrap();
    }

    #[test]
    fn a_data_folder_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new");
        let _claim = claim_folder(&new, Claimed::Movies).unwrap();
        assert_eq!(mode(&new), 0o700);
        assert_eq!(mode(&new.join("catalog-service.lock")), 0o600);

        let old = folder.path().join("old");
        fs::create_dir(&old).unwrap();
        fs::write(old.join("movies.db"), "").unwrap();
        fs::set_permissions(&old, Permissions::from_mode(0o755)).unwrap();
        writable_folder(&old).unwrap();
        assert_eq!(mode(&old), 0o700);
    }

    #[test]
    fn a_folder_of_something_else_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        // A folder of all users stays open, even if it holds a database.
        for (name, permissions, file) in [
            ("shared", 0o755, "something-else"),
            ("all-users", 0o1777, "movies.db"),
        ] {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join(file), "").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(permissions)).unwrap();
            writable_folder(&path).unwrap();
            assert_eq!(mode(&path), permissions);
        }
    }

    #[test]
    fn a_tree_is_closed_and_what_its_links_lead_to_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("deep/deeper")).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let files = ["tree/lock", "tree/deep/deeper/log", "elsewhere/film"];
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        symlink(&elsewhere, tree.join("deep/link")).unwrap();
        symlink(elsewhere.join("film"), tree.join("link")).unwrap();
        let modes = |permissions: [(&str, u32); 6]| {
            for (path, permissions) in permissions {
                assert_eq!(mode(&folder.path().join(path)), permissions, "{path}");
            }
        };
        for (path, permissions) in [
            ("tree", 0o755),
            ("tree/deep/deeper", 0o750),
            ("tree/lock", 0o644),
            ("tree/deep/deeper/log", 0o640),
            ("elsewhere", 0o755),
            ("elsewhere/film", 0o644),
        ] {
            let permissions = Permissions::from_mode(permissions);
            fs::set_permissions(folder.path().join(path), permissions).unwrap();
        }
        close_tree(&tree).unwrap();
        modes([
            ("tree", 0o700),
            ("tree/deep/deeper", 0o700),
            ("tree/lock", 0o600),
            ("tree/deep/deeper/log", 0o600),
            ("elsewhere", 0o755),
            ("elsewhere/film", 0o644),
        ]);
    }

    #[test]
    fn a_lock_file_that_is_a_link_is_refused_and_what_it_points_to_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "kept").unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        symlink(&precious, data.join("marquee.lock")).unwrap();
        assert!(claim_folder(&data, Claimed::Broker).is_err());
        assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");

        fs::remove_file(data.join("marquee.lock")).unwrap();
        fs::write(data.join("marquee.lock"), "an operator's note").unwrap();
        let _claim = claim_folder(&data, Claimed::Broker).unwrap();
        let kept = fs::read_to_string(data.join("marquee.lock")).unwrap();
        assert_eq!(kept, "an operator's note");
    }

    /// A test that hangs would be the failure.
    #[test]
    fn only_plain_files_are_read_and_only_as_far_as_their_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "five!").unwrap();
        symlink(path("file"), path("link")).unwrap();
        symlink("/dev/zero", path("endless")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(path("pipe"))
            .status();
        assert!(made.unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for name in ["file", "link"] {
            assert_eq!(read_plain(&path(name), 5).unwrap(), b"five!");
            assert_eq!(read_plain_text(&path(name), 5).unwrap(), "five!");
            let refused = read_plain(&path(name), 4).unwrap_err().to_string();
            assert_eq!(refused, "it is larger than 4 bytes");
        }
        for name in ["endless", "pipe", "socket", "."] {
            assert!(read_plain(&path(name), 5).is_err(), "{name}");
        }
        // What is the size of a file is told by reading it: this one says that it has none.
        let refused = read_plain(Path::new("/proc/self/maps"), 10).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
        open_plain_itself(&path("file")).unwrap();
        assert!(open_plain_itself(&path("link")).is_err());
        fs::write(path("file"), [0xff]).unwrap();
        assert!(read_plain_text(&path("file"), 5).is_err());
    }

    #[test]
    fn a_secret_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        fs::write(&key, "a secret").unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
        keep_secret(&key).unwrap();
        assert_eq!(mode(&key), 0o600);
    }
}
