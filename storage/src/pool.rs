use std::{fmt, time::Duration};

use diesel::ConnectionError;
use diesel::r2d2::{ManageConnection, Pool, PooledConnection, R2D2Connection};

use crate::{DatabaseUrl, DbConnection};

/// How long a query waits for a connection before the database counts as away.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

pub(crate) type DbPool = Pool<Manager>;
pub(crate) type Pooled = PooledConnection<Manager>;

/// Makes connections for the pool; which kind is the address's to say.
#[derive(Debug)]
pub(crate) struct Manager {
    url: DatabaseUrl,
}

/// A connection in the pool.
pub(crate) struct Session {
    pub(crate) conn: DbConnection,
    /// Set when the connection was left in a state that nobody knows: it is not used again.
    pub(crate) broken: bool,
    /// Why the last transaction could not be written, whatever it was; no fault of its closures.
    pub(crate) unwritable: Option<String>,
}

impl ManageConnection for Manager {
    type Connection = Session;
    type Error = ConnectionError;

    fn connect(&self) -> Result<Session, ConnectionError> {
        let conn = DbConnection::open(&self.url)?;
        Ok(Session {
            conn,
            broken: false,
            unwritable: None,
        })
    }

    fn is_valid(&self, session: &mut Session) -> Result<(), ConnectionError> {
        match &mut session.conn {
            // A file does not go away the way a server does.
            DbConnection::Sqlite(_) => Ok(()),
            DbConnection::Mysql(conn) => conn
                .ping()
                .map_err(ConnectionError::CouldntSetupConfiguration),
        }
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.broken || session.conn.is_broken()
    }
}

/// A pool that connects when it is first asked to.
pub(crate) fn pool(url: &DatabaseUrl, size: u32) -> DbPool {
    Pool::builder()
        .max_size(size)
        .min_idle(Some(0))
        .connection_timeout(CONNECT_DEADLINE)
        // The executors report an absent database once; r2d2 would log every attempt.
        .error_handler(Box::new(Quiet))
        .build_unchecked(Manager { url: url.clone() })
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
