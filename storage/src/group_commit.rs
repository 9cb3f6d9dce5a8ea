use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use diesel::{
    connection::TransactionManager,
    result::{DatabaseErrorKind, Error as DieselError},
};
use runtime::Backoff;

use crate::{
    DbConnection, Error,
    executor::describe,
    pool::{Session, is_lost},
};

/// How many writes share one transaction at most.
const GROUP_LIMIT: usize = 256;

/// How many writes may wait.
const QUEUE_LIMIT: usize = 4_096;

/// How often a group that lost against another transaction is tried again.
const CONFLICT_RETRIES: usize = 10;

/// A write on its way through the executor.
pub(crate) trait Write: Send {
    /// Runs the closure, inside the group's transaction; keeps its result for later.
    fn attempt(&mut self, conn: &mut DbConnection) -> Result<(), DieselError>;

    /// Answers the caller: with the kept result if the transaction was committed.
    fn settle(self: Box<Self>, outcome: Result<(), Error>);
}

/// The writes that wait for the writer.
#[derive(Default)]
pub(crate) struct WriteQueue(Mutex<VecDeque<Box<dyn Write>>>);

impl WriteQueue {
    /// Adds a write, or refuses it when too many wait.
    pub(crate) fn push(&self, write: Box<dyn Write>) -> Result<(), Error> {
        let mut waiting = self.lock();
        if waiting.len() >= QUEUE_LIMIT {
            return Err(Error::Overloaded);
        }
        waiting.push_back(write);
        Ok(())
    }

    pub(crate) fn take_group(&self) -> Vec<Box<dyn Write>> {
        let mut waiting = self.lock();
        let count = waiting.len().min(GROUP_LIMIT);
        waiting.drain(..count).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Box<dyn Write>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a group could not be committed as a whole.
enum Setback {
    /// Another transaction was in the way: the same again may succeed.
    Conflict(DieselError),
    /// One of the writes failed.
    Failed(DieselError),
    /// One of the writes panicked.
    Panicked(String),
    /// The connection is gone.
    Lost(DieselError),
}

/// Commits the writes in one transaction and answers their callers. If one of them fails, each is
/// run in a transaction of its own, so that it fails alone.
///
/// # Errors
///
/// The words of a panic in one of the writes; all callers have been answered even so.
pub(crate) fn commit_group(
    session: &mut Session,
    mut group: Vec<Box<dyn Write>>,
) -> Result<(), String> {
    let setback = match try_group(session, &mut group) {
        Ok(()) => {
            for write in group {
                write.settle(Ok(()));
            }
            return Ok(());
        }
        Err(setback) => setback,
    };
    let whole = matches!(setback, Setback::Lost(_)) || session.broken;
    if group.len() == 1 || whole {
        let panicked = match &setback {
            Setback::Panicked(panic) => Err(panic.clone()),
            _ => Ok(()),
        };
        let mut error = Some(setback.into_error());
        for write in group {
            let error = error.take().unwrap_or(Error::Unavailable(None));
            write.settle(Err(error));
        }
        return panicked;
    }
    let mut panicked = Ok(());
    for write in group {
        let alone = commit_group(session, vec![write]);
        panicked = panicked.and(alone);
    }
    panicked
}

/// Tries the group as one transaction, again while other transactions are in the way.
fn try_group(session: &mut Session, group: &mut [Box<dyn Write>]) -> Result<(), Setback> {
    let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));
    let mut tries = 0;
    loop {
        match try_once(&mut session.conn, group) {
            Err(Setback::Conflict(error)) if tries < CONFLICT_RETRIES => {
                tries += 1;
                tracing::debug!(%error, tries, "a transaction is run again after a conflict");
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the writer has a thread of its own and nothing else to do"
                )]
                std::thread::sleep(backoff.next_delay());
            }
            Err(setback) => {
                session.broken |= matches!(setback, Setback::Lost(_) | Setback::Panicked(_));
                if session.broken && !matches!(setback, Setback::Lost(_)) {
                    // A rolled-back connection is as good as new unless the rollback failed too.
                    session.broken = is_lost(&mut session.conn);
                }
                return Err(setback);
            }
            Ok(()) => return Ok(()),
        }
    }
}

fn try_once(conn: &mut DbConnection, group: &mut [Box<dyn Write>]) -> Result<(), Setback> {
    conn.begin_write().map_err(|e| Setback::of(e, conn))?;
    for write in group {
        let attempt = catch_unwind(AssertUnwindSafe(|| write.attempt(conn)));
        let setback = match attempt {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => Setback::of(error, conn),
            Err(panic) => Setback::Panicked(describe(&*panic)),
        };
        return Err(roll_back(conn, setback));
    }
    match DbConnection::commit_transaction(conn) {
        Ok(()) => Ok(()),
        Err(error) => {
            let setback = Setback::of(error, conn);
            Err(roll_back(conn, setback))
        }
    }
}

/// Rolls back, nested transactions included, so that the connection can be used again.
fn roll_back(conn: &mut DbConnection, setback: Setback) -> Setback {
    loop {
        let depth = DbConnection::transaction_manager_status_mut(conn).transaction_depth();
        match depth {
            Ok(None) => return setback,
            Ok(Some(_)) => {}
            Err(error) => return Setback::Lost(error),
        }
        if let Err(error) = DbConnection::rollback_transaction(conn) {
            return Setback::Lost(error);
        }
    }
}

impl Setback {
    fn of(error: DieselError, conn: &mut DbConnection) -> Self {
        if is_conflict(&error) {
            Self::Conflict(error)
        } else if matches!(
            error,
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, _)
                | DieselError::BrokenTransactionManager
        ) && is_lost(conn)
        {
            Self::Lost(error)
        } else {
            Self::Failed(error)
        }
    }

    fn into_error(self) -> Error {
        match self {
            Self::Conflict(error) | Self::Lost(error) => Error::Unavailable(Some(error)),
            Self::Failed(error) => Error::Query(error),
            Self::Panicked(_) => Error::Panicked,
        }
    }
}

/// Whether another transaction was in the way. MySQL's client passes on the server's text but not
/// its code: 1213 (deadlock) and 1205 (lock wait) end in "try restarting transaction", 1020 begins
/// "Record has changed since last read"; the former also come at commit on Galera.
fn is_conflict(error: &DieselError) -> bool {
    let DieselError::DatabaseError(kind, info) = error else {
        return false;
    };
    let text = info.message();
    matches!(kind, DatabaseErrorKind::SerializationFailure)
        || text.contains("try restarting transaction")
        || text.contains("Record has changed since last read")
        || text.contains("database is locked")
}
