//! The list of all files of a backup with their sizes and checksums. A folder without it is no complete backup.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use runtime::{Fault, settings::open_plain_itself};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ACCOUNTS, BROKER, FOLDER, MOVIES, RECOMMENDATIONS, SECRETS};

/// The name of its file.
pub(super) const MANIFEST: &str = "manifest.json";
/// The form of backups that this program writes and reads.
const FORMAT: u32 = 1;
/// A list of more bytes than this is none.
const MOST_BYTES: u64 = 64 << 20;

/// What a backup is made of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The form of the backup; a program refuses forms that it does not know.
    pub(super) format: u32,
    /// The version of the program that made it.
    pub(super) version: String,
    /// When it was begun and when it was complete, in UTC.
    pub(super) begun_at: String,
    pub(super) completed_at: String,
    pub(super) files: Vec<Listed>,
}

/// A file of a backup.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Where it is in the backup, and in a data folder.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Listed {
    /// Copies the file from the backup in `folder` into `to`; returns whether it is the one that is listed.
    pub(super) fn copy(&self, folder: &Path, to: &mut impl Write) -> io::Result<bool> {
        let file = open_plain_itself(&folder.join(&self.path))?;
        if file.metadata()?.len() != self.bytes {
            return Ok(false);
        }
        // It may grow meanwhile.
        let found = copy_hashed(file.take(self.bytes.saturating_add(1)), to)?;
        Ok(found == (self.bytes, self.sha256.clone()))
    }

    /// Its path as it can be shown: a backup from elsewhere may list anything.
    pub(super) fn name_in(&self, folder: &Path) -> String {
        let path = folder.join(&self.path);
        path.display().to_string().escape_debug().to_string()
    }
}

/// The time as manifests have it.
pub(super) fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

impl Manifest {
    /// Lists all files in `folder`.
    pub(super) fn of(folder: &Path, begun_at: String) -> io::Result<Self> {
        let mut files = Vec::new();
        list(folder, "", &mut files)?;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            begun_at,
            completed_at: now(),
            files,
        })
    }

    /// Writes the list into `folder`, on disk when this returns.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let mut file = new_file(&folder.join(MANIFEST))?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()
    }

    /// Reads the list of the backup in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, Fault> {
        let name = folder.display();
        let refused = |reason: String| Fault::bad_setting(FOLDER, reason);
        let path = folder.join(MANIFEST);
        let mut text = Vec::new();
        let read =
            open_plain_itself(&path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut text));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound && folder.is_dir() => {
                return Err(refused(format!(
                    "`{name}` is no complete backup: it has no `{MANIFEST}`, which `marquee backup` writes last"
                )));
            }
            Err(error) => {
                return Err(refused(format!(
                    "cannot read `{}`: {error}",
                    path.display()
                )));
            }
        }
        let damaged = |reason: &dyn std::fmt::Display| {
            refused(format!("`{}` is damaged: {reason}", path.display()))
        };
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let form: Form = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
        if form.format != FORMAT {
            return Err(refused(format!(
                "`{name}` was made by another release, in form {} of backups; this one reads form {FORMAT}",
                form.format
            )));
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
        let is_of_none = |listed: &&Listed| !is_of_backup(&listed.path);
        if let Some(listed) = manifest.files.iter().find(is_of_none) {
            let path = listed.path.escape_debug();
            return Err(damaged(&format!("it lists `{path}`")));
        }
        match manifest.lacks() {
            Some(lacks) => Err(damaged(&lacks)),
            None => Ok(manifest),
        }
    }

    /// What is wrong with the list as a whole: what every backup has is not in it, or something is in it twice.
    fn lacks(&self) -> Option<String> {
        let mut paths = BTreeSet::new();
        for Listed { path, .. } in &self.files {
            if !paths.insert(path.as_str()) {
                return Some(format!("it lists `{}` twice", path.escape_debug()));
            }
        }
        for path in &paths {
            let database = path.strip_suffix(".id").filter(|path| !path.contains('/'));
            if let Some(database) = database.filter(|database| !paths.contains(database)) {
                return Some(format!("it lists `{path}`, and no `{database}`"));
            }
        }
        // The folder may have been that of one service.
        if ![MOVIES, RECOMMENDATIONS, ACCOUNTS]
            .iter()
            .any(|name| paths.contains(name))
        {
            return Some(format!(
                "it lists none of `{MOVIES}`, `{RECOMMENDATIONS}` and `{ACCOUNTS}`"
            ));
        }
        None
    }

    /// Reads every file of the backup in `folder` and compares it with the list.
    pub(super) fn verify(&self, folder: &Path) -> Result<(), Fault> {
        for listed in &self.files {
            let refused = |reason: String| {
                let name = listed.name_in(folder);
                Fault::bad_setting(
                    FOLDER,
                    format!("the file `{name}` of the backup {reason}; nothing was restored"),
                )
            };
            let found = listed.copy(folder, &mut io::sink());
            if !found.map_err(|error| refused(format!("cannot be read ({error})")))? {
                return Err(refused(
                    "is damaged: it is not as it was written".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// How many bytes all files have.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|listed| listed.bytes).sum()
    }
}

/// Whether backups have files of this name: no other is put into a data folder, where it could be anything.
fn is_of_backup(path: &str) -> bool {
    if let Some((BROKER, within)) = path.split_once('/') {
        let mut parts = within.split('/');
        return parts.all(|part| !matches!(part, "" | "." | ".."));
    }
    let database = path.strip_suffix(".id").unwrap_or(path);
    [MOVIES, RECOMMENDATIONS, ACCOUNTS].contains(&database) || SECRETS.contains(&path)
}

/// Copies all that can be read into `to`; returns its length and checksum.
pub(super) fn copy_hashed(mut from: impl Read, to: &mut impl Write) -> io::Result<(u64, String)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let chunk = buffer.get(..read).unwrap_or_default();
        hash.update(chunk);
        to.write_all(chunk)?;
        bytes += chunk.len() as u64;
    }
    let digest = hash.finalize();
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, sha256))
}

/// Makes a file that only this user can read.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn list(folder: &Path, prefix: &str, files: &mut Vec<Listed>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let name = file_name
            .to_str()
            .ok_or_else(|| io::Error::other(format!("a name is no text: {file_name:?}")))?;
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{path}/"), files)?;
            continue;
        }
        if path == super::making::INCOMPLETE {
            continue;
        }
        let (bytes, sha256) = copy_hashed(open_plain_itself(&entry.path())?, &mut io::sink())?;
        files.push(Listed {
            path,
            bytes,
            sha256,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test that hangs would be the failure.
    #[test]
    fn what_has_no_end_or_leads_elsewhere_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MOVIES);
        let verify = |bytes: u64, path: &str| {
            let manifest = Manifest {
                format: FORMAT,
                version: String::new(),
                begun_at: String::new(),
                completed_at: String::new(),
                files: vec![Listed {
                    path: path.to_owned(),
                    bytes,
                    sha256: String::new(),
                }],
            };
            manifest.verify(folder.path()).unwrap_err().to_string()
        };
        fs::write(&path, "a film").unwrap();
        assert!(verify(5, MOVIES).contains("is damaged"));
        let refusal = verify(1, "broker/\u{1b}[2J");
        assert!(refusal.contains("\\u{1b}[2J"), "{refusal:?}");
        assert!(!refusal.contains('\u{1b}'), "{refusal:?}");

        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(verify(0, MOVIES).contains("cannot be read"));
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        assert!(verify(0, MOVIES).contains("it is no plain file"));
    }

    #[test]
    fn a_list_that_leads_elsewhere_or_is_of_another_form_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MANIFEST);
        let refusal = |text: &str| {
            fs::write(&path, text).unwrap();
            Manifest::read(folder.path()).unwrap_err().to_string()
        };
        let listing_all = |paths: &[&str]| {
            let file = |path: &&str| format!(r#"{{"path":"{path}","bytes":0,"sha256":""}}"#);
            let files = paths.iter().map(file).collect::<Vec<_>>().join(",");
            format!(
                r#"{{"format":1,"version":"0","begun_at":"","completed_at":"","files":[{files}]}}"#
            )
        };
        let listing = |path: &str| listing_all(&["movies.db", path]);
        let strangers = [
            "notes.txt",
            "movies.db-wal",
            "movies.db/",
            "broker",
            "replaced-1/movies.db",
            "restore.unfinished",
        ];
        let elsewhere = ["/etc/passwd", "../movies.db", "broker/../../b", ""];
        for path in elsewhere.iter().chain(&strangers) {
            let refusal = refusal(&listing(path));
            assert!(refusal.contains("is damaged"), "{path}: {refusal}");
        }
        assert!(refusal("{").contains("is damaged"));
        assert!(refusal(r#"{"format":2}"#).contains("another release"));
        for wrong in [
            &[][..],
            &["secret_key"],
            &["movies.db.id"],
            &["movies.db", "recommendations.db.id"],
            &["movies.db", "movies.db"],
        ] {
            let refusal = refusal(&listing_all(wrong));
            assert!(refusal.contains("is damaged"), "{wrong:?}: {refusal}");
        }
        for names in [
            &["movies.db"][..],
            &["recommendations.db", "recommendations.db.id"],
            &[
                "movies.db",
                "broker/streams/a/1",
                "broker/x.id",
                "secret_key",
            ],
        ] {
            fs::write(&path, listing_all(names)).unwrap();
            let manifest = Manifest::read(folder.path()).unwrap();
            assert_eq!(manifest.files.len(), names.len());
        }
    }
}
