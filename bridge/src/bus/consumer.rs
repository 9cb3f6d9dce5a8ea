use std::{
    collections::HashMap, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration,
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Running, WrapFuture};
use async_trait::async_trait;
use futures::FutureExt;
use runtime::{Backoff, Group, Handle, Lifeline, Place};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    BusUrl, Condition, Event, KEEP_INTERVAL, Source, Verdict,
    dead_letters::DeadLetters,
    event::{Batch, Position},
    source,
};

/// How long a handler may take for what it is given.
const HANDLER_DEADLINE: Duration = Duration::from_secs(30);
const DEAD_LETTER_DEADLINE: Duration = Duration::from_secs(30);
/// How long a stopping consumer takes to tell the broker.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);
/// An event at which the handler panics so many times goes to the dead letters.
const MAX_PANICS: usize = 3;

/// What is consumed, and as whom.
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
    /// Processes `events`, which are in order for each key, and returns a verdict for each. It may
    /// see an event again that it saw before.
    async fn handle(&self, events: &[Event]) -> Vec<Verdict>;
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
    url: &BusUrl,
    subscription: Subscription,
    handler: Arc<dyn EventHandler>,
) -> Consumer {
    let (url, actor_name) = (url.clone(), name.to_owned());
    let actor = group.supervise(name, Place::Here, move |lifeline| ConsumerActor {
        intake: Some(Intake {
            url: url.clone(),
            name: actor_name.clone(),
            subscription: subscription.clone(),
            handler: handler.clone(),
            condition: Arc::new(Condition::new(lifeline.reporter())),
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            panics: HashMap::new(),
        }),
        _lifeline: lifeline,
        stop: CancellationToken::new(),
        closed: false,
    });
    Consumer { actor }
}

/// The actor behind a [`Consumer`].
struct ConsumerActor {
    intake: Option<Intake>,
    stop: CancellationToken,
    closed: bool,
    _lifeline: Lifeline,
}

impl Actor for ConsumerActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if let Some(intake) = self.intake.take() {
            let run = intake.run(self.stop.clone()).into_actor(self);
            context.spawn(run.map(|(), actor, context| {
                actor.closed = true;
                context.stop();
            }));
        }
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        if self.closed || std::thread::panicking() {
            return Running::Stop;
        }
        self.stop.cancel();
        Running::Continue
    }
}

/// What takes events from the broker to the handler.
struct Intake {
    url: BusUrl,
    name: String,
    subscription: Subscription,
    handler: Arc<dyn EventHandler>,
    condition: Arc<Condition>,
    backoff: Backoff,
    /// How often the handler panicked at an event that was given to it alone.
    panics: HashMap<(i32, u64), usize>,
}

/// How a handler's work on a batch ended.
enum Outcome {
    Verdicts(Vec<Verdict>),
    Failed(String),
    Panicked,
}

impl Intake {
    async fn run(mut self, stop: CancellationToken) {
        let mut source = source(&self.url, &self.name, &self.subscription, &self.condition);
        tokio::select! {
            () = self.consume(source.as_mut()) => {}
            () = stop.cancelled() => {}
        }
        if timeout(CLOSE_DEADLINE, source.close()).await.is_err() {
            let name = &self.name;
            tracing::debug!(
                actor = name,
                "{name} could not tell the broker that it stops"
            );
        }
    }

    async fn consume(&mut self, source: &mut dyn Source) {
        let mut dead_letters = DeadLetters::new(&self.url, &self.name, &self.condition);
        loop {
            match source.fetch().await {
                Ok(batch) => self.work_off(source, &mut dead_letters, batch).await,
                Err(error) => {
                    self.condition.stuck(error.to_string());
                    sleep(self.backoff.next_delay()).await;
                }
            }
        }
    }

    /// Works on `batch` until all of it is settled.
    async fn work_off(
        &mut self,
        source: &mut dyn Source,
        dead_letters: &mut DeadLetters,
        mut batch: Batch,
    ) {
        // After a panic the events are handled one by one, to find the one at which it panics.
        let mut together = batch.len();
        while !batch.is_empty() {
            let count = together.min(batch.len());
            let verdicts = match self.handle(source, &mut batch, count).await {
                Outcome::Verdicts(verdicts) => verdicts,
                Outcome::Failed(reason) => vec![Verdict::Retry(reason)],
                Outcome::Panicked => {
                    let verdict =
                        self.after_panic(batch.positions().first().filter(|_| count == 1));
                    together = 1;
                    vec![verdict]
                }
            };
            let mut settled = 0;
            let mut retry = None;
            let each = batch.events().iter().zip(batch.positions()).zip(verdicts);
            for ((event, position), verdict) in each {
                let done = self
                    .apply(source, dead_letters, event, *position, verdict)
                    .await;
                if let Err(reason) = done {
                    retry = Some(reason);
                    break;
                }
                settled += 1;
            }
            batch.advance(settled);
            self.condition.settled(settled);
            match retry {
                Some(reason) => {
                    self.condition.stuck(reason);
                    let delay = self.backoff.next_delay();
                    let lost = keeping(source, sleep(delay)).await.1;
                    batch.forget(&lost);
                }
                None => {
                    self.backoff.reset();
                    self.condition.going_on();
                }
            }
        }
    }

    /// Does what the verdict says; the error says why the event is to be tried again.
    async fn apply(
        &mut self,
        source: &mut dyn Source,
        dead_letters: &mut DeadLetters,
        event: &Event,
        position: Position,
        verdict: Verdict,
    ) -> Result<(), String> {
        match verdict {
            Verdict::Done => {}
            Verdict::DeadLetter(reason) => {
                let putting = timeout(
                    DEAD_LETTER_DEADLINE,
                    dead_letters.put(event, position, &reason),
                );
                match keeping(source, putting).await.0 {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(error.to_string()),
                    Err(_) => return Err("the dead letters' topic took too long".into()),
                }
                let topic = &event.topic;
                tracing::warn!(
                    topic,
                    reason,
                    partition = position.partition,
                    offset = position.offset,
                    "an event of {topic} cannot be processed and is a dead letter now: {reason}"
                );
            }
            Verdict::Retry(reason) => return Err(reason),
        }
        self.panics.remove(&(position.partition, position.offset));
        source.settle(position).await;
        Ok(())
    }

    /// Gives the first `count` events to the handler.
    async fn handle(&self, source: &mut dyn Source, batch: &mut Batch, count: usize) -> Outcome {
        let events = batch.events().get(..count).unwrap_or_default();
        let handling = AssertUnwindSafe(self.handler.handle(events)).catch_unwind();
        let handling = timeout(HANDLER_DEADLINE, handling);
        let (handled, lost) = keeping(source, handling).await;
        let outcome = match handled {
            Ok(Ok(verdicts)) if verdicts.len() == count => Outcome::Verdicts(verdicts),
            Ok(Ok(verdicts)) => {
                let given = verdicts.len();
                Outcome::Failed(format!(
                    "the handler gave {given} verdicts for {count} events"
                ))
            }
            Ok(Err(_)) => Outcome::Panicked,
            Err(_) => Outcome::Failed("the handler took too long".into()),
        };
        if lost.is_empty() {
            return outcome;
        }
        // Verdicts no longer fit to what is left of the batch: whoever has the rest now settles it.
        batch.forget(&lost);
        Outcome::Failed("partitions were given to another consumer".into())
    }

    /// The verdict on the event, if it was alone, at which the handler panicked.
    fn after_panic(&mut self, alone: Option<&Position>) -> Verdict {
        let reason = "the handler panicked".to_owned();
        let Some(position) = alone else {
            return Verdict::Retry(reason);
        };
        let panics = self
            .panics
            .entry((position.partition, position.offset))
            .or_default();
        *panics += 1;
        if *panics < MAX_PANICS {
            Verdict::Retry(reason)
        } else {
            Verdict::DeadLetter(reason)
        }
    }
}

/// Waits for `work` and keeps the source's claim on its events meanwhile. Also returns which
/// partitions were lost all the same.
async fn keeping<T>(source: &mut dyn Source, work: impl Future<Output = T>) -> (T, Vec<i32>) {
    let mut work = std::pin::pin!(work);
    let mut lost = Vec::new();
    loop {
        tokio::select! {
            done = &mut work => return (done, lost),
            () = sleep(KEEP_INTERVAL) => lost.extend(source.keep().await),
        }
    }
}
