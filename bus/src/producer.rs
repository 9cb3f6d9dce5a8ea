//! The supervised actor that publishes, and the handle through which services reach it.
//!
//! The queue in front of it is bounded by events and by bytes; beyond that publishers get an error.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use runtime::{Backoff, ChildGuard, Group, Handle, Place};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout_at},
};

use super::{Bus, BusError, Condition, Event, Published, Publisher, publisher, with_dead_letters};

/// How long a publication may take before its publisher is told that the bus is unavailable.
const DEADLINE: Duration = Duration::from_secs(30);
/// So much may wait to be published; publishers are told beyond that.
const QUEUE_EVENTS: usize = 20_000;
const QUEUE_BYTES: usize = 64 << 20;
/// So many events are given to the broker together at most.
const TOGETHER: usize = 2_000;
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Publishes to the bus, by way of a supervised actor.
#[derive(Debug, Clone)]
pub struct Producer {
    actor: Handle<ProducerActor>,
    queue: Arc<Queue>,
}

impl Producer {
    /// Starts the actor `name`. It makes `topics`, and those of their dead letters, when absent.
    pub fn start(group: &Group, name: &str, bus: &Bus, topics: &[&str]) -> Self {
        let topics = with_dead_letters(topics.iter().copied());
        let (bus, actor_name) = (bus.clone(), name.to_owned());
        let actor = group.supervise(name, Place::Here, move |guard| {
            let condition = Arc::new(Condition::new(&actor_name, guard.reporter()));
            ProducerActor {
                _guard: guard,
                publisher: Some(publisher(&bus, &actor_name, &condition)),
                topics: topics.clone(),
                condition,
                jobs: None,
            }
        });
        Self {
            actor,
            queue: Arc::default(),
        }
    }

    /// Publishes `events` in order. When it returns `Ok` the broker has all of them durably.
    ///
    /// # Errors
    ///
    /// After an error the first few of the events may be durable. To keep the order of each key,
    /// send the whole batch again before anything that comes after it.
    pub async fn publish(&self, events: Vec<Event>) -> Result<(), BusError> {
        if events.is_empty() {
            return Ok(());
        }
        events.iter().try_for_each(Event::check)?;
        let place = self.queue.enter(&events)?;
        let publish = Publish {
            events,
            deadline: Instant::now() + DEADLINE,
            _place: place,
        };
        // The actor itself keeps the deadline; this one is for an actor that does nothing any more.
        self.actor
            .ask(publish, DEADLINE + Duration::from_secs(5))
            .await?
    }
}

/// How much waits to be published.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<(usize, usize)>,
}

impl Queue {
    fn enter(self: &Arc<Self>, events: &[Event]) -> Result<QueuePlace, BusError> {
        let bytes = events.iter().map(Event::size).sum();
        if events.len() > QUEUE_EVENTS || bytes > QUEUE_BYTES {
            let reason =
                format!("a batch has {QUEUE_EVENTS} events and {QUEUE_BYTES} bytes at most");
            return Err(BusError::Refused(reason));
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = (waiting.0 + events.len(), waiting.1 + bytes);
        if full.0 > QUEUE_EVENTS || full.1 > QUEUE_BYTES {
            return Err(BusError::QueueFull);
        }
        *waiting = full;
        Ok(QueuePlace {
            queue: self.clone(),
            events: events.len(),
            bytes,
        })
    }
}

/// A place in the queue, given back when dropped.
#[derive(Debug)]
struct QueuePlace {
    queue: Arc<Queue>,
    events: usize,
    bytes: usize,
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let mut waiting = self
            .queue
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiting.0 -= self.events;
        waiting.1 -= self.bytes;
    }
}

/// Makes the events durable at the broker.
#[derive(Message)]
#[rtype(result = "Result<(), BusError>")]
struct Publish {
    events: Vec<Event>,
    deadline: Instant,
    _place: QueuePlace,
}

/// The actor behind a [`Producer`]: it owns the connection.
struct ProducerActor {
    _guard: ChildGuard,
    publisher: Option<Box<dyn Publisher>>,
    topics: Vec<String>,
    condition: Arc<Condition>,
    jobs: Option<mpsc::UnboundedSender<Job>>,
}

/// A [`Publish`] that is being worked on.
struct Job {
    publish: Publish,
    done: oneshot::Sender<Result<(), BusError>>,
}

runtime::requested!(ProducerActor);

impl Actor for ProducerActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // Without a limit of its own: what waits has its place in the queue.
        let (jobs, waiting) = mpsc::unbounded_channel();
        self.jobs = Some(jobs);
        if let Some(publisher) = self.publisher.take() {
            let outlet = Outlet {
                publisher,
                topics: self.topics.clone(),
                condition: self.condition.clone(),
                backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            };
            context.spawn(outlet.run(waiting).into_actor(self));
        }
    }
}

impl Handler<Publish> for ProducerActor {
    type Result = ResponseFuture<Result<(), BusError>>;

    fn handle(&mut self, publish: Publish, _: &mut Self::Context) -> Self::Result {
        let deadline = publish.deadline;
        let (done, outcome) = oneshot::channel();
        let jobs = self.jobs.clone();
        let condition = self.condition.clone();
        Box::pin(async move {
            if let Some(jobs) = jobs {
                jobs.send(Job { publish, done }).ok();
            }
            match timeout_at(deadline, outcome).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(BusError::Unavailable("the producer is stopping".into())),
                Err(_) => {
                    let reason = condition.trouble();
                    let reason =
                        reason.unwrap_or_else(|| "the broker did not confirm in time".into());
                    Err(BusError::Unavailable(reason))
                }
            }
        })
    }
}

/// What takes events to the broker, one load after the other.
struct Outlet {
    publisher: Box<dyn Publisher>,
    topics: Vec<String>,
    condition: Arc<Condition>,
    backoff: Backoff,
}

impl Outlet {
    async fn run(mut self, mut waiting: mpsc::UnboundedReceiver<Job>) {
        self.prepare().await;
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(job) => job,
                None => tokio::select! {
                    job = waiting.recv() => match job {
                        Some(job) => job,
                        None => return,
                    },
                    () = sleep(PROBE_INTERVAL), if self.condition.is_broker_suspected() => {
                        self.publisher.probe().await;
                        continue;
                    }
                },
            };
            let mut load = Load::default();
            load.push(first);
            while let Ok(job) = waiting.try_recv() {
                if load.events.len() + job.publish.events.len() > TOGETHER {
                    next = Some(job);
                    break;
                }
                load.push(job);
            }
            self.deliver(load).await;
        }
    }

    /// Makes the topics, however long it takes until the broker lets it.
    async fn prepare(&mut self) {
        while let Err(error) = self.publisher.prepare(&self.topics).await {
            self.condition.stuck(error.to_string());
            sleep(self.backoff.next_delay()).await;
        }
        self.backoff.reset();
        self.condition.going_on();
    }

    /// Sends what is in `load` until it is durable, its publishers have gone, or it is refused.
    async fn deliver(&mut self, mut load: Load) {
        while let Some(deadline) = load.deadline() {
            let publishing = self.publisher.publish(load.unpublished());
            let Ok(Published { durable, failure }) = timeout_at(deadline, publishing).await else {
                load.give_up_expired();
                continue;
            };
            load.published(durable);
            match failure {
                None => {
                    self.backoff.reset();
                    self.condition.going_on();
                }
                Some(error @ BusError::Refused(_)) => load.refuse(error),
                Some(error) => {
                    self.condition.stuck(error.to_string());
                    sleep(self.backoff.next_delay()).await;
                    load.give_up_expired();
                    if let Some(deadline) = load.deadline() {
                        // It may have failed because somebody deleted a topic.
                        let preparing = self.publisher.prepare(&self.topics);
                        if let Ok(Err(error)) = timeout_at(deadline, preparing).await {
                            self.condition.stuck(error.to_string());
                        }
                    }
                }
            }
        }
    }
}

/// Jobs whose events are published together.
#[derive(Default)]
struct Load {
    events: Vec<Event>,
    /// How many of `events` are durable or given up.
    settled: usize,
    /// The jobs that are not done, each with the index behind its last event.
    jobs: VecDeque<(usize, Job)>,
}

impl Load {
    fn push(&mut self, mut job: Job) {
        self.events.append(&mut job.publish.events);
        self.jobs.push_back((self.events.len(), job));
    }

    /// When the oldest job has to be done, if there is one.
    fn deadline(&self) -> Option<Instant> {
        self.jobs.front().map(|(_, job)| job.publish.deadline)
    }

    fn unpublished(&self) -> &[Event] {
        self.events.get(self.settled..).unwrap_or_default()
    }

    /// The next `count` events are durable.
    fn published(&mut self, count: usize) {
        self.settled += count;
        while let Some((_, job)) = self.jobs.pop_front_if(|(end, _)| *end <= self.settled) {
            job.done.send(Ok(())).ok();
        }
    }

    /// The next event can never be published: its whole job fails.
    fn refuse(&mut self, error: BusError) {
        if let Some((end, job)) = self.jobs.pop_front() {
            self.settled = end;
            job.done.send(Err(error)).ok();
        }
    }

    /// Leaves jobs whose time is over; their publishers have been told already.
    fn give_up_expired(&mut self) {
        let now = Instant::now();
        while let Some((end, _)) = self
            .jobs
            .pop_front_if(|(_, job)| job.publish.deadline <= now)
        {
            self.settled = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(queue: &Arc<Queue>, count: usize) -> (Job, oneshot::Receiver<Result<(), BusError>>) {
        let event = Event {
            topic: "t".into(),
            key: "k".into(),
            payload: vec![0; 100],
            headers: Vec::new(),
        };
        let events = vec![event; count];
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
        assert_eq!(*queue.waiting.lock().unwrap(), (0, 0));
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
}
