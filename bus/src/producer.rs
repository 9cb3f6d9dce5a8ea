//! The supervised actor that publishes, and the handle through which services reach it.
//!
//! The queue in front of it is bounded by events and by bytes; beyond that publishers get an error.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle,
    WrapFuture,
};
use runtime::{Backoff, ChildGuard, Group, Handle, Place, Wake};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{Bus, BusError, Condition, Event, Published, Publisher, publisher, with_dead_letters};

/// How long a publication may take before its publisher is told that the bus is unavailable.
const DEADLINE: Duration = Duration::from_secs(30);
/// So much may wait to be published; publishers are told beyond that.
const QUEUE_EVENTS: usize = 20_000;
const QUEUE_BYTES: usize = 64 << 20;
/// So many events are given to the broker together at most.
const TOGETHER: usize = 2_000;
/// How often an idle producer looks whether the broker is there, and how often if it may be unavailable.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
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
            let publisher = publisher(&bus, &actor_name, &condition);
            ProducerActor::new(guard, topics.clone(), condition, publisher)
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

/// The actor behind a [`Producer`]: it owns the connection. What waits goes to the broker one load after
/// the other; each step of that is a future with the publisher, which plans the next step when it ends.
struct ProducerActor {
    _guard: ChildGuard,
    topics: Vec<String>,
    condition: Arc<Condition>,
    backoff: Backoff,
    /// Without a limit of its own: each job has its place in the queue.
    waiting: VecDeque<Job>,
    state: State,
    /// The next `Wake` that the actor sends to itself.
    timer: Option<SpawnHandle>,
}

/// What the producer does at the moment.
enum State {
    /// A step runs.
    Working,
    /// The topics are made with the next [`Wake`].
    Unprepared(Box<dyn Publisher>),
    /// Nothing waits to be published.
    Idle(Box<dyn Publisher>),
    /// The broker did not take the load, which is tried again with the next [`Wake`].
    BackingOff(Box<dyn Publisher>, Load),
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
        context.notify(Wake);
    }
}

impl Handler<Publish> for ProducerActor {
    type Result = ResponseFuture<Result<(), BusError>>;

    fn handle(&mut self, publish: Publish, context: &mut Self::Context) -> Self::Result {
        let deadline = publish.deadline;
        let (done, outcome) = oneshot::channel();
        // The other messages that are in the mailbox come before the `Wake`, and into the same load.
        if self.waiting.is_empty() && matches!(self.state, State::Idle(_)) {
            context.notify(Wake);
        }
        self.waiting.push_back(Job { publish, done });
        let condition = self.condition.clone();
        Box::pin(async move {
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

impl Handler<Wake> for ProducerActor {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Self::Context) {
        if let Some(timer) = self.timer.take() {
            context.cancel_future(timer);
        }
        match mem::replace(&mut self.state, State::Working) {
            State::Working => {}
            State::Unprepared(publisher) => self.prepare(publisher, context),
            State::Idle(publisher) if self.waiting.is_empty() => self.probe(publisher, context),
            State::Idle(publisher) => self.next_load(publisher, context),
            State::BackingOff(publisher, load) => self.publish_again(publisher, load, context),
        }
    }
}

impl ProducerActor {
    fn new(
        guard: ChildGuard,
        topics: Vec<String>,
        condition: Arc<Condition>,
        publisher: Box<dyn Publisher>,
    ) -> Self {
        Self {
            _guard: guard,
            topics,
            condition,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            waiting: VecDeque::new(),
            state: State::Unprepared(publisher),
            timer: None,
        }
    }

    /// Makes the topics; the actor does so until the broker lets it, however long that takes.
    fn prepare(&mut self, mut publisher: Box<dyn Publisher>, context: &mut Context<Self>) {
        let topics = self.topics.clone();
        let preparing = async move {
            let prepared = publisher.prepare(&topics).await;
            (publisher, prepared)
        };
        let prepared = preparing.into_actor(self);
        context.spawn(
            prepared.map(|(publisher, prepared), producer, context| match prepared {
                Ok(()) => {
                    producer.goes_on();
                    producer.next_load(publisher, context);
                }
                Err(error) => producer.back_off(State::Unprepared(publisher), &error, context),
            }),
        );
    }

    /// Publishes the jobs that wait, as many as may go together. Without any, the actor looks at times whether the
    /// broker is there: otherwise only the next publication would tell.
    fn next_load(&mut self, publisher: Box<dyn Publisher>, context: &mut Context<Self>) {
        let mut load = Load::default();
        while let Some(job) = self.waiting.pop_front_if(|job| load.has_room_for(job)) {
            load.push(job);
        }
        if !load.events.is_empty() {
            return self.publish(publisher, load, context);
        }
        self.state = State::Idle(publisher);
        let pause = match self.condition.is_broker_suspected() {
            true => PROBE_INTERVAL,
            false => LOOK_INTERVAL,
        };
        self.wake_in(pause, context);
    }

    fn probe(&mut self, mut publisher: Box<dyn Publisher>, context: &mut Context<Self>) {
        let probing = async move {
            publisher.probe().await;
            publisher
        };
        let probed = probing.into_actor(self);
        context.spawn(probed.map(|publisher, producer, context| {
            producer.next_load(publisher, context);
        }));
    }

    /// Publishes what is left of `load`, for as long as the oldest of its jobs may wait. After the last one
    /// it is the next load's turn.
    fn publish(
        &mut self,
        mut publisher: Box<dyn Publisher>,
        load: Load,
        context: &mut Context<Self>,
    ) {
        let Some(deadline) = load.deadline() else {
            return self.next_load(publisher, context);
        };
        let publishing = async move {
            let published = timeout_at(deadline, publisher.publish(load.unpublished())).await;
            (publisher, load, published.ok())
        };
        let published = publishing.into_actor(self);
        context.spawn(
            published.map(|(publisher, load, published), producer, context| {
                producer.published(publisher, load, published, context);
            }),
        );
    }

    /// The broker took so much of `load`, or did not answer in time.
    fn published(
        &mut self,
        publisher: Box<dyn Publisher>,
        mut load: Load,
        published: Option<Published>,
        context: &mut Context<Self>,
    ) {
        let Some(Published { durable, failure }) = published else {
            load.give_up_expired();
            return self.publish(publisher, load, context);
        };
        self.condition.published(durable);
        load.published(durable);
        match failure {
            None => self.goes_on(),
            Some(error @ BusError::Refused(_)) => load.refuse(error),
            Some(error) => {
                return self.back_off(State::BackingOff(publisher, load), &error, context);
            }
        }
        self.publish(publisher, load, context);
    }

    /// Makes the topics, for it may have failed because an operator deleted one, and publishes what is left.
    fn publish_again(
        &mut self,
        mut publisher: Box<dyn Publisher>,
        mut load: Load,
        context: &mut Context<Self>,
    ) {
        load.give_up_expired();
        let Some(deadline) = load.deadline() else {
            return self.next_load(publisher, context);
        };
        let topics = self.topics.clone();
        let preparing = async move {
            let prepared = timeout_at(deadline, publisher.prepare(&topics)).await;
            (publisher, prepared)
        };
        let prepared = preparing.into_actor(self);
        context.spawn(prepared.map(|(publisher, prepared), producer, context| {
            if let Ok(Err(error)) = prepared {
                producer.condition.stuck(error.to_string());
            }
            producer.publish(publisher, load, context);
        }));
    }

    /// Leaves it at `state` until a while has passed after `error`.
    fn back_off(&mut self, state: State, error: &BusError, context: &mut Context<Self>) {
        self.condition.stuck(error.to_string());
        self.state = state;
        let delay = self.backoff.next_delay();
        self.wake_in(delay, context);
    }

    fn goes_on(&mut self) {
        self.backoff.reset();
        self.condition.going_on();
    }

    fn wake_in(&mut self, delay: Duration, context: &mut Context<Self>) {
        self.timer = Some(context.notify_later(Wake, delay));
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
    /// A first job always finds room, however large it is.
    fn has_room_for(&self, job: &Job) -> bool {
        self.events.is_empty() || self.events.len() + job.publish.events.len() <= TOGETHER
    }

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
    use async_trait::async_trait;
    use futures::future::join_all;
    use runtime::{Process, Supervisor};

    use super::*;

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
