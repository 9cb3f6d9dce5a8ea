//! The consuming side of the bus: a supervised actor that takes events from a `Source` to a handler,
//! acknowledges each after the handler's verdict, and moves what cannot be processed to the dead
//! letters.
//!
//! It does two things in turn, each a future that has the source: it fetches a batch, and it works the batch
//! off. The latter is one future and not a message for each step, because the claim on the events has to be
//! kept through the same source all the while, also during a step.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Running, WrapFuture,
};
use async_trait::async_trait;
use runtime::{ChildGuard, Group, Handle, Place, Wake};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    Bus, BusError, Condition, Event, Source, Verdict,
    batch_worker::BatchWorker,
    event::Batch,
    lag::{LagProbe, lag_gauge},
    source,
};

/// How long a stopping consumer takes to tell the broker.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);
/// How often counts of dead letters are looked at.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What is consumed, and as which group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: String,
    /// The consumers that share the topic's events among each other.
    pub group: String,
}

/// What processes events.
#[async_trait]
pub trait EventHandler: Send + Sync + 'static {
    /// Processes `events`, which are in order for each key, and returns a verdict for each. An event
    /// may come again.
    async fn handle(&self, events: &[Event]) -> Vec<Verdict>;

    /// Repairs what `count` events would have changed that the broker deleted before this consumer
    /// received them. Later events are handled meanwhile; the consumer is degraded until it returns.
    async fn missed(&self, count: u64) {
        let _ = count;
    }
}

/// A supervised actor that takes events from the bus to a handler.
#[derive(Debug, Clone)]
pub struct Consumer {
    actor: Handle<ConsumerActor>,
}

impl Consumer {
    /// The actor's name.
    pub fn name(&self) -> &str {
        self.actor.name()
    }
}

/// Starts the actor `name`, which gives the subscription's events to `handler`, from the oldest
/// that its group has not processed. It makes the topic, and that of its dead letters, when absent.
pub fn consume(
    group: &Group,
    name: &str,
    bus: &Bus,
    subscription: Subscription,
    handler: Arc<dyn EventHandler>,
) -> Consumer {
    let (bus, actor_name) = (bus.clone(), name.to_owned());
    let lag = lag_gauge(group.metrics(), &bus.url, &subscription);
    let actor = group.supervise(name, Place::Here, move |guard| {
        let (name, handler) = (&actor_name, handler.clone());
        let condition = Arc::new(Condition::of_consumer(name, guard.reporter()));
        let probe = LagProbe::new(lag.clone());
        let source = source(&bus, name, &subscription, &condition, probe);
        let worker = BatchWorker::new(&bus, name, &subscription, handler, &condition);
        ConsumerActor::new(guard, name, condition, source, worker)
    });
    Consumer { actor }
}

/// The actor behind a [`Consumer`]. Each [`Wake`] fetches a batch, which is worked off before the next one.
struct ConsumerActor {
    name: String,
    condition: Arc<Condition>,
    /// The way in from the broker; absent while a future has it.
    source: Option<Box<dyn Source>>,
    /// Absent while it works on a batch.
    worker: Option<BatchWorker>,
    /// Ends the future that runs, which then gives back the source to be closed.
    stop: CancellationToken,
    is_closed: bool,
    _guard: ChildGuard,
}

impl Actor for ConsumerActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.notify(Wake);
        context.run_interval(LOG_INTERVAL, |consumer, _| {
            // A worker that is at work tells by itself.
            if let Some(worker) = &mut consumer.worker {
                worker.log_repeated_dead_letters();
            }
        });
    }

    fn stopping(&mut self, context: &mut Self::Context) -> Running {
        if self.is_closed || std::thread::panicking() {
            return Running::Stop;
        }
        self.stop.cancel();
        if let Some(source) = self.source.take() {
            self.close(source, context);
        }
        Running::Continue
    }
}

impl Handler<Wake> for ConsumerActor {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Self::Context) {
        let Some(mut source) = self.source.take() else {
            return;
        };
        let stop = self.stop.clone();
        let fetching = async move {
            let fetched = stop.run_until_cancelled(source.fetch()).await;
            (source, fetched)
        };
        let fetched = fetching.into_actor(self);
        context.spawn(fetched.map(|(source, fetched), consumer, context| {
            consumer.fetched(source, fetched, context);
        }));
    }
}

impl ConsumerActor {
    fn new(
        guard: ChildGuard,
        name: &str,
        condition: Arc<Condition>,
        source: Box<dyn Source>,
        worker: BatchWorker,
    ) -> Self {
        Self {
            name: name.into(),
            condition,
            source: Some(source),
            worker: Some(worker),
            stop: CancellationToken::new(),
            is_closed: false,
            _guard: guard,
        }
    }

    /// Works on the batch that was fetched. There is none if the consumer was told to stop.
    fn fetched(
        &mut self,
        source: Box<dyn Source>,
        fetched: Option<Result<Batch, BusError>>,
        context: &mut Context<Self>,
    ) {
        let (Some(fetched), Some(mut worker)) = (fetched, self.worker.take()) else {
            return self.close(source, context);
        };
        match fetched {
            Ok(batch) => self.work_off(source, worker, batch, context),
            Err(error) => {
                self.condition.stuck(error.to_string());
                context.notify_later(Wake, worker.backoff.next_delay());
                self.source = Some(source);
                self.worker = Some(worker);
            }
        }
    }

    fn work_off(
        &mut self,
        mut source: Box<dyn Source>,
        mut worker: BatchWorker,
        batch: Batch,
        context: &mut Context<Self>,
    ) {
        let stop = self.stop.clone();
        let working = async move {
            let work = worker.work_off(source.as_mut(), batch);
            stop.run_until_cancelled(work).await;
            (source, worker)
        };
        let worked = working.into_actor(self);
        context.spawn(worked.map(|(source, worker), consumer, context| {
            consumer.source = Some(source);
            consumer.worker = Some(worker);
            context.notify(Wake);
        }));
    }

    /// Tells the broker that nothing more is fetched, and ends the actor.
    fn close(&mut self, mut source: Box<dyn Source>, context: &mut Context<Self>) {
        let closing = async move { timeout(CLOSE_DEADLINE, source.close()).await };
        let closed = closing.into_actor(self);
        context.spawn(closed.map(|closed, consumer, context| {
            if closed.is_err() {
                let name = &consumer.name;
                tracing::debug!(
                    actor = name,
                    "{name} could not tell the broker that it stops"
                );
            }
            consumer.is_closed = true;
            context.stop();
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use runtime::{Process, Supervisor};
    use tokio::sync::Notify;

    use super::*;
    use crate::{BusUrl, event::Position};

    /// What the first fetch comes to; there is nothing more to fetch after it.
    #[derive(Clone, Copy)]
    enum First {
        Nothing,
        AnEvent,
        AnError,
    }

    #[derive(Default)]
    struct Seen {
        step: Notify,
        closed: AtomicUsize,
    }

    struct Fake {
        first: First,
        seen: Arc<Seen>,
    }

    #[async_trait]
    impl Source for Fake {
        async fn fetch(&mut self) -> Result<Batch, BusError> {
            self.seen.step.notify_one();
            match std::mem::replace(&mut self.first, First::Nothing) {
                First::Nothing => future::pending().await,
                First::AnError => Err(BusError::Unavailable("it is unavailable".into())),
                First::AnEvent => {
                    let event = Event {
                        topic: "t".into(),
                        key: "k".into(),
                        payload: Vec::new(),
                        headers: Vec::new(),
                    };
                    let position = Position {
                        partition: 0,
                        offset: 1,
                    };
                    let mut batch = Batch::default();
                    batch.push(event, position);
                    Ok(batch)
                }
            }
        }

        async fn keep(&mut self) -> Vec<i32> {
            Vec::new()
        }

        async fn settle(&mut self, _: Position) {}

        async fn close(&mut self) {
            self.seen.closed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Never done with what it is given.
    struct Endless(Arc<Seen>);

    #[async_trait]
    impl EventHandler for Endless {
        async fn handle(&self, _: &[Event]) -> Vec<Verdict> {
            self.0.step.notify_one();
            future::pending().await
        }
    }

    #[actix::test]
    async fn the_source_is_closed_whatever_the_consumer_does_when_it_is_stopped() {
        let bus = Bus::from("nats://127.0.0.1:1".parse::<BusUrl>().unwrap());
        let subscription = Subscription {
            topic: "t".into(),
            group: "g".into(),
        };
        for first in [First::Nothing, First::AnEvent, First::AnError] {
            let seen = Arc::<Seen>::default();
            let process = Process::new();
            let supervisor = Supervisor::new("test", &process);
            let (fake, bus, subscription) = (seen.clone(), bus.clone(), subscription.clone());
            supervisor
                .group("bus")
                .supervise("consumer", Place::Here, move |guard| {
                    let (seen, handler) = (fake.clone(), Arc::new(Endless(fake.clone())));
                    let condition = Arc::new(Condition::new("consumer", guard.reporter()));
                    let source = Box::new(Fake { first, seen });
                    let name = "consumer";
                    let worker = BatchWorker::new(&bus, name, &subscription, handler, &condition);
                    ConsumerActor::new(guard, name, condition, source, worker)
                });
            seen.step.notified().await;
            if let First::AnEvent = first {
                // The handler has it.
                seen.step.notified().await;
            }
            supervisor.stop(Duration::from_secs(5)).await;
            assert_eq!(seen.closed.load(Ordering::Relaxed), 1);
            let actors = process.registry.actors();
            assert!(actors.iter().all(|actor| actor.restarts == 0), "{actors:?}");
        }
    }
}
