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
const CHECK: &CStr = c"PRAGMA quick_check(100)";

/// How long another program may lock the whole database.
const BUSY_MILLIS: c_int = 5_000;

/// After how many steps SQLite looks whether it has to stop: some hundred a millisecond.
const STEPS: c_int = 1_000;

/// What a check came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// No damage.
    Whole,
    /// Damage, in SQLite's words.
    Damaged(String),
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
    match findings.iter().find_map(|finding| damage(finding)) {
        Some(damage) => Checked::Damaged(damage),
        None => Checked::Whole,
    }
}

/// What a line of the check says of damage, in one line. That rows break a rule of their table, which older programs may have allowed,
/// is no damage.
fn damage(finding: &str) -> Option<String> {
    let is_rule =
        finding.contains(" value in ") || finding.starts_with("CHECK constraint failed in ");
    if finding == "ok" || is_rule {
        return None;
    }
    let lines = finding.lines().filter(|line| !line.starts_with("***"));
    Some(format!(
        "malformed: {}",
        lines.collect::<Vec<_>>().join(", ")
    ))
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
        // SAFETY: the handle is open. SQLite calls the two functions only until `sqlite3_exec` returns, and `stop` and `rows`, which
        // they get, live longer than that.
        let status = unsafe {
            sqlite::sqlite3_busy_timeout(self.0, BUSY_MILLIS);
            let flag = ptr::from_ref(stop).cast_mut().cast();
            sqlite::sqlite3_progress_handler(self.0, STEPS, Some(is_set), flag);
            let (statement, rows) = (statement.as_ptr(), (&raw mut rows).cast());
            sqlite::sqlite3_exec(self.0, statement, Some(add_row), rows, ptr::null_mut())
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
