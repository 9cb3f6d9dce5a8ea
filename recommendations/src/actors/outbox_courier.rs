//! Brings status events to the broker, in order.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use async_trait::async_trait;
use runtime::{Backoff, ChildGuard, Reporter};
use storage::Database;
use tokio::sync::Notify;

use crate::{
    lease::Held,
    store::outbox::{self, Waiting},
};

/// How often it looks for events that nobody told it of: those of other replicas.
const LOOK_INTERVAL: Duration = Duration::from_millis(150);

/// How many events it sends at once.
const PAGE: i64 = 500;

/// Where events go.
#[async_trait]
pub trait Outlet: Send + Sync + 'static {
    /// Returns when all `events` are durable at the broker, in order, or says why they may not be.
    async fn publish(&self, events: &[Waiting]) -> Result<(), Unpublished>;
}

/// Why events may not be at the broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpublished {
    /// The broker is away, as the log tells already.
    #[error("{0}")]
    Away(String),
    /// The broker does not take them.
    #[error("{0}")]
    Refused(String),
}

/// Sends what waits in the outbox, while this replica holds the lease.
pub struct OutboxCourier {
    guard: ChildGuard,
    route: Route,
}

#[derive(Clone)]
struct Route {
    database: Database,
    outlet: Arc<dyn Outlet>,
    held: Held,
    wake: Arc<Notify>,
}

impl OutboxCourier {
    /// A courier from `database` to `outlet`; `wake` tells it of new events.
    pub fn new(
        guard: ChildGuard,
        database: Database,
        outlet: Arc<dyn Outlet>,
        held: Held,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            guard,
            route: Route {
                database,
                outlet,
                held,
                wake,
            },
        }
    }
}

impl Actor for OutboxCourier {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let delivering = deliver(self.route.clone(), self.guard.reporter());
        // The loop has no end; if it had, a new courier would be made.
        context.spawn(
            delivering
                .into_actor(self)
                .map(|(), _, context| context.stop()),
        );
    }
}

async fn deliver(mut route: Route, reporter: Reporter) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        route.held.held().await;
        match deliver_some(&route).await {
            Ok(sent) => {
                backoff.reset();
                reporter.ready();
                if sent < PAGE as usize {
                    // Either way it looks again; the notice only makes it sooner.
                    let _ = tokio::time::timeout(LOOK_INTERVAL, route.wake.notified()).await;
                }
            }
            Err(trouble) => {
                trouble.report(&reporter);
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }
    }
}

/// Sends the oldest events and forgets them when the broker has them; returns how many.
async fn deliver_some(route: &Route) -> Result<usize, Trouble> {
    let page = |conn: &mut _| outbox::oldest(conn, PAGE);
    let waiting = route.database.read(page).await;
    let waiting = waiting.map_err(|error| Trouble::Database("cannot read the outbox", error))?;
    let Some(last) = waiting.last().map(|event| event.seq) else {
        return Ok(0);
    };
    if !route.held.is_held() {
        return Ok(0);
    }
    let begun = Instant::now();
    let published = route.outlet.publish(&waiting).await;
    published.map_err(Trouble::Bus)?;
    let count = waiting.len();
    tracing::debug!(count, took = ?begun.elapsed(), "published {count} events");
    let forget = move |conn: &mut _| outbox::delete_through(conn, last);
    let forgotten = route.database.write(forget).await;
    forgotten.map_err(|error| Trouble::Database("cannot empty the outbox", error))?;
    Ok(count)
}

/// Why nothing could be sent.
enum Trouble {
    Database(&'static str, storage::Error),
    Bus(Unpublished),
}

impl Trouble {
    fn report(&self, reporter: &Reporter) {
        match self {
            Self::Database(what, error) => error.report(reporter, what),
            Self::Bus(Unpublished::Away(reason)) => {
                reporter.hindered(format_args!("cannot publish events: {reason}"));
            }
            Self::Bus(Unpublished::Refused(reason)) => {
                reporter.degraded(format_args!("cannot publish events: {reason}"));
            }
        }
    }
}
