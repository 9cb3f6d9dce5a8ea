//! The clients that watch.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::store::recommendations::Fingerprint;

/// The clients of this replica that watch a user's recommendations.
#[derive(Debug, Clone)]
pub struct Watchers {
    limit: usize,
    subscribers: Arc<Mutex<Subscribers>>,
}

#[derive(Debug, Default)]
struct Subscribers {
    taken: usize,
    /// The number of the next watch.
    next: u64,
    /// The watches of each user, by their numbers.
    users: HashMap<i32, HashMap<u64, Subscriber>>,
}

/// One client's: two pages of the same user may have been told different things.
#[derive(Debug, Default)]
struct Subscriber {
    changed: Arc<Notify>,
    told: Option<Fingerprint>,
}

/// As many clients watch as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many clients watch already; ask again later or look now and then")]
pub struct TooManyWatchers;

/// One client's watch; ends when dropped.
#[derive(Debug)]
pub struct Watch {
    user: i32,
    number: u64,
    watchers: Watchers,
    changed: Arc<Notify>,
}

impl Watchers {
    /// Room for `limit` clients.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            subscribers: Arc::default(),
        }
    }

    /// Begins to watch the recommendations of `user`.
    ///
    /// # Errors
    ///
    /// If too many watch already.
    pub fn watch(&self, user: i32) -> Result<Watch, TooManyWatchers> {
        let mut subscribers = self.subscribers();
        if subscribers.taken >= self.limit {
            return Err(TooManyWatchers);
        }
        subscribers.taken += 1;
        let number = subscribers.next;
        subscribers.next += 1;
        let subscriber = Subscriber::default();
        let changed = subscriber.changed.clone();
        subscribers
            .users
            .entry(user)
            .or_default()
            .insert(number, subscriber);
        Ok(Watch {
            user,
            number,
            watchers: self.clone(),
            changed,
        })
    }

    /// Wakes those who watch one of `users`.
    pub fn changed(&self, users: &[i32]) {
        let subscribers = self.subscribers();
        if subscribers.users.is_empty() {
            return;
        }
        let watched = users.iter().filter_map(|user| subscribers.users.get(user));
        for subscriber in watched.flat_map(HashMap::values) {
            subscriber.changed.notify_one();
        }
    }

    /// The users who are watched.
    pub fn users(&self) -> BTreeSet<i32> {
        self.subscribers().users.keys().copied().collect()
    }

    /// Wakes those who watch `user` and were not told this last.
    pub fn found(&self, user: i32, fingerprint: Fingerprint) {
        let subscribers = self.subscribers();
        let watching = subscribers
            .users
            .get(&user)
            .into_iter()
            .flat_map(HashMap::values);
        for subscriber in watching.filter(|subscriber| subscriber.told != Some(fingerprint)) {
            subscriber.changed.notify_one();
        }
    }

    fn subscribers(&self) -> MutexGuard<'_, Subscribers> {
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// The user whose recommendations are watched.
    pub fn user(&self) -> i32 {
        self.user
    }

    /// Waits until the recommendations may have changed.
    pub async fn changed(&mut self) {
        self.changed.notified().await;
    }

    /// Remembers what the client is told.
    pub fn told(&self, fingerprint: Fingerprint) {
        let mut subscribers = self.watchers.subscribers();
        let watching = subscribers.users.get_mut(&self.user);
        if let Some(subscriber) = watching.and_then(|subscribers| subscribers.get_mut(&self.number))
        {
            subscriber.told = Some(fingerprint);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut subscribers = self.watchers.subscribers();
        subscribers.taken -= 1;
        if let Some(watching) = subscribers.users.get_mut(&self.user) {
            watching.remove(&self.number);
            if watching.is_empty() {
                subscribers.users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn is_woken(watch: &mut Watch) -> bool {
        watch.changed().now_or_never().is_some()
    }

    #[test]
    fn a_change_wakes_those_who_watch_the_user() {
        let watchers = Watchers::new(10);
        let mut ann = watchers.watch(1).unwrap();
        let mut ben = watchers.watch(2).unwrap();
        watchers.changed(&[1, 3]);
        assert!(is_woken(&mut ann));
        assert!(!is_woken(&mut ben));
    }

    #[test]
    fn what_a_look_finds_wakes_only_those_who_were_told_something_else() {
        let watchers = Watchers::new(10);
        let mut ann = watchers.watch(1).unwrap();
        let known = Fingerprint {
            total: 1,
            newest: Some(7),
        };
        watchers.found(1, known);
        assert!(is_woken(&mut ann), "what is about to be told may be older");
        ann.told(known);
        watchers.found(1, known);
        assert!(!is_woken(&mut ann));
        watchers.found(1, Fingerprint::default());
        assert!(is_woken(&mut ann));
    }

    #[test]
    fn what_one_client_was_told_is_still_news_to_another_of_the_same_user() {
        let watchers = Watchers::new(10);
        let mut first = watchers.watch(1).unwrap();
        first.told(Fingerprint::default());
        let newer = Fingerprint {
            total: 1,
            newest: Some(7),
        };
        let mut second = watchers.watch(1).unwrap();
        second.told(newer);
        watchers.found(1, newer);
        assert!(is_woken(&mut first));
        assert!(!is_woken(&mut second));
    }

    #[test]
    fn seats_are_limited_and_given_back() {
        let watchers = Watchers::new(2);
        let first = watchers.watch(1).unwrap();
        let second = watchers.watch(1).unwrap();
        assert_eq!(watchers.watch(2).unwrap_err(), TooManyWatchers);
        drop(first);
        assert_eq!(watchers.users(), BTreeSet::from([1]));
        let third = watchers.watch(2).unwrap();
        drop((second, third));
        assert!(watchers.users().is_empty());
    }
}
