//! One connection type over SQLite and MySQL, and how a session of each is set up.

#![expect(
    missing_docs,
    reason = "the derived backend has no place for documentation"
)]

use std::path::Path;

use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    prelude::*,
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
                let mut conn = Self::Mysql(conn);
                // One that cannot tell at the moment is no session: it would not wait for what other nodes have acknowledged.
                let is_clustered = conn.is_clustered();
                if is_clustered.map_err(ConnectionError::CouldntSetupConfiguration)? {
                    setup(&mut conn, GALERA_SESSION)?;
                }
                Ok(conn)
            }
        }
    }

    /// Whether the server is a node of a Galera cluster.
    ///
    /// # Errors
    ///
    /// If it does not say so at the moment.
    pub(crate) fn is_clustered(&mut self) -> QueryResult<bool> {
        let Self::Mysql(conn) = self else {
            return Ok(false);
        };
        let setting: Vec<Variable> = sql_query("SHOW VARIABLES LIKE 'wsrep_on'").load(conn)?;
        Ok(setting.iter().any(|row| row.value == "ON"))
    }

    /// Begins the transaction of a group of writes. SQLite takes its write lock at once: a
    /// transaction that reads first and writes later could not be given it.
    pub(crate) fn begin_write(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(conn) => {
                AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")
            }
            Self::Mysql(conn) => {
                AnsiTransactionManager::begin_transaction_sql(conn, "START TRANSACTION")
            }
        }
    }
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
        match work(self) {
            Ok(done) => Self::commit_transaction(self).map(|()| done),
            Err(error) => {
                // The first error says more than a failure to roll back.
                let _ = Self::rollback_transaction(self);
                Err(error)
            }
        }
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
