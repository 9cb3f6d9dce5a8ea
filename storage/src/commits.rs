//! How many commits of a SQLite database were acknowledged: counted in its table `marquee_commits`, and
//! noted in a small file beside it, so that a log that was lost or cut short is noticed.
//!
//! SQLite takes a missing log for an empty one and a short one for a crash. Both leave a database that
//! is whole and older, and nothing in it says so. The file does: the count in the database may never be
//! less than the one in the file.
//!
//! A healthy database is never refused for that, at whatever instant the program is killed or the power
//! fails, because each step leaves the file at or behind the database:
//!
//! | killed | the database has | the file has |
//! |---|---|---|
//! | while the database is created or adopted | no table, or the count as it was | nothing, half a line, or the count 0 |
//! | before a commit is complete | n | n at most |
//! | between the commit and the note | n + 1, on disk | n at most |
//! | after the note, before the caller is answered | n + 1 | n + 1, or less after a power failure |
//! | while the log is moved into the main file | n, in the log | n |
//! | after that, or after SQLite has removed the log | n, in the main file | n |
//! | after the file is cleared, which follows the complete move | n, in the main file | 0 |
//!
//! A note is written without a sync: it outlives the program, and after a power failure it is an earlier
//! one. It is written after the commit is on disk, so it is never a later one. A count that was recovered
//! from the log, and that nobody may have been told of, is not noted before the next commit has synced the log.
//!
//! Programs that do not know the count (older releases, `sqlite3`) leave it as it is, and what they
//! move into the main file has it. A line that cannot be read, or that is about another database, says nothing.
//! Several programs that have the database open write the file in any order, and a lower number is noted
//! for a moment at worst.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, Ordering},
};

use diesel::{
    connection::SimpleConnection,
    dsl::update,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Integer},
};

use runtime::settings::read_plain_text;

use crate::sqlite_file::create_private;

/// The most bytes of the file.
const MAX_LEN: u64 = 4_096;

diesel::table! {
    marquee_commits (number) {
        number -> BigInt,
    }
}

diesel::define_sql_function! {
    /// How many rows the connection has changed.
    fn total_changes() -> BigInt;
}

/// Where the file is or will be.
#[derive(Debug, Clone)]
pub(crate) struct CommitsFile {
    path: PathBuf,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// The identity of the database that it is about.
    pub(crate) identity: String,
    /// The number of the last commit that was acknowledged; 0 after a stop.
    pub(crate) commits: i64,
}

impl CommitsFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file, if there is one that can be read.
    pub(crate) fn read(&self) -> Option<Acknowledged> {
        Acknowledged::parse(&read_plain_text(&self.path, MAX_LEN).ok()?)
    }

    /// Lets the file be about the database of this identity, on disk when this returns.
    pub(crate) fn begin(&self, identity: &str) -> io::Result<()> {
        if self.read().is_some_and(|said| said.identity == identity) {
            return Ok(());
        }
        let file = create_private(&self.path)?;
        file.set_len(0)?;
        file.write_all_at(line(identity, 0).as_bytes(), 0)?;
        file.sync_all()?;
        let folder = self.path.parent().filter(|folder| folder != &Path::new(""));
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Forgets a database that is gone.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Opens the file to note commits in it. `None` if there is none: then nothing is noted.
    pub(crate) fn open(&self) -> Option<CommitNotes> {
        let said = self.read()?;
        let file = OpenOptions::new().write(true).open(&self.path).ok()?;
        Some(CommitNotes {
            file,
            last: AtomicI64::new(said.commits),
            said: self.clone(),
            identity: said.identity,
        })
    }
}

impl Acknowledged {
    fn parse(text: &str) -> Option<Self> {
        let (identity, commits) = text.strip_suffix('\n')?.split_once(' ')?;
        Some(Self {
            identity: identity.to_owned(),
            commits: commits.parse().ok()?,
        })
    }
}

/// Always of the same length, so that a note is written over the one before.
fn line(identity: &str, commits: i64) -> String {
    format!("{identity} {commits:020}\n")
}

/// Where commits are noted while the database is open.
#[derive(Debug)]
pub(crate) struct CommitNotes {
    file: File,
    said: CommitsFile,
    identity: String,
    last: AtomicI64,
}

impl CommitNotes {
    /// Notes the number of a commit, which is on disk and whose writers are not answered yet.
    pub(crate) fn note(&self, commits: i64) {
        self.last.store(commits, Ordering::Relaxed);
        let line = line(&self.identity, commits);
        if let Err(error) = self.file.write_all_at(line.as_bytes(), 0) {
            let name = self.said.path.display();
            tracing::debug!(%error, "a commit is not noted in `{name}`: {error}");
        }
    }

    /// Moves the log into the main file; if all of it is there, a loss of the log loses nothing from now
    /// on, and the note is taken back.
    pub(crate) fn move_log(&self, conn: &mut SqliteConnection) -> QueryResult<()> {
        let last = self.last.load(Ordering::Relaxed);
        // If it is another number, another program has the database open and has just noted a commit.
        let is_ours = || {
            let said = self.said.read();
            said.is_some_and(|said| said.identity == self.identity && said.commits == last)
        };
        if empty_log(conn)? && last > 0 && is_ours() {
            self.note(0);
        }
        Ok(())
    }
}

/// Moves the log into the main file and empties it. Returns false if others who use the database keep
/// something of it there.
pub(crate) fn empty_log(conn: &mut SqliteConnection) -> QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Outcome {
        #[diesel(sql_type = Integer)]
        busy: i32,
    }
    let outcome: Outcome = sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result(conn)?;
    Ok(outcome.busy == 0)
}

/// Makes the table with the count, unless it is there.
pub(crate) fn make_table(conn: &mut SqliteConnection) -> QueryResult<()> {
    conn.batch_execute(
        "CREATE TABLE IF NOT EXISTS marquee_commits (number BIGINT NOT NULL);
         INSERT INTO marquee_commits SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM marquee_commits);",
    )
}

/// Reads the count; 0 in a database that was never counted in.
pub(crate) fn count(conn: &mut SqliteConnection) -> QueryResult<i64> {
    if page(conn)?.is_none() {
        return Ok(0);
    }
    let count = marquee_commits::table.select(marquee_commits::number);
    Ok(count.first(conn).optional()?.unwrap_or(0))
}

/// Where the count is: the number of the page that has all of its table. `None` in a database that was never counted in.
pub(crate) fn page(conn: &mut SqliteConnection) -> QueryResult<Option<u32>> {
    #[derive(diesel::QueryableByName)]
    struct Root {
        #[diesel(sql_type = BigInt)]
        rootpage: i64,
    }
    let root = sql_query("SELECT rootpage FROM sqlite_schema WHERE name = 'marquee_commits'");
    let root: Option<Root> = root.get_result(conn).optional()?;
    Ok(root.and_then(|root| u32::try_from(root.rootpage).ok()))
}

/// Reads the count from its page: a leaf with one row of one integer, as
/// <https://sqlite.org/fileformat2.html#b_tree_pages> describes. `None` if the page is none.
pub(crate) fn count_on_page(page: &[u8]) -> Option<i64> {
    const LEAF_OF_A_TABLE: u8 = 13;
    const ROWS: usize = 3;
    const FIRST_ROW: usize = 8;
    let number = |at: usize| Some(u16::from_be_bytes(page.get(at..at + 2)?.try_into().ok()?));
    if *page.first()? != LEAF_OF_A_TABLE || number(ROWS)? != 1 {
        return None;
    }
    let row = page.get(usize::from(number(FIRST_ROW)?)..)?;
    // How long the row is, its id, how long its header is, and the kind of its only column. Each takes a byte here.
    let &[_, 1, 2, kind, ..] = row else {
        return None;
    };
    let len = match kind {
        1..=4 => usize::from(kind),
        5 => 6,
        6 => 8,
        8 | 9 => return Some(i64::from(kind == 9)),
        _ => return None,
    };
    let digits = row.get(4..4 + len)?;
    let sign = i64::from(*digits.first()? as i8).signum().min(0);
    Some(
        digits
            .iter()
            .fold(sign, |sum, digit| sum << 8 | i64::from(*digit)),
    )
}

/// Counts the transaction that is under way, if rows were changed in it since `changes`. Returns the
/// number that its commit has.
pub(crate) fn count_transaction(
    conn: &mut SqliteConnection,
    changes: &mut i64,
) -> QueryResult<Option<i64>> {
    let before = *changes;
    *changes = diesel::select(total_changes()).get_result(conn)?;
    if *changes == before {
        return Ok(None);
    }
    let number = marquee_commits::number;
    let count = update(marquee_commits::table).set(number.eq(number + 1));
    let count = count.returning(number).get_result(conn)?;
    *changes += 1;
    Ok(Some(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_its_page() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counted.db");
        let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        make_table(&mut conn).unwrap();
        let root = page(&mut conn).unwrap().unwrap() as usize;
        for number in [
            0,
            1,
            2,
            127,
            128,
            70_000,
            1 << 31,
            1 << 40,
            i64::MAX,
            -1,
            -70_000,
        ] {
            let set = format!("UPDATE marquee_commits SET number = {number}");
            conn.batch_execute(&set).unwrap();
            let file = fs::read(&path).unwrap();
            let page = &file[(root - 1) * 4_096..root * 4_096];
            assert_eq!(count_on_page(page), Some(number));
            assert_eq!(count_on_page(&page[..7]), None);
        }
        assert_eq!(count_on_page(&fs::read(&path).unwrap()[..4_096]), None);
    }

    #[test]
    fn a_note_is_written_over_the_one_before_and_half_a_line_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = CommitsFile::new(folder.path().join("notes.db.commits"));
        assert!(file.read().is_none() && file.open().is_none());
        file.begin("one").unwrap();
        let notes = file.open().unwrap();
        for commits in [7, i64::MAX, 12] {
            notes.note(commits);
            let said = file.read().unwrap();
            assert_eq!((said.identity.as_str(), said.commits), ("one", commits));
        }
        // The same database goes on, another one begins.
        file.begin("one").unwrap();
        assert_eq!(file.read().unwrap().commits, 12);
        file.begin("two").unwrap();
        assert_eq!(file.read().unwrap().commits, 0);

        let text = line("one", 12);
        for len in 0..text.len() {
            fs::write(file.path(), &text[..len]).unwrap();
            assert!(file.read().is_none(), "{len}");
        }
    }
}
