//! A database that was lost, replaced or damaged is refused or taken out of use, never started empty.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use diesel::{
    Connection, QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection,
    sql_query,
};
use runtime::{Fault, Process, Supervisor, supervision::Health};
use storage::{
    Database, DatabaseUrl, Error, Migrations,
    testing::{TestDatabase, databases},
};
use tempfile::TempDir;

use crate::{
    replicas::SERVICES,
    support::{count, eventually, in_system, insert, open, outside, over_each, over_mysql},
};

/// A folder with `notes.db` as a crash leaves it: one note in the main file, others in the log.
struct Crashed(TempDir);

impl Crashed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = tempfile::tempdir().unwrap();
        in_system(async {
            let (database, supervisor) = start(&folder.path().join("notes.db")).await;
            let table = "CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, word TEXT NOT NULL);";
            let create = |conn: &mut storage::DbConnection| conn.batch_execute(table);
            database.write(create).await.unwrap();
            for id in 0..5 {
                database.write(move |conn| insert(conn, id)).await.unwrap();
            }
            for entry in fs::read_dir(folder.path()).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), image.path().join(entry.file_name())).unwrap();
            }
            drop(database);
            supervisor.stop(std::time::Duration::from_secs(5)).await;
        });
        assert!(
            fs::metadata(image.path().join("notes.db-wal"))
                .unwrap()
                .len()
                > 8 * 4_096
        );
        Self(image)
    }

    /// The same files again.
    fn copy(&self) -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        for entry in fs::read_dir(self.0.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.0.path().join(entry.file_name())).unwrap();
        }
        copy
    }

    /// The files as they are when a program has opened the database, added notes, and is killed.
    fn goes_on_and_crashes(&self, ids: std::ops::Range<i64>) -> Self {
        let mut image = None;
        in_system(async {
            let (database, supervisor) = start(&self.path("")).await;
            for id in ids {
                database.write(move |conn| insert(conn, id)).await.unwrap();
            }
            image = Some(self.copy());
            drop(database);
            supervisor.stop(std::time::Duration::from_secs(5)).await;
        });
        image.unwrap()
    }

    fn read_main(&self) -> Vec<u8> {
        fs::read(self.path("")).unwrap()
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.0.path().join(format!("notes.db{suffix}"))
    }

    fn overwrite(&self, suffix: &str, at: u64, bytes: &[u8]) {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(self.path(suffix))
            .unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(bytes).unwrap();
    }

    /// What opening it is refused with; the probe says the same, and nothing on disk changes.
    fn refusal(&self) -> String {
        let before = self.contents();
        let url = DatabaseUrl::Sqlite(self.path(""));
        let probed = storage::probe("--database-url (DATABASE_URL)", &url).unwrap_err();
        let mut said = String::new();
        in_system(async {
            let supervisor = Supervisor::new("storage-test", &Process::new());
            let fault = open(&supervisor, &url).await.err().expect("it is refused");
            assert!(matches!(fault, Fault::BadSetting { .. }), "{fault:?}");
            said = fault.to_string();
        });
        assert_eq!(probed.to_string(), said);
        assert!(said.contains("backup") && !said.contains('\n'), "{said}");
        assert_eq!(self.contents(), before, "{said}");
        said
    }

    /// Changes how many commits were acknowledged.
    fn note(&self, commits: u64) {
        let said = fs::read_to_string(self.path(".commits")).unwrap();
        let identity = said.split(' ').next().unwrap();
        fs::write(self.path(".commits"), format!("{identity} {commits:020}\n")).unwrap();
    }

    /// How many commits were acknowledged.
    fn noted(&self) -> u64 {
        let said = fs::read_to_string(self.path(".commits")).unwrap();
        said.trim().split(' ').next_back().unwrap().parse().unwrap()
    }

    /// Runs SQL as a program that knows nothing of this one; its connection is closed afterwards.
    fn outside(&self, sql: &str) {
        let path = self.path("").display().to_string();
        let mut conn = SqliteConnection::establish(&path).unwrap();
        conn.batch_execute(sql).unwrap();
    }

    /// Cuts the log.
    fn cut_log(&self, len: u64) {
        let log = fs::OpenOptions::new().write(true).open(self.path("-wal"));
        log.unwrap().set_len(len).unwrap();
    }

    fn log_len(&self) -> u64 {
        fs::metadata(self.path("-wal")).unwrap().len()
    }

    fn contents(&self) -> Vec<Option<Vec<u8>>> {
        ["", "-wal", ".id", ".commits"]
            .map(|suffix| fs::read(self.path(suffix)).ok())
            .into()
    }

    /// How many notes there are once it is open.
    fn notes(&self) -> i64 {
        let mut notes = 0;
        in_system(async {
            let (database, supervisor) = start(&self.path("")).await;
            notes = database.read(|conn| count(conn, "notes")).await.unwrap();
            drop(database);
            supervisor.stop(std::time::Duration::from_secs(5)).await;
            // The pool closes its connections in its own time, and the last one takes the log away.
            let closed = async || !self.path("-wal").exists();
            testkit::eventually("the database is closed", closed).await;
        });
        notes
    }
}

async fn start(path: &Path) -> (Database, Supervisor) {
    let supervisor = Supervisor::new("storage-test", &Process::new());
    let database = open(&supervisor, &DatabaseUrl::Sqlite(path.to_owned()))
        .await
        .unwrap();
    (database, supervisor)
}

#[test]
fn a_crash_loses_nothing_and_is_not_refused() {
    assert_eq!(Crashed::new().notes(), 5);
    // The last transaction may be cut off anywhere, or not have reached the disk, if nobody was told of it.
    let torn = Crashed::new();
    torn.note(4);
    let len = fs::metadata(torn.path("-wal")).unwrap().len();
    torn.overwrite("-wal", len - 100, &[7; 100]);
    assert_eq!(torn.notes(), 4);
    let unwritten = Crashed::new();
    unwritten.overwrite("-wal", len, &[0; 9_000]);
    assert_eq!(unwritten.notes(), 5);
}

/// What one commit of a note takes in the log: a page of the notes, of their index and of the count.
const COMMIT_LEN: u64 = 3 * (24 + 4_096);

#[test]
fn a_log_that_was_lost_or_cut_short_is_refused_and_nothing_is_changed() {
    type Loss = fn(&Crashed);
    let losses: [(&str, u64, Loss); 6] = [
        ("removed", 5, |crashed| {
            fs::remove_file(crashed.path("-wal")).unwrap();
        }),
        ("removed with its index", 5, |crashed| {
            fs::remove_file(crashed.path("-wal")).unwrap();
            fs::remove_file(crashed.path("-shm")).unwrap();
        }),
        ("emptied", 5, |crashed| crashed.cut_log(0)),
        ("cut after its header", 5, |crashed| crashed.cut_log(32)),
        ("cut by three commits", 3, |crashed| {
            crashed.cut_log(crashed.log_len() - 2 * COMMIT_LEN - 1);
        }),
        ("cut by a byte", 1, |crashed| {
            crashed.cut_log(crashed.log_len() - 1);
        }),
    ];
    for (loss, lost, lose) in losses {
        let crashed = Crashed::new();
        assert_eq!(crashed.noted(), 5);
        let log = fs::read(crashed.path("-wal")).unwrap();
        lose(&crashed);
        for _ in 0..2 {
            let said = crashed.refusal();
            let count = format!("lost the last {lost} of the commits");
            assert!(said.contains(&count), "{loss}: {said}");
            assert!(said.contains("notes.db.commits"), "{loss}: {said}");
        }
        // The log may be put back, for nothing was changed.
        let left = fs::read(crashed.path("-wal")).ok();
        fs::write(crashed.path("-wal"), log).unwrap();
        let whole = crashed.copy();
        assert_eq!(whole.notes(), 5, "{loss}");
        // Or an operator goes on with what is left.
        fs::remove_file(crashed.path("-wal")).unwrap();
        if let Some(left) = left {
            fs::write(crashed.path("-wal"), left).unwrap();
        }
        fs::remove_file(crashed.path(".commits")).unwrap();
        if lost < 5 {
            assert_eq!(crashed.notes(), 5 - i64::try_from(lost).unwrap(), "{loss}");
        } else {
            in_system(async { drop(start(&crashed.path("")).await) });
        }
    }
}

#[test]
fn an_older_copy_in_place_of_a_crashed_database_is_refused_until_it_is_meant() {
    let crashed = Crashed::new();
    let (older, stopped) = (crashed.copy(), crashed.copy());
    older.outside("DELETE FROM notes WHERE id > 1; UPDATE marquee_commits SET number = 2");
    fs::copy(older.path(""), crashed.path("")).unwrap();
    fs::remove_file(crashed.path("-wal")).unwrap();
    assert!(crashed.refusal().contains("lost the last 3"));
    fs::remove_file(crashed.path(".commits")).unwrap();
    assert_eq!(crashed.notes(), 2);

    // After a stop nothing is open, and an older copy is what it is.
    assert_eq!(stopped.notes(), 5);
    assert_eq!(stopped.noted(), 0);
    fs::copy(older.path(""), stopped.path("")).unwrap();
    assert_eq!(stopped.notes(), 2);
}

#[test]
fn an_older_copy_under_the_log_of_a_newer_database_is_refused() {
    let crashed = Crashed::new();
    assert_eq!(crashed.notes(), 5);
    let older = crashed.copy();
    let newer = crashed.goes_on_and_crashes(5..9);
    // In the log there is all that came after the copy was made: together they are the newer database.
    let together = newer.copy();
    fs::copy(older.path(""), together.path("")).unwrap();
    assert_eq!(together.notes(), 9);

    assert_eq!(newer.notes(), 9);
    let newest = newer.goes_on_and_crashes(9..12);
    for is_noted in [true, false] {
        let mixed = newest.copy();
        fs::copy(older.path(""), mixed.path("")).unwrap();
        if !is_noted {
            fs::remove_file(mixed.path(".commits")).unwrap();
        }
        let said = mixed.refusal();
        for file in [
            "older than its log",
            "`notes.db-wal`",
            "`notes.db-shm`",
            "`notes.db.commits`",
        ] {
            assert!(said.contains(file), "{said}");
        }
        for suffix in ["-wal", "-shm", ".commits"] {
            let _ = fs::remove_file(mixed.path(suffix));
        }
        assert_eq!(mixed.notes(), 5);
    }
    assert_eq!(newest.notes(), 12);
}

#[test]
fn no_instant_of_a_crash_is_refused() {
    type Step = fn(&Crashed);
    let steps: [(&str, i64, Step); 16] = [
        ("before the database is made", 0, |image| {
            for suffix in ["-wal", ".id", ".commits"] {
                fs::remove_file(image.path(suffix)).unwrap();
            }
            fs::write(image.path(""), "").unwrap();
        }),
        ("before it has an identity", 5, |image| {
            image.outside("DROP TABLE marquee_identity; DROP TABLE marquee_commits");
            fs::remove_file(image.path(".id")).unwrap();
            fs::remove_file(image.path(".commits")).unwrap();
        }),
        ("before its marker is written", 5, |image| {
            image.outside("DROP TABLE marquee_commits");
            fs::remove_file(image.path(".id")).unwrap();
            fs::remove_file(image.path(".commits")).unwrap();
        }),
        ("before there is a count", 5, |image| {
            image.outside("DROP TABLE marquee_commits");
            fs::remove_file(image.path(".commits")).unwrap();
        }),
        ("before commits are noted", 5, |image| {
            fs::remove_file(image.path(".commits")).unwrap();
        }),
        ("before the first line is there", 5, |image| {
            fs::write(image.path(".commits"), "").unwrap();
        }),
        ("within the first line", 5, |image| {
            let said = fs::read(image.path(".commits")).unwrap();
            fs::write(image.path(".commits"), &said[..said.len() / 2]).unwrap();
        }),
        ("before the first commit", 5, |image| image.note(0)),
        ("before a commit is noted", 5, |image| image.note(4)),
        ("before a commit is complete", 4, |image| {
            image.note(4);
            image.cut_log(image.log_len() - 1);
        }),
        ("within a commit's first page", 4, |image| {
            image.note(4);
            image.cut_log(image.log_len() - COMMIT_LEN + 100);
        }),
        ("within the move of the log", 5, |image| {
            let moved = image.copy();
            moved.outside("PRAGMA wal_checkpoint(TRUNCATE)");
            let (before, after) = (image.read_main(), moved.read_main());
            let half = after.len() / 2 / 4_096 * 4_096;
            let mixed = [&after[..half], &before[half.min(before.len())..]].concat();
            fs::write(image.path(""), mixed).unwrap();
        }),
        ("after the move, before the log is emptied", 5, |image| {
            let log = fs::read(image.path("-wal")).unwrap();
            image.outside("PRAGMA wal_checkpoint(TRUNCATE)");
            fs::write(image.path("-wal"), log).unwrap();
        }),
        ("after the log was emptied", 5, |image| {
            image.outside("PRAGMA wal_checkpoint(TRUNCATE)");
            fs::write(image.path("-wal"), "").unwrap();
        }),
        ("after the log was removed", 5, |image| {
            image.outside("PRAGMA wal_checkpoint(TRUNCATE)");
            assert!(!image.path("-wal").exists());
        }),
        ("after the note was taken back", 5, |image| {
            image.outside("PRAGMA wal_checkpoint(TRUNCATE)");
            image.note(0);
        }),
    ];
    let crashed = Crashed::new();
    for (step, notes, make) in steps {
        eprintln!("{step}");
        let image = crashed.copy();
        make(&image);
        let url = DatabaseUrl::Sqlite(image.path(""));
        storage::probe("test", &url).unwrap();
        if notes == 0 {
            in_system(async { drop(start(&image.path("")).await) });
        } else {
            assert_eq!(image.notes(), notes, "{step}");
        }
        assert_eq!(image.noted(), 0, "{step}: it was stopped");
    }
}

#[test]
fn another_program_may_use_a_crashed_database_before_it_is_started_again() {
    let crashed = Crashed::new();
    crashed.outside("INSERT INTO notes VALUES (100, 'older release')");
    assert!(!crashed.path("-wal").exists());
    assert_eq!(crashed.noted(), 5);
    assert_eq!(crashed.notes(), 6);
    // One that writes without a log, and was killed: its journal is rolled back.
    let crashed = Crashed::new();
    crashed.outside("PRAGMA journal_mode = DELETE");
    assert_eq!(crashed.notes(), 5);
}

#[test]
fn a_log_that_was_lost_while_it_was_moved_is_refused() {
    let crashed = Crashed::new();
    crashed.outside(
        "CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT); CREATE INDEX words_word ON words (word);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO words SELECT i, hex(randomblob(20)) FROM n;",
    );
    let moved = crashed.copy();
    moved.outside("DELETE FROM words WHERE id > 1000; UPDATE marquee_commits SET number = 6");
    let (before, after) = (crashed.read_main(), moved.read_main());
    let half = before.len() / 2 / 4_096 * 4_096;
    fs::write(crashed.path(""), [&after[..half], &before[half..]].concat()).unwrap();
    crashed.note(6);
    let said = crashed.refusal();
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn what_one_program_commits_while_another_stops_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    let crashed = Crashed(tempfile::tempdir().unwrap());
    in_system(async {
        let (one, one_supervisor) = start(&path).await;
        let table = "CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, word TEXT NOT NULL);";
        one.write(|conn| conn.batch_execute(table)).await.unwrap();
        let (other, other_supervisor) = start(&path).await;
        for id in 0..4 {
            let database = if id % 2 == 0 { &one } else { &other };
            database.write(move |conn| insert(conn, id)).await.unwrap();
        }
        drop(one);
        one_supervisor.stop(std::time::Duration::from_secs(5)).await;
        other.write(|conn| insert(conn, 4)).await.unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), crashed.0.path().join(entry.file_name())).unwrap();
        }
        drop(other);
        other_supervisor
            .stop(std::time::Duration::from_secs(5))
            .await;
    });
    assert_eq!(crashed.noted(), 5);
    assert_eq!(crashed.copy().notes(), 5);
    fs::remove_file(crashed.path("-wal")).unwrap();
    assert!(crashed.refusal().contains("lost the last 1 "));
}

#[test]
fn a_write_that_changes_nothing_is_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    in_system(async {
        let (database, _supervisor) = start(&path).await;
        let len = || fs::metadata(folder.path().join("notes.db-wal")).map(|log| log.len());
        let table = "CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, word TEXT NOT NULL);";
        database
            .write(|conn| conn.batch_execute(table))
            .await
            .unwrap();
        database.write(|conn| insert(conn, 1)).await.unwrap();
        let before = len().unwrap();
        database.write(|conn| count(conn, "notes")).await.unwrap();
        assert_eq!(len().unwrap(), before);
        database.write(|conn| insert(conn, 2)).await.unwrap();
        assert_eq!(len().unwrap(), before + COMMIT_LEN);
    });
}

#[test]
fn a_missing_or_emptied_database_is_refused_and_its_log_kept() {
    let missing = Crashed::new();
    fs::remove_file(missing.path("")).unwrap();
    let said = missing.refusal();
    assert!(
        said.contains("missing") && said.contains("notes.db-wal"),
        "{said}"
    );

    let emptied = Crashed::new();
    fs::write(emptied.path(""), "").unwrap();
    assert!(emptied.refusal().contains("empty"));
    // Without the marker the log still says that there was something.
    fs::remove_file(emptied.path(".id")).unwrap();
    assert!(emptied.refusal().contains("notes.db-wal"));
    fs::remove_file(emptied.path("-wal")).unwrap();
    in_system(async { drop(start(&emptied.path("")).await) });

    let without_log = Crashed::new();
    fs::remove_file(without_log.path("")).unwrap();
    fs::remove_file(without_log.path("-wal")).unwrap();
    assert!(without_log.refusal().contains("notes.db.id"));
}

#[test]
fn another_database_in_its_place_is_refused_until_the_marker_goes() {
    let (one, other) = (Crashed::new(), Crashed::new());
    assert_eq!(other.notes(), 5);
    fs::remove_file(one.path("-wal")).unwrap();
    fs::copy(other.path(""), one.path("")).unwrap();
    assert!(one.refusal().contains("not the one"));
    fs::remove_file(one.path(".id")).unwrap();
    assert_eq!(one.notes(), 5);
    assert_eq!(
        fs::read(one.path(".id")).unwrap(),
        fs::read(other.path(".id")).unwrap()
    );

    fs::write(one.path(""), "These are my films, and this is no database.").unwrap();
    assert!(one.refusal().contains("no SQLite database"));
}

#[test]
fn a_damaged_log_is_refused_and_kept() {
    let garbage: Vec<u8> = (0..20_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for (at, what) in [
        (0, "all of it"),
        (20, "its header"),
        (32, "its frames"),
        (4_200, "a frame"),
    ] {
        let crashed = Crashed::new();
        let len = if what == "a frame" {
            1_000
        } else {
            garbage.len()
        };
        crashed.overwrite("-wal", at, &garbage[..len]);
        let said = crashed.refusal();
        assert!(said.contains("notes.db-wal"), "{what}: {said}");
        // An operator who moves the log goes on with what is in the main file.
        assert!(said.contains("notes.db.commits"), "{what}: {said}");
        fs::rename(crashed.path("-wal"), crashed.path(".away")).unwrap();
        fs::remove_file(crashed.path(".commits")).unwrap();
        in_system(async { drop(start(&crashed.path("")).await) });
    }
    let cut = Crashed::new();
    fs::write(cut.path("-wal"), [0; 31]).unwrap();
    assert!(cut.refusal().contains("cut off"));
}

#[test]
fn a_database_that_is_cut_off_or_damaged_is_refused() {
    let cut = Crashed::new();
    assert_eq!(cut.notes(), 5);
    let len = fs::metadata(cut.path("")).unwrap().len();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(cut.path(""))
        .unwrap();
    file.set_len(len - 4_096).unwrap();
    assert!(cut.refusal().contains("cut off"));

    let damaged = Crashed::new();
    assert_eq!(damaged.notes(), 5);
    let mut said = String::new();
    damaged.overwrite(
        "",
        4_096,
        &vec![0xff; usize::try_from(len).unwrap() - 4_096],
    );
    in_system(async {
        let supervisor = Supervisor::new("storage-test", &Process::new());
        let url = DatabaseUrl::Sqlite(damaged.path(""));
        let fault = open(&supervisor, &url).await.err().expect("it is refused");
        assert!(matches!(fault, Fault::BadSetting { .. }), "{fault:?}");
        said = fault.to_string();
    });
    assert!(
        said.contains("damaged") && said.contains("backup"),
        "{said}"
    );
}

/// A database of 2,000 notes, in `folder`, with damage behind the pages that a start reads.
fn damaged_inside(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("notes.db");
    in_system(async {
        let (database, supervisor) = start(&path).await;
        let fill = |conn: &mut storage::DbConnection| {
            conn.batch_execute(
                "CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, word TEXT NOT NULL);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                 INSERT INTO notes SELECT i, hex(randomblob(500)) FROM n;",
            )
        };
        database.write(fill).await.unwrap();
        drop(database);
        supervisor.stop(std::time::Duration::from_secs(5)).await;
    });
    let len = fs::metadata(&path).unwrap().len();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(len / 4 / 4_096 * 4_096)).unwrap();
    file.write_all(&vec![0xff; 50 * 4_096]).unwrap();
    path
}

/// Why the actors are not ready.
fn not_ready(process: &Process) -> String {
    let actors = process.registry.actors();
    let reasons = actors.iter().filter_map(|actor| actor.not_ready_reason());
    reasons.collect()
}

#[test]
fn damage_that_a_query_finds_takes_the_database_out_of_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = damaged_inside(&folder);
    in_system(async {
        let process = Process::new();
        let supervisor = Supervisor::new("storage-test", &process);
        let url = DatabaseUrl::Sqlite(path.clone());
        let database = open(&supervisor, &url).await.unwrap();
        let sum = |conn: &mut _| count(conn, "notes WHERE word <> 'x'");
        assert!(matches!(database.read(sum).await, Err(Error::Query(_))));
        // At once: two seconds after the start the damage is found without a query, too.
        let next = database.read(|conn| count(conn, "(SELECT 1)")).await;
        assert!(matches!(next, Err(Error::Unavailable(_))), "{next:?}");
        assert!(not_ready(&process).contains("damaged"));
    });
}

#[test]
fn damage_is_found_without_a_query_and_takes_the_database_out_of_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = damaged_inside(&folder);
    in_system(async {
        let process = Process::new();
        let supervisor = Supervisor::new("storage-test", &process);
        let url = DatabaseUrl::Sqlite(path.clone());
        let database = open(&supervisor, &url).await.unwrap();
        eventually("the start, which does not wait for it", async || {
            not_ready(&process).is_empty().then_some(())
        })
        .await;
        let reasons = eventually("the damage is found", async || {
            Some(not_ready(&process)).filter(|reasons| !reasons.is_empty())
        })
        .await;
        let name = path.display().to_string();
        for words in ["damaged", "from a backup", &name] {
            assert!(reasons.contains(words), "{reasons}");
        }
        let write = database.write(|conn| insert(conn, 3_000)).await;
        assert!(matches!(write, Err(Error::Unavailable(_))), "{write:?}");
        supervisor.stop(std::time::Duration::from_secs(5)).await;
    });
}

#[test]
fn a_database_that_has_lost_a_table_is_not_ready_until_the_table_is_back() {
    over_each("loses_a_table", async |opened| {
        let tables = async |sql| outside(&opened.test, |conn| conn.batch_execute(sql).unwrap());
        let notes = async || opened.database.read(|conn| count(conn, "notes")).await;
        let not_ready = || {
            let actors = opened.process.registry.actors();
            let reasons = actors.iter().filter_map(|actor| actor.not_ready_reason());
            reasons.collect::<String>()
        };
        opened.note(1).await.unwrap();
        tables("ALTER TABLE notes RENAME TO elsewhere").await;
        for _ in 0..2 {
            let read = notes().await;
            assert!(matches!(read, Err(Error::Query(_))), "{read:?}");
        }
        let reasons = not_ready();
        let url = opened.test.url().to_string();
        for words in [&url, "has lost its table `notes`", "restore a backup"] {
            assert!(reasons.contains(words), "{reasons}");
        }
        // What other tables have is no sign that this one is back.
        let other = opened.database.read(|conn| count(conn, "elsewhere"));
        assert_eq!(other.await.unwrap(), 1);
        assert_ne!(not_ready(), "");
        tables("ALTER TABLE elsewhere RENAME TO notes").await;
        assert_eq!(notes().await.unwrap(), 1);
        assert_eq!(not_ready(), "");

        tables("DROP TABLE notes").await;
        let written = opened.note(2).await;
        assert!(matches!(written, Err(Error::Query(_))), "{written:?}");
        assert!(notes().await.is_err());
        assert_ne!(not_ready(), "");
        opened.close().await;
    });
}

#[test]
fn a_database_that_was_dropped_on_its_server_is_not_ready_until_it_is_back() {
    over_mysql("dropped", async |opened| {
        let url = opened.test.url().to_string();
        let (_, name) = url.rsplit_once('/').unwrap();
        let server = TestDatabase::mysql("admin_of_dropped").unwrap();
        let on_server = |sql: String| outside(&server, |conn| conn.batch_execute(&sql).unwrap());
        let notes = async || opened.database.read(|conn| count(conn, "notes")).await;
        opened.note(1).await.unwrap();
        assert_eq!(notes().await.unwrap(), 1);

        on_server(format!("DROP DATABASE {name}"));
        for _ in 0..8 {
            notes().await.unwrap_err();
        }
        let reasons = not_ready(&opened.process);
        assert!(reasons.contains(&url), "{reasons}");
        assert!(reasons.contains("restore a backup"), "{reasons}");
        opened.note(2).await.unwrap_err();

        on_server(format!(
            "CREATE DATABASE {name} CHARACTER SET utf8mb4;
             CREATE TABLE {name}.notes (id BIGINT NOT NULL PRIMARY KEY, word VARCHAR(255) NOT NULL)"
        ));
        eventually("reads to work again", async || {
            let is_back = notes().await.is_ok() && not_ready(&opened.process).is_empty();
            is_back.then_some(())
        })
        .await;
        eventually("writes to work again", async || opened.note(3).await.ok()).await;
        assert_eq!(notes().await.unwrap(), 1);
        opened.close().await;
    });
}

/// A database that SQLite finds nothing wrong with but the count of its free pages.
#[test]
fn a_database_with_pages_that_belong_to_no_table_stays_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    in_system(async {
        let (database, supervisor) = start(&path).await;
        let fill = |conn: &mut storage::DbConnection| {
            conn.batch_execute(
                "CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, word TEXT NOT NULL);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                 INSERT INTO notes SELECT i, hex(randomblob(500)) FROM n;
                 DELETE FROM notes WHERE id > 1000;",
            )
        };
        database.write(fill).await.unwrap();
        drop(database);
        supervisor.stop(std::time::Duration::from_secs(5)).await;
    });
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let count_of_free_pages = 36;
    file.seek(SeekFrom::Start(count_of_free_pages)).unwrap();
    file.write_all(&7_u32.to_be_bytes()).unwrap();
    in_system(async {
        let process = Process::new();
        let supervisor = Supervisor::new("storage-test", &process);
        let url = DatabaseUrl::Sqlite(path.clone());
        let database = open(&supervisor, &url).await.unwrap();
        let health = eventually("the check", async || {
            let actors = process.registry.actors();
            let mut checkers = actors.iter().filter(|actor| actor.name == "notes-checker");
            let checker = checkers.next()?;
            (checker.handled > 0).then(|| checker.health.clone())
        })
        .await;
        let Health::Degraded(words) = &health else {
            panic!("{health:?}");
        };
        for part in [path.to_str().unwrap(), "Freelist: size is ", "VACUUM"] {
            assert!(words.contains(part), "{words}");
        }
        assert_eq!(not_ready(&process), "");
        let notes = database.read(|conn| count(conn, "notes")).await;
        assert_eq!(notes.unwrap(), 1_000);
        database.write(|conn| insert(conn, 3_000)).await.unwrap();
        supervisor.stop(std::time::Duration::from_secs(5)).await;
    });
}

#[test]
fn a_database_that_is_removed_while_it_is_open_is_out_of_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    in_system(async {
        let (database, _supervisor) = start(&path).await;
        let create = "CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, word TEXT NOT NULL)";
        database
            .write(|conn| conn.batch_execute(create))
            .await
            .unwrap();
        fs::rename(&path, folder.path().join("away.db")).unwrap();
        let lost = database.write(|conn| insert(conn, 1)).await;
        assert!(matches!(lost, Err(Error::Unavailable(_))), "{lost:?}");
        assert!(!path.exists(), "no new database takes its place");
        fs::rename(folder.path().join("away.db"), &path).unwrap();
        eventually("the database is used again", async || {
            database.write(|conn| insert(conn, 2)).await.ok()
        })
        .await;
    });
}

#[test]
fn files_are_the_users_own() {
    let crashed = Crashed::new();
    for suffix in ["", "-wal", ".id"] {
        let open_to_all = fs::Permissions::from_mode(0o644);
        fs::set_permissions(crashed.path(suffix), open_to_all).unwrap();
    }
    in_system(async {
        let new = tempfile::tempdir().unwrap();
        let opened = [crashed.path(""), new.path().join("notes.db")];
        for path in opened {
            let (database, _supervisor) = start(&path).await;
            let table = "CREATE TABLE more (id BIGINT)";
            database
                .write(|conn| conn.batch_execute(table))
                .await
                .unwrap();
            let mut files = 0;
            for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
                let entry = entry.unwrap();
                let mode = entry.metadata().unwrap().mode() & 0o777;
                // The image's copy of the old index of the log is written again.
                assert_eq!(mode, 0o600, "{:?}", entry.path());
                files += 1;
            }
            assert!(files >= 4, "database, log, index, marker, lock");
        }
    });
}

#[test]
fn a_stop_leaves_the_whole_database_in_its_main_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    in_system(async {
        let (database, supervisor) = start(&path).await;
        let create = "CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, word TEXT NOT NULL)";
        database
            .write(|conn| conn.batch_execute(create))
            .await
            .unwrap();
        // As long as another program has it open SQLite does not tidy up by itself.
        let (other, _still_open) = start(&path).await;
        other.read(|conn| count(conn, "notes")).await.unwrap();
        database.write(|conn| insert(conn, 1)).await.unwrap();
        drop(database);
        supervisor.stop(std::time::Duration::from_secs(5)).await;
        let log = fs::metadata(folder.path().join("notes.db-wal")).unwrap();
        assert_eq!(log.len(), 0);
    });
}

#[test]
fn a_database_of_a_newer_release_or_with_a_renamed_column_is_refused() {
    #[derive(QueryableByName)]
    struct Left {
        #[diesel(sql_type = diesel::sql_types::Text)]
        version: String,
    }
    for (service, migrations, table) in SERVICES {
        for database in databases(&format!("newer_{service}")) {
            database.migrate(migrations());
            let refusal = || refusal_of(&database, migrations());
            outside(&database, |conn| {
                let newer =
                    "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231235959')";
                conn.batch_execute(newer).unwrap();
            });
            let said = refusal();
            assert!(said.contains("29991231235959"), "{said}");
            // That release leaves word that another one has to know its step, or does without.
            let needed = |needed: &str| {
                outside(&database, |conn| {
                    conn.batch_execute(&format!(
                        "UPDATE marquee_compatibility SET last_step = '29991231235959', needed_step = '{needed}'"
                    ))
                    .unwrap();
                });
            };
            needed("29990000000000");
            assert!(refusal().contains("29991231235959"));
            needed(migrations().needed_step);
            database.migrate(migrations());
            outside(&database, |conn| {
                let all = "SELECT version FROM __diesel_schema_migrations WHERE version > '2998'";
                let left: Vec<Left> = sql_query(all).load(conn).unwrap();
                assert_eq!(left[0].version, "29991231235959");
                conn.batch_execute("UPDATE marquee_compatibility SET last_step = '29980000000000'")
                    .unwrap();
                assert!(
                    refusal().contains("29991231235959"),
                    "there was yet another release"
                );
                conn.batch_execute("DELETE FROM __diesel_schema_migrations WHERE version > '2998'")
                    .unwrap();
                let rename = format!("ALTER TABLE {table} RENAME COLUMN created_at TO added_at");
                conn.batch_execute(&rename).unwrap();
            });
            let said = refusal();
            let column = format!("no column `{table}.created_at`");
            assert!(said.contains(&column), "{said}");
        }
    }
}

/// What a service's database is refused with.
fn refusal_of(database: &TestDatabase, migrations: Migrations) -> String {
    let mut said = String::new();
    in_system(async {
        let supervisor = Supervisor::new("storage-test", &Process::new());
        let group = supervisor.group("storage");
        let opened = Database::open(&group, "service", "test", database.url(), migrations).await;
        let fault = opened.err().expect("it is refused");
        assert!(matches!(fault, Fault::BadSetting { .. }), "{fault:?}");
        said = fault.to_string();
    });
    said
}

#[test]
fn a_database_without_one_of_its_tables_is_refused_and_the_table_is_named() {
    let outboxes = ["movie_outbox", "outbox"];
    for ((service, migrations, table), outbox) in SERVICES.into_iter().zip(outboxes) {
        for (table, sql) in [
            (table, format!("ALTER TABLE {table} RENAME TO put_aside")),
            (outbox, format!("DROP TABLE {outbox}")),
        ] {
            for database in databases(&format!("without_{service}_{table}")) {
                database.migrate(migrations());
                outside(&database, |conn| conn.batch_execute(&sql).unwrap());
                let said = refusal_of(&database, migrations());
                assert!(said.contains(&format!("has no table `{table}`")), "{said}");
                assert!(said.contains("backup"), "{said}");
            }
        }
    }
}

#[test]
fn a_database_on_a_server_that_is_empty_now_is_refused_until_the_marker_goes() {
    let Some(database) = TestDatabase::mysql("lost_on_server") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (service, migrations, table) = SERVICES[0];
    let start = || {
        let mut outcome = Ok(());
        in_system(async {
            let supervisor = Supervisor::new("storage-test", &Process::new());
            let group = supervisor.group("storage");
            let (url, folder) = (database.url(), Some(folder.path()));
            let opened =
                Database::open_marked(&group, service, "test", url, migrations(), folder).await;
            outcome = opened.map(drop);
            supervisor.stop(std::time::Duration::from_secs(5)).await;
        });
        outcome
    };
    // The first start marks the database, and the next one finds it.
    start().unwrap();
    start().unwrap();
    let markers: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(markers.len(), 1, "{markers:?}");
    let marker = markers[0].as_ref().unwrap().path();

    let name = database.url().to_string();
    let name = name.rsplit('/').next().unwrap();
    outside(&database, |conn| {
        conn.batch_execute(&format!(
            "DROP DATABASE {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4"
        ))
        .unwrap();
    });
    let fault = start().unwrap_err();
    assert_eq!(fault.exit_code(), 64);
    let said = fault.to_string();
    assert!(said.contains(marker.to_str().unwrap()), "{said}");
    let tables = format!(
        "(SELECT table_name FROM information_schema.tables WHERE table_schema = '{name}' AND table_name = '{table}') AS found"
    );
    let made = outside(&database, |conn| count(conn, &tables).unwrap());
    assert_eq!(made, 0, "nothing is made in a database that is refused");

    fs::remove_file(&marker).unwrap();
    start().unwrap();
    assert!(marker.exists());
}
