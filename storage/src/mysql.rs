//! diesel-async's MySQL client as a blocking connection, so that no C library of MySQL is linked. Every wait for
//! the server has a limit, after which the connection is not used any more.

use std::{any::Any, future::Future, time::Duration};

use diesel::{
    connection::{
        AnsiTransactionManager, CacheSize, Instrumentation, LoadConnection, SimpleConnection,
        TransactionManager,
    },
    internal::derives::multiconnection::{ConnectionSealed, MultiConnectionHelper},
    migration::{CREATE_MIGRATIONS_TABLE, MigrationConnection},
    mysql::Mysql,
    prelude::*,
    query_builder::{Query, QueryFragment, QueryId},
    r2d2::R2D2Connection,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types::TypeMetadata,
};
use diesel_async::{
    AsyncConnection, AsyncConnectionCore, AsyncMysqlConnection, SimpleAsyncConnection,
};
use futures::TryStreamExt;
use tokio::runtime::Runtime;

use crate::connection::MYSQL_BEGIN;

/// How long the server may be silent. More than it waits for a lock, and less than our callers
/// wait for us, so that one of them learns what happened and the next finds a new connection.
const SILENCE: Duration = Duration::from_secs(8);

/// How long it may be silent when it is only asked whether it is there.
const PING_SILENCE: Duration = Duration::from_secs(2);

/// A MySQL connection that diesel's multi-connection accepts. No operation waits without limit: a server
/// that falls silent counts as unavailable.
pub struct PureMysqlConnection {
    /// Taken only when dropped.
    inner: Option<Inner>,
    transactions: AnsiTransactionManager,
    /// Whether the server is a node of a Galera cluster.
    pub(crate) is_clustered: bool,
    /// How a transaction of writes begins.
    pub(crate) begin: &'static str,
}

struct Inner {
    client: AsyncMysqlConnection,
    line: Line,
}

/// The runtime that waits for the server.
struct Line {
    runtime: Runtime,
    silence: Duration,
    /// An answer did not come: the next thing to arrive could be that one, so nothing is sent.
    is_dead: bool,
}

impl Line {
    fn wait<T>(&mut self, operation: impl Future<Output = QueryResult<T>>) -> QueryResult<T> {
        if !self.is_dead {
            let limited = async { tokio::time::timeout(self.silence, operation).await };
            match self.runtime.block_on(limited) {
                Ok(outcome) => return outcome,
                Err(_) => self.is_dead = true,
            }
        }
        let message = format!("the server was silent for {} s", self.silence.as_secs());
        let kind = DatabaseErrorKind::ClosedConnection;
        Err(DieselError::DatabaseError(kind, Box::new(message)))
    }
}

impl PureMysqlConnection {
    /// Waits this long for each answer from now on.
    pub(crate) fn allow_silence(&mut self, silence: Duration) {
        self.inner().line.silence = silence;
    }

    fn inner(&mut self) -> &mut Inner {
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
        let Inner { client, line } = self.inner();
        line.wait(client.batch_execute(query))
    }
}

impl Connection for PureMysqlConnection {
    type Backend = Mysql;
    type TransactionManager = AnsiTransactionManager;

    fn establish(url: &str) -> ConnectionResult<Self> {
        let bad = |reason: String| ConnectionError::BadConnection(reason);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| bad(format!("cannot wait for a server: {e}")))?;
        let connect = async {
            let client = AsyncMysqlConnection::establish(url);
            tokio::time::timeout(SILENCE, client).await
        };
        let client = runtime
            .block_on(connect)
            .map_err(|_| bad(format!("no answer within {} s", SILENCE.as_secs())))??;
        let line = Line {
            runtime,
            silence: SILENCE,
            is_dead: false,
        };
        Ok(Self {
            inner: Some(Inner { client, line }),
            transactions: AnsiTransactionManager::default(),
            is_clustered: false,
            begin: MYSQL_BEGIN,
        })
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Mysql> + QueryId,
    {
        let Inner { client, line } = self.inner();
        line.wait(client.execute_returning_count(source))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transactions
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.inner().client.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.inner().client.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.inner().client.set_prepared_statement_cache_size(size);
    }
}

type Stream<'conn, 'query> = <AsyncMysqlConnection as AsyncConnectionCore>::Stream<'conn, 'query>;
type Row<'conn, 'query> = <AsyncMysqlConnection as AsyncConnectionCore>::Row<'conn, 'query>;

/// The rows of a query as they arrive.
pub struct Rows<'conn, 'query> {
    stream: Stream<'conn, 'query>,
    line: &'conn mut Line,
}

impl<'conn, 'query> Iterator for Rows<'conn, 'query> {
    type Item = QueryResult<Row<'conn, 'query>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.line.wait(self.stream.try_next()).transpose()
    }
}

impl LoadConnection for PureMysqlConnection {
    type Cursor<'conn, 'query> = Rows<'conn, 'query>;
    type Row<'conn, 'query> = Row<'conn, 'query>;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> QueryResult<Rows<'conn, 'query>>
    where
        T: Query + QueryFragment<Mysql> + QueryId + 'query,
        Mysql: diesel::expression::QueryMetadata<T::SqlType>,
    {
        let Inner { client, line } = self.inner();
        let stream = line.wait(client.load(source))?;
        Ok(Rows { stream, line })
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
        self.batch_execute(CREATE_MIGRATIONS_TABLE).map(|()| 0)
    }
}

impl R2D2Connection for PureMysqlConnection {
    fn ping(&mut self) -> QueryResult<()> {
        let usual = std::mem::replace(&mut self.inner().line.silence, PING_SILENCE);
        let outcome = self.batch_execute("SELECT 1");
        self.allow_silence(usual);
        outcome
    }

    fn is_broken(&mut self) -> bool {
        self.inner().line.is_dead || AnsiTransactionManager::is_broken_transaction_manager(self)
    }
}
