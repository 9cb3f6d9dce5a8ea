//! Looks through all pages of a SQLite database for damage, on a connection that only reads.
//!
//! It takes a second or so for some hundred megabytes, and more for a database that is not in memory, so it has to be stopped when the
//! program stops. diesel cannot interrupt a statement; this file calls SQLite itself, and is the only one that does.

#![expect(
    unsafe_code,
    reason = "SQLite is a C library, and diesel does not give its handle away"
)]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    path::Path,
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

use libsqlite3_sys as sqlite;

use crate::{
    connection::{Access, sqlite_address},
    sqlite_file::is_damage,
};

/// Checks the structure of all tables and indexes. It does not compare indexes with their tables, which takes many times as long.
/// What is wrong with pages that belong to no table is said last, so that it hides nothing else of the structure.
const CHECK: &CStr = c"PRAGMA quick_check(1000)";

/// How many lines of a check are repeated; the others are counted.
const LINES: usize = 3;

/// How long another program may lock the whole database.
const BUSY_MILLIS: c_int = 5_000;

/// After how many steps SQLite looks whether it has to stop. While it goes through the trees a step is a page, which a slow disk may
/// take 10 ms to read.
const STEPS: c_int = 16;

/// What a check came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// No damage.
    Whole,
    /// Damage, in SQLite's words.
    Damaged(String),
    /// No damage to any table, but pages that belong to none, in SQLite's words.
    Leaks(String),
    /// The program stops.
    Stopped,
    /// It could not be checked, for this reason.
    Failed(String),
}

/// Looks for damage in the database at `path` until `stop` is set.
pub(crate) fn check(path: &Path, stop: &AtomicBool) -> Checked {
    let Ok(address) = CString::new(sqlite_address(path, Access::Read)) else {
        return Checked::Failed("its path has a zero byte".into());
    };
    let connection = match Connection::open(&address) {
        Ok(connection) => connection,
        Err(outcome) => return outcome,
    };
    let findings = match connection.run(CHECK, stop) {
        Ok(findings) => findings,
        Err(outcome) => return outcome,
    };
    judge(&findings)
}

/// What the findings of a check mean. That rows break a rule of their table, which older programs may have allowed, is no damage.
fn judge(findings: &[String]) -> Checked {
    let is_rule =
        |line: &str| line.contains(" value in ") || line.starts_with("CHECK constraint failed in ");
    let lines = findings.iter().flat_map(|finding| finding.lines());
    let (leaks, damage): (Vec<&str>, Vec<&str>) = lines
        .filter(|line| *line != "ok" && !line.starts_with("***") && !is_rule(line))
        .partition(|line| is_leak(line));
    if !damage.is_empty() {
        Checked::Damaged(format!("malformed: {}", in_one_line(&damage)))
    } else if !leaks.is_empty() {
        Checked::Leaks(in_one_line(&leaks))
    } else {
        Checked::Whole
    }
}

/// Whether a line of the check says no more than that there are pages which belong to no table, or that those on the list of free pages
/// were counted wrongly.
fn is_leak(line: &str) -> bool {
    let is_unused = line.starts_with("Page ") && line.ends_with(": never used");
    is_unused || line.starts_with("Freelist: size is ")
}

fn in_one_line(lines: &[&str]) -> String {
    let first: Vec<&str> = lines.iter().take(LINES).copied().collect();
    let first = first.join(", ");
    match lines.len().saturating_sub(LINES) {
        0 => first,
        others => format!("{first}, and {others} more"),
    }
}

/// A connection of its own, closed when dropped.
struct Connection(*mut sqlite::sqlite3);

impl Connection {
    fn open(address: &CStr) -> Result<Self, Checked> {
        let mut handle = ptr::null_mut();
        let flags = sqlite::SQLITE_OPEN_READONLY | sqlite::SQLITE_OPEN_URI;
        // SAFETY: the address ends in a zero byte, and the handle is written before the call returns.
        let status = unsafe {
            sqlite::sqlite3_open_v2(address.as_ptr(), &raw mut handle, flags, ptr::null())
        };
        // There is a handle even if it could not be opened.
        let connection = Self(handle);
        match status {
            sqlite::SQLITE_OK => Ok(connection),
            status => Err(connection.outcome(status)),
        }
    }

    /// Runs a statement until `stop` is set; returns the first column of its rows.
    fn run(&self, statement: &CStr, stop: &AtomicBool) -> Result<Vec<String>, Checked> {
        let mut rows: Vec<String> = Vec::new();
        // SAFETY: the handle is open. SQLite calls `add_row` only until `sqlite3_exec` returns, and `is_set` only until it is
        // unregistered behind it; `stop` and `rows`, which they get, live longer than that.
        let status = unsafe {
            sqlite::sqlite3_busy_timeout(self.0, BUSY_MILLIS);
            let flag = ptr::from_ref(stop).cast_mut().cast();
            sqlite::sqlite3_progress_handler(self.0, STEPS, Some(is_set), flag);
            let (statement, rows) = (statement.as_ptr(), (&raw mut rows).cast());
            let status =
                sqlite::sqlite3_exec(self.0, statement, Some(add_row), rows, ptr::null_mut());
            sqlite::sqlite3_progress_handler(self.0, 0, None, ptr::null_mut());
            status
        };
        match status {
            sqlite::SQLITE_OK => Ok(rows),
            status => Err(self.outcome(status)),
        }
    }

    /// What it means that a call failed.
    fn outcome(&self, status: c_int) -> Checked {
        if status == sqlite::SQLITE_INTERRUPT {
            return Checked::Stopped;
        }
        // SAFETY: SQLite takes any handle of its own, and null; the text is valid until the next call.
        let words = unsafe { CStr::from_ptr(sqlite::sqlite3_errmsg(self.0)) };
        let words = words.to_string_lossy().into_owned();
        match is_damage(&words) {
            true => Checked::Damaged(words),
            false => Checked::Failed(words),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: nothing uses the handle any more, and it has no statements. Null is allowed.
        unsafe { sqlite::sqlite3_close(self.0) };
    }
}

/// Called by SQLite every few steps: whether it has to stop.
extern "C" fn is_set(flag: *mut c_void) -> c_int {
    // SAFETY: it is the flag that was given to the progress handler.
    let flag = unsafe { &*flag.cast::<AtomicBool>() };
    c_int::from(flag.load(Ordering::Relaxed))
}

/// Called by SQLite for each row.
extern "C" fn add_row(
    rows: *mut c_void,
    columns: c_int,
    values: *mut *mut c_char,
    _names: *mut *mut c_char,
) -> c_int {
    // SAFETY: it is the list that was given to `sqlite3_exec`, and there are as many values as columns: texts, or null.
    unsafe {
        let rows = &mut *rows.cast::<Vec<String>>();
        if columns > 0 && !(*values).is_null() {
            rows.push(CStr::from_ptr(*values).to_string_lossy().into_owned());
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::FileExt, path::PathBuf};

    use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection};

    use super::*;

    const PAGE: u64 = 4_096;

    /// A database with some hundred pages.
    fn database(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("checked.db");
        let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        conn.batch_execute(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, word TEXT NOT NULL);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
             INSERT INTO notes SELECT i, hex(randomblob(500)) FROM n;",
        )
        .unwrap();
        path
    }

    fn running() -> AtomicBool {
        AtomicBool::new(false)
    }

    #[test]
    fn a_whole_database_is_told_from_a_damaged_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(&folder);
        assert_eq!(check(&path, &running()), Checked::Whole);
        let file = fs::OpenOptions::new().read(true).write(true).open(&path);
        let file = file.unwrap();
        let pages = file.metadata().unwrap().len() / PAGE;
        for page in [pages / 3, pages / 2, pages - 2] {
            let mut before = [0; PAGE as usize];
            file.read_exact_at(&mut before, page * PAGE).unwrap();
            for byte in [0, 0xff] {
                let damage = [byte; PAGE as usize];
                file.write_all_at(&damage, page * PAGE).unwrap();
                let checked = check(&path, &running());
                let Checked::Damaged(words) = &checked else {
                    panic!("page {page} of {byte}: {checked:?}");
                };
                assert!(is_damage(words) && !words.contains('\n'), "{words}");
            }
            file.write_all_at(&before, page * PAGE).unwrap();
        }
        assert_eq!(check(&path, &running()), Checked::Whole);
    }

    #[test]
    fn what_is_no_database_or_not_there_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.db");
        fs::write(&path, "no database at all, ".repeat(1_000)).unwrap();
        let checked = check(&path, &running());
        assert!(matches!(checked, Checked::Damaged(_)), "{checked:?}");
        let checked = check(&folder.path().join("none.db"), &running());
        assert!(matches!(checked, Checked::Failed(_)), "{checked:?}");
    }

    #[test]
    fn a_check_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(&folder);
        assert_eq!(check(&path, &AtomicBool::new(true)), Checked::Stopped);
    }

    #[test]
    fn a_check_looks_every_few_pages_whether_it_has_to_stop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.db");
        let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        // A page for each row, so that there is little else to count.
        conn.batch_execute(
            "CREATE TABLE notes (word TEXT NOT NULL);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
             INSERT INTO notes SELECT hex(randomblob(1500)) FROM n;",
        )
        .unwrap();
        assert_eq!(check(&path, &AtomicBool::new(true)), Checked::Stopped);
    }

    #[test]
    fn a_flag_may_be_gone_when_its_check_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let address = CString::new(database(&folder).to_str().unwrap()).unwrap();
        let connection = Connection::open(&address).unwrap();
        let stop = AtomicBool::new(true);
        assert_eq!(connection.run(CHECK, &stop), Err(Checked::Stopped));
        // A handler that was still registered would end this statement, too.
        // SAFETY: the handle is open, no function is given, and the flag of the check is still there.
        let status = unsafe {
            sqlite::sqlite3_exec(
                connection.0,
                c"SELECT count(*), max(word) FROM notes".as_ptr(),
                None,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        assert_eq!(status, sqlite::SQLITE_OK, "it still looks at the flag");
    }

    /// A database with free pages, in whose header these bytes are put.
    fn with_free_pages(folder: &tempfile::TempDir, at: u64, bytes: [u8; 4]) -> PathBuf {
        let path = database(folder);
        let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        conn.batch_execute("DELETE FROM notes WHERE id > 1000; PRAGMA wal_checkpoint(TRUNCATE);")
            .unwrap();
        drop(conn);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&bytes, at).unwrap();
        path
    }

    #[test]
    fn pages_that_belong_to_no_table_are_no_damage() {
        const FIRST_FREE: u64 = 32;
        const COUNT_OF_FREE: u64 = 36;
        for (at, bytes, words) in [
            (COUNT_OF_FREE, 7_u32.to_be_bytes(), "Freelist: size is "),
            // No list at all, and none counted: its pages are used by nothing.
            (FIRST_FREE, [0; 4], ": never used"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = with_free_pages(&folder, at, bytes);
            let checked = check(&path, &running());
            let Checked::Leaks(said) = &checked else {
                panic!("{words}: {checked:?}");
            };
            assert!(said.contains(words) && !said.contains('\n'), "{said}");
            assert!(!is_damage(said), "{said}");
            let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
            conn.batch_execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")
                .unwrap();
            assert_eq!(check(&path, &running()), Checked::Whole, "what is advised");
        }
    }

    #[test]
    fn damage_among_pages_that_belong_to_no_table_is_damage() {
        let tree = "*** in database main ***\nTree 2 page 9: btreeInitPage() returns error code 11\nPage 12: never used";
        let checked = judge(&[tree.to_owned()]);
        let words = "malformed: Tree 2 page 9: btreeInitPage() returns error code 11";
        assert_eq!(checked, Checked::Damaged(words.to_owned()));
        let leaks = (1..=5).map(|page| format!("Page {page}: never used"));
        let mut leaks: Vec<String> = leaks.collect();
        let said = "Page 1: never used, Page 2: never used, Page 3: never used, and 2 more";
        assert_eq!(judge(&leaks), Checked::Leaks(said.to_owned()));
        for damage in [
            "Freelist: 2nd reference to page 8",
            "Freelist: invalid page number 900",
            "Page 9: pointer map referenced",
            "row not in PRIMARY KEY order for notes",
        ] {
            leaks.push(damage.to_owned());
            let checked = judge(&leaks);
            assert_eq!(checked, Checked::Damaged(format!("malformed: {damage}")));
            leaks.pop();
        }
    }

    #[test]
    fn a_row_that_breaks_a_rule_of_its_table_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(&folder);
        let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        conn.batch_execute(
            "CREATE TABLE old (word TEXT, number INTEGER);
             INSERT INTO old VALUES ('y', NULL);
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, 'INTEGER)', 'INTEGER NOT NULL)') WHERE name = 'old';",
        )
        .unwrap();
        drop(conn);
        let address = CString::new(path.to_str().unwrap()).unwrap();
        let findings = Connection::open(&address).unwrap().run(CHECK, &running());
        let findings = findings.unwrap();
        assert_eq!(findings, ["NULL value in old.number"]);
        assert_eq!(check(&path, &running()), Checked::Whole);
    }
}
