//! Takes and renews the lease on the work that only one replica may do.
//!
//! Each [`Wake`] is one renewal. It reads the lease and, if the lease is free or its own, writes it.
//! [`GiveUp`] ends that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture,
};
use runtime::{ChildGuard, Wake};
use storage::Database;

use crate::{
    lease::{Holding, LeaseTimes, LeaseView, Standing},
    store::{
        leases::{self, Lease},
        shards,
    },
};

/// The replica's claim on the lease.
pub struct LeaseKeeper {
    guard: ChildGuard,
    database: Database,
    me: String,
    times: LeaseTimes,
    view: LeaseView,
    holding: Arc<Holding>,
    has_given_up: bool,
}

/// Gives the lease up for good, and the shards that the replica has, so that others need not wait for them to run out.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct GiveUp;

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
            view: LeaseView::new(me, times.patience),
            holding,
            has_given_up: false,
        }
    }

    /// The lease was read, in a renewal that began at `begun`.
    fn decide(
        &mut self,
        begun: Instant,
        lease: Result<Lease, storage::Error>,
        context: &mut Context<Self>,
    ) {
        if self.has_given_up {
            return;
        }
        let lease = match lease {
            Ok(lease) if self.view.should_take(&lease, Instant::now()) => lease,
            Ok(_) => return self.conclude(begun, Ok(false), context),
            Err(error) => return self.conclude(begun, Err(error), context),
        };
        let unrenewed = self.view.unrenewed_for(&lease, Instant::now());
        let former = Some(lease.holder.clone()).filter(|holder| *holder != self.me);
        let (database, me) = (self.database.clone(), self.me.clone());
        let replace = async move {
            let replace = move |conn: &mut _| leases::replace(conn, &lease, &me);
            database.write(replace).await
        };
        let replaced = replace
            .into_actor(self)
            .map(move |replaced, keeper, context| {
                if let (Ok(true), Some(former)) = (&replaced, former) {
                    tell_taken(&former, unrenewed);
                }
                keeper.conclude(begun, replaced, context);
            });
        context.spawn(replaced);
    }

    /// The renewal that began at `begun` ended: with the lease, without it, or undecided.
    fn conclude(
        &mut self,
        begun: Instant,
        renewed: Result<bool, storage::Error>,
        context: &mut Context<Self>,
    ) {
        if self.has_given_up {
            return;
        }
        match renewed {
            Ok(is_held) => {
                // Counted from before the renewal: others count from after they saw it.
                let until = begun + self.times.patience.mul_f64(0.8);
                self.holding.send_replace(match is_held {
                    true => Standing::HoldsUntil(until),
                    false => Standing::Shares,
                });
                self.guard.ready();
            }
            Err(error) => error.report(&self.guard.reporter(), "cannot keep the lease"),
        }
        let delay = self.times.renewal.saturating_sub(begun.elapsed());
        context.notify_later(Wake, delay);
    }
}

/// Logs that this replica has the lease now, which the replica `former` had, unless it was free.
fn tell_taken(former: &str, unrenewed: Option<Duration>) {
    match unrenewed.map(|unrenewed| unrenewed.as_secs()) {
        Some(seconds) if !former.is_empty() => {
            tracing::info!(
                former,
                seconds,
                "took the lease of another matcher, which had not renewed it for {seconds} s"
            );
        }
        _ => tracing::info!("took the lease, which was free"),
    }
}

runtime::requested!(LeaseKeeper);

impl Actor for LeaseKeeper {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(Wake);
    }
}

impl Handler<Wake> for LeaseKeeper {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        self.guard.reporter().handled(1);
        if self.has_given_up {
            return;
        }
        let (begun, database) = (Instant::now(), self.database.clone());
        let read = async move { database.read(leases::read).await };
        let read = read
            .into_actor(self)
            .map(move |lease, keeper, context| keeper.decide(begun, lease, context));
        context.spawn(read);
    }
}

impl Handler<GiveUp> for LeaseKeeper {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: GiveUp, _: &mut Context<Self>) -> Self::Result {
        self.has_given_up = true;
        self.holding.send_replace(Standing::Leaves);
        // A renewal that is on its way is written before this.
        let (database, me) = (self.database.clone(), self.me.clone());
        Box::pin(async move {
            let release = move |conn: &mut _| {
                leases::release(conn, &me)?;
                shards::release(conn, &me)
            };
            if let Err(error) = database.write(release).await {
                tracing::debug!(%error, "the lease is not given up and will run out: {error}");
            }
        })
    }
}
