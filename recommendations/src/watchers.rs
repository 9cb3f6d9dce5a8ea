//! The clients that watch.
//!
//! All clients of one user share a [`Shared`] state, so that a change costs one read of the database
//! for each user, however many watch.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proto::UserId;
use tokio::sync::{broadcast, watch};

use crate::store::recommendations::Fingerprint;

/// How many changes a client that watches all users may be behind.
const ALL_BEHIND: usize = 1_024;

/// The clients of this replica that watch a user's recommendations.
#[derive(Debug, Clone)]
pub struct Watchers {
    limit: usize,
    users: Arc<Mutex<HashMap<UserId, Watched>>>,
    /// To the clients that watch all users.
    all: broadcast::Sender<Arc<[UserId]>>,
}

/// A user who is watched.
#[derive(Debug)]
struct Watched {
    clients: usize,
    shared: Arc<Shared>,
}

/// What the clients of one user have in common.
#[derive(Debug)]
struct Shared {
    /// Counts the changes.
    changes: watch::Sender<u64>,
    /// What was last read, and after how many changes.
    known: Mutex<Option<(u64, Fingerprint)>>,
    /// Held by the client that reads for all.
    reading: tokio::sync::Mutex<()>,
}

/// As many clients watch as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many clients watch already; ask again later or look now and then")]
pub struct TooManyWatchers;

/// One client's watch; ends when dropped.
#[derive(Debug)]
pub struct Watch {
    user: UserId,
    watchers: Watchers,
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
}

impl Watchers {
    /// Room for `limit` clients.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            users: Arc::default(),
            all: broadcast::Sender::new(ALL_BEHIND),
        }
    }

    /// Begins to watch the recommendations of `user`.
    ///
    /// # Errors
    ///
    /// If too many watch already.
    pub fn watch(&self, user: UserId) -> Result<Watch, TooManyWatchers> {
        let mut users = self.lock();
        let taken: usize = users.values().map(|watched| watched.clients).sum();
        if taken >= self.limit {
            return Err(TooManyWatchers);
        }
        let watched = users.entry(user).or_insert_with(|| Watched {
            clients: 0,
            shared: Arc::new(Shared {
                changes: watch::Sender::new(0),
                known: Mutex::default(),
                reading: tokio::sync::Mutex::default(),
            }),
        });
        watched.clients += 1;
        Ok(Watch {
            user,
            watchers: self.clone(),
            shared: watched.shared.clone(),
            changes: watched.shared.changes.subscribe(),
        })
    }

    /// Wakes the clients that watch one of `users`.
    pub fn changed(&self, users: &[UserId]) {
        if !users.is_empty() && self.all.receiver_count() > 0 {
            // Fails if the last one has just left.
            let _ = self.all.send(users.into());
        }
        let watched = self.lock();
        if watched.is_empty() {
            return;
        }
        for watched in users.iter().filter_map(|user| watched.get(user)) {
            watched.shared.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// Begins to watch all users: each message holds those whose recommendations changed.
    pub fn watch_users(&self) -> broadcast::Receiver<Arc<[UserId]>> {
        self.all.subscribe()
    }

    /// The users who are watched.
    pub fn users(&self) -> BTreeSet<UserId> {
        self.lock().keys().copied().collect()
    }

    /// Wakes the clients that watch `user` unless they know this already.
    pub fn found(&self, user: UserId, fingerprint: Fingerprint) {
        let users = self.lock();
        let Some(shared) = users.get(&user).map(|watched| &watched.shared) else {
            return;
        };
        if lock(&shared.known).is_none_or(|(_, known)| known != fingerprint) {
            shared.changes.send_modify(|changes| *changes += 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Watched>> {
        lock(&self.users)
    }
}

impl Watch {
    /// The user whose recommendations are watched.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Waits until the recommendations may have changed.
    pub async fn changed(&mut self) {
        // The sender is kept beside the receiver.
        let _ = self.changes.changed().await;
    }

    /// What the recommendations are like after the last change. One of the user's clients calls
    /// `read`, the others take what it read.
    ///
    /// # Errors
    ///
    /// That of `read`.
    pub async fn fingerprint<E>(
        &mut self,
        read: impl Future<Output = Result<Fingerprint, E>>,
    ) -> Result<Fingerprint, E> {
        let changes = *self.changes.borrow_and_update();
        let _reading = self.shared.reading.lock().await;
        if let Some((after, known)) = *lock(&self.shared.known)
            && after >= changes
        {
            return Ok(known);
        }
        // A change that comes while it reads is counted, and read after it.
        let changes = *self.changes.borrow_and_update();
        let fingerprint = read.await?;
        *lock(&self.shared.known) = Some((changes, fingerprint));
        Ok(fingerprint)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Entry::Occupied(mut watched) = self.watchers.lock().entry(self.user) {
            watched.get_mut().clients -= 1;
            if watched.get().clients == 0 {
                watched.remove();
            }
        }
    }
}

/// Locks what no panic can leave half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible};

    use futures::FutureExt;

    use super::*;

    const NEWER: Fingerprint = Fingerprint {
        total: 1,
        newest: Some(7),
        ids: 7,
    };

    fn is_woken(watch: &mut Watch) -> bool {
        watch.changed().now_or_never().is_some()
    }

    /// What the client is told when the database has `stored`.
    fn told(watch: &mut Watch, stored: Fingerprint) -> Fingerprint {
        let read = async { Ok::<_, Infallible>(stored) };
        watch.fingerprint(read).now_or_never().unwrap().unwrap()
    }

    #[test]
    fn a_change_wakes_the_clients_that_watch_the_user() {
        let watchers = Watchers::new(10);
        let mut ann = watchers.watch(UserId(1)).unwrap();
        let mut ben = watchers.watch(UserId(2)).unwrap();
        watchers.changed(&[UserId(1), UserId(3)]);
        assert!(is_woken(&mut ann));
        assert!(!is_woken(&mut ben));
    }

    #[test]
    fn what_a_look_finds_wakes_only_those_that_know_something_else() {
        let watchers = Watchers::new(10);
        let mut ann = watchers.watch(UserId(1)).unwrap();
        watchers.found(UserId(1), NEWER);
        assert!(is_woken(&mut ann), "what is about to be told may be older");
        assert_eq!(told(&mut ann, NEWER), NEWER);
        watchers.found(UserId(1), NEWER);
        assert!(!is_woken(&mut ann));
        watchers.found(UserId(1), Fingerprint::default());
        assert!(is_woken(&mut ann));
    }

    #[test]
    fn a_change_is_read_once_for_all_clients_of_a_user() {
        let watchers = Watchers::new(10);
        let mut clients: Vec<_> = (0..5).map(|_| watchers.watch(UserId(1)).unwrap()).collect();
        let reads = Cell::new(0);
        for change in 1..=3 {
            watchers.changed(&[UserId(1)]);
            let stored = Fingerprint {
                total: change,
                newest: None,
                ids: 0,
            };
            for client in &mut clients {
                assert!(is_woken(client));
                let read = async {
                    reads.set(reads.get() + 1);
                    Ok::<_, Infallible>(stored)
                };
                let told = client.fingerprint(read).now_or_never().unwrap();
                assert_eq!(told, Ok(stored));
            }
            assert_eq!(reads.get(), change);
        }
        let mut late = watchers.watch(UserId(1)).unwrap();
        assert_eq!(told(&mut late, Fingerprint::default()).total, 3);
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let watchers = Watchers::new(2);
        let first = watchers.watch(UserId(1)).unwrap();
        let second = watchers.watch(UserId(1)).unwrap();
        assert_eq!(watchers.watch(UserId(2)).unwrap_err(), TooManyWatchers);
        drop(first);
        assert_eq!(watchers.users(), BTreeSet::from([UserId(1)]));
        let third = watchers.watch(UserId(2)).unwrap();
        drop((second, third));
        assert!(watchers.users().is_empty());
    }
}
