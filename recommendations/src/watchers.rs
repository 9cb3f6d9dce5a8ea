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
    seats: Arc<Mutex<Seats>>,
}

#[derive(Debug, Default)]
struct Seats {
    taken: usize,
    /// The number of the next watch.
    next: u64,
    /// The watches of each user, by their numbers.
    users: HashMap<i32, HashMap<u64, Seat>>,
}

/// One client's: two pages of the same user may have been told different things.
#[derive(Debug, Default)]
struct Seat {
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
            seats: Arc::default(),
        }
    }

    /// Begins to watch the recommendations of `user`.
    ///
    /// # Errors
    ///
    /// If too many watch already.
    pub fn watch(&self, user: i32) -> Result<Watch, TooManyWatchers> {
        let mut seats = self.seats();
        if seats.taken >= self.limit {
            return Err(TooManyWatchers);
        }
        seats.taken += 1;
        let number = seats.next;
        seats.next += 1;
        let seat = Seat::default();
        let changed = seat.changed.clone();
        seats.users.entry(user).or_default().insert(number, seat);
        Ok(Watch {
            user,
            number,
            watchers: self.clone(),
            changed,
        })
    }

    /// Wakes those who watch one of `users`.
    pub fn changed(&self, users: &[i32]) {
        let seats = self.seats();
        if seats.users.is_empty() {
            return;
        }
        let watched = users.iter().filter_map(|user| seats.users.get(user));
        for seat in watched.flat_map(HashMap::values) {
            seat.changed.notify_one();
        }
    }

    /// The users who are watched.
    pub fn users(&self) -> BTreeSet<i32> {
        self.seats().users.keys().copied().collect()
    }

    /// Wakes those who watch `user` and were not told this last.
    pub fn found(&self, user: i32, fingerprint: Fingerprint) {
        let seats = self.seats();
        let watching = seats.users.get(&user).into_iter().flat_map(HashMap::values);
        for seat in watching.filter(|seat| seat.told != Some(fingerprint)) {
            seat.changed.notify_one();
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut seats = self.watchers.seats();
        let watching = seats.users.get_mut(&self.user);
        if let Some(seat) = watching.and_then(|seats| seats.get_mut(&self.number)) {
            seat.told = Some(fingerprint);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut seats = self.watchers.seats();
        seats.taken -= 1;
        if let Some(watching) = seats.users.get_mut(&self.user) {
            watching.remove(&self.number);
            if watching.is_empty() {
                seats.users.remove(&self.user);
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
