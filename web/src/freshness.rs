//! Up to which change something was read: the numbers by which the page cache knows whether what it
//! keeps still holds.
//!
//! A number is taken before reading. A write of this process raises it before the visitor is
//! answered, and the gateways raise it when a service tells of a change, so that nothing that was
//! read before is shown after.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use proto::UserId;

/// How many users' changes are remembered one by one.
const USERS_LIMIT: usize = 100_000;

/// The numbers of the last changes.
#[derive(Debug, Default)]
pub(crate) struct Freshness {
    last: AtomicU64,
    films: AtomicU64,
    users: RwLock<Users>,
}

#[derive(Debug, Default)]
struct Users {
    /// The last change of all users who are not listed.
    others: u64,
    changed: HashMap<UserId, u64>,
}

impl Freshness {
    /// Films have changed, or may have.
    pub(crate) fn films_changed(&self) {
        self.films.fetch_max(self.next(), Ordering::AcqRel);
    }

    /// What is recommended to a user has changed, or may have.
    pub(crate) fn user_changed(&self, user: UserId) {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: the number of a user never goes back.
        let change = self.next();
        if users.changed.len() >= USERS_LIMIT && !users.changed.contains_key(&user) {
            users.changed.clear();
            users.others = change;
        }
        users.changed.insert(user, change);
    }

    /// What is recommended to any user may have changed.
    pub(crate) fn all_users_changed(&self) {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        users.changed.clear();
        users.others = self.next();
    }

    /// The last change of films.
    pub(crate) fn films(&self) -> u64 {
        self.films.load(Ordering::Acquire)
    }

    /// The last change of what is recommended to a user.
    pub(crate) fn user(&self, user: UserId) -> u64 {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        users.changed.get(&user).copied().unwrap_or(users.others)
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::AcqRel) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_one_user_is_no_change_of_another() {
        let freshness = Freshness::default();
        let before = [1, 2].map(|user| freshness.user(UserId(user)));
        freshness.user_changed(UserId(1));
        assert_ne!(freshness.user(UserId(1)), before[0]);
        assert_eq!(freshness.user(UserId(2)), before[1]);
        freshness.all_users_changed();
        assert_ne!(freshness.user(UserId(2)), before[1]);
    }

    #[test]
    fn no_number_comes_back_when_many_users_have_changed() {
        let freshness = Freshness::default();
        freshness.user_changed(UserId(0));
        let before = freshness.user(UserId(0));
        for user in 1..=USERS_LIMIT as i32 {
            freshness.user_changed(UserId(user));
        }
        assert!(freshness.user(UserId(0)) > before);
        let users = freshness.users.read().unwrap();
        assert!(users.changed.len() <= USERS_LIMIT);
    }
}
