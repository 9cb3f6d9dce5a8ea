//! Subscriptions of one client: made, limited, ended.
//!
//! A subscription that has had as many messages as it takes leaves the router by itself; the client's own list is swept now and then.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::permissions::GuardSlot;
use super::router::Subscription;
use super::session::Session;
use super::{permissions, subjects};

/// How many bytes of memory the subscriptions of one client may take.
const MAX_SUBSCRIPTION_BYTES: usize = 32 << 20;
/// A list of fewer subscriptions is not swept.
pub(super) const MIN_SWEEP: usize = 1024;

impl Session {
    /// Subscribes, or says why not.
    pub(super) fn subscribe(&mut self, subject: &str, queue: Option<&str>, sid: &str) {
        const OF_SERVERS: &str = "_sys_";
        let is_allowed = self
            .permissions()
            .is_none_or(|permissions| permissions.may_subscribe(subject, queue));
        if !is_allowed || queue == Some(OF_SERVERS) {
            return self.violated(&permissions::subscription_violation(subject, queue));
        }
        if subjects::token_count(subject) > subjects::MAX_TOKENS {
            return self.violated(&format!(
                "Permissions Violation for Subscription to \"{subject}\", too many tokens"
            ));
        }
        let mut subscriptions = self.client.subscriptions();
        if subscriptions.len() >= self.sweep_at {
            subscriptions.retain(|_, subscription| !subscription.is_spent());
            self.sweep_at = MIN_SWEEP.max(subscriptions.len() * 2);
            self.subscription_bytes = subscriptions.values().map(|other| other.memory()).sum();
        }
        let guard = self
            .permissions()
            .and_then(|permissions| permissions.guard(subject, queue));
        let subscription = Arc::new(Subscription {
            guard: GuardSlot::new(guard),
            ..Subscription::new(
                subject.into(),
                queue.map(Into::into),
                sid.into(),
                Arc::clone(&self.outbound),
            )
        });
        let memory = subscription.memory();
        if subscriptions.len() >= self.shared.config.max_subscriptions
            || self.subscription_bytes + memory > MAX_SUBSCRIPTION_BYTES
        {
            drop(subscriptions);
            return self.has_too_many_subscriptions();
        }
        let is_taken = subscriptions
            .get(sid)
            .is_some_and(|other| !other.is_spent());
        if !is_taken {
            if !subjects::is_valid_pattern(&subscription.subject) {
                return self.tell("Invalid Subject");
            }
            self.router.subscribe(Arc::clone(&subscription));
            self.subscription_bytes += memory;
            if let Some(spent) = subscriptions.insert(sid.into(), subscription) {
                self.subscription_bytes -= spent.memory().min(self.subscription_bytes);
            }
        }
        self.ok();
    }

    fn has_too_many_subscriptions(&self) {
        const MESSAGE: &str = "maximum subscriptions exceeded";
        self.tell(MESSAGE);
        if self.violations.is_due(Instant::now()).is_some() {
            self.shared.admission.warn_of_failure(&self.client, MESSAGE);
        }
    }

    /// Ends a subscription, now or when it has had so many messages.
    pub(super) fn unsubscribe(&mut self, sid: &str, after: Option<u64>) {
        let mut subscriptions = self.client.subscriptions();
        let Some(subscription) = subscriptions.get(sid) else {
            return;
        };
        if let Some(after) = after {
            subscription.limit.store(after, Ordering::Relaxed);
            if subscription.delivered.load(Ordering::Relaxed) < after {
                return;
            }
        }
        self.router.unsubscribe(subscription);
        self.subscription_bytes -= subscription.memory().min(self.subscription_bytes);
        subscriptions.remove(sid);
    }

    pub(super) fn unsubscribe_all(&mut self) {
        for (_, subscription) in self.client.subscriptions().drain() {
            self.router.unsubscribe(&subscription);
        }
        self.subscription_bytes = 0;
    }

    /// Looks again at what the client is subscribed to, after its permissions changed, and ends what it may no longer have.
    pub(super) fn check_subscriptions(&mut self) {
        let permissions = self.permissions().cloned();
        let mut ended = Vec::new();
        self.client.subscriptions().retain(|_, subscription| {
            let (subject, queue) = (&subscription.subject, subscription.queue.as_deref());
            let Some(permissions) = &permissions else {
                subscription.guard.set(None);
                return true;
            };
            let is_allowed = permissions.may_subscribe(subject, queue);
            if is_allowed {
                subscription.guard.set(permissions.guard(subject, queue));
            } else {
                ended.push(Arc::clone(subscription));
            }
            is_allowed
        });
        for subscription in ended {
            self.router.unsubscribe(&subscription);
            self.subscription_bytes -= subscription.memory().min(self.subscription_bytes);
            let queue = subscription.queue.as_deref();
            let violation = permissions::subscription_violation(&subscription.subject, queue);
            self.violated(&format!("{violation} (sid {:?})", subscription.sid));
        }
    }
}
