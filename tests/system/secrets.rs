//! `secrets.sh`, which makes the secrets of the compose file: it leaves what is there, and of files that belong together makes all or none.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

const TOGETHER: [&str; 3] = [
    "catalog_database_url",
    "recommendations_database_url",
    "databases.sql",
];

fn make(folder: &Path, path: &str, password: &str) -> Output {
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("secrets.sh"));
    script.arg(folder).env("PATH", path);
    script.env("CATALOG_DB_PASSWORD", password);
    script.output().unwrap()
}

fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| (name(&entry), fs::read_to_string(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn what_is_there_stays_and_what_belongs_together_is_refused_in_part() {
    let folder = TempDir::new().unwrap();
    let (folder, path) = (folder.path(), std::env::var("PATH").unwrap());
    let made = make(folder, &path, r"it's 5@\%");
    assert!(made.status.success(), "{made:?}");
    let first = files(folder);
    assert_eq!(first.len(), 10, "{first:?}");
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let url = text("catalog_database_url");
    assert_eq!(url, "mysql://catalog:it%27s%205%40%5C%25@mysql:3306/movies");
    let statements = text("databases.sql");
    let quoted = r"'catalog'@'%' IDENTIFIED BY 'it''s 5@\\%';";
    assert!(statements.contains(quoted), "{statements}");
    assert!(make(folder, &path, "another").status.success());
    assert_eq!(files(folder), first);
    for name in TOGETHER {
        let whole = fs::read(folder.join(name)).unwrap();
        fs::remove_file(folder.join(name)).unwrap();
        let refused = make(folder, &path, "another");
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && told.contains(name), "{told}");
        assert!(!folder.join(name).exists());
        fs::write(folder.join(name), whole).unwrap();
    }
}

/// Interrupts it at each file that gets its name.
#[test]
fn an_interrupted_run_is_completed_by_the_next_one() {
    use std::os::unix::fs::PermissionsExt;

    let bin = TempDir::new().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mv = bin.path().join("mv");
    for last in 0..20 {
        let folder = TempDir::new().unwrap();
        let count = bin.path().join("count");
        fs::write(&count, "").unwrap();
        let script = format!(
            "#!/bin/bash\nprintf . >>'{count}'\n[ $(stat -c %s '{count}') -gt {last} ] && kill -9 $PPID && exit 1\nPATH='{path}' exec mv \"$@\"\n",
            count = count.display()
        );
        fs::write(&mv, script).unwrap();
        fs::set_permissions(&mv, fs::Permissions::from_mode(0o700)).unwrap();
        let within = format!("{}:{path}", bin.path().display());
        if make(folder.path(), &within, "first").status.success() {
            assert!(last > TOGETHER.len(), "it was never interrupted");
            return;
        }
        let again = make(folder.path(), &path, "second");
        assert!(again.status.success(), "{last}: {again:?}");
        let files = files(folder.path());
        assert_eq!(files.len(), 10, "{last}: {files:?}");
        let of = |password: &str| {
            let users = files.iter().filter(|(_, text)| text.contains(password));
            users.count()
        };
        assert!(
            of("first") + of("second") == 2 && of("first") != 1,
            "{last}: {files:?}"
        );
    }
    panic!("it never ended");
}
