//! Accounts: what their clients say to each other is not heard by the clients of others.
//!
//! Streams and consumers belong to one account, the main one; nothing is imported or exported.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::router::Router;
use super::stats::Counters;

/// The subscriptions of each account.
#[derive(Debug)]
pub(super) struct Accounts {
    main: Arc<Router>,
    /// Made when the first client comes; there are as many as the settings name.
    others: Mutex<HashMap<Arc<str>, Arc<Router>>>,
    stats: Arc<Counters>,
}

impl Accounts {
    pub(super) fn new(main: Arc<Router>, stats: Arc<Counters>) -> Self {
        Accounts {
            main,
            others: Mutex::default(),
            stats,
        }
    }

    /// The subscriptions of an account; `None` is the main one.
    pub(super) fn router(&self, account: Option<&Arc<str>>) -> Arc<Router> {
        let Some(name) = account else {
            return Arc::clone(&self.main);
        };
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let router = others
            .entry(Arc::clone(name))
            .or_insert_with(|| Arc::new(Router::new(Arc::clone(&self.stats))));
        Arc::clone(router)
    }
}
