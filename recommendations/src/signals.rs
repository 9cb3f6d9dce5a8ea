//! Passes on what was committed to those that have to go on with it.

use std::sync::{Arc, OnceLock};

use bus::OutboxCourier;
use runtime::{Handle, Wake};

use crate::{actors::backlog_worker::BacklogWorker, store::reconcile::Effects, watchers::Watchers};

/// Tells those that have to go on with what was just committed here. What other replicas commit they
/// find by looking now and then.
#[derive(Debug, Clone)]
pub struct Signals {
    /// Clients that watch a user's recommendations.
    pub watchers: Watchers,
    courier: Arc<OnceLock<Handle<OutboxCourier>>>,
    backlog_worker: Arc<OnceLock<Handle<BacklogWorker>>>,
}

impl Signals {
    /// Signals that reach `watchers`.
    pub fn new(watchers: Watchers) -> Self {
        Self {
            watchers,
            courier: Arc::default(),
            backlog_worker: Arc::default(),
        }
    }

    /// Sends word of the backlog to `worker`, which needs the signals itself to work.
    pub fn wake(&self, worker: Handle<BacklogWorker>) {
        // There is one worker, whose handle outlives its restarts.
        let _ = self.backlog_worker.set(worker);
    }

    /// Sends word of new events to `courier`, which needs the engine's parts itself to work.
    pub fn deliver(&self, courier: Handle<OutboxCourier>) {
        // There is one courier, whose handle outlives its restarts.
        let _ = self.courier.set(courier);
    }

    /// Passes on what a transaction came to, after its commit.
    pub fn committed(&self, effects: &Effects) {
        if effects.events
            && let Some(courier) = self.courier.get()
        {
            // If it cannot be told it looks by itself.
            let _ = courier.tell(Wake);
        }
        if effects.backlog
            && let Some(worker) = self.backlog_worker.get()
        {
            // If it cannot be told it looks by itself.
            let _ = worker.tell(Wake);
        }
        self.watchers.changed(&effects.users);
    }
}
