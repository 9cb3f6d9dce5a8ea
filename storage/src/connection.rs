#![expect(
    missing_docs,
    reason = "the derived backend has no place for documentation"
)]

use std::any::Any;

use diesel::{
    connection::{
        AnsiTransactionManager, CacheSize, Instrumentation, LoadConnection, SimpleConnection,
    },
    internal::derives::multiconnection::{ConnectionSealed, MultiConnectionHelper},
    migration::MigrationConnection,
    mysql::Mysql,
    prelude::*,
    query_builder::{Query, QueryFragment, QueryId},
    r2d2::R2D2Connection,
    sql_types::TypeMetadata,
};
use diesel_async::{AsyncMysqlConnection, async_connection_wrapper::AsyncConnectionWrapper};

use crate::DatabaseUrl;

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
    /// typing and no snapshots older than the statement on MySQL.
    pub(crate) fn open(url: &DatabaseUrl) -> ConnectionResult<Self> {
        let setup = |conn: &mut dyn SimpleSession, sql| {
            conn.execute_batch(sql)
                .map_err(ConnectionError::CouldntSetupConfiguration)
        };
        match url {
            DatabaseUrl::Sqlite(path) => {
                let mut conn = SqliteConnection::establish(&path.to_string_lossy())?;
                setup(&mut conn, SQLITE_SESSION)?;
                Ok(Self::Sqlite(conn))
            }
            DatabaseUrl::Mysql(url) => {
                let mut conn = PureMysqlConnection::establish(url.as_str())?;
                setup(&mut conn, MYSQL_SESSION)?;
                Ok(Self::Mysql(conn))
            }
        }
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

const SQLITE_SESSION: &str = "\
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA temp_store = MEMORY;";

const MYSQL_SESSION: &str = "\
    SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES,NO_ZERO_DATE');
    SET SESSION innodb_lock_wait_timeout = 10;
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;";

trait SimpleSession {
    fn execute_batch(&mut self, sql: &str) -> QueryResult<()>;
}

impl<C: SimpleConnection> SimpleSession for C {
    fn execute_batch(&mut self, sql: &str) -> QueryResult<()> {
        self.batch_execute(sql)
    }
}

type Wrapped = AsyncConnectionWrapper<AsyncMysqlConnection>;

/// diesel-async's MySQL client as a blocking connection that diesel's multi-connection accepts:
/// the wrapper's own transaction manager cannot be one side of it, diesel's can.
pub struct PureMysqlConnection {
    /// Taken only when dropped.
    inner: Option<Wrapped>,
    transactions: AnsiTransactionManager,
}

impl PureMysqlConnection {
    fn inner(&mut self) -> &mut Wrapped {
        self.inner
            .as_mut()
            .expect("the connection is taken only when dropped")
    }
}

/// The connection has a tokio runtime of its own, which must not be dropped inside async code.
impl Drop for PureMysqlConnection {
    fn drop(&mut self) {
        let inner = self.inner.take();
        if tokio::runtime::Handle::try_current().is_ok() {
            std::thread::spawn(move || drop(inner));
        }
    }
}

impl ConnectionSealed for PureMysqlConnection {}

impl SimpleConnection for PureMysqlConnection {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.inner().batch_execute(query)
    }
}

impl Connection for PureMysqlConnection {
    type Backend = Mysql;
    type TransactionManager = AnsiTransactionManager;

    fn establish(url: &str) -> ConnectionResult<Self> {
        let inner = Wrapped::establish(url)?;
        Ok(Self {
            inner: Some(inner),
            transactions: AnsiTransactionManager::default(),
        })
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Mysql> + QueryId,
    {
        self.inner().execute_returning_count(source)
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transactions
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.inner().instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.inner().set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.inner().set_prepared_statement_cache_size(size);
    }
}

impl LoadConnection for PureMysqlConnection {
    type Cursor<'conn, 'query> = <Wrapped as LoadConnection>::Cursor<'conn, 'query>;
    type Row<'conn, 'query> = <Wrapped as LoadConnection>::Row<'conn, 'query>;

    fn load<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Mysql> + QueryId + 'query,
        Mysql: diesel::expression::QueryMetadata<T::SqlType>,
    {
        LoadConnection::load(self.inner(), source)
    }
}

impl MultiConnectionHelper for PureMysqlConnection {
    fn to_any<'a>(lookup: &mut <Mysql as TypeMetadata>::MetadataLookup) -> &mut (dyn Any + 'a) {
        lookup
    }

    fn from_any(lookup: &mut dyn Any) -> Option<&mut <Mysql as TypeMetadata>::MetadataLookup> {
        lookup.downcast_mut()
    }
}

impl MigrationConnection for PureMysqlConnection {
    fn setup(&mut self) -> QueryResult<usize> {
        self.inner().setup()
    }
}

impl R2D2Connection for PureMysqlConnection {
    fn ping(&mut self) -> QueryResult<()> {
        self.inner().ping()
    }
}
