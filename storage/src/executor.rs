//! The actors that touch the pool: blocking, each on threads of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use actix::{Actor, ActorContext, Handler, Message, SyncContext};
use runtime::{ChildGuard, Dependency, metrics::Histogram};

use crate::{
    DbConnection, Error,
    figures::QueryTimes,
    group_commit::{WriteQueue, commit_group},
    pool::{self, DbPool, Pooled},
    spans::DatabaseSpans,
};

/// How long the writer waits for a next write before it returns to its mailbox: callers that were just
/// answered often have one, and its mailbox is a detour over another thread.
const LINGER: Duration = Duration::from_millis(2);

/// A read on its way through the executor. It answers its caller itself; dropped unanswered, the
/// caller learns that it panicked.
pub(crate) trait Read: Send {
    /// Runs the query and answers; false if the connection turned out to be lost.
    fn run(self: Box<Self>, conn: &mut DbConnection) -> bool;

    /// Answers that it could not be run.
    fn refuse(self: Box<Self>, error: Error);

    /// How long ago it was asked for.
    fn waited(&self) -> Duration;

    /// Whether the caller has stopped waiting for the answer.
    fn is_abandoned(&self) -> bool;
}

/// Asks a [`Reader`] to run a query.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RunRead(pub(crate) Box<dyn Read>);

/// Asks the [`Writer`] to commit what waits in its queue.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CommitWaiting;

/// Runs reads.
pub(crate) struct Reader {
    pub(crate) pool: DbPool,
    pub(crate) dependency: Arc<Dependency>,
    pub(crate) times: QueryTimes,
    pub(crate) guard: ChildGuard,
}

/// Runs writes, all that wait in one transaction.
pub(crate) struct Writer {
    pub(crate) pool: DbPool,
    pub(crate) dependency: Arc<Dependency>,
    pub(crate) writable: Arc<Dependency>,
    pub(crate) queue: Arc<WriteQueue>,
    /// Whether it does only what is done apart, and another writer all else. That one says how the database is: this one may
    /// have nothing to do for hours, and would not take back what it said.
    pub(crate) is_apart: bool,
    pub(crate) work_time: Histogram,
    pub(crate) spans: DatabaseSpans,
    pub(crate) guard: ChildGuard,
}

/// Runs at a stop, before the supervisor learns that the writer has ended.
impl Drop for Writer {
    fn drop(&mut self) {
        pool::empty_log(&self.pool);
    }
}

runtime::requested!(Reader);

impl Actor for Reader {
    type Context = SyncContext<Self>;
}

runtime::requested!(Writer);

impl Actor for Writer {
    type Context = SyncContext<Self>;

    /// Takes up what was asked for while no writer was there to be told.
    fn started(&mut self, context: &mut SyncContext<Self>) {
        while self.commit_waiting(Duration::ZERO, context) {}
    }
}

impl Handler<RunRead> for Reader {
    type Result = ();

    fn handle(&mut self, RunRead(read): RunRead, context: &mut SyncContext<Self>) {
        if read.is_abandoned() {
            return;
        }
        self.guard.step();
        self.times.wait.observe(read.waited().as_secs_f64());
        // Observes when it is dropped.
        let _timer = self.times.work.start_timer();
        let mut session = match connect(&self.pool, &self.dependency) {
            Ok(session) => session,
            Err(reason) => {
                self.guard.blocked(reason);
                return read.refuse(Error::Unavailable(None));
            }
        };
        match session.lost_table() {
            Some(reason) => self.guard.not_ready(reason),
            None => self.guard.ready(),
        }
        match catch_unwind(AssertUnwindSafe(|| read.run(&mut session.conn))) {
            Ok(true) => {}
            Ok(false) => session.broken = true,
            Err(panic) => {
                session.broken = true;
                self.guard
                    .failed(format_args!("a query {}", describe(&*panic)));
                context.stop();
            }
        }
    }
}

impl Handler<CommitWaiting> for Writer {
    type Result = ();

    fn handle(&mut self, _: CommitWaiting, context: &mut SyncContext<Self>) {
        let mut linger = Duration::ZERO;
        while self.commit_waiting(linger, context) {
            linger = LINGER;
        }
    }
}

impl Writer {
    /// Commits one group; false if nothing waits or comes within `linger`, or if the writer has to
    /// be restarted. A write that is pushed after it returned false tells the writer again.
    fn commit_waiting(&mut self, linger: Duration, context: &mut SyncContext<Self>) -> bool {
        self.guard.step();
        let group = self.queue.take_group(linger);
        if group.is_empty() {
            return false;
        }
        self.guard.reporter().handled(group.len() as u64);
        // Observes when it is dropped.
        let _timer = self.work_time.start_timer();
        let mut session = match connect(&self.pool, &self.dependency) {
            Ok(session) => session,
            Err(reason) => {
                // Not more than hindered: only a later write clears it, and a service that is not
                // ready gets none.
                if !self.is_apart {
                    self.guard.hindered(reason);
                }
                for write in group {
                    write.settle(Err(Error::Unavailable(None)));
                }
                return true;
            }
        };
        let outcome = commit_group(&mut session, group, &self.spans);
        match &session.unwritable {
            _ if self.is_apart => self.guard.ready(),
            Some(reason) => {
                self.writable.unavailable(reason);
                self.guard
                    .hindered(format_args!("the database cannot be written to: {reason}"));
            }
            None => {
                self.writable.available();
                self.guard.ready();
            }
        }
        if let Err(panic) = &outcome {
            self.guard.failed(format_args!("a write {panic}"));
            context.stop();
        }
        outcome.is_ok()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the executors are where the pool may be touched"
)]
fn connect(pool: &DbPool, dependency: &Dependency) -> Result<Pooled, String> {
    match pool.get() {
        Ok(session) => {
            dependency.available();
            Ok(session)
        }
        Err(error) => {
            dependency.unavailable(&error);
            Err(format!("the database is unavailable: {error}"))
        }
    }
}

/// A caught panic in words.
pub(crate) fn describe(panic: &(dyn std::any::Any + Send)) -> String {
    format!("panicked: {}", runtime::supervision::panic_message(panic))
}
