//! The group commit: the writes that wait share one transaction.
//!
//! A write is a closure, or a [`Command`], of which the waiting ones of a kind are done together. If
//! a transaction fails, its writes are run again one by one, so that only the faulty one fails.

use std::{
    any::{Any, TypeId},
    collections::{HashMap, VecDeque},
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use diesel::{
    QueryResult,
    connection::TransactionManager,
    result::{DatabaseErrorKind, Error as DieselError},
};
use runtime::{Backoff, metrics::Histogram, supervision::RequestScope};

use crate::{
    DbConnection, Error,
    executor::describe,
    pool::{Session, is_lost},
    spans::DatabaseSpans,
};

/// How many writes share one transaction at most.
const GROUP_LIMIT: usize = 256;

/// After how long a transaction takes no more writes: it holds locks that other replicas wait for.
const GROUP_TIME: Duration = Duration::from_millis(300);

/// How many writes may wait.
const QUEUE_LIMIT: usize = 4_096;

/// How often a group that lost against another transaction is tried again.
const CONFLICT_RETRIES: usize = 10;

/// As often an apart write is: it is long, others wait for it meanwhile, and its caller tries again.
const APART_CONFLICT_RETRIES: usize = 1;

/// How often one is that found a unique key taken: on Galera that may be the row of a transaction of another node, which is about to abort
/// this one, and the row is seen in time when the same is run again.
const DUPLICATE_RETRIES: usize = 6;

/// For how long it is, which is as long as its callers wait.
const CONFLICT_DEADLINE: Duration = Duration::from_secs(10);

/// A change to the database that is cheaper to make together with others of its kind.
///
/// Like a closure of [`Database::write`](crate::Database::write), a command is run again when its
/// transaction meets a conflict, so [`run`](Self::run) must have no effect outside the database.
pub trait Command: Sized + Send + 'static {
    /// What the caller learns.
    type Answer: Send + 'static;

    /// Makes the changes of the first of `commands`, as many as suit it and at least one, and
    /// returns one answer for each of these in the same order. The others follow in a further call.
    ///
    /// # Errors
    ///
    /// If one of them cannot be made; each command is then run again alone.
    fn run(conn: &mut DbConnection, commands: &[&Self]) -> QueryResult<Vec<Self::Answer>>;

    /// Follows the commit of what one call of [`run`](Self::run) changed, on the writer's thread and
    /// before the callers are answered. It must not block.
    fn committed(_done: &[(&Self, &Self::Answer)]) {}
}

/// A write on its way through the executor.
pub(crate) trait Write: Any + Send {
    /// What can share a call of [`attempt`](Self::attempt) with this write: writes of the same kind.
    fn kind(&self) -> Option<TypeId>;

    /// Runs the write inside the group's transaction, together with as many of the `next` ones as it
    /// can; keeps the results for later and returns how many writes it ran.
    fn attempt(
        &mut self,
        next: &mut [Box<dyn Write>],
        conn: &mut DbConnection,
    ) -> QueryResult<usize>;

    /// Follows the commit of the write and of the `next` ones that it ran.
    fn committed(&self, next: &[Box<dyn Write>]);

    /// Answers the caller: with the kept result if the transaction was committed.
    fn settle(self: Box<Self>, outcome: Result<(), Error>);

    /// Whether the caller has stopped waiting for the answer.
    fn is_abandoned(&self) -> bool;

    /// Whether it must not share its transaction.
    fn is_apart(&self) -> bool {
        false
    }

    /// The request for whose sake it is done.
    fn scope(&self) -> &RequestScope;
}

/// The writes that wait for the writer.
pub(crate) struct WriteQueue {
    /// How long they waited.
    wait: Histogram,
    waiting: Mutex<Waiting>,
    pushed: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Each with when it came.
    writes: VecDeque<(Instant, Box<dyn Write>)>,
    /// The writer is about to take writes: it was told, or it lingers.
    is_expected: bool,
}

impl WriteQueue {
    /// A queue without writes, which tells `wait` how long each of them waited.
    pub(crate) fn new(wait: Histogram) -> Self {
        Self {
            wait,
            waiting: Mutex::default(),
            pushed: Condvar::new(),
        }
    }

    /// Adds a write, or refuses it when too many wait. Returns whether the writer has to be told.
    pub(crate) fn push(&self, write: Box<dyn Write>) -> Result<bool, Error> {
        let mut waiting = self.lock();
        if waiting.writes.len() >= QUEUE_LIMIT {
            waiting.writes.retain(|(_, write)| !write.is_abandoned());
        }
        if waiting.writes.len() >= QUEUE_LIMIT {
            return Err(Error::Overloaded);
        }
        waiting.writes.push_back((Instant::now(), write));
        let is_expected = std::mem::replace(&mut waiting.is_expected, true);
        drop(waiting);
        self.pushed.notify_one();
        Ok(!is_expected)
    }

    /// The writer could not be told: the next write has to tell it.
    pub(crate) fn not_told(&self) {
        self.lock().is_expected = false;
    }

    /// Takes the writes of the next group, in order, except that those of a kind follow on the first of
    /// them. If none wait, it waits
    /// at most `linger` for one.
    pub(crate) fn take_group(&self, linger: Duration) -> Vec<Box<dyn Write>> {
        let mut waiting = self.lock();
        if waiting.writes.is_empty() && !linger.is_zero() {
            waiting.is_expected = true;
            waiting = self
                .pushed
                .wait_timeout_while(waiting, linger, |waiting| waiting.writes.is_empty())
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        waiting.is_expected = false;
        let writes = &mut waiting.writes;
        let wanted = std::iter::from_fn(|| writes.pop_front()).filter(|(_, w)| !w.is_abandoned());
        let group: Vec<_> = wanted.take(GROUP_LIMIT).collect();
        drop(waiting);
        let observed = group.into_iter().map(|(came, write)| {
            self.wait.observe(came.elapsed().as_secs_f64());
            write
        });
        gather(observed.collect())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves the writes of a kind up to the first of them.
fn gather(group: Vec<Box<dyn Write>>) -> Vec<Box<dyn Write>> {
    let mut firsts = HashMap::new();
    let mut placed: Vec<(usize, Box<dyn Write>)> = group.into_iter().enumerate().collect();
    for (place, write) in &mut placed {
        if let Some(kind) = write.kind() {
            *place = *firsts.entry(kind).or_insert(*place);
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, write)| write).collect()
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
    /// There is no room on the disk.
    Full(DieselError),
}

/// Commits the writes in one transaction, or in several if they take long, and answers their
/// callers. If one of them fails, those of its transaction are run again one by one, so that it
/// fails alone.
///
/// # Errors
///
/// The words of a panic in one of the writes; all callers have been answered even so.
pub(crate) fn commit_group(
    session: &mut Session,
    mut group: Vec<Box<dyn Write>>,
    spans: &DatabaseSpans,
) -> Result<(), String> {
    let mut panicked = Ok(());
    // How many of the next writes are run one by one.
    let mut alone = 0_usize;
    loop {
        group.retain(|write| !write.is_abandoned());
        if group.is_empty() {
            return panicked;
        }
        let limit = if alone > 0 { 1 } else { GROUP_LIMIT };
        let begun = SystemTime::now();
        let (tried, outcome) = try_group(session, &mut group, limit);
        let setback = match outcome {
            Ok(runs) => {
                let committed: Vec<_> = group.drain(..tried).collect();
                let scopes = committed.iter().map(|write| write.scope());
                spans.transaction(scopes, begun, None);
                settle_committed(committed, &runs);
                alone = alone.saturating_sub(tried);
                continue;
            }
            Err(setback) => setback,
        };
        // What an apart write waits for may be its own alone.
        let is_apart = group.first().is_some_and(|write| write.is_apart());
        let in_vain = match setback {
            Setback::Full(_) => true,
            Setback::Conflict(_) => !is_apart,
            _ => false,
        };
        let hopeless = session.broken || in_vain;
        let full = matches!(setback, Setback::Full(_));
        if tried > 1 && !hopeless {
            alone = tried;
            continue;
        }
        if let Setback::Panicked(panic) = &setback {
            panicked = panicked.and(Err(panic.clone()));
        }
        let culprit = tried.saturating_sub(1).min(group.len() - 1);
        let culprit = group.remove(culprit);
        spans.transaction(iter::once(culprit.scope()), begun, Some(setback.kind()));
        culprit.settle(Err(setback.into_error()));
        alone = alone.saturating_sub(1);
        if hopeless {
            // The others would only wait for the same.
            for write in group.drain(..) {
                write.settle(Err(match full {
                    true => Error::Full(DieselError::RollbackTransaction),
                    false => Error::Unavailable(None),
                }));
            }
        }
    }
}

/// Answers the callers of writes that were committed; `runs` says how many were run together.
fn settle_committed(writes: Vec<Box<dyn Write>>, runs: &[usize]) {
    let mut rest = writes.as_slice();
    for count in runs {
        let (run, further) = rest.split_at((*count).min(rest.len()));
        if let Some((first, next)) = run.split_first() {
            first.committed(next);
        }
        rest = further;
    }
    for write in writes {
        write.settle(Ok(()));
    }
}

/// Tries the first writes of the group as one transaction, again while other transactions are in
/// the way. Returns how many it got to, and how many of these were run together each time.
fn try_group(
    session: &mut Session,
    group: &mut [Box<dyn Write>],
    limit: usize,
) -> (usize, Result<Vec<usize>, Setback>) {
    let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));
    let begun = Instant::now();
    let (mut conflicts, mut duplicates) = (0, 0);
    let retries = match group.first().is_some_and(|write| write.is_apart()) {
        true => APART_CONFLICT_RETRIES,
        false => CONFLICT_RETRIES,
    };
    let on_a_server = matches!(session.conn, DbConnection::Mysql(_));
    loop {
        let outcome = try_once(session, group, limit);
        let (tries, allowed) = match &outcome.1 {
            Err(Setback::Conflict(_)) => (&mut conflicts, retries),
            Err(Setback::Failed(error)) if on_a_server && is_duplicate(error) => {
                (&mut duplicates, DUPLICATE_RETRIES)
            }
            _ => (&mut conflicts, 0),
        };
        match outcome {
            (_, Err(setback @ (Setback::Conflict(_) | Setback::Failed(_))))
                if *tries < allowed && begun.elapsed() < CONFLICT_DEADLINE =>
            {
                *tries += 1;
                let error = match &setback {
                    Setback::Conflict(error) => error.to_string(),
                    // The server's words are those of the row.
                    _ => "a unique key is taken".to_owned(),
                };
                tracing::debug!(%error, tries = *tries, "a transaction is run again after a conflict");
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the writer has a thread of its own and nothing else to do"
                )]
                std::thread::sleep(backoff.next_delay());
            }
            (tried, Err(setback)) => {
                session.unwritable = match &setback {
                    Setback::Full(error) | Setback::Lost(error) | Setback::Conflict(error) => {
                        Some(error.to_string())
                    }
                    // That is between the closure and its caller, and says nothing of the database.
                    Setback::Failed(_) | Setback::Panicked(_) => session.unwritable.take(),
                };
                session.broken |= match setback {
                    // One without room may have rolled back by itself, which diesel does not know.
                    Setback::Lost(_) | Setback::Full(_) => true,
                    // A rolled-back connection is as good as new unless the rollback failed too.
                    Setback::Panicked(_) => is_lost(&mut session.conn),
                    Setback::Conflict(_) | Setback::Failed(_) => false,
                };
                return (tried, Err(setback));
            }
            done => {
                session.unwritable = None;
                return done;
            }
        }
    }
}

/// How many of the first writes of `group` may share a transaction.
fn shared(group: &[Box<dyn Write>]) -> usize {
    let shared = group.iter().take_while(|write| !write.is_apart()).count();
    shared.max(1).min(group.len())
}

fn try_once(
    session: &mut Session,
    group: &mut [Box<dyn Write>],
    limit: usize,
) -> (usize, Result<Vec<usize>, Setback>) {
    let mut tried = 0;
    let mut runs = Vec::new();
    let conn = &mut session.conn;
    if let Err(error) = conn.begin_write() {
        return (tried, Err(Setback::of(error, conn)));
    }
    let begun = Instant::now();
    let end = limit.min(shared(group));
    while let Some((first, next)) = group
        .get_mut(tried..end)
        .and_then(<[Box<dyn Write>]>::split_first_mut)
    {
        let kind = first.kind();
        let alike = next
            .iter()
            .take_while(|write| kind.is_some() && write.kind() == kind)
            .count();
        let next = next.get_mut(..alike).unwrap_or_default();
        let attempt = catch_unwind(AssertUnwindSafe(|| first.attempt(next, conn)));
        let setback = match attempt {
            Ok(Ok(count)) => {
                tried += count;
                runs.push(count);
                if begun.elapsed() < GROUP_TIME {
                    continue;
                }
                break;
            }
            Ok(Err(error)) => Setback::of(error, conn).unless_rolled_back(conn),
            Err(panic) => Setback::Panicked(describe(&*panic)),
        };
        // Any of those that may have been run together can be the faulty one.
        return (tried + 1 + alike, Err(roll_back(conn, setback)));
    }
    let counted = session.count_transaction();
    let conn = &mut session.conn;
    let commit = match counted {
        Ok(commit) => commit,
        Err(error) => {
            let setback = Setback::of(error, conn);
            return (tried, Err(roll_back(conn, setback)));
        }
    };
    match conn
        .check_intact()
        .and_then(|()| DbConnection::commit_transaction(conn))
    {
        Ok(()) => {
            if let Some(commit) = commit {
                session.note(commit);
            }
            (tried, Ok(runs))
        }
        Err(error) => {
            let setback = match Setback::of(error, conn) {
                // At this point it leaves open what is on disk.
                Setback::Full(error) if is_io_error(&error) => Setback::Lost(error),
                setback => setback,
            };
            (tried, Err(roll_back(conn, setback)))
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
            return match setback {
                Setback::Full(_) => setback,
                _ => Setback::Lost(error),
            };
        }
    }
}

impl Setback {
    fn of(error: DieselError, conn: &mut DbConnection) -> Self {
        if is_conflict(&error) {
            Self::Conflict(error)
        } else if is_full(&error) {
            Self::Full(error)
        } else if is_read_only(&error)
            || is_detached(&error)
            || may_be_lost(&error) && is_lost(conn)
        {
            Self::Lost(error)
        } else {
            Self::Failed(error)
        }
    }

    /// The failure of a write, or the conflict that it comes of if the transaction was rolled back under it.
    fn unless_rolled_back(self, conn: &mut DbConnection) -> Self {
        let manager = DbConnection::transaction_manager_status_mut(conn);
        let depth = manager.transaction_depth().ok().flatten();
        match self {
            Self::Failed(error) if depth.is_some_and(|depth| depth.get() == 1) => {
                match conn.check_intact() {
                    Ok(()) => Self::Failed(error),
                    Err(error) => Self::of(error, conn),
                }
            }
            other => other,
        }
    }

    /// What it is, in a word.
    fn kind(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::Failed(_) => "failed",
            Self::Panicked(_) => "panicked",
            Self::Lost(_) => "unavailable",
            Self::Full(_) => "full",
        }
    }

    fn into_error(self) -> Error {
        match self {
            Self::Conflict(error) | Self::Lost(error) => Error::Unavailable(Some(error)),
            Self::Full(error) => Error::Full(error),
            Self::Failed(error) => Error::Query(error),
            Self::Panicked(_) => Error::Panicked,
        }
    }
}

/// Whether the error can come of a connection that is gone.
fn may_be_lost(error: &DieselError) -> bool {
    use DatabaseErrorKind::{ClosedConnection, Unknown};
    matches!(
        error,
        DieselError::DatabaseError(Unknown | ClosedConnection, _)
            | DieselError::BrokenTransactionManager
    )
}

/// Whether there is no room for what was to be written. SQLite says so in words of its own, or, where it
/// has to make its index of the log longer, calls it an I/O error; MySQL names the full table or disk.
fn is_full(error: &DieselError) -> bool {
    const SAYS: [&str; 4] = [
        "is full",
        "Disk full",
        "No space left on device",
        "Got error 28 ",
    ];
    let DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) = error else {
        return false;
    };
    is_io_error(error) || SAYS.iter().any(|words| info.message().contains(words))
}

/// Whether SQLite could not read or write its files, for whatever reason.
fn is_io_error(error: &DieselError) -> bool {
    matches!(error, DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) if info.message() == "disk I/O error")
}

/// Whether the server takes no writes. After a failover that is the former primary (1290, 1836),
/// and a new connection leads to the present one.
fn is_read_only(error: &DieselError) -> bool {
    use DatabaseErrorKind::{ReadOnlyTransaction, Unknown};
    match error {
        DieselError::DatabaseError(ReadOnlyTransaction, _) => true,
        DieselError::DatabaseError(Unknown, info) => {
            let text = info.message().to_lowercase();
            let says = ["read-only", "read only", "readonly"];
            says.iter().any(|words| text.contains(words))
        }
        _ => false,
    }
}

/// Whether the server is a node of a Galera cluster that serves no queries at the moment, because it is cut off from the majority or is given
/// the data (1047); or was cut off while it committed (1180), which leaves open what the others have.
pub(crate) fn is_detached(error: &DieselError) -> bool {
    let DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) = error else {
        return false;
    };
    let text = info.message();
    text.contains("WSREP has not yet prepared node")
        || text.starts_with("Got error ") && text.ends_with(" during COMMIT")
}

/// Whether another transaction was in the way. MySQL's client passes on the server's text but not
/// its code: 1213 (deadlock) and 1205 (lock wait) end in "try restarting transaction", 1020 begins
/// "Record has changed since last read"; the former also come at commit on Galera, which has words of
/// its own for some of them, and interrupts a statement (1317) for a transaction of another node.
pub(crate) fn is_conflict(error: &DieselError) -> bool {
    let DieselError::DatabaseError(kind, info) = error else {
        return false;
    };
    let text = info.message();
    matches!(kind, DatabaseErrorKind::SerializationFailure)
        || text.contains("try restarting transaction")
        || text.contains("WSREP detected deadlock/conflict")
        || text.contains("Query execution was interrupted")
        || text.contains("Record has changed since last read")
        || text.contains("database is locked")
}

/// Whether a row was there already under a key that is unique.
fn is_duplicate(error: &DieselError) -> bool {
    matches!(
        error,
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: DatabaseErrorKind, text: &str) -> DieselError {
        DieselError::DatabaseError(kind, Box::new(text.to_owned()))
    }

    #[test]
    fn what_a_node_of_a_cluster_says_is_no_fault_of_a_write() {
        for text in [
            "Deadlock found when trying to get lock; try restarting transaction",
            "Lock wait timeout exceeded; try restarting transaction",
            "WSREP detected deadlock/conflict and aborted the transaction. Try restarting the transaction",
            "Query execution was interrupted",
        ] {
            let error = error(DatabaseErrorKind::Unknown, text);
            assert!(is_conflict(&error) && !is_detached(&error), "{text}");
        }
        for text in [
            "WSREP has not yet prepared node for application use",
            "Got error 6 \"No such device or address\" during COMMIT",
        ] {
            let error = error(DatabaseErrorKind::Unknown, text);
            assert!(is_detached(&error) && !is_full(&error), "{text}");
        }
        let quoted = "Duplicate entry '5-Got error 6 during COMMIT' for key 'preferences'";
        assert!(!is_detached(&error(
            DatabaseErrorKind::UniqueViolation,
            quoted
        )));
    }

    #[test]
    fn a_full_disk_is_known_by_the_words_of_each_database() {
        for text in [
            "database or disk is full",
            "disk I/O error",
            "The table 'movies' is full",
            "Disk full (/tmp/#sql); waiting for someone to free some space... (errno: 28 \"No space left on device\")",
            "Got error 28 \"No space left on device\" from storage engine InnoDB",
            "Got error 28 from storage engine",
        ] {
            assert!(is_full(&error(DatabaseErrorKind::Unknown, text)), "{text}");
        }
        let quoted = "Duplicate entry '5-the house is full' for key 'preferences'";
        assert!(!is_full(&error(DatabaseErrorKind::UniqueViolation, quoted)));
        assert!(!is_full(&error(
            DatabaseErrorKind::Unknown,
            "no such table: movies"
        )));
        assert!(!is_full(&DieselError::NotFound));
    }
}
