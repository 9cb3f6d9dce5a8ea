//! Takes and renews the lease on the work that only one replica may do.

use std::{sync::Arc, time::Instant};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};
use runtime::ChildGuard;
use storage::Database;

use crate::{
    lease::{Holding, LeaseTimes, LeaseView},
    store::leases,
};

/// The replica's claim on the lease.
pub struct LeaseKeeper {
    guard: ChildGuard,
    database: Database,
    me: String,
    times: LeaseTimes,
    holding: Arc<Holding>,
}

impl LeaseKeeper {
    /// A keeper for the replica `me` that says over `holding` until when it has the lease.
    pub fn new(
        guard: ChildGuard,
        database: Database,
        me: &str,
        times: LeaseTimes,
        holding: Arc<Holding>,
    ) -> Self {
        Self {
            guard,
            database,
            me: me.into(),
            times,
            holding,
        }
    }
}

impl Actor for LeaseKeeper {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let reporter = self.guard.reporter();
        let (database, times, holding) = (self.database.clone(), self.times, self.holding.clone());
        let mut lease_view = LeaseView::new(&self.me, times.patience);
        let me = self.me.clone();
        let keeping = async move {
            let mut ticks = tokio::time::interval(times.renewal);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                // Counted from before the renewal: others count from after they saw it.
                let begun = Instant::now();
                match keep(&database, &mut lease_view, &me).await {
                    Ok(true) => {
                        let until = begun + times.patience.mul_f64(0.8);
                        holding.send_replace(Some(until));
                        reporter.ready();
                    }
                    Ok(false) => {
                        holding.send_replace(None);
                        reporter.ready();
                    }
                    Err(error) => error.report(&reporter, "cannot keep the lease"),
                }
            }
        };
        // The loop has no end; if it had, a new keeper would be made.
        context.spawn(
            keeping
                .into_actor(self)
                .map(|(), _, context| context.stop()),
        );
    }
}

async fn keep(
    database: &Database,
    lease_view: &mut LeaseView,
    me: &str,
) -> Result<bool, storage::Error> {
    let lease = database.read(leases::read).await?;
    if !lease_view.should_take(&lease, Instant::now()) {
        return Ok(false);
    }
    let me = me.to_owned();
    database
        .write(move |conn| leases::replace(conn, &lease, &me))
        .await
}
