//! Who is told after a commit.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::{store::reconcile::Effects, watchers::Watchers};

/// Tells those who have to go on with what was just committed here. What other replicas commit is
/// found by looking now and then.
#[derive(Debug, Clone)]
pub struct Signals {
    /// There may be new events in the outbox.
    pub outbox: Arc<Notify>,
    /// There may be work in the backlog.
    pub backlog: Arc<Notify>,
    /// Clients that watch a user's recommendations.
    pub watchers: Watchers,
}

impl Signals {
    /// Signals that reach `watchers`.
    pub fn new(watchers: Watchers) -> Self {
        Self {
            outbox: Arc::default(),
            backlog: Arc::default(),
            watchers,
        }
    }

    /// Passes on what a transaction came to, after its commit.
    pub fn committed(&self, effects: &Effects) {
        if effects.events {
            self.outbox.notify_one();
        }
        if effects.backlog {
            self.backlog.notify_one();
        }
        self.watchers.changed(&effects.users);
    }
}
