//! The actor at the far end of a route: it owns the connection to the broker that is written to, and takes batches in
//! order. It also writes dead letters, each batch of them by itself.

use std::time::{Duration, Instant};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture, WrapFuture,
};
use futures::future::BoxFuture;
use runtime::ChildGuard;
use tokio::{sync::oneshot, time::timeout};

use super::flow::{Interruption, Marks, NotWritten, Outgoing, Recalled, Sink, Written};

/// How long a sink may take to connect.
const PREPARE_DEADLINE: Duration = Duration::from_secs(10);
/// How long a sink may take to find what it has already.
const RECALL_DEADLINE: Duration = Duration::from_secs(60);
/// How long asking the actor for either may take, its mailbox included.
pub(super) const ASK_DEADLINE: Duration = Duration::from_secs(70);

/// A batch that was read so long ago is not handed to the broker: this instance was paused, and another one may have its
/// inputs.
const MAX_AGE: Duration = Duration::from_secs(3);

/// How a batch ended.
pub(super) type Outcome = Result<Written, NotWritten>;

/// Begins `session`: connects and gives up everything of the session before.
#[derive(Message)]
#[rtype(result = "Result<(), Interruption>")]
pub(super) struct Prepare {
    pub(super) session: u64,
}

/// Gives up what is on its way.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Abandon;

/// Looks for what was written behind the marks.
#[derive(Message)]
#[rtype(result = "Result<Recalled, Interruption>")]
pub(super) struct Recall {
    pub(super) session: u64,
    pub(super) marks: Option<Marks>,
}

/// Writes a batch, the `number`th of its session, counted from 0.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Write<R: Send + 'static> {
    pub(super) session: u64,
    pub(super) number: u64,
    pub(super) batch: Vec<Outgoing<R>>,
    /// When its inputs were read.
    pub(super) read_at: Instant,
    /// Is dropped if the actor fails.
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// Writes a batch that belongs to no session.
#[derive(Message)]
#[rtype(result = "Outcome")]
pub(super) struct WriteAlone<R: Send + 'static> {
    pub(super) batch: Vec<Outgoing<R>>,
}

/// The actor. A failed session is over: whatever else arrives of it is refused.
pub(super) struct SinkActor<R: Send + 'static> {
    /// Absent while a future has it.
    sink: Option<Box<dyn Sink<R>>>,
    /// The session that is written, and the number of its next batch.
    session: Option<(u64, u64)>,
    guard: ChildGuard,
}

impl<R: Send + 'static> SinkActor<R> {
    pub(super) fn new(sink: Box<dyn Sink<R>>, guard: ChildGuard) -> Self {
        Self {
            sink: Some(sink),
            session: None,
            guard,
        }
    }

    /// Lends the sink to `work` within a deadline.
    fn lend<T: 'static>(
        &mut self,
        deadline: Duration,
        work: impl for<'s> FnOnce(&'s mut dyn Sink<R>) -> BoxFuture<'s, Result<T, Interruption>>
        + 'static,
        then: impl FnOnce(&mut Self, &Result<T, Interruption>) + 'static,
    ) -> ResponseActFuture<Self, Result<T, Interruption>> {
        let Some(mut sink) = self.sink.take() else {
            let busy = Interruption::Unavailable("the sink is busy with another session".into());
            return Box::pin(async { Err(busy) }.into_actor(self));
        };
        let lent = async move {
            let done = timeout(deadline, work(sink.as_mut())).await;
            let late = |_| {
                Err(Interruption::Unavailable(
                    "it does not answer in time".into(),
                ))
            };
            (sink, done.unwrap_or_else(late))
        };
        Box::pin(lent.into_actor(self).map(|(sink, done), actor, _| {
            actor.sink = Some(sink);
            then(actor, &done);
            done
        }))
    }
}

runtime::requested!([R: Send + 'static,] SinkActor<R>);

impl<R: Send + 'static> Actor for SinkActor<R> {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        // Whether its broker is available is told by the route's source, which waits for it.
        self.guard.ready();
    }
}

impl<R: Send + 'static> Handler<Prepare> for SinkActor<R> {
    type Result = ResponseActFuture<Self, Result<(), Interruption>>;

    fn handle(&mut self, Prepare { session }: Prepare, _: &mut Self::Context) -> Self::Result {
        self.session = None;
        self.lend(
            PREPARE_DEADLINE,
            |sink| sink.prepare(),
            move |actor, done| actor.session = done.is_ok().then_some((session, 0)),
        )
    }
}

impl<R: Send + 'static> Handler<Abandon> for SinkActor<R> {
    type Result = ();

    fn handle(&mut self, _: Abandon, _: &mut Self::Context) {
        self.session = None;
        if let Some(sink) = &mut self.sink {
            sink.abandon();
        }
    }
}

impl<R: Send + 'static> Handler<Recall> for SinkActor<R> {
    type Result = ResponseActFuture<Self, Result<Recalled, Interruption>>;

    fn handle(&mut self, Recall { session, marks }: Recall, _: &mut Self::Context) -> Self::Result {
        if self.session != Some((session, 0)) {
            return Box::pin(async { Err(restarted()) }.into_actor(self));
        }
        self.lend(
            RECALL_DEADLINE,
            move |sink| sink.recall(marks),
            |actor, done| {
                if done.is_err() {
                    actor.session = None;
                }
            },
        )
    }
}

impl<R: Send + 'static> Handler<Write<R>> for SinkActor<R> {
    type Result = ();

    fn handle(&mut self, write: Write<R>, context: &mut Self::Context) {
        let until = write.read_at + MAX_AGE;
        let is_stale = Instant::now() > until;
        let is_next = self.session == Some((write.session, write.number)) && !is_stale;
        let Some(sink) = self.sink.as_mut().filter(|_| is_next) else {
            self.session = None;
            write.reply.send(Err(NotWritten::by(restarted()))).ok();
            return;
        };
        self.session = Some((write.session, write.number + 1));
        let (session, reply, count) = (write.session, write.reply, write.batch.len() as u64);
        let written = sink.write(write.batch, until).into_actor(self);
        context.spawn(written.map(move |written, actor, _| {
            match &written {
                Ok(_) => actor.guard.reporter().handled(count),
                // What was given in meanwhile comes again in the next session.
                Err(_) if actor.session.is_some_and(|(known, _)| known == session) => {
                    actor.session = None;
                }
                Err(_) => {}
            }
            reply.send(written).ok();
        }));
    }
}

impl<R: Send + 'static> Handler<WriteAlone<R>> for SinkActor<R> {
    type Result = ResponseActFuture<Self, Outcome>;

    fn handle(
        &mut self,
        WriteAlone { batch }: WriteAlone<R>,
        _: &mut Self::Context,
    ) -> Self::Result {
        let is_prepared = self.session.is_some();
        let writing = self.lend(
            ASK_DEADLINE,
            move |sink| {
                Box::pin(async move {
                    if !is_prepared {
                        sink.prepare().await?;
                    }
                    Ok(sink.write(batch, Instant::now() + MAX_AGE).await)
                })
            },
            |actor, done| {
                // A producer of Kafka may be at its end after a refusal.
                let is_over = !matches!(done, Ok(Ok(written)) if written.refused.is_empty());
                actor.session = (!is_over).then_some((0, 0));
            },
        );
        Box::pin(writing.map(|done, _, _| done.unwrap_or_else(|e| Err(NotWritten::by(e)))))
    }
}

fn restarted() -> Interruption {
    Interruption::Unavailable("the sink has begun another session".into())
}
