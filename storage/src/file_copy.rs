//! Copies of SQLite databases: made while programs use the database, and changed before a program uses the copy.
//!
//! A copy is what the database was at one moment. It is read in one transaction, beside which others read and write; only the log
//! cannot be emptied meanwhile.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use diesel::{
    Connection, QueryResult, RunQueryDsl, SqliteConnection, connection::SimpleConnection,
    sql_query, sql_types::Text,
};
use runtime::Fault;

use crate::{
    DbConnection,
    connection::{Access, sqlite_address},
    damage_check::{self, Checked},
    identity,
    sqlite_file::{Found, SqliteFile, create_private},
};

/// Copies the SQLite database at `from` to the new file `to`, with its marker beside it; both are on disk when this returns.
/// `setting` is what an operator calls its address. Returns false if there is no database.
///
/// # Errors
///
/// [`Fault::BadSetting`] if the database is damaged or not the one that belongs there, [`Fault::Failed`] if it cannot be copied.
pub fn copy_database(setting: &str, from: &Path, to: &Path) -> Result<bool, Fault> {
    let refused = |reason: String| Fault::bad_setting(setting, reason);
    let file = SqliteFile::new(from);
    let (found, identity) = identity::check(&file).map_err(refused)?;
    if found == Found::Nothing {
        return Ok(false);
    }
    let failed = |error: &dyn std::fmt::Display| {
        let (from, to) = (from.display(), to.display());
        Fault::Failed(format!(
            "cannot copy the database `{from}` to `{to}`: {error}"
        ))
    };
    // SQLite writes into an empty file, too, and keeps its mode.
    create_private(to).map_err(|error| failed(&error))?;
    let mut conn = SqliteConnection::establish(&sqlite_address(from, Access::Read))
        .map_err(|error| refused(file.refuses(&error)))?;
    conn.batch_execute("PRAGMA busy_timeout = 5000")
        .map_err(|error| failed(&error))?;
    let target = to.to_str().ok_or_else(|| failed(&"its path is no text"))?;
    sql_query("VACUUM INTO ?")
        .bind::<Text, _>(target)
        .execute(&mut conn)
        .map_err(|error| failed(&error))?;
    match damage_check::check(to, &AtomicBool::new(false)) {
        Checked::Whole | Checked::Leaks(_) => {}
        Checked::Damaged(words) => return Err(refused(file.refuses(&words))),
        Checked::Stopped => return Err(failed(&"the check of the copy was stopped")),
        Checked::Failed(words) => return Err(failed(&words)),
    }
    let copy = SqliteFile::new(to);
    let finish = || {
        if let Some(identity) = identity {
            copy.marker().write(&identity)?;
        }
        File::open(to)?.sync_all()
    };
    finish().map_err(|error: std::io::Error| failed(&error))?;
    Ok(true)
}

/// Runs `change` in one transaction on a database that no program uses. It is on disk when this returns, all in the main file.
///
/// # Errors
///
/// [`Fault::Failed`] if the database cannot be opened, or the change fails.
pub fn change_unused<R>(
    path: &Path,
    change: impl FnOnce(&mut DbConnection) -> QueryResult<R>,
) -> Result<R, Fault> {
    let failed = |error: &dyn std::fmt::Display| {
        Fault::Failed(format!(
            "cannot change the database `{}`: {error}",
            path.display()
        ))
    };
    let mut conn = SqliteConnection::establish(&sqlite_address(path, Access::Write))
        .map_err(|error| failed(&error))?;
    conn.batch_execute("PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;")
        .map_err(|error| failed(&error))?;
    DbConnection::Sqlite(conn)
        .write_transaction(change)
        .map_err(|error| failed(&error))
}

/// The files that belong to a SQLite database at `path`, whether or not they are there.
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    let beside = |suffix: &&str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut files: Vec<PathBuf> = ["", "-wal", "-shm", "-journal", ".id", ".commits"]
        .iter()
        .map(beside)
        .collect();
    files.push(path.with_extension("lock"));
    files
}
