//! How a supervisor starts an actor: on an arbiter, or on threads that may block.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, Arbiter, AsyncContext, Context, SyncArbiter,
    SyncContext, WrapFuture,
};
use tokio_util::sync::CancellationToken;

use super::{
    child_guard::ChildGuard,
    handle::Slot,
    registry::Entry,
    supervisor::{Keeper, Place},
    tree::ChildId,
};

/// How many messages an actor's own address takes before senders wait.
const MAILBOX_CAPACITY: usize = 1_024;

/// A supervised actor as its supervisor sees it: something that can be made, and made again.
pub(super) trait Child: Send {
    /// Makes a new incarnation and puts its address where the handles find it.
    fn start(&mut self, keeper: &Addr<Keeper>, id: ChildId);

    /// Asks the present incarnation to end; new calls fail at once.
    fn stop(&mut self);

    /// Which incarnation is the present one, counted from 1.
    fn incarnation(&self) -> u64;

    /// Whether the actor's own context makes a new one when it stops.
    fn restarts_itself(&self) -> bool;

    /// The actor's observable state.
    fn entry(&self) -> &Arc<Entry>;
}

/// An actor that runs on an arbiter.
pub(super) struct AsyncChild<A: Actor<Context = Context<A>>> {
    pub(super) slot: Arc<Slot<A>>,
    pub(super) factory: Arc<dyn Fn(ChildGuard) -> A + Send + Sync>,
    pub(super) place: Place,
    pub(super) arbiter: Option<Arbiter>,
    pub(super) stop: CancellationToken,
    pub(super) incarnation: u64,
}

impl<A: Actor<Context = Context<A>>> Child for AsyncChild<A> {
    fn start(&mut self, keeper: &Addr<Keeper>, id: ChildId) {
        self.incarnation += 1;
        self.stop = CancellationToken::new();
        self.slot.entry.begin();
        let stopped = self.stop.clone().cancelled_owned();
        let factory = self.factory.clone();
        let guard = ChildGuard::new(
            keeper.clone(),
            id,
            self.incarnation,
            self.slot.entry.clone(),
        );
        let entry = self.slot.entry.clone();
        let make = move |context: &mut Context<A>| {
            context.set_mailbox_capacity(MAILBOX_CAPACITY);
            let actor = factory(guard);
            #[cfg(debug_assertions)]
            context.spawn(entry.panic_injection.clone().wait().into_actor(&actor));
            // Is polled once `Actor::started` was called, which may have said what the actor waits for.
            context.spawn(async move { entry.has_begun() }.into_actor(&actor));
            let stop = stopped
                .into_actor(&actor)
                .map(|(), _, context: &mut Context<A>| context.stop());
            context.spawn(stop);
            actor
        };
        let made = match self.place {
            // A factory that panics leaves no actor; its guard has told the supervisor.
            Place::Here => catch_unwind(AssertUnwindSafe(|| A::create(make))).ok(),
            Place::OwnArbiter => {
                let arbiter = Arbiter::new();
                let addr = A::start_in_arbiter(&arbiter.handle(), make);
                if let Some(old) = self.arbiter.replace(arbiter) {
                    old.stop();
                }
                Some(addr)
            }
        };
        self.slot.set(made);
    }

    fn stop(&mut self) {
        self.slot.set(None);
        self.stop.cancel();
    }

    fn incarnation(&self) -> u64 {
        self.incarnation
    }

    fn restarts_itself(&self) -> bool {
        false
    }

    fn entry(&self) -> &Arc<Entry> {
        &self.slot.entry
    }
}

impl<A: Actor<Context = Context<A>>> Drop for AsyncChild<A> {
    fn drop(&mut self) {
        if let Some(arbiter) = self.arbiter.take() {
            arbiter.stop();
        }
    }
}

/// An actor that runs on threads of its own and may block them.
pub(super) struct SyncChild<A: Actor<Context = SyncContext<A>>> {
    pub(super) slot: Arc<Slot<A>>,
    pub(super) factory: Arc<dyn Fn(ChildGuard) -> A + Send + Sync>,
    pub(super) threads: usize,
    pub(super) incarnation: u64,
}

impl<A: Actor<Context = SyncContext<A>>> Child for SyncChild<A> {
    fn start(&mut self, keeper: &Addr<Keeper>, id: ChildId) {
        self.incarnation += 1;
        self.slot.entry.begin();
        let factory = self.factory.clone();
        let keeper = keeper.clone();
        let entry = self.slot.entry.clone();
        let incarnation = self.incarnation;
        let addr = SyncArbiter::start(self.threads, move || {
            let actor = factory(ChildGuard::new(
                keeper.clone(),
                id,
                incarnation,
                entry.clone(),
            ));
            entry.has_begun();
            actor
        });
        self.slot.set(Some(addr));
    }

    fn stop(&mut self) {
        // The threads end when the last address is gone and the queue is empty.
        self.slot.set(None);
    }

    fn incarnation(&self) -> u64 {
        self.incarnation
    }

    fn restarts_itself(&self) -> bool {
        true
    }

    fn entry(&self) -> &Arc<Entry> {
        &self.slot.entry
    }
}
