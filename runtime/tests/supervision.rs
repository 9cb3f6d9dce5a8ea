//! Panics, deaths and escalation, in every kind of actor.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "actors that panic are what is tested; clippy does not know helpers of tests"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Running,
    SyncContext, WrapFuture,
};
use runtime::{
    AskError, ChildGuard, Fault, Handle, Place, Process, RequestId, RestartPolicy, Supervisor,
    supervision::{ActorState, ActorStatus, Requested, in_request},
};
use testkit::eventually;
use tokio::sync::Barrier;
use tracing::{Instrument, Span};

const DEADLINE: Duration = Duration::from_secs(5);

/// Answers how many messages this incarnation has seen.
#[derive(Message)]
#[rtype(result = "u32")]
struct Count;

#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

/// Never answers.
#[derive(Message)]
#[rtype(result = "()")]
struct Hang;

struct Counter {
    seen: u32,
    guard: ChildGuard,
}

runtime::requested!(Counter);

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Count> for Counter {
    type Result = u32;
    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> u32 {
        self.seen += 1;
        self.seen
    }
}

/// Answers with the request in whose scope it is handled, at once and later.
#[derive(Message)]
#[rtype(result = "[Option<String>; 2]")]
struct TellRequest;

/// The id of the request, if the tracing span is that of the request too.
fn request() -> Option<String> {
    let span = Span::current().metadata()?.name();
    let id = RequestId::current()?;
    (span == "a request").then(|| id.to_string())
}

impl Handler<TellRequest> for Counter {
    type Result = actix::ResponseFuture<[Option<String>; 2]>;
    fn handle(&mut self, _: TellRequest, _: &mut Context<Self>) -> Self::Result {
        let at_once = request();
        in_request(async move {
            tokio::task::yield_now().await;
            [at_once, request()]
        })
    }
}

impl Handler<Panic> for Counter {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("on purpose");
    }
}

impl Handler<Stop> for Counter {
    type Result = ();
    fn handle(&mut self, _: Stop, context: &mut Context<Self>) {
        self.guard.failed("lost its way");
        context.stop();
    }
}

impl Handler<Hang> for Counter {
    type Result = actix::ResponseFuture<()>;
    fn handle(&mut self, _: Hang, _: &mut Context<Self>) -> Self::Result {
        Box::pin(std::future::pending())
    }
}

struct Blocking {
    seen: u32,
    guard: ChildGuard,
}

runtime::requested!(Blocking);

impl Actor for Blocking {
    type Context = SyncContext<Self>;
}

impl Handler<Count> for Blocking {
    type Result = u32;
    fn handle(&mut self, _: Count, _: &mut SyncContext<Self>) -> u32 {
        self.seen += 1;
        self.seen
    }
}

impl Handler<Panic> for Blocking {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut SyncContext<Self>) {
        panic!("on purpose");
    }
}

impl Handler<Stop> for Blocking {
    type Result = ();
    fn handle(&mut self, _: Stop, context: &mut SyncContext<Self>) {
        self.guard.failed("lost its way");
        context.stop();
    }
}

fn policy() -> RestartPolicy {
    RestartPolicy {
        first_delay: Duration::from_millis(1),
        max_delay: Duration::from_millis(10),
        child_deaths: 4,
        group_restarts: 2,
        window: Duration::from_secs(60),
    }
}

fn report(process: &Process, name: &str) -> ActorStatus {
    let mut actors = process.registry.actors().into_iter();
    actors.find(|a| a.name == name).unwrap()
}

async fn comes_back<A>(handle: &Handle<A>)
where
    A: Actor + Handler<Requested<Count>>,
    A::Context: actix::dev::ToEnvelope<A, Requested<Count>>,
{
    eventually("the actor is back", async || {
        handle.ask(Count, DEADLINE).await == Ok(1)
    })
    .await;
}

#[actix::test]
async fn a_panic_is_contained_wherever_the_actor_runs() {
    for place in [Place::Here, Place::OwnArbiter] {
        let process = Process::new();
        let supervisor = Supervisor::with_policy("test", &process, policy());
        let group = supervisor.group("counters");
        let make = |guard| Counter { seen: 0, guard };
        let victim = group.supervise("victim", place, make);
        let other = group.supervise("other", place, make);
        assert_eq!(other.ask(Count, DEADLINE).await, Ok(1));

        let crashed = victim.ask(Panic, DEADLINE).await;
        assert_eq!(crashed, Err(AskError::Crashed("victim".into())));
        comes_back(&victim).await;
        assert_eq!(other.ask(Count, DEADLINE).await, Ok(2));

        let report = report(&process, "victim");
        assert_eq!((report.state, report.restarts), (ActorState::Running, 1));
        assert_eq!(report.last_failure.unwrap().0, "panicked: on purpose");
        supervisor.stop(DEADLINE).await;
    }
}

#[actix::test]
async fn a_panic_of_a_blocking_actor_is_contained() {
    let process = Process::new();
    let supervisor = Supervisor::with_policy("test", &process, policy());
    let handle = supervisor
        .group("blocking")
        .supervise_sync("victim", 2, |guard| Blocking { seen: 0, guard });
    let crashed = handle.ask(Panic, DEADLINE).await;
    assert_eq!(crashed, Err(AskError::Crashed("victim".into())));
    // Its other thread may go on answering until the death is noticed.
    eventually("both threads are replaced", async || {
        let report = report(&process, "victim");
        (report.state, report.restarts) == (ActorState::Running, 1)
    })
    .await;
    comes_back(&handle).await;

    handle.ask(Stop, DEADLINE).await.unwrap();
    eventually("the restart is counted", async || {
        report(&process, "victim").restarts == 2
    })
    .await;
    let (cause, _) = report(&process, "victim").last_failure.unwrap();
    assert_eq!(cause, "lost its way");
    comes_back(&handle).await;
    supervisor.stop(DEADLINE).await;
}

/// Cannot serve until it is told to.
struct Waiting {
    guard: ChildGuard,
}

runtime::requested!(Waiting);

impl Actor for Waiting {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.guard.starting("waiting for its cue");
    }
}

/// What a [`Waiting`] waits for.
#[derive(Message)]
#[rtype(result = "()")]
struct Cue;

impl Handler<Cue> for Waiting {
    type Result = ();
    fn handle(&mut self, _: Cue, _: &mut Context<Self>) {
        self.guard.ready();
    }
}

impl Handler<Panic> for Waiting {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("on purpose");
    }
}

#[actix::test]
async fn an_actor_is_at_no_moment_ready_before_it_says_so() {
    for place in [Place::Here, Place::OwnArbiter] {
        let process = Process::new();
        let supervisor = Supervisor::with_policy("test", &process, policy());
        let group = supervisor.group("waiting");
        let waiting = group.supervise("waiting", place, |guard| Waiting { guard });
        let plain = group.supervise("plain", place, |guard| Counter { seen: 0, guard });
        let is_ready = |name| report(&process, name).not_ready_reason().is_none();
        for restarts in 0..2 {
            // It has not had its turn yet when this is first asked.
            eventually("it has started", async || {
                let reason = report(&process, "waiting").not_ready_reason();
                reason.expect("not ready") == "waiting for its cue"
            })
            .await;
            waiting.ask(Cue, DEADLINE).await.unwrap();
            assert!(is_ready("waiting"));
            let _ = waiting.ask(Panic, DEADLINE).await;
            eventually("the death is noticed", async || {
                report(&process, "waiting").restarts > restarts
            })
            .await;
        }
        eventually("an actor that waits for nothing is ready", async || {
            is_ready("plain")
        })
        .await;
        assert_eq!(plain.ask(Count, DEADLINE).await, Ok(1));
        supervisor.stop(DEADLINE).await;
    }
}

#[actix::test]
async fn an_actor_that_stops_itself_is_made_anew() {
    let process = Process::new();
    let supervisor = Supervisor::with_policy("test", &process, policy());
    let handle = supervisor
        .group("counters")
        .supervise("quitter", Place::Here, |guard| Counter { seen: 0, guard });
    handle.ask(Stop, DEADLINE).await.unwrap();
    comes_back(&handle).await;
    let (cause, _) = report(&process, "quitter").last_failure.unwrap();
    assert_eq!(cause, "lost its way");
    supervisor.stop(DEADLINE).await;
}

#[actix::test]
async fn an_ask_fails_at_once_while_the_actor_is_down_and_in_time_when_it_hangs() {
    let process = Process::new();
    let slow = RestartPolicy {
        first_delay: Duration::from_secs(3600),
        max_delay: Duration::from_secs(3600),
        ..policy()
    };
    let supervisor = Supervisor::with_policy("test", &process, slow);
    let handle = supervisor
        .group("counters")
        .supervise("victim", Place::Here, |guard| Counter { seen: 0, guard });
    let hung = handle.ask(Hang, Duration::from_millis(20)).await;
    assert_eq!(hung, Err(AskError::Deadline("victim".into())));

    let _ = handle.ask(Panic, DEADLINE).await;
    eventually("the death is noticed", async || {
        report(&process, "victim").state == ActorState::Restarting
    })
    .await;
    let refused = handle.ask(Count, Duration::from_secs(3600)).await;
    assert_eq!(refused, Err(AskError::Unavailable("victim".into())));
    assert!(handle.tell(Stop).is_err());
    assert!(report(&process, "victim").not_ready_reason().is_some());
    supervisor.stop(DEADLINE).await;
}

#[actix::test]
async fn a_child_that_keeps_dying_takes_its_group_along_and_then_the_service() {
    let process = Process::new();
    let supervisor = Supervisor::with_policy("test", &process, policy());
    let group = supervisor.group("doomed");
    let made = Arc::new(AtomicU32::new(0));
    let bystander = {
        let made = made.clone();
        group.supervise("bystander", Place::Here, move |guard| {
            made.fetch_add(1, Ordering::Relaxed);
            Counter { seen: 0, guard }
        })
    };
    let doomed = group.supervise("doomed", Place::OwnArbiter, |guard| {
        let counter = Counter { seen: 0, guard };
        assert!(counter.seen > 0, "born dead");
        counter
    });
    let fault = tokio::time::timeout(DEADLINE, supervisor.gave_up())
        .await
        .unwrap();
    assert!(matches!(fault, Fault::GaveUp { .. }));
    assert_eq!(fault.exit_code(), 70);
    assert!(fault.to_string().contains("born dead"), "{fault}");
    assert_eq!(
        made.load(Ordering::Relaxed),
        2,
        "the group was restarted once"
    );
    assert!(doomed.ask(Count, DEADLINE).await.is_err());
    let _ = bystander.ask(Count, DEADLINE).await;
    supervisor.stop(DEADLINE).await;
}

#[actix::test]
async fn stopping_ends_every_child_and_restarts_none() {
    let process = Process::new();
    let supervisor = Supervisor::with_policy("test", &process, policy());
    let group = supervisor.group("mixed");
    let here = group.supervise("here", Place::Here, |guard| Counter { seen: 0, guard });
    let elsewhere = group.supervise("elsewhere", Place::OwnArbiter, |guard| Counter {
        seen: 0,
        guard,
    });
    let sync = group.supervise_sync("sync", 2, |guard| Blocking { seen: 0, guard });
    comes_back(&here).await;
    comes_back(&elsewhere).await;
    comes_back(&sync).await;

    let start = Instant::now();
    supervisor.stop(Duration::from_secs(60)).await;
    assert!(
        start.elapsed() < DEADLINE,
        "no child was waited for in vain"
    );
    for name in ["here", "elsewhere", "sync"] {
        let report = report(&process, name);
        assert_eq!(
            (report.state, report.restarts),
            (ActorState::Stopped, 0),
            "{name}"
        );
    }
    assert!(here.ask(Count, DEADLINE).await.is_err());
}

#[actix::test]
async fn a_message_is_handled_in_the_scope_of_the_request_that_it_was_sent_for() {
    let _spans = tracing::subscriber::set_default(tracing_subscriber::registry());
    let process = Process::new();
    let supervisor = Supervisor::with_policy("test", &process, policy());
    let make = |guard| Counter { seen: 0, guard };
    let handle = supervisor
        .group("counters")
        .supervise("counter", Place::Here, make);
    let ask = async |id: &str| {
        let asked = handle.ask(TellRequest, DEADLINE);
        let asked = asked.instrument(tracing::info_span!("a request"));
        RequestId::parse(id).unwrap().scope(asked).await.unwrap()
    };
    let (first, second) = tokio::join!(ask("first"), ask("second"));
    assert_eq!(first, [Some("first".into()), Some("first".into())]);
    assert_eq!(second, [Some("second".into()), Some("second".into())]);
    let outside = handle.ask(TellRequest, DEADLINE).await.unwrap();
    assert_eq!(outside, [None, None]);
    supervisor.stop(DEADLINE).await;
}

/// Ends only when all others of its kind are asked to end, too.
struct EndsWithOthers {
    all: Arc<Barrier>,
    is_asked: bool,
    _guard: ChildGuard,
}

impl Actor for EndsWithOthers {
    type Context = Context<Self>;

    fn stopping(&mut self, context: &mut Self::Context) -> Running {
        if self.is_asked {
            return Running::Stop;
        }
        self.is_asked = true;
        let all = self.all.clone();
        let waited = async move {
            all.wait().await;
        };
        let stop = |(), _: &mut Self, context: &mut Context<Self>| context.stop();
        context.spawn(waited.into_actor(self).map(stop));
        Running::Continue
    }
}

#[actix::test]
async fn groups_are_stopped_side_by_side() {
    let process = Process::new();
    let supervisor = Supervisor::with_policy("test", &process, policy());
    let all = Arc::new(Barrier::new(3));
    for name in ["one", "two", "three"] {
        let all = all.clone();
        let make = move |guard| EndsWithOthers {
            all: all.clone(),
            is_asked: false,
            _guard: guard,
        };
        supervisor
            .group(name)
            .supervise(name, Place::OwnArbiter, make);
    }
    supervisor.stop_side_by_side(DEADLINE).await;
    for name in ["one", "two", "three"] {
        assert_eq!(report(&process, name).state, ActorState::Stopped, "{name}");
    }
}
