//! The actor that takes events from a service's outbox to the bus, in order: one for every service,
//! over a small trait that reads the service's table. A row is deleted once the broker has its event
//! durably, so that an event may be published twice, but never not at all.

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use async_trait::async_trait;
use runtime::{Backoff, ChildGuard, Group, Handle, Place, Wake, telemetry::counted};

use crate::{BusError, Event, Producer};

/// How often the outbox is read without a message that it has rows: other replicas write rows too.
const LOOK_INTERVAL: Duration = Duration::from_millis(150);
/// The most events that are published at once.
const PAGE: usize = 500;

/// An event that waits, with its number in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingEvent {
    /// Grows with every event of the outbox.
    pub seq: i64,
    /// The event itself.
    pub event: Event,
}

/// The outbox of a service.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Whether this replica is the one that delivers.
    fn is_ours(&self) -> bool {
        true
    }

    /// Reads the oldest events, `limit` at most, in the order of their numbers.
    async fn oldest(&self, limit: usize) -> Result<Vec<WaitingEvent>, OutboxError>;

    /// Deletes the events up to number `seq`, which are published.
    async fn delete_through(&self, seq: i64) -> Result<(), OutboxError>;
}

/// Where a courier takes events: a [`Producer`], except in tests.
#[async_trait]
pub trait Outlet: Send + Sync + 'static {
    /// Returns when the broker has all `events` durably, in order.
    async fn publish(&self, events: Vec<Event>) -> Result<(), BusError>;
}

#[async_trait]
impl Outlet for Producer {
    async fn publish(&self, events: Vec<Event>) -> Result<(), BusError> {
        Producer::publish(self, events).await
    }
}

/// Why an outbox could not be read or shortened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// Its database is unavailable, which the log tells already.
    #[error("{0}")]
    Unavailable(String),
    /// Its database refuses.
    #[error("{0}")]
    Failed(String),
}

/// The supervised actor that delivers an outbox. One delivery runs at a time. Writers of the outbox
/// send it a [`Wake`].
pub struct OutboxCourier {
    guard: ChildGuard,
    outbox: Arc<dyn Outbox>,
    outlet: Arc<dyn Outlet>,
    backoff: Backoff,
    state: State,
}

/// What the courier does at the moment.
enum State {
    /// It waits for the next look.
    Idle(Option<SpawnHandle>),
    /// A delivery runs; another follows at once if events were written meanwhile.
    Delivering { again: bool },
    /// It waits after a failure; new events do not shorten that.
    BackingOff,
}

impl OutboxCourier {
    /// Starts the courier `name` from `outbox` to `outlet`.
    pub fn start(
        group: &Group,
        name: &str,
        outbox: Arc<dyn Outbox>,
        outlet: Arc<dyn Outlet>,
    ) -> Handle<Self> {
        group.supervise(name, Place::Here, move |guard| Self {
            guard,
            outbox: outbox.clone(),
            outlet: outlet.clone(),
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            state: State::Idle(None),
        })
    }

    fn wake_in(delay: Duration, context: &mut Context<Self>) -> SpawnHandle {
        context.run_later(delay, |courier, context| {
            courier.state = State::Idle(None);
            context.notify(Wake);
        })
    }

    /// Plans the next delivery after one that ended as `delivered`.
    fn ended(&mut self, delivered: Result<usize, Trouble>, context: &mut Context<Self>) {
        let again = matches!(self.state, State::Delivering { again: true });
        match delivered {
            Ok(count) => {
                self.backoff.reset();
                self.guard.ready();
                self.guard.reporter().handled(count as u64);
                self.state = State::Idle(None);
                if again || count >= PAGE {
                    context.notify(Wake);
                } else {
                    self.state = State::Idle(Some(Self::wake_in(LOOK_INTERVAL, context)));
                }
            }
            Err(trouble) => {
                trouble.report(&self.guard);
                self.state = State::BackingOff;
                Self::wake_in(self.backoff.next_delay(), context);
            }
        }
    }
}

runtime::requested!(OutboxCourier);

impl Actor for OutboxCourier {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(Wake);
    }
}

impl Handler<Wake> for OutboxCourier {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        match &mut self.state {
            State::Delivering { again } => *again = true,
            State::BackingOff => {}
            State::Idle(next_look) => {
                if let Some(next_look) = next_look.take() {
                    context.cancel_future(next_look);
                }
                self.state = State::Delivering { again: false };
                let delivery = deliver(self.outbox.clone(), self.outlet.clone());
                context.spawn(delivery.into_actor(self).map(Self::ended_with));
            }
        }
    }
}

impl OutboxCourier {
    fn ended_with(
        delivered: Result<usize, Trouble>,
        courier: &mut Self,
        context: &mut Context<Self>,
    ) {
        courier.ended(delivered, context);
    }
}

/// Publishes the oldest events and deletes them once the broker has them; returns how many.
async fn deliver(outbox: Arc<dyn Outbox>, outlet: Arc<dyn Outlet>) -> Result<usize, Trouble> {
    if !outbox.is_ours() {
        return Ok(0);
    }
    let waiting = outbox.oldest(PAGE).await;
    let waiting = waiting.map_err(|error| Trouble::Outbox("cannot read the outbox", error))?;
    // Reading may have taken long, and another replica may deliver by now.
    let Some(last) = waiting.last().map(|waiting| waiting.seq) else {
        return Ok(0);
    };
    if !outbox.is_ours() {
        return Ok(0);
    }
    let count = waiting.len();
    let events = waiting.into_iter().map(|waiting| waiting.event).collect();
    outlet.publish(events).await.map_err(Trouble::Bus)?;
    tracing::debug!(count, "published {}", counted(count as u64, "event"));
    let deleted = outbox.delete_through(last).await;
    deleted.map_err(|error| Trouble::Outbox("cannot shorten the outbox", error))?;
    Ok(count)
}

/// Why nothing could be delivered.
enum Trouble {
    Outbox(&'static str, OutboxError),
    Bus(BusError),
}

impl Trouble {
    fn report(&self, guard: &ChildGuard) {
        match self {
            Self::Outbox(what, OutboxError::Unavailable(reason)) => {
                guard.hindered(format_args!("{what}: {reason}"));
            }
            Self::Outbox(what, OutboxError::Failed(reason)) => {
                guard.degraded(format_args!("{what}: {reason}"));
            }
            // The producer tells the log of a broker that is unavailable.
            Self::Bus(error @ (BusError::Unavailable(_) | BusError::Actor(_))) => {
                guard.hindered(format_args!("cannot publish events: {error}"));
            }
            Self::Bus(error @ (BusError::Refused(_) | BusError::QueueFull)) => {
                guard.degraded(format_args!("cannot publish events: {error}"));
            }
        }
    }
}
