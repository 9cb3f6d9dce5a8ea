//! Tests of the producer over a broker in memory, of its queue and of its loads.

use std::sync::Mutex;

use async_trait::async_trait;
use futures::future::join_all;
use runtime::{Process, Supervisor};

use super::{queue::QUEUE_EVENTS, *};

fn event() -> Event {
    Event {
        topic: "t".into(),
        key: "k".into(),
        payload: vec![0; 100],
        headers: Vec::new(),
    }
}

/// A broker that takes everything but, at the third attempt, only the first event. Keeps how many
/// events it was given at each attempt.
struct Broker(Arc<Mutex<Vec<usize>>>);

#[async_trait]
impl Publisher for Broker {
    async fn prepare(&mut self, _: &[String]) -> Result<(), BusError> {
        Ok(())
    }

    async fn publish(&mut self, events: &[Event]) -> Published {
        let mut given = self.0.lock().unwrap();
        given.push(events.len());
        let is_full = given.len() == 3;
        Published {
            durable: if is_full { 1 } else { events.len() },
            failure: is_full.then(|| BusError::Unavailable("it is full".into())),
        }
    }

    async fn probe(&mut self) {}
}

#[actix::test]
async fn what_waits_goes_in_one_load_and_the_rest_of_it_again_after_a_failure() {
    let given = Arc::<Mutex<Vec<usize>>>::default();
    let broker = given.clone();
    let supervisor = Supervisor::new("test", &Process::new());
    let group = supervisor.group("bus");
    let actor = group.supervise("producer", Place::Here, move |guard| {
        let condition = Arc::new(Condition::new("producer", guard.reporter()));
        let broker = Box::new(Broker(broker.clone()));
        ProducerActor::new(guard, Vec::new(), condition, broker)
    });
    let producer = Producer {
        system: MessagingSystem::of(&"nats://127.0.0.1:1".parse().unwrap()),
        actor,
        queue: Arc::default(),
    };
    // At its start, when it is idle, and with a failure.
    for _ in 0..3 {
        let publications = (0..10).map(|_| producer.publish(vec![event(), event()]));
        let done = join_all(publications).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    }
    assert_eq!(*given.lock().unwrap(), [20, 20, 20, 19]);
    supervisor.stop(Duration::from_secs(5)).await;
}

fn job(queue: &Arc<Queue>, count: usize) -> (Job, oneshot::Receiver<Result<(), BusError>>) {
    let events = vec![event(); count];
    let (done, outcome) = oneshot::channel();
    let publish = Publish {
        _place: queue.enter(&events).unwrap(),
        events,
        deadline: Instant::now() + DEADLINE,
    };
    (Job { publish, done }, outcome)
}

#[test]
fn a_job_is_done_when_its_last_event_is_durable_and_a_refused_one_fails_alone() {
    let queue = Arc::<Queue>::default();
    let mut load = Load::default();
    let mut outcomes = Vec::new();
    for count in [2, 3, 1] {
        let (job, outcome) = job(&queue, count);
        load.push(job);
        outcomes.push(outcome);
    }
    load.published(1);
    assert!(outcomes[0].try_recv().is_err());
    load.published(2);
    assert_eq!(outcomes[0].try_recv(), Ok(Ok(())));
    assert_eq!(load.unpublished().len(), 3);
    load.refuse(BusError::Refused("too large".into()));
    assert!(matches!(
        outcomes[1].try_recv(),
        Ok(Err(BusError::Refused(_)))
    ));
    assert_eq!(load.unpublished().len(), 1);
    load.published(1);
    assert_eq!(outcomes[2].try_recv(), Ok(Ok(())));
    assert_eq!(load.deadline(), None);
    let as_many_as_fit = vec![event(); QUEUE_EVENTS];
    assert!(queue.enter(&as_many_as_fit).is_ok(), "a place is lost");
}

#[test]
fn the_queue_refuses_more_than_its_limit_until_there_is_room() {
    let queue = Arc::<Queue>::default();
    let (first, _outcome) = job(&queue, QUEUE_EVENTS);
    let event = first.publish.events[..1].to_vec();
    assert_eq!(queue.enter(&event).unwrap_err(), BusError::QueueFull);
    drop(first);
    assert!(queue.enter(&event).is_ok());
    let many = vec![event[0].clone(); QUEUE_EVENTS + 1];
    assert!(matches!(queue.enter(&many), Err(BusError::Refused(_))));
}
