//! Word of who starts and stops listening to a subject, for those who deliver to it.
//!
//! A watcher is told that something has changed, not what: it asks the router. It may be told when nothing has changed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;

use super::subjects;

/// The subjects that are watched.
#[derive(Debug, Default)]
pub(super) struct InterestWatches {
    by_subject: RwLock<HashMap<Box<str>, Vec<Arc<Notify>>>>,
}

/// A watch on a subject; it ends with the value.
#[derive(Debug)]
pub(super) struct InterestWatch {
    watches: Arc<InterestWatches>,
    subject: Box<str>,
    watcher: Arc<Notify>,
}

impl InterestWatches {
    /// Tells `watcher` from now on when a subscription that takes `subject` comes or goes.
    pub(super) fn watch(self: &Arc<Self>, subject: &str, watcher: Arc<Notify>) -> InterestWatch {
        let mut by_subject = self
            .by_subject
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let watchers = by_subject.entry(subject.into()).or_default();
        watchers.push(Arc::clone(&watcher));
        InterestWatch {
            watches: Arc::clone(self),
            subject: subject.into(),
            watcher,
        }
    }

    /// Takes note that a subscription to a subject or pattern came or went.
    pub(super) fn changed(&self, pattern: &str) {
        let by_subject = self
            .by_subject
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if by_subject.is_empty() {
            return;
        }
        let tell = |watchers: &Vec<Arc<Notify>>| {
            for watcher in watchers {
                watcher.notify_one();
            }
        };
        if subjects::has_wildcard(pattern) {
            let watched = by_subject.iter();
            watched
                .filter(|(subject, _)| subjects::matches(pattern, subject))
                .for_each(|(_, watchers)| tell(watchers));
        } else if let Some(watchers) = by_subject.get(pattern) {
            tell(watchers);
        }
    }
}

impl Drop for InterestWatch {
    fn drop(&mut self) {
        let mut by_subject = self
            .watches
            .by_subject
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(watchers) = by_subject.get_mut(&self.subject) else {
            return;
        };
        // One stream may watch a subject for several of its consumers.
        let own = watchers
            .iter()
            .position(|watcher| Arc::ptr_eq(watcher, &self.watcher));
        if let Some(own) = own {
            watchers.swap_remove(own);
        }
        if watchers.is_empty() {
            by_subject.remove(&self.subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_told(watcher: &Notify) -> bool {
        let told = pin!(watcher.notified());
        told.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn watchers_are_told_of_their_subject_until_the_watch_ends() {
        let (watches, watcher) = (Arc::<InterestWatches>::default(), Arc::<Notify>::default());
        let watch = watches.watch("a.b", Arc::clone(&watcher));
        for (pattern, told) in [("a.b", true), ("a.*", true), (">", true), ("a.c", false)] {
            watches.changed(pattern);
            assert_eq!(is_told(&watcher), told, "{pattern}");
        }
        let second = watches.watch("a.b", Arc::clone(&watcher));
        drop(watch);
        watches.changed("a.b");
        assert!(is_told(&watcher), "the second watch goes on");
        drop(second);
        watches.changed("a.b");
        assert!(!is_told(&watcher));
        assert!(watches.by_subject.read().unwrap().is_empty());
    }
}
