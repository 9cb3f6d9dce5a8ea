//! A pipeline between made-up sinks, of which the one for dead letters waits until it may write.

use std::{pin::pin, sync::Mutex as StdMutex};

use async_trait::async_trait;
use futures::{future::BoxFuture, poll};
use runtime::{Place, Process, Supervisor};
use testkit::eventually;
use tokio::sync::Semaphore;

use super::*;
use crate::relay::{
    direction::KafkaToNats,
    flow::{Recalled, Sink},
    mapping::Direction,
    record::{KafkaRecord, NatsRecord},
    sink_actor::Prepare,
};

const DEADLINE: Duration = Duration::from_secs(20);

/// Takes everything, when it may.
#[derive(Clone)]
struct Gated {
    written: Arc<StdMutex<Vec<String>>>,
    allowed: Arc<Semaphore>,
}

#[async_trait]
impl<R: Send + 'static> Sink<R> for Gated {
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
        let ids = batch.into_iter().map(|output| output.id);
        self.written.lock().unwrap().extend(ids);
        let allowed = self.allowed.clone();
        Box::pin(async move {
            drop(allowed.acquire().await.unwrap());
            Ok(Written {
                refused: Vec::new(),
                before: Arc::default(),
                marks: Arc::default(),
            })
        })
    }

    fn abandon(&mut self) {}
}

fn gated(permits: usize) -> Gated {
    Gated {
        written: Arc::default(),
        allowed: Arc::new(Semaphore::new(permits)),
    }
}

fn begin(session: u64) -> Begin {
    Begin {
        session,
        written: HashSet::new(),
        unacknowledged: HashMap::new(),
    }
}

/// Gives the pipeline an input that cannot be mapped.
fn give(
    pipeline: &Handle<Pipeline<KafkaToNats>>,
    session: u64,
    number: u64,
) -> oneshot::Receiver<Result<Passed, Interruption>> {
    let poison = KafkaRecord {
        headers: vec![("Marquee-Relay-Path".to_owned(), Some("no,,path".into()))],
        ..KafkaRecord::default()
    };
    let (reply, answer) = oneshot::channel();
    let received = Received {
        session,
        number,
        inputs: vec![Incoming {
            id: "k/films/0/1/1".into(),
            record: poison,
        }],
        read_at: Instant::now(),
        reply,
    };
    pipeline.tell(received).unwrap();
    answer
}

#[actix::test]
async fn a_session_begins_when_the_dead_letters_of_the_one_before_are_known() {
    let process = Process::new();
    let supervisor = Supervisor::new("relay", &process);
    let group = supervisor.group("route");
    let letters = gated(0);
    let made = letters.clone();
    let writer = group.supervise("dead-letters", Place::OwnArbiter, move |guard| {
        SinkActor::<KafkaRecord>::new(Box::new(made.clone()), guard)
    });
    let sink = group.supervise("sink", Place::OwnArbiter, |guard| {
        SinkActor::<NatsRecord>::new(Box::new(gated(1)), guard)
    });
    let mapping = Mapping::new(Direction::KafkaToNats, "films", "films", None, "k", "n");
    let mapping = Arc::new(mapping.unwrap());
    let report = RouteReport::new("films", Direction::KafkaToNats);
    let dead_letters = DeadLetters {
        writer,
        place: "dead".into(),
        turn: Arc::default(),
    };
    let to = sink.clone();
    let pipeline = group.supervise("pipeline", Place::OwnArbiter, move |guard| {
        let (mapping, dead_letters) = (mapping.clone(), dead_letters.clone());
        Pipeline::<KafkaToNats>::new(mapping, to.clone(), dead_letters, report.clone(), guard)
    });

    sink.ask(Prepare { session: 1 }, DEADLINE)
        .await
        .unwrap()
        .unwrap();
    pipeline.ask(begin(1), DEADLINE).await.unwrap().unwrap();
    let first = give(&pipeline, 1, 0);
    eventually("the dead letter is on its way", async || {
        letters.written.lock().unwrap().len() == 1
    })
    .await;
    sink.ask(Prepare { session: 2 }, DEADLINE)
        .await
        .unwrap()
        .unwrap();
    let mut begins = pin!(pipeline.ask(begin(2), DEADLINE));
    assert!(poll!(begins.as_mut()).is_pending());
    // When this is refused, the pipeline has heard of the next session.
    give(&pipeline, 1, 1).await.unwrap().unwrap_err();
    assert!(poll!(begins.as_mut()).is_pending());
    letters.allowed.add_permits(1);
    begins.await.unwrap().unwrap();
    first.await.unwrap().unwrap();
    // It comes again, since it was not acknowledged.
    give(&pipeline, 2, 0).await.unwrap().unwrap();
    assert_eq!(*letters.written.lock().unwrap(), ["k/films/0/1/1/dead"]);
    supervisor.stop(Duration::from_secs(10)).await;
}
