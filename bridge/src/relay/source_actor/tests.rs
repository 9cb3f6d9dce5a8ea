//! A route between made-up ends: the source always has more, and the sink takes a batch when it is told to.

use std::{
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use runtime::{Place, Process, Supervisor};
use testkit::eventually;
use tokio::sync::Semaphore;

use super::*;
use crate::relay::{
    direction::KafkaToNats,
    flow::{Incoming, NotWritten, Outgoing, Recalled, Sink, Written},
    mapping::{Direction, Mapping},
    pipeline::DeadLetters,
    record::{KafkaRecord, NatsRecord},
};

const RECORDS: usize = 1_000;
const BATCH: usize = 10;
const RECORD_BYTES: usize = 64;
/// A tenth of what there is.
const LIMIT: usize = 100;

#[derive(Default)]
struct Counts {
    given: AtomicUsize,
    written: AtomicUsize,
    /// How many were given and not written, at most.
    most: AtomicUsize,
}

struct Endless(Arc<Counts>);

struct Nothing;

#[async_trait]
impl Receipt for Nothing {
    async fn acknowledge(self: Box<Self>, _: &Marks) {}
}

#[async_trait]
impl Gauge for Nothing {
    async fn lag(&self) -> Result<Option<u64>, Interruption> {
        Ok(None)
    }
}

#[async_trait]
impl Source<KafkaRecord> for Endless {
    async fn open(&mut self, _: &Standby) -> Result<Opened, Interruption> {
        Ok(Opened::default())
    }

    async fn keep(&mut self, _: &Marks) -> Result<(), Interruption> {
        Ok(())
    }

    async fn fetch(&mut self) -> Result<Fetched<KafkaRecord>, Interruption> {
        let Counts {
            given,
            written,
            most,
        } = &*self.0;
        let first = given.fetch_add(BATCH, Ordering::SeqCst);
        if first >= RECORDS {
            return pending().await;
        }
        let out = first + BATCH - written.load(Ordering::SeqCst);
        most.fetch_max(out, Ordering::SeqCst);
        let record = |number| Incoming {
            id: format!("k/films/0/{number}/1"),
            record: KafkaRecord {
                topic: "films".into(),
                value: Some(Bytes::from_static(&[b'x'; RECORD_BYTES])),
                ..KafkaRecord::default()
            },
        };
        Ok(Fetched {
            records: (first..first + BATCH).map(record).collect(),
            receipt: Box::new(Nothing),
        })
    }

    fn gauge(&self) -> Arc<dyn Gauge> {
        Arc::new(Nothing)
    }

    async fn rewind(&mut self) {
        let written = self.0.written.load(Ordering::SeqCst);
        self.0.given.store(written, Ordering::SeqCst);
    }

    async fn close(&mut self) {}
}

struct Slow {
    counts: Arc<Counts>,
    allowed: Arc<Semaphore>,
}

#[async_trait]
impl<R: Send + 'static> Sink<R> for Slow {
    async fn prepare(&mut self) -> Result<(), Interruption> {
        Ok(())
    }

    async fn recall(&mut self, _: Option<Marks>) -> Result<Recalled, Interruption> {
        Ok(Recalled::default())
    }

    fn write(
        &mut self,
        batch: Vec<Outgoing<R>>,
        _: Instant,
    ) -> BoxFuture<'static, Result<Written, NotWritten>> {
        let (counts, allowed) = (self.counts.clone(), self.allowed.clone());
        Box::pin(async move {
            allowed.acquire().await.unwrap().forget();
            counts.written.fetch_add(batch.len(), Ordering::SeqCst);
            Ok(Written {
                refused: Vec::new(),
                before: Arc::default(),
                marks: Arc::default(),
            })
        })
    }

    fn abandon(&mut self) {}
}

/// Takes nothing, and says so later than a session without inputs counts as idle.
#[derive(Clone)]
struct Refusing;

#[async_trait]
impl<R: Send + 'static> Sink<R> for Refusing {
    async fn prepare(&mut self) -> Result<(), Interruption> {
        Ok(())
    }

    async fn recall(&mut self, _: Option<Marks>) -> Result<Recalled, Interruption> {
        Ok(Recalled::default())
    }

    fn write(
        &mut self,
        _: Vec<Outgoing<R>>,
        _: Instant,
    ) -> BoxFuture<'static, Result<Written, NotWritten>> {
        Box::pin(async {
            // Until the session would count as idle.
            tokio::time::sleep(IDLE_AFTER + LOOK_INTERVAL).await;
            Err(NotWritten::by(Interruption::unavailable("it is full")))
        })
    }

    fn abandon(&mut self) {}
}

/// A route from an endless source to the sinks that `made` makes.
fn route<S>(
    supervisor: &Supervisor,
    counts: &Arc<Counts>,
    limits: Limits,
    made: impl Fn() -> S + Clone + Send + Sync + 'static,
) -> RouteReport
where
    S: Sink<KafkaRecord> + Sink<NatsRecord> + 'static,
{
    let group = supervisor.group("route");
    let slow = made.clone();
    let writer = group.supervise("dead-letters", Place::OwnArbiter, move |guard| {
        SinkActor::<KafkaRecord>::new(Box::new(made()), guard)
    });
    let sink = group.supervise("sink", Place::OwnArbiter, move |guard| {
        SinkActor::<NatsRecord>::new(Box::new(slow()), guard)
    });
    let mapping = Mapping::new(Direction::KafkaToNats, "films", "films", None, "k", "n");
    let mapping = Arc::new(mapping.unwrap());
    let report = RouteReport::new("films", Direction::KafkaToNats);
    let dead_letters = DeadLetters {
        writer,
        place: "dead".into(),
        turn: Arc::default(),
    };
    let (to, told) = (sink.clone(), report.clone());
    let pipeline = group.supervise("pipeline", Place::OwnArbiter, move |guard| {
        let (mapping, dead_letters) = (mapping.clone(), dead_letters.clone());
        Pipeline::<KafkaToNats>::new(mapping, to.clone(), dead_letters, told.clone(), guard)
    });
    let (source, told) = (counts.clone(), report.clone());
    group.supervise("source", Place::OwnArbiter, move |guard| {
        let source = Box::new(Endless(source.clone()));
        let (pipeline, sink) = (pipeline.clone(), sink.clone());
        SourceActor::<KafkaToNats>::new(source, pipeline, sink, told.clone(), limits, guard)
    });
    report
}

async fn what_waits_stays_within(limits: Limits) {
    let counts = Arc::<Counts>::default();
    let allowed = Arc::new(Semaphore::new(0));
    let process = Process::new();
    let supervisor = Supervisor::new("relay", &process);
    let made = (counts.clone(), allowed.clone());
    let report = route(&supervisor, &counts, limits, move || {
        let (counts, allowed) = made.clone();
        Slow { counts, allowed }
    });
    eventually("as much is read as may be", async || {
        counts.given.load(Ordering::SeqCst) >= LIMIT
    })
    .await;
    for batch in 1..=RECORDS / BATCH {
        allowed.add_permits(1);
        eventually("a batch is delivered", async || {
            report.status().delivered == (batch * BATCH) as u64
        })
        .await;
    }
    assert_eq!(counts.most.load(Ordering::SeqCst), LIMIT);
    supervisor.stop(Duration::from_secs(10)).await;
}

#[actix::test]
async fn no_more_records_wait_than_a_route_may_have() {
    let bytes = usize::MAX;
    let records = LIMIT;
    what_waits_stays_within(Limits { records, bytes }).await;
}

#[actix::test]
async fn no_more_bytes_wait_than_a_route_may_have() {
    let bytes = LIMIT * RECORD_BYTES;
    let records = usize::MAX;
    what_waits_stays_within(Limits { records, bytes }).await;
}

#[actix::test]
async fn a_route_whose_writes_fail_late_is_stuck_from_the_first_of_them() {
    let counts = Arc::<Counts>::default();
    let process = Process::new();
    let supervisor = Supervisor::new("relay", &process);
    let (records, bytes) = (LIMIT, usize::MAX);
    let report = route(&supervisor, &counts, Limits { records, bytes }, || Refusing);
    let mut stuck = None;
    eventually("the route is stuck", async || {
        stuck = report.status().stuck;
        stuck.is_some()
    })
    .await;
    let (reason, since) = stuck.unwrap();
    assert_eq!(reason, "the route `films` does not go on: it is full");
    assert!(since >= PATIENCE, "{since:?}");
    let actors = process.registry.actors();
    let health = |actor: &runtime::supervision::ActorStatus| format!("{:?}", actor.health);
    assert!(actors.iter().any(|actor| health(actor).contains(&reason)));
    supervisor.stop(Duration::from_secs(10)).await;
}
