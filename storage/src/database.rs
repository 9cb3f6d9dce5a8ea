//! The database as a service sees it: reads, writes and commands over a connection.

use std::{
    any::{Any, TypeId},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{QueryResult, result::Error as DieselError};
use runtime::{Dependency, Fault, Group, Handle, Place, supervision::RequestScope};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    DatabaseUrl, DbConnection, Error, Migrations,
    damage_checker::DamageChecker,
    executor::{CommitWaiting, Read, Reader, RunRead, Writer},
    figures,
    group_commit::{Command, Write, WriteQueue, is_conflict, is_detached},
    migrations,
    pool::{self, DbPool, Target},
    spans::DatabaseSpans,
};

/// How many reads run at once.
const READERS: usize = 4;

/// How many reads may wait or run, including those whose callers have stopped waiting: they stay in the
/// queue of the reader threads until one comes to them.
const READ_LIMIT: usize = 4_096;

/// How long a caller waits for a read or a write.
const DEADLINE: Duration = Duration::from_secs(10);

/// How soon a writer that is down is told again of the writes that wait.
const RESTART_PAUSE: Duration = Duration::from_millis(20);

/// A service's own database: reads and writes as closures over a connection.
#[derive(Clone)]
pub struct Database {
    reader: Handle<Reader>,
    writes: WriteLane,
    /// For what shares its transaction with no other write; SQLite has one writer at a time.
    writes_apart: WriteLane,
    reads: Arc<Semaphore>,
    dependency: Arc<Dependency>,
    target: Arc<Target>,
    spans: DatabaseSpans,
}

/// A writer, and the writes that wait for it.
#[derive(Clone)]
struct WriteLane {
    writer: Handle<Writer>,
    queue: Arc<WriteQueue>,
}

impl Database {
    /// Brings the database up to date and starts its executors in `group`, under names that begin
    /// with `name`. `setting` is what an operator calls its address.
    ///
    /// # Errors
    ///
    /// If the database refuses us, is unavailable for long, or cannot be migrated.
    pub async fn open(
        group: &Group,
        name: &str,
        setting: &str,
        url: &DatabaseUrl,
        migrations: Migrations,
    ) -> Result<Self, Fault> {
        Self::open_marked(group, name, setting, url, migrations, None).await
    }

    /// Opens a database as [`open`](Self::open) does. For one on a server, a marker in `folder` says that
    /// it was there: if it is empty or another one at a later start, it is refused. (The marker of a
    /// SQLite file is always beside it.)
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_marked(
        group: &Group,
        name: &str,
        setting: &str,
        url: &DatabaseUrl,
        migrations: Migrations,
        folder: Option<&Path>,
    ) -> Result<Self, Fault> {
        let (setting, address) = (setting.to_owned(), url.clone());
        let folder = folder.map(Path::to_owned);
        let migrate =
            move || migrations::migrate(&setting, &address, migrations, folder.as_deref());
        tokio::task::spawn_blocking(migrate)
            .await
            .map_err(|e| Fault::Failed(format!("migrating the database {url} failed: {e}")))??;
        Ok(Self::start(group, name, url))
    }

    fn start(group: &Group, name: &str, url: &DatabaseUrl) -> Self {
        let target = Arc::new(Target::new(url));
        let known_as = format!("the {}", name.replace('-', " "));
        let dependency = Arc::new(Dependency::new(&known_as));
        let writable = Arc::new(Dependency::in_words(
            format!("{known_as} cannot be written to"),
            format!("{known_as} can be written to again"),
        ));
        let readers = Arc::new(pool::pool(&target, READERS as u32));
        let has_two_writers = matches!(url, DatabaseUrl::Mysql(_));
        let lanes = if has_two_writers { 2 } else { 1 };
        let writers = Arc::new(pool::pool(&target, lanes));
        let known = name.trim_end_matches("-database");
        let times_of = figures::show(group.metrics(), known, &readers, &writers);
        let needed = dependency.clone();
        let read_times = times_of(figures::READER);
        let reader =
            group.supervise_sync(&format!("{name}-reader"), READERS, move |guard| Reader {
                pool: DbPool::clone(&readers),
                dependency: needed.clone(),
                times: read_times.clone(),
                guard,
            });
        let spans = DatabaseSpans::new(name, url);
        let lane = |name: &str, is_apart: bool| {
            let times = times_of(match is_apart {
                true => figures::APART_WRITER,
                false => figures::WRITER,
            });
            let queue = Arc::new(WriteQueue::new(times.wait));
            let (waiting, traced, writers) = (queue.clone(), spans.clone(), writers.clone());
            let (needed, writable) = (dependency.clone(), writable.clone());
            let work_time = times.work;
            let writer = group.supervise_sync(name, 1, move |guard| Writer {
                pool: DbPool::clone(&writers),
                work_time: work_time.clone(),
                dependency: needed.clone(),
                writable: writable.clone(),
                queue: waiting.clone(),
                is_apart,
                spans: traced.clone(),
                guard,
            });
            WriteLane { writer, queue }
        };
        let writes = lane(&format!("{name}-writer"), false);
        let writes_apart = match has_two_writers {
            true => lane(&format!("{name}-apart-writer"), true),
            false => writes.clone(),
        };
        if target.is_file() {
            let checked = target.clone();
            group.supervise(&format!("{name}-checker"), Place::Here, move |guard| {
                DamageChecker::new(guard, checked.clone())
            });
        }
        Self {
            reader,
            writes,
            writes_apart,
            reads: Arc::new(Semaphore::new(READ_LIMIT)),
            dependency,
            target,
            spans,
        }
    }

    /// Runs `query` on one of the reader threads.
    ///
    /// # Errors
    ///
    /// See [`Error`]. There is always an answer: the wait has a deadline.
    pub async fn read<R, F>(&self, query: F) -> Result<R, Error>
    where
        F: FnOnce(&mut DbConnection) -> QueryResult<R> + Send + 'static,
        R: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let place = self.reads.clone().try_acquire_owned();
        let read = RunRead(Box::new(PendingRead {
            query,
            answer,
            asked: Instant::now(),
            _place: place.map_err(|_| Error::Overloaded)?,
        }));
        let mut spans = self.spans.query();
        let asked = self.reader.ask(read, DEADLINE).await;
        let answer = match asked {
            Ok(()) => answered.await.unwrap_or(Err(Error::Panicked)),
            Err(error) => Err(Error::from_ask(&error, DEADLINE)),
        };
        answer.map_err(|error| {
            spans.fail("failed");
            self.noticed(error)
        })
    }

    /// Runs `change` in a transaction that it shares with other writes that wait; what it did is on
    /// disk when this returns `Ok`.
    ///
    /// `change` is run again when the transaction meets a conflict or shares it with a write that
    /// fails. It must therefore have no effect outside the database. If it returns an error nothing
    /// of it is kept.
    ///
    /// # Errors
    ///
    /// See [`Error`]. There is always an answer: the wait has a deadline, after which the write may
    /// still be done.
    pub async fn write<R, F>(&self, change: F) -> Result<R, Error>
    where
        F: FnMut(&mut DbConnection) -> QueryResult<R> + Send + 'static,
        R: Send + 'static,
    {
        self.run_write(change, false).await
    }

    /// As [`write`](Self::write), but the transaction is shared with no other write, and other writes wait for it on SQLite only: for
    /// what is long, and locks what others need only at its end.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn write_apart<R, F>(&self, change: F) -> Result<R, Error>
    where
        F: FnMut(&mut DbConnection) -> QueryResult<R> + Send + 'static,
        R: Send + 'static,
    {
        self.run_write(change, true).await
    }

    async fn run_write<R, F>(&self, change: F, is_apart: bool) -> Result<R, Error>
    where
        F: FnMut(&mut DbConnection) -> QueryResult<R> + Send + 'static,
        R: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let write = PendingWrite {
            change,
            is_apart,
            scope: RequestScope::current(),
            result: None,
            answer,
        };
        let lane = if is_apart {
            &self.writes_apart
        } else {
            &self.writes
        };
        self.commit(lane, Box::new(write), answered).await
    }

    /// Runs `command` in a transaction that it shares with other writes that wait, together with the
    /// other commands of its kind; what it did is on disk when this returns `Ok`.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn perform<C: Command>(&self, command: C) -> Result<C::Answer, Error> {
        let (answer, answered) = oneshot::channel();
        let write = PendingCommand {
            command,
            scope: RequestScope::current(),
            result: None,
            answer,
        };
        self.commit(&self.writes, Box::new(write), answered).await
    }

    async fn commit<R>(
        &self,
        lane: &WriteLane,
        write: Box<dyn Write>,
        answered: oneshot::Receiver<Result<R, Error>>,
    ) -> Result<R, Error> {
        let must_tell = lane.queue.push(write)?;
        let answer = async {
            if must_tell {
                // While the writer is down its writes wait for the next one, within the deadline.
                while lane.writer.tell(CommitWaiting).is_err() {
                    lane.queue.not_told();
                    tokio::time::sleep(RESTART_PAUSE).await;
                }
            }
            answered.await.unwrap_or(Err(Error::Panicked))
        };
        let answer = tokio::time::timeout(DEADLINE, answer).await;
        answer
            .unwrap_or(Err(Error::Deadline(DEADLINE)))
            .map_err(|error| self.noticed(error))
    }

    /// Notes what the error says of the database itself: that it does not answer, is damaged, or lacks a table.
    fn noticed(&self, error: Error) -> Error {
        match &error {
            Error::Deadline(_) => self.dependency.unavailable(&error),
            Error::Query(cause) => {
                self.target.look_at(cause);
                self.target.lost_table.look_at(cause);
            }
            _ => {}
        }
        error
    }
}

struct PendingRead<F, R> {
    query: F,
    answer: oneshot::Sender<Result<R, Error>>,
    asked: Instant,
    _place: OwnedSemaphorePermit,
}

impl<F, R> Read for PendingRead<F, R>
where
    F: FnOnce(&mut DbConnection) -> QueryResult<R> + Send,
    R: Send,
{
    fn run(self: Box<Self>, conn: &mut DbConnection) -> bool {
        let result = (self.query)(conn);
        let suspect = matches!(
            result,
            Err(DieselError::DatabaseError(..) | DieselError::BrokenTransactionManager)
        );
        let detached = matches!(&result, Err(error) if is_detached(error));
        let lost = suspect && (detached || pool::is_lost(conn));
        let result = result.map_err(|e| {
            // A node of a cluster that has waited in vain for what the others have says that it met a conflict.
            if lost || is_conflict(&e) {
                Error::Unavailable(Some(e))
            } else {
                Error::Query(e)
            }
        });
        // The caller may have stopped waiting.
        let _ = self.answer.send(result);
        !lost
    }

    fn refuse(self: Box<Self>, error: Error) {
        let _ = self.answer.send(Err(error));
    }

    fn waited(&self) -> Duration {
        self.asked.elapsed()
    }

    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

struct PendingWrite<F, R> {
    change: F,
    is_apart: bool,
    /// The writer does the writes of many requests at once.
    scope: RequestScope,
    result: Option<R>,
    answer: oneshot::Sender<Result<R, Error>>,
}

impl<F, R> Write for PendingWrite<F, R>
where
    F: FnMut(&mut DbConnection) -> QueryResult<R> + Send + 'static,
    R: Send + 'static,
{
    fn kind(&self) -> Option<TypeId> {
        None
    }

    fn attempt(&mut self, _: &mut [Box<dyn Write>], conn: &mut DbConnection) -> QueryResult<usize> {
        self.result = None;
        self.result = Some(self.scope.run(|| (self.change)(conn))?);
        Ok(1)
    }

    fn committed(&self, _: &[Box<dyn Write>]) {}

    fn settle(self: Box<Self>, outcome: Result<(), Error>) {
        let Self { result, answer, .. } = *self;
        // The caller may have stopped waiting.
        let _ = answer.send(outcome.and_then(|()| result.ok_or(Error::Panicked)));
    }

    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn is_apart(&self) -> bool {
        self.is_apart
    }

    fn scope(&self) -> &RequestScope {
        &self.scope
    }
}

struct PendingCommand<C: Command> {
    command: C,
    scope: RequestScope,
    result: Option<C::Answer>,
    answer: oneshot::Sender<Result<C::Answer, Error>>,
}

impl<C: Command> Write for PendingCommand<C> {
    fn kind(&self) -> Option<TypeId> {
        Some(TypeId::of::<C>())
    }

    fn attempt(
        &mut self,
        next: &mut [Box<dyn Write>],
        conn: &mut DbConnection,
    ) -> QueryResult<usize> {
        let alike = next
            .iter_mut()
            .map_while(|write| (&mut **write as &mut dyn Any).downcast_mut::<Self>());
        let mut members: Vec<&mut Self> = std::iter::once(self).chain(alike).collect();
        let commands: Vec<&C> = members.iter().map(|member| &member.command).collect();
        let scope = RequestScope::of_all(members.iter().map(|member| &member.scope));
        let answers = scope.run(|| C::run(conn, &commands))?;
        let count = answers.len().clamp(1, members.len());
        for (member, answer) in members.iter_mut().zip(answers) {
            member.result = Some(answer);
        }
        Ok(count)
    }

    fn committed(&self, next: &[Box<dyn Write>]) {
        let alike = next
            .iter()
            .map_while(|write| (&**write as &dyn Any).downcast_ref::<Self>());
        let done: Vec<_> = std::iter::once(self)
            .chain(alike)
            .filter_map(|member| Some((&member.command, member.result.as_ref()?)))
            .collect();
        C::committed(&done);
    }

    fn settle(self: Box<Self>, outcome: Result<(), Error>) {
        let Self { result, answer, .. } = *self;
        // The caller may have stopped waiting.
        let _ = answer.send(outcome.and_then(|()| result.ok_or(Error::Panicked)));
    }

    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn scope(&self) -> &RequestScope {
        &self.scope
    }
}

#[cfg(test)]
mod tests {
    use diesel::Connection;
    use tracing::Span;

    use super::*;

    /// Answers in which span it was run.
    struct TellSpan;

    impl Command for TellSpan {
        type Answer = Option<&'static str>;

        fn run(_: &mut DbConnection, commands: &[&Self]) -> QueryResult<Vec<Self::Answer>> {
            let name = Span::current().metadata().map(tracing::Metadata::name);
            Ok(vec![name; commands.len()])
        }
    }

    /// In which span as many commands are run as wait for so many requests.
    fn span_of(requests: usize) -> Option<&'static str> {
        let pending = |_| {
            let _entered = tracing::info_span!("a request").entered();
            Box::new(PendingCommand {
                command: TellSpan,
                scope: RequestScope::current(),
                result: None,
                answer: oneshot::channel().0,
            })
        };
        let mut first = pending(0);
        let mut next: Vec<Box<dyn Write>> = (1..requests)
            .map(|n| pending(n) as Box<dyn Write>)
            .collect();
        let conn = diesel::SqliteConnection::establish(":memory:").unwrap();
        let count = first.attempt(&mut next, &mut DbConnection::Sqlite(conn));
        assert_eq!(count.unwrap(), requests);
        first.result.unwrap()
    }

    #[test]
    fn commands_are_run_in_the_span_of_their_request_or_in_one_for_all_of_theirs() {
        let _spans = tracing::subscriber::set_default(tracing_subscriber::registry());
        assert_eq!(span_of(1), Some("a request"));
        assert_eq!(span_of(3), Some("requests"));
    }
}
