//! The supervised actor that publishes, and the handle through which services reach it.
//! Publications wait in a bounded [`queue`] and go to the broker one [`load`] after the other.

mod load;
mod queue;

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle,
    WrapFuture,
};
use runtime::{Backoff, ChildGuard, Group, Handle, Place, Wake};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use self::{
    load::Load,
    queue::{Queue, QueuePlace},
};
use super::{
    Bus, BusError, Condition, Event, Published, Publisher, publisher, spans::MessagingSystem,
    with_dead_letters,
};

/// How long a publication may take before its publisher is told that the bus is unavailable.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often an idle producer looks whether the broker is there, and how often if it may be unavailable.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Publishes to the bus, by way of a supervised actor.
#[derive(Debug, Clone)]
pub struct Producer {
    actor: Handle<ProducerActor>,
    queue: Arc<Queue>,
    system: MessagingSystem,
}

impl Producer {
    /// Starts the actor `name`. It makes `topics`, and those of their dead letters, when absent.
    pub fn start(group: &Group, name: &str, bus: &Bus, topics: &[&str]) -> Self {
        let topics = with_dead_letters(topics.iter().copied());
        let system = MessagingSystem::of(&bus.url);
        let (bus, actor_name) = (bus.clone(), name.to_owned());
        let actor = group.supervise(name, Place::Here, move |guard| {
            let condition = Arc::new(Condition::new(&actor_name, guard.reporter()));
            let publisher = publisher(&bus, &actor_name, &condition);
            ProducerActor::new(guard, topics.clone(), condition, publisher)
        });
        Self {
            actor,
            queue: Arc::default(),
            system,
        }
    }

    /// Publishes `events` in order. When it returns `Ok` the broker has all of them durably.
    ///
    /// # Errors
    ///
    /// After an error the first few of the events may be durable. To keep the order of each key,
    /// send the whole batch again before anything that comes after it.
    pub async fn publish(&self, mut events: Vec<Event>) -> Result<(), BusError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut spans = self.system.publish(&mut events);
        let published = self.publish_all(events).await;
        if published.is_err() {
            spans.iter_mut().for_each(|spans| spans.fail("unavailable"));
        }
        published
    }

    async fn publish_all(&self, events: Vec<Event>) -> Result<(), BusError> {
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
        if !load.is_empty() {
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

#[cfg(test)]
mod tests;
