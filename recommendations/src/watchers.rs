//! The clients that watch.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

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
    users: HashMap<i32, Seat>,
}

#[derive(Debug)]
struct Seat {
    watchers: usize,
    changes: watch::Sender<u64>,
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
    watchers: Watchers,
    changes: watch::Receiver<u64>,
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
        let seat = seats.users.entry(user).or_insert_with(|| Seat {
            watchers: 0,
            changes: watch::Sender::new(0),
            told: None,
        });
        seat.watchers += 1;
        Ok(Watch {
            user,
            watchers: self.clone(),
            changes: seat.changes.subscribe(),
        })
    }

    /// Wakes those who watch one of `users`.
    pub fn changed(&self, users: &[i32]) {
        let seats = self.seats();
        if seats.users.is_empty() {
            return;
        }
        for seat in users.iter().filter_map(|user| seats.users.get(user)) {
            seat.wake();
        }
    }

    /// The users who are watched.
    pub fn users(&self) -> Vec<i32> {
        self.seats().users.keys().copied().collect()
    }

    /// Wakes those who watch `user` if they were not told this last.
    pub fn found(&self, user: i32, fingerprint: Fingerprint) {
        let seats = self.seats();
        let seat = seats.users.get(&user);
        if let Some(seat) = seat.filter(|seat| seat.told != Some(fingerprint)) {
            seat.wake();
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn wake(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Watch {
    /// The user whose recommendations are watched.
    pub fn user(&self) -> i32 {
        self.user
    }

    /// Waits until the recommendations may have changed.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The sender lives as long as this watch has its seat.
            std::future::pending::<()>().await;
        }
    }

    /// Remembers what the client is told.
    pub fn told(&self, fingerprint: Fingerprint) {
        if let Some(seat) = self.watchers.seats().users.get_mut(&self.user) {
            seat.told = Some(fingerprint);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut seats = self.watchers.seats();
        seats.taken -= 1;
        if let Some(seat) = seats.users.get_mut(&self.user) {
            seat.watchers -= 1;
            if seat.watchers == 0 {
                seats.users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_woken(watch: &mut Watch) -> bool {
        let woken = watch.changes.has_changed().unwrap();
        watch.changes.mark_unchanged();
        woken
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
    fn seats_are_limited_and_given_back() {
        let watchers = Watchers::new(2);
        let first = watchers.watch(1).unwrap();
        let second = watchers.watch(1).unwrap();
        assert_eq!(watchers.watch(2).unwrap_err(), TooManyWatchers);
        drop(first);
        assert_eq!(watchers.users(), [1]);
        let third = watchers.watch(2).unwrap();
        drop((second, third));
        assert!(watchers.users().is_empty());
    }
}
