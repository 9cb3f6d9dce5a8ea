//! A database that was lost, replaced or damaged is refused or taken out of use, never started empty.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use diesel::{QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query};
use runtime::{Fault, Process, Supervisor};
use storage::{
    Database, DatabaseUrl, Error,
    testing::{TestDatabase, databases},
};
use tempfile::TempDir;

use crate::{
    replicas::SERVICES,
    support::{count, eventually, in_system, insert, open, outside},
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

    fn contents(&self) -> Vec<Option<Vec<u8>>> {
        ["", "-wal", ".id"]
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
            while self.path("-wal").exists() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
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
    // The last transaction may be cut off anywhere, or not have reached the disk.
    let torn = Crashed::new();
    let len = fs::metadata(torn.path("-wal")).unwrap().len();
    torn.overwrite("-wal", len - 100, &[7; 100]);
    assert_eq!(torn.notes(), 4);
    let unwritten = Crashed::new();
    unwritten.overwrite("-wal", len, &[0; 9_000]);
    assert_eq!(unwritten.notes(), 5);
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
        fs::rename(crashed.path("-wal"), crashed.path(".away")).unwrap();
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

#[test]
fn damage_that_shows_later_takes_the_database_out_of_use() {
    let folder = tempfile::tempdir().unwrap();
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
    in_system(async {
        let process = Process::new();
        let supervisor = Supervisor::new("storage-test", &process);
        let url = DatabaseUrl::Sqlite(path.clone());
        let database = open(&supervisor, &url).await.unwrap();
        let sum = |conn: &mut _| count(conn, "notes WHERE word <> 'x'");
        assert!(matches!(database.read(sum).await, Err(Error::Query(_))));
        let next = database.read(|conn| count(conn, "(SELECT 1)")).await;
        assert!(matches!(next, Err(Error::Unavailable(_))), "{next:?}");
        let reasons: Vec<String> = process
            .registry
            .actors()
            .iter()
            .filter_map(|actor| actor.not_ready_reason())
            .collect();
        assert!(reasons.concat().contains("damaged"), "{reasons:?}");
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
            let refusal = || {
                let mut said = String::new();
                in_system(async {
                    let supervisor = Supervisor::new("storage-test", &Process::new());
                    let group = supervisor.group("storage");
                    let opened =
                        Database::open(&group, service, "test", database.url(), migrations()).await;
                    let fault = opened.err().expect("it is refused");
                    assert!(matches!(fault, Fault::BadSetting { .. }), "{fault:?}");
                    said = fault.to_string();
                });
                said
            };
            outside(&database, |conn| {
                let newer =
                    "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231235959')";
                conn.batch_execute(newer).unwrap();
            });
            let said = refusal();
            assert!(said.contains("29991231235959"), "{said}");
            outside(&database, |conn| {
                let all = "SELECT version FROM __diesel_schema_migrations WHERE version > '2998'";
                let left: Vec<Left> = sql_query(all).load(conn).unwrap();
                assert_eq!(left[0].version, "29991231235959");
                conn.batch_execute("DELETE FROM __diesel_schema_migrations WHERE version > '2998'")
                    .unwrap();
                let rename = format!("ALTER TABLE {table} RENAME COLUMN created_at TO added_at");
                conn.batch_execute(&rename).unwrap();
            });
            let said = refusal();
            assert!(said.contains(&format!("{table}.created_at")), "{said}");
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
