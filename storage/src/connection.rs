//! One connection type over SQLite and MySQL, and how a session of each is set up.

#![expect(
    missing_docs,
    reason = "the derived backend has no place for documentation"
)]

use std::path::Path;

use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    prelude::*,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_query,
};

use crate::{DatabaseUrl, PureMysqlConnection};

/// A connection to one of the databases that Marquee runs on.
#[derive(diesel::MultiConnection)]
pub enum DbConnection {
    /// SQLite, for one machine.
    Sqlite(SqliteConnection),
    /// MySQL, without its C library.
    Mysql(PureMysqlConnection),
}

/// Runs `$body` with the connection's own type as `$conn`: for what diesel does not offer over
/// both databases at once, such as inserting many rows.
#[macro_export]
macro_rules! each_backend {
    ($connection:expr, |$conn:ident| $body:expr) => {
        match $connection {
            $crate::DbConnection::Sqlite($conn) => $body,
            $crate::DbConnection::Mysql($conn) => $body,
        }
    };
}

impl DbConnection {
    /// Connects, and sets the session up: full durability and foreign keys on SQLite, strict
    /// typing and no snapshots older than the statement on MySQL. A SQLite database has to be there.
    pub(crate) fn open(url: &DatabaseUrl) -> ConnectionResult<Self> {
        Self::open_with(url, false)
    }

    /// As [`open`](Self::open), but creates a SQLite database that is not there.
    pub(crate) fn open_or_create(url: &DatabaseUrl) -> ConnectionResult<Self> {
        Self::open_with(url, true)
    }

    fn open_with(url: &DatabaseUrl, create: bool) -> ConnectionResult<Self> {
        let setup = |conn: &mut dyn SimpleSession, sql| {
            conn.execute_batch(sql)
                .map_err(ConnectionError::CouldntSetupConfiguration)
        };
        match url {
            DatabaseUrl::Sqlite(path) => {
                let access = if create {
                    Access::Create
                } else {
                    Access::Write
                };
                let mut conn = SqliteConnection::establish(&sqlite_address(path, access))?;
                setup(&mut conn, SQLITE_SESSION)?;
                Ok(Self::Sqlite(conn))
            }
            DatabaseUrl::Mysql(url) => {
                let mut url = url.clone();
                if !url.query_pairs().any(|(name, _)| name == "tcp_keepalive") {
                    // Milliseconds.
                    url.query_pairs_mut().append_pair("tcp_keepalive", "10000");
                }
                let mut conn = PureMysqlConnection::establish(url.as_str())?;
                setup(&mut conn, MYSQL_SESSION)?;
                // One that cannot tell at the moment is no session: it would not wait for what other nodes have acknowledged.
                let is_clustered = is_node_of_cluster(&mut conn);
                conn.is_clustered =
                    is_clustered.map_err(ConnectionError::CouldntSetupConfiguration)?;
                if conn.is_clustered {
                    setup(&mut conn, GALERA_SESSION)?;
                }
                Ok(Self::Mysql(conn))
            }
        }
    }

    /// Whether the server is a node of a Galera cluster.
    pub(crate) fn is_clustered(&self) -> bool {
        matches!(self, Self::Mysql(conn) if conn.is_clustered)
    }

    /// Begins the transaction of a group of writes. SQLite takes its write lock at once: a
    /// transaction that reads first and writes later could not be given it. That of MySQL is known again by
    /// [`check_intact`](Self::check_intact).
    pub(crate) fn begin_write(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(conn) => {
                AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")
            }
            Self::Mysql(conn) => {
                let begin = conn.begin;
                AnsiTransactionManager::begin_transaction_sql(conn, begin)
            }
        }
    }

    /// Has the server end a transaction in which it is told nothing for four seconds: of a program that was paused, or whose machine is gone.
    /// Others wait for its locks, the lease among them, which they take over after as long.
    pub(crate) fn end_idle_transactions(&mut self) -> QueryResult<()> {
        let Self::Mysql(conn) = self else {
            return Ok(());
        };
        let known: Vec<Variable> =
            sql_query("SHOW VARIABLES LIKE 'idle_transaction_timeout'").load(conn)?;
        if known.is_empty() {
            conn.begin = MYSQL_BEGIN_OF_SHORT_SESSION;
            return Ok(());
        }
        conn.batch_execute("SET SESSION idle_transaction_timeout = 4")
    }

    /// Makes sure that what was written since [`begin_write`](Self::begin_write) is still there. To be called once, before the commit and
    /// outside of nested transactions.
    ///
    /// # Errors
    ///
    /// A conflict if it is not, or if the server says so now; or that the server does not answer.
    pub(crate) fn check_intact(&mut self) -> QueryResult<()> {
        let Self::Mysql(conn) = self else {
            return Ok(());
        };
        match conn.batch_execute("RELEASE SAVEPOINT marquee_write") {
            Err(DieselError::DatabaseError(_, info))
                if info.message().starts_with("SAVEPOINT ") =>
            {
                let message = "the server rolled the transaction back without a word".to_owned();
                let kind = DatabaseErrorKind::SerializationFailure;
                Err(DieselError::DatabaseError(kind, Box::new(message)))
            }
            outcome => outcome,
        }
    }
}

/// Whether the server is a node of a Galera cluster.
fn is_node_of_cluster(conn: &mut PureMysqlConnection) -> QueryResult<bool> {
    let setting: Vec<Variable> = sql_query("SHOW VARIABLES LIKE 'wsrep_on'").load(conn)?;
    Ok(setting.iter().any(|row| row.value == "ON"))
}

impl DbConnection {
    /// Runs `work` in a write transaction of its own, which is kept if it returns `Ok`.
    ///
    /// # Errors
    ///
    /// That of `work`, or of the transaction itself.
    pub fn write_transaction<R>(
        &mut self,
        work: impl FnOnce(&mut Self) -> QueryResult<R>,
    ) -> QueryResult<R> {
        self.begin_write()?;
        let done = work(self).and_then(|done| self.check_intact().map(|()| done));
        let outcome = match done {
            Ok(done) => Self::commit_transaction(self).map(|()| done),
            Err(error) => {
                // The first error says more than a failure to roll back.
                let _ = Self::rollback_transaction(self);
                Err(error)
            }
        };
        let restored = match self {
            Self::Sqlite(_) => Ok(()),
            Self::Mysql(conn) => conn.batch_execute("SET SESSION autocommit = 1"),
        };
        outcome.and_then(|done| restored.map(|()| done))
    }
}

/// What a connection may do with a SQLite database.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    /// Everything, and it is created.
    Create,
    /// Everything, if it is there.
    Write,
    /// Read it with its log, which stays as it is when the connection is closed.
    Read,
    /// Read the main file alone. No other file is looked at or created.
    ReadMainFile,
}

/// The path in the form in which SQLite takes options.
pub(crate) fn sqlite_address(path: &Path, access: Access) -> String {
    let name = path.to_string_lossy();
    let name = name
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    let begin = if path.is_absolute() {
        "file://"
    } else {
        "file:"
    };
    let mode = match access {
        Access::Create => "rwc",
        Access::Write => "rw",
        Access::Read => "ro",
        Access::ReadMainFile => "ro&immutable=1",
    };
    format!("{begin}{name}?mode={mode}")
}

const SQLITE_SESSION: &str = "\
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -8192;
    PRAGMA wal_autocheckpoint = 4000;";

const MYSQL_SESSION: &str = "\
    SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES,NO_ZERO_DATE');
    SET SESSION innodb_lock_wait_timeout = 5;
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;";

/// A node of a Galera cluster may be behind the others. Whatever was acknowledged at any of them before a statement or transaction begins
/// is there for it: what one replica has acknowledged, the others have to meet.
const GALERA_SESSION: &str = "SET SESSION wsrep_sync_wait = @@SESSION.wsrep_sync_wait | 1";

/// A server may roll a transaction back without telling the session. MariaDB 10.11.19 does, as a node of Galera: when another node has committed a
/// transaction that conflicts, the next statement is told so, but not always if that statement has no answer, such as the one that closes a prepared
/// statement. All that follows would then be done by itself, each statement at once, and the commit be acknowledged. Without `autocommit` it is kept back
/// until the commit, and the savepoint of the begin is not there any more.
pub(crate) const MYSQL_BEGIN: &str =
    "SET SESSION autocommit = 0; START TRANSACTION; SAVEPOINT marquee_write";

/// As [`MYSQL_BEGIN`], for a server that ends no idle transactions: it ends idle sessions instead, those that wait in the pool, too.
const MYSQL_BEGIN_OF_SHORT_SESSION: &str =
    "SET SESSION autocommit = 0, wait_timeout = 4; START TRANSACTION; SAVEPOINT marquee_write";

/// A variable of a MySQL server, as `SHOW VARIABLES` tells it.
#[derive(diesel::QueryableByName)]
struct Variable {
    #[diesel(sql_type = diesel::sql_types::Text, column_name = "Value")]
    value: String,
}

trait SimpleSession {
    fn execute_batch(&mut self, sql: &str) -> QueryResult<()>;
}

impl<C: SimpleConnection> SimpleSession for C {
    fn execute_batch(&mut self, sql: &str) -> QueryResult<()> {
        self.batch_execute(sql)
    }
}
