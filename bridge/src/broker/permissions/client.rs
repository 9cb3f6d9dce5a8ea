//! What one client may do, and what is asked at the deliveries to its subscriptions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::UserPermissions;
use super::replies::Replies;
use crate::broker::subjects;

/// What one client may do: what its user may, and to answer the messages that it got.
#[derive(Debug)]
pub(in crate::broker) struct ClientPermissions {
    user: Arc<UserPermissions>,
    /// Whether a subscription of the client was wide enough to show a denied subject. As with nats-server, none of them shows a stream's
    /// message on such a subject any more then, wherever it is delivered to.
    had_wide: AtomicBool,
    replies: Mutex<Replies>,
}

impl ClientPermissions {
    pub(in crate::broker) fn new(user: Arc<UserPermissions>) -> Arc<Self> {
        Arc::new(ClientPermissions {
            user,
            had_wide: AtomicBool::new(false),
            replies: Mutex::default(),
        })
    }

    /// Whether the client may publish on this subject. An answer that is allowed counts as sent.
    pub(in crate::broker) fn may_publish(&self, subject: &str) -> bool {
        self.user.may_publish(subject)
            || self
                .user
                .responses
                .is_some_and(|allowed| self.lock().answer(subject, allowed, Instant::now()))
    }

    pub(in crate::broker) fn may_publish_on_all(&self, pattern: &str) -> bool {
        self.user.may_publish_on_all(pattern)
    }

    pub(in crate::broker) fn may_subscribe(&self, subject: &str, queue: Option<&str>) -> bool {
        self.user.may_subscribe(subject, queue)
    }

    /// What a subscription of the client has to ask at each delivery; `None` for nothing.
    pub(in crate::broker) fn guard(
        self: &Arc<Self>,
        subject: &str,
        queue: Option<&str>,
    ) -> Option<DeliveryGuard> {
        let hides = self.user.could_show_denied(subject, queue);
        if hides && subjects::has_wildcard(subject) {
            self.had_wide.store(true, Ordering::Relaxed);
        }
        let is_needed = self.user.denies_subscriptions() || self.user.responses.is_some();
        is_needed.then(|| DeliveryGuard {
            client: Arc::clone(self),
            hides,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Replies> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at each message before a subscription gets it.
#[derive(Debug)]
pub(in crate::broker) struct DeliveryGuard {
    client: Arc<ClientPermissions>,
    hides: bool,
}

impl DeliveryGuard {
    /// Whether the subscription may not get a message that came for `subject` and that its client would see on the subject `seen`.
    fn hides(&self, subject: &str, seen: &str, queue: Option<&str>) -> bool {
        let user = &self.client.user;
        (self.hides && user.is_denied(subject, queue))
            || (seen != subject
                && self.client.had_wide.load(Ordering::Relaxed)
                && user.is_denied(seen, queue))
    }

    /// Takes note of a message that the subscription gets: its client may answer to `reply`.
    fn passed(&self, reply: Option<&str>) {
        let user = &self.client.user;
        if let (Some(allowed), Some(reply)) = (user.responses, reply)
            && !user.may_publish(reply)
        {
            self.client.lock().expect(reply, allowed, Instant::now());
        }
    }
}

/// The guard of a subscription, which changes with the settings. Without one, a delivery costs a look at a flag.
#[derive(Debug, Default)]
pub(in crate::broker) struct GuardSlot {
    is_set: AtomicBool,
    guard: Mutex<Option<Arc<DeliveryGuard>>>,
}

impl GuardSlot {
    pub(in crate::broker) fn new(guard: Option<DeliveryGuard>) -> Self {
        let slot = GuardSlot::default();
        slot.set(guard);
        slot
    }

    pub(in crate::broker) fn set(&self, guard: Option<DeliveryGuard>) {
        let mut kept = self.lock();
        self.is_set.store(guard.is_some(), Ordering::Relaxed);
        *kept = guard.map(Arc::new);
    }

    /// Whether the subscription may get a message that came for `subject` and that its client sees on the subject `seen`; if so, the
    /// client may answer to `reply`.
    pub(in crate::broker) fn lets_through(
        &self,
        subject: &str,
        seen: &str,
        queue: Option<&str>,
        reply: Option<&str>,
    ) -> bool {
        let Some(guard) = self.get() else {
            return true;
        };
        let is_hidden = guard.hides(subject, seen, queue);
        if !is_hidden {
            guard.passed(reply);
        }
        !is_hidden
    }

    /// Whether the subscription would not get such a message.
    pub(in crate::broker) fn hides(&self, subject: &str, seen: &str, queue: Option<&str>) -> bool {
        self.get()
            .is_some_and(|guard| guard.hides(subject, seen, queue))
    }

    fn get(&self) -> Option<Arc<DeliveryGuard>> {
        let is_set = self.is_set.load(Ordering::Relaxed);
        is_set.then(|| self.lock().clone()).flatten()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<DeliveryGuard>>> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
