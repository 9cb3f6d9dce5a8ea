//! The actor at the near end of a route: it begins the sessions, reads while what is on its way stays within bounds, and
//! acknowledges in order what is durable at the other end.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Running,
    WrapFuture,
};
use runtime::{Backoff, ChildGuard, Handle, Wake};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    direction::Flow,
    flow::{Fetched, Gauge, Interruption, Marks, Opened, Receipt, Source, Standby},
    pipeline::{Begin, Passed, Pipeline, Received},
    report::RouteReport,
    sink_actor::{ASK_DEADLINE, Abandon, Prepare, Recall, SinkActor},
};

/// How long the pipeline may take to answer that a session begins.
const BEGIN_DEADLINE: Duration = Duration::from_secs(10);
/// How long a batch may be on its way: longer than the pipeline and the dead letters give themselves.
const PASS_DEADLINE: Duration = Duration::from_secs(120);
/// How long a broker may take for an acknowledgement, or to hear that a session ends.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);
/// A route that does not go on for so long is not ready.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a route is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often, and how fast, a broker is to tell how many inputs wait.
const MEASURE_INTERVAL: Duration = Duration::from_secs(2);
const MEASURE_DEADLINE: Duration = Duration::from_secs(6);
/// A session that was given no input for so long has nothing to write, if nothing waits; otherwise it takes longer to tell.
const IDLE_AFTER: Duration = Duration::from_secs(2);
const FIRST_DELAY: Duration = Duration::from_millis(200);
const MAX_DELAY: Duration = Duration::from_secs(5);

/// How much of a route may be on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// A batch that is not acknowledged.
struct Outstanding {
    number: u64,
    records: usize,
    bytes: usize,
    receipt: Box<dyn Receipt>,
    passed: Option<Passed>,
    since: Instant,
}

/// The actor.
pub(super) struct SourceActor<F: Flow> {
    /// Absent while a future has it.
    source: Option<Box<dyn Source<F::Input>>>,
    gauge: Arc<dyn Gauge>,
    /// What waits is being asked for.
    is_measuring: bool,
    /// How many inputs wait, as far as it is known.
    lag: Option<u64>,
    pipeline: Handle<Pipeline<F>>,
    sink: Handle<SinkActor<F::Output>>,
    report: RouteReport,
    limits: Limits,
    /// Counts sessions from 1; each incarnation of the actor begins at a random number.
    session: u64,
    is_open: bool,
    /// Others have all inputs.
    is_standby: bool,
    opened_at: Instant,
    /// Ends what the source does for the present session.
    over: CancellationToken,
    /// The number of the next batch.
    number: u64,
    outstanding: VecDeque<Outstanding>,
    /// A receipt is being acknowledged.
    is_acknowledging: bool,
    /// The marks with which the session began.
    kept: Arc<Marks>,
    backoff: Backoff,
    /// Why the route does not go on, and since when.
    stuck: Option<(String, Instant)>,
    moved_at: Instant,
    is_stopping: bool,
    guard: ChildGuard,
}

impl<F: Flow> SourceActor<F> {
    pub(super) fn new(
        source: Box<dyn Source<F::Input>>,
        pipeline: Handle<Pipeline<F>>,
        sink: Handle<SinkActor<F::Output>>,
        report: RouteReport,
        limits: Limits,
        guard: ChildGuard,
    ) -> Self {
        Self {
            gauge: source.gauge(),
            is_measuring: false,
            lag: None,
            source: Some(source),
            pipeline,
            sink,
            report,
            limits,
            session: u64::from(rand::random::<u32>()) << 16,
            is_open: false,
            is_standby: false,
            opened_at: Instant::now(),
            over: CancellationToken::new(),
            number: 0,
            outstanding: VecDeque::new(),
            is_acknowledging: false,
            kept: Arc::default(),
            backoff: Backoff::new(FIRST_DELAY, MAX_DELAY),
            stuck: None,
            moved_at: Instant::now(),
            is_stopping: false,
            guard,
        }
    }

    fn begun(
        &mut self,
        source: Box<dyn Source<F::Input>>,
        begun: Option<Result<Marks, Interruption>>,
        context: &mut Context<Self>,
    ) {
        self.is_standby = false;
        match begun {
            Some(Ok(kept)) => {
                self.kept = Arc::new(kept);
                self.source = Some(source);
                self.is_open = true;
                self.opened_at = Instant::now();
                if self.stuck.is_none() {
                    self.goes_on();
                }
                self.fetch(context);
            }
            Some(Err(interruption)) => {
                self.hindered(&interruption);
                self.close(source, context);
            }
            None => self.close(source, context),
        }
    }

    /// Reads the next batch, unless too much is on its way.
    fn fetch(&mut self, context: &mut Context<Self>) {
        let (mut records, mut bytes) = (0, 0);
        for batch in &self.outstanding {
            records += batch.records;
            bytes += batch.bytes;
        }
        if !self.is_open || records >= self.limits.records || bytes >= self.limits.bytes {
            return;
        }
        let Some(mut source) = self.source.take() else {
            return;
        };
        let over = self.over.clone();
        let fetching = async move {
            let fetched = over.run_until_cancelled(source.fetch()).await;
            (source, fetched)
        };
        context.spawn(
            fetching
                .into_actor(self)
                .map(|(source, fetched), actor, context| actor.fetched(source, fetched, context)),
        );
    }

    fn fetched(
        &mut self,
        source: Box<dyn Source<F::Input>>,
        fetched: Option<Result<Fetched<F::Input>, Interruption>>,
        context: &mut Context<Self>,
    ) {
        match fetched {
            Some(Ok(fetched)) if self.is_open => {
                self.source = Some(source);
                self.pass_on(fetched, context);
                self.fetch(context);
            }
            Some(Err(interruption)) if self.is_open => {
                self.source = Some(source);
                self.interrupted(&interruption, context);
            }
            // The session is over.
            _ => self.close(source, context),
        }
    }

    fn pass_on(&mut self, fetched: Fetched<F::Input>, context: &mut Context<Self>) {
        let Fetched {
            records: inputs,
            receipt,
        } = fetched;
        let bytes = inputs.iter().map(|input| F::size(&input.record)).sum();
        self.report.received(inputs.len() as u64, bytes as u64);
        let (session, number) = (self.session, self.number);
        self.number += 1;
        self.outstanding.push_back(Outstanding {
            number,
            records: inputs.len(),
            bytes,
            receipt,
            passed: None,
            since: Instant::now(),
        });
        let (reply, answer) = oneshot::channel();
        let received = Received {
            session,
            number,
            inputs,
            read_at: Instant::now(),
            reply,
        };
        if let Err(error) = self.pipeline.tell(received) {
            return self.interrupted(&Interruption::unavailable(error), context);
        }
        let answered = async move {
            match timeout(PASS_DEADLINE, answer).await {
                Ok(Ok(passed)) => passed,
                Ok(Err(_)) => Err(Interruption::unavailable("the pipeline is being restarted")),
                Err(_) => Err(Interruption::unavailable(
                    "the pipeline does not answer in time",
                )),
            }
        };
        context.spawn(
            answered
                .into_actor(self)
                .map(move |passed, actor, context| {
                    if actor.is_open && actor.session == session {
                        actor.passed(number, passed, context);
                    }
                }),
        );
    }

    /// A batch is durable at the other end, or is not going to be in this session.
    fn passed(
        &mut self,
        number: u64,
        passed: Result<Passed, Interruption>,
        context: &mut Context<Self>,
    ) {
        match passed {
            Ok(passed) => {
                let mut outstanding = self.outstanding.iter_mut();
                if let Some(batch) = outstanding.find(|batch| batch.number == number) {
                    self.report
                        .delivered(passed.delivered, batch.since.elapsed());
                    batch.passed = Some(passed);
                }
                self.acknowledge(context);
            }
            Err(interruption) => self.interrupted(&interruption, context),
        }
    }

    /// Acknowledges the batches at the front that are durable, all at once by the last of them.
    fn acknowledge(&mut self, context: &mut Context<Self>) {
        if self.is_acknowledging {
            return;
        }
        let durable = self.outstanding.iter().take_while(|b| b.passed.is_some());
        let count = durable.count();
        let mut receipts = Vec::with_capacity(count);
        let mut marks = None;
        for batch in self.outstanding.drain(..count) {
            receipts.push(batch.receipt);
            marks = batch.passed;
        }
        let marks = match marks {
            None => return,
            Some(Passed {
                is_behind: true, ..
            }) => self.kept.clone(),
            Some(Passed { marks, .. }) if self.outstanding.is_empty() => marks,
            // Outputs of batches that are still on their way may be anywhere behind.
            Some(Passed { before, .. }) => before,
        };
        self.is_acknowledging = true;
        let session = self.session;
        let acknowledging = async move {
            for receipt in receipts {
                receipt.acknowledge(&marks).await;
            }
        };
        let acknowledged = async { timeout(PASS_DEADLINE, acknowledging).await };
        context.spawn(
            acknowledged
                .into_actor(self)
                .map(move |acknowledged, actor, context| {
                    actor.is_acknowledging = false;
                    if !actor.is_open || actor.session != session {
                        return;
                    }
                    if acknowledged.is_err() {
                        let late = Interruption::unavailable("acknowledgements take too long");
                        return actor.interrupted(&late, context);
                    }
                    actor.goes_on();
                    actor.acknowledge(context);
                    actor.fetch(context);
                }),
        );
    }

    /// Ends the session; another one begins after a while.
    fn interrupted(&mut self, interruption: &Interruption, context: &mut Context<Self>) {
        if !self.is_open {
            return;
        }
        tracing::debug!(
            route = self.report.name(),
            %interruption,
            "a session of the route ends: {interruption}"
        );
        self.report.retried();
        self.hindered(interruption);
        self.end();
        if let Some(source) = self.source.take() {
            self.close(source, context);
        }
    }

    /// Forgets what is on its way. A future that has the source gives it back to be closed.
    fn end(&mut self) {
        self.is_open = false;
        self.over.cancel();
        self.outstanding.clear();
    }

    fn close(&mut self, mut source: Box<dyn Source<F::Input>>, context: &mut Context<Self>) {
        let is_stopping = self.is_stopping;
        let sink = self.sink.clone();
        let closing = async move {
            let work = async {
                source.rewind().await;
                if is_stopping {
                    // Nothing may be on its way any more when another instance looks for what is written.
                    sink.ask(Abandon, CLOSE_DEADLINE).await.ok();
                    source.close().await;
                }
            };
            let closed = timeout(CLOSE_DEADLINE, work).await;
            (source, closed)
        };
        context.spawn(
            closing
                .into_actor(self)
                .map(move |(source, closed), actor, context| {
                    if closed.is_err() {
                        tracing::debug!(
                            route = actor.report.name(),
                            "a broker was not told that a session ends"
                        );
                    }
                    if actor.is_stopping && !is_stopping {
                        actor.close(source, context);
                    } else if actor.is_stopping {
                        context.stop();
                    } else {
                        actor.source = Some(source);
                        context.notify_later(Wake, actor.backoff.next_delay());
                    }
                }),
        );
    }

    fn goes_on(&mut self) {
        self.backoff.reset();
        self.stuck = None;
        self.moved_at = Instant::now();
        self.report.moving();
        self.guard.ready();
    }

    /// Since when the oldest batch that is on its way waits for the other end.
    fn waits_since(&self) -> Option<Instant> {
        let oldest = self.outstanding.front()?;
        Some(oldest.since.max(self.moved_at))
    }

    fn hindered(&mut self, interruption: &Interruption) {
        let Interruption::Unavailable(reason) = interruption else {
            return;
        };
        let since = match &self.stuck {
            Some((_, since)) => *since,
            None => self.waits_since().unwrap_or_else(Instant::now),
        };
        let route = self.report.name();
        let reason = format!("the route `{route}` does not go on: {reason}");
        if since.elapsed() < PATIENCE {
            self.guard.hindered(&reason);
        }
        self.stuck = Some((reason, since));
        self.tell_stuck();
    }

    /// Tells that the route is stuck, once that lasts too long.
    fn tell_stuck(&self) {
        if let Some((reason, since)) = &self.stuck
            && since.elapsed() >= PATIENCE
        {
            self.report.stuck(reason.as_str(), *since);
            self.guard.not_ready(reason);
        }
    }

    /// Asks how many inputs wait, unless the last question is not answered.
    fn measure(&mut self, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_measuring, true) {
            return;
        }
        let gauge = self.gauge.clone();
        let measured = async move {
            let late = |_| {
                Err(Interruption::unavailable(
                    "it is not told in time what waits",
                ))
            };
            let lag = timeout(MEASURE_DEADLINE, gauge.lag()).await;
            lag.unwrap_or_else(late)
        };
        context.spawn(measured.into_actor(self).map(|lag, actor, _| {
            actor.is_measuring = false;
            match &lag {
                // An instance on standby hears of its inputs by nothing else, and has to be able to take over.
                Ok(_) if actor.is_standby && actor.stuck.is_some() => actor.stands_by(),
                Err(interruption) if actor.is_standby => actor.hindered(interruption),
                _ => {}
            }
            actor.lag = lag.ok().flatten();
            actor.report.lag(actor.lag);
        }));
    }

    fn stands_by(&mut self) {
        self.goes_on();
        self.report.standby();
    }

    /// Looks whether the route goes on, between what tells it otherwise.
    fn look(&mut self) {
        let is_late = |since: Instant| since.elapsed() >= PATIENCE;
        let idle_after = match self.lag {
            Some(0) => IDLE_AFTER,
            _ => PATIENCE,
        };
        let is_idle =
            self.is_open && self.outstanding.is_empty() && self.opened_at.elapsed() >= idle_after;
        if is_idle && self.stuck.is_some() {
            self.goes_on();
        } else if self.stuck.is_none() && self.waits_since().is_some_and(is_late) {
            let reason = "the other side does not confirm what was read";
            self.hindered(&Interruption::unavailable(reason));
        } else {
            self.tell_stuck();
        }
    }
}

/// Others have all inputs, and this instance is ready to take over.
#[derive(Message)]
#[rtype(result = "()")]
struct StandsBy {
    session: u64,
}

runtime::requested!([F: Flow,] SourceActor<F>);

impl<F: Flow> Actor for SourceActor<F> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.guard.starting("the first session has not begun yet");
        context.notify(Wake);
        context.run_interval(LOOK_INTERVAL, |actor, _| actor.look());
        context.run_interval(MEASURE_INTERVAL, Self::measure);
    }

    fn stopping(&mut self, context: &mut Self::Context) -> Running {
        if self.is_stopping || std::thread::panicking() {
            return Running::Stop;
        }
        self.is_stopping = true;
        self.end();
        if let Some(source) = self.source.take() {
            self.close(source, context);
        }
        Running::Continue
    }
}

/// Begins a session.
impl<F: Flow> Handler<Wake> for SourceActor<F> {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Self::Context) {
        let Some(mut source) = self.source.take() else {
            return;
        };
        self.session += 1;
        self.number = 0;
        self.over = CancellationToken::new();
        let (session, over) = (self.session, self.over.clone());
        let (sink, pipeline) = (self.sink.clone(), self.pipeline.clone());
        let address = context.address().downgrade();
        let standby: Standby = Arc::new(move || {
            if let Some(address) = address.upgrade() {
                address.do_send(StandsBy { session });
            }
        });
        let begin = async move {
            let work = begin(session, source.as_mut(), &standby, &sink, &pipeline);
            let begun = over.run_until_cancelled(work).await;
            (source, begun)
        };
        context.spawn(
            begin
                .into_actor(self)
                .map(|(source, begun), actor, context| actor.begun(source, begun, context)),
        );
    }
}

impl<F: Flow> Handler<StandsBy> for SourceActor<F> {
    type Result = ();

    fn handle(&mut self, StandsBy { session }: StandsBy, _: &mut Self::Context) {
        if self.session == session && !self.is_open && !self.is_standby {
            self.is_standby = true;
            self.stands_by();
        }
    }
}

/// Has all parts of the route begin `session`. The sink comes first: while it is unavailable nothing is read, and another
/// instance may have the inputs. Returns the marks from which the next session is to look.
async fn begin<F: Flow>(
    session: u64,
    source: &mut dyn Source<F::Input>,
    standby: &Standby,
    sink: &Handle<SinkActor<F::Output>>,
    pipeline: &Handle<Pipeline<F>>,
) -> Result<Marks, Interruption> {
    let prepared = sink.ask(Prepare { session }, ASK_DEADLINE).await;
    prepared.map_err(Interruption::unavailable)??;
    let Opened { kept, begins } = source.open(standby).await?;
    let recall = Recall {
        session,
        marks: kept.clone(),
    };
    let recalled = sink.ask(recall, ASK_DEADLINE).await;
    let recalled = recalled.map_err(Interruption::unavailable)??;
    let unacknowledged = recalled.unacknowledged(&begins);
    let marks = kept.unwrap_or(recalled.marks);
    source.keep(&marks).await?;
    let begin = Begin {
        session,
        written: recalled.ids,
        unacknowledged,
    };
    let begun = pipeline.ask(begin, BEGIN_DEADLINE).await;
    begun.map_err(Interruption::unavailable)??;
    Ok(marks)
}

#[cfg(test)]
mod tests;
