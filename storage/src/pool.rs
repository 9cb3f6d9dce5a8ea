//! The connections of a database's executors, checked each time one is taken.
//!
//! A SQLite file that was replaced or found damaged while the program runs is not used any more: what
//! was written to it would be lost.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use diesel::{
    ConnectionError, ConnectionResult, QueryResult,
    r2d2::{ManageConnection, Pool, PooledConnection, R2D2Connection},
    result::Error as DieselError,
};

use crate::{
    DatabaseUrl, DbConnection,
    commits::{self, CommitNotes},
    lost_table::{Lost, LostTable},
    sqlite_file::{Inode, SqliteFile, is_damage},
};

/// How long a query waits for a connection before the database counts as unavailable.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

pub(crate) type DbPool = Pool<Manager>;
pub(crate) type Pooled = PooledConnection<Manager>;

/// A database as its pools know it.
#[derive(Debug)]
pub(crate) struct Target {
    url: DatabaseUrl,
    /// The SQLite file as it was at the start.
    file: Option<(SqliteFile, Inode)>,
    /// Where the commits of a SQLite file are noted.
    notes: Option<CommitNotes>,
    damage: OnceLock<String>,
    pub(crate) lost_table: LostTable,
}

impl Target {
    /// A database that is there already.
    pub(crate) fn new(url: &DatabaseUrl) -> Self {
        let file = match url {
            DatabaseUrl::Sqlite(path) => {
                let file = SqliteFile::new(path);
                let inode = file.inode().ok();
                inode.map(|inode| (file, inode))
            }
            DatabaseUrl::Mysql(_) => None,
        };
        Self {
            url: url.clone(),
            notes: file.as_ref().and_then(|(file, _)| file.commits().open()),
            file,
            damage: OnceLock::new(),
            lost_table: LostTable::default(),
        }
    }

    /// Whether it is a SQLite file.
    pub(crate) fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// Takes the database out of use if the error means that its file is damaged.
    pub(crate) fn look_at(&self, error: &DieselError) {
        if let DieselError::DatabaseError(_, info) = error
            && is_damage(info.message())
        {
            self.take_out_of_use(info.message());
        }
    }

    /// Takes the database out of use because SQLite found damage in its file, as it says in `words`. Returns why, and what to do.
    pub(crate) fn take_out_of_use(&self, words: &str) -> String {
        let Some((file, _)) = &self.file else {
            return words.to_owned();
        };
        let reason = file.refuses(&words);
        if self.damage.set(reason.clone()).is_ok() {
            tracing::error!("{reason}");
        }
        reason
    }

    /// That SQLite found pages which belong to no table, as it says in `words`, and what to do. The database stays in use.
    pub(crate) fn leaks(&self, words: &str) -> String {
        match &self.file {
            Some((file, _)) => file.leaks(words),
            None => words.to_owned(),
        }
    }

    /// What damage was found, and what to do.
    pub(crate) fn damage(&self) -> Option<&String> {
        self.damage.get()
    }

    /// The SQLite file, unless it is out of use.
    ///
    /// # Errors
    ///
    /// Why it is out of use.
    pub(crate) fn usable_file(&self) -> Result<&SqliteFile, String> {
        let (file, inode) = self.file.as_ref().ok_or("it is no file")?;
        match self.damage.get() {
            Some(reason) => Err(reason.clone()),
            None if file.inode().is_ok_and(|now| now == *inode) => Ok(file),
            None => Err(format!(
                "the file `{}` was removed or replaced while the program runs: restart the program, which will say what to do",
                file.path().display()
            )),
        }
    }

    fn check(&self) -> ConnectionResult<()> {
        match self.is_file() {
            true => self
                .usable_file()
                .map(drop)
                .map_err(ConnectionError::BadConnection),
            false => Ok(()),
        }
    }
}

/// Makes connections for a pool.
#[derive(Debug)]
pub(crate) struct Manager {
    target: Arc<Target>,
}

/// A connection in the pool.
pub(crate) struct Session {
    pub(crate) conn: DbConnection,
    /// Set when the connection was left in an unknown state: it is not used again.
    pub(crate) broken: bool,
    /// Why the last transaction could not be written, if that is no fault of its closures.
    pub(crate) unwritable: Option<String>,
    target: Arc<Target>,
    /// How many rows the connection had changed when this was last looked at.
    changes: i64,
}

impl Session {
    /// Counts the transaction that is under way on a SQLite database, if it changes anything. Returns the
    /// number of its commit, to be [noted](Self::note) after it.
    pub(crate) fn count_transaction(&mut self) -> QueryResult<Option<i64>> {
        match &mut self.conn {
            DbConnection::Sqlite(conn) => commits::count_transaction(conn, &mut self.changes),
            DbConnection::Mysql(_) => Ok(None),
        }
    }

    /// Why the database cannot serve, if one of its tables is missing, or all of it.
    pub(crate) fn lost_table(&mut self) -> Option<String> {
        let url = &self.target.url;
        let loss = match self.target.lost_table.still_missing(&mut self.conn)? {
            Lost::Table(table) => format!("has lost its table `{table}`"),
            Lost::Database(_) => "is not on its server any more".into(),
        };
        Some(format!(
            "the database {url} {loss}: stop the program and restore a backup"
        ))
    }

    /// Notes a commit before its writers are answered, so that its loss is noticed.
    pub(crate) fn note(&self, commit: i64) {
        if let Some(notes) = &self.target.notes {
            notes.note(commit);
        }
    }
}

impl ManageConnection for Manager {
    type Connection = Session;
    type Error = ConnectionError;

    fn connect(&self) -> Result<Session, ConnectionError> {
        self.target.check()?;
        let mut conn = DbConnection::open(&self.target.url)?;
        conn.end_idle_transactions()
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(Session {
            conn,
            broken: false,
            unwritable: None,
            target: self.target.clone(),
            changes: 0,
        })
    }

    fn is_valid(&self, session: &mut Session) -> Result<(), ConnectionError> {
        match &mut session.conn {
            DbConnection::Sqlite(_) => {
                let outcome = self.target.check();
                session.broken |= outcome.is_err();
                outcome
            }
            DbConnection::Mysql(conn) => conn
                .ping()
                .map_err(ConnectionError::CouldntSetupConfiguration),
        }
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.broken || session.conn.is_broken()
    }
}

/// Makes a pool that connects when it is first asked to.
pub(crate) fn pool(target: &Arc<Target>, size: u32) -> DbPool {
    Pool::builder()
        .max_size(size)
        .min_idle(Some(0))
        .connection_timeout(CONNECT_DEADLINE)
        // The executors report an absent database once; r2d2 would log every attempt.
        .error_handler(Box::new(Quiet))
        .build_unchecked(Manager {
            target: target.clone(),
        })
}

/// Moves the log of a SQLite database into its main file, so that this is all of the database. Does
/// nothing without an idle connection.
pub(crate) fn empty_log(pool: &DbPool) {
    let Some(mut session) = pool.try_get() else {
        return;
    };
    let Session { conn, target, .. } = &mut *session;
    let DbConnection::Sqlite(conn) = conn else {
        return;
    };
    let emptied = match &target.notes {
        Some(notes) => notes.move_log(conn),
        None => commits::empty_log(conn).map(drop),
    };
    if let Err(error) = emptied {
        tracing::debug!(%error, "the log of the database keeps its content: {error}");
    }
}

#[derive(Debug)]
struct Quiet;

impl<E: fmt::Display> diesel::r2d2::HandleError<E> for Quiet {
    fn handle_error(&self, error: E) {
        tracing::debug!(%error, "no connection to the database: {error}");
    }
}

/// Whether the connection is of no more use, asked of the server after an error.
pub(crate) fn is_lost(conn: &mut DbConnection) -> bool {
    match conn {
        DbConnection::Sqlite(_) => false,
        DbConnection::Mysql(conn) => conn.ping().is_err(),
    }
}
