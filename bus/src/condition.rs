use std::sync::{Mutex, MutexGuard, PoisonError};

use runtime::{Dependency, Reporter};

/// What keeps an actor of the bus from its work, put together from those who notice and reported
/// when it changes.
#[derive(Debug)]
pub(super) struct Condition {
    reporter: Reporter,
    work: Dependency,
    troubles: Mutex<Troubles>,
}

#[derive(Debug, Default)]
struct Troubles {
    /// Every connection was lost, which also happens to those that were idle for long.
    suspected: bool,
    /// Why the broker cannot be reached.
    away: Option<String>,
    /// Why the work does not go on though the broker is there.
    stuck: Option<String>,
}

impl Condition {
    /// Nothing keeps the actor `name` from its work yet.
    pub(super) fn new(name: &str, reporter: Reporter) -> Self {
        Self {
            reporter,
            work: Dependency::in_words(
                format!("the {name} is held up"),
                format!("the {name} goes on"),
            ),
            troubles: Mutex::default(),
        }
    }

    /// Events were settled.
    pub(super) fn settled(&self, count: usize) {
        self.reporter.handled(count as u64);
    }

    /// The broker may be away: look for it.
    pub(super) fn suspect_broker(&self) {
        self.change(|troubles| troubles.suspected = true);
    }

    /// Whether it is worth while to look for the broker.
    pub(super) fn is_broker_suspected(&self) -> bool {
        let troubles = self.troubles();
        troubles.suspected || troubles.away.is_some()
    }

    /// The broker cannot be reached.
    pub(super) fn broker_away(&self, reason: impl Into<String>) {
        self.change(|troubles| troubles.away = Some(reason.into()));
    }

    /// The broker answered.
    pub(super) fn broker_back(&self) {
        self.change(|troubles| {
            troubles.suspected = false;
            if troubles.away.take().is_some() {
                // Whether it still is will show.
                troubles.stuck = None;
            }
        });
    }

    /// The work does not go on.
    pub(super) fn stuck(&self, reason: impl Into<String>) {
        self.change(|troubles| troubles.stuck = Some(reason.into()));
    }

    /// The work goes on.
    pub(super) fn going_on(&self) {
        self.change(|troubles| troubles.stuck = None);
    }

    /// Why nothing goes on, if so.
    pub(super) fn trouble(&self) -> Option<String> {
        let troubles = self.troubles();
        troubles.away.as_ref().or(troubles.stuck.as_ref()).cloned()
    }

    fn change(&self, change: impl FnOnce(&mut Troubles)) {
        let mut troubles = self.troubles();
        let was_well = troubles.away.is_none() && troubles.stuck.is_none();
        change(&mut troubles);
        match (&troubles.away, &troubles.stuck) {
            (Some(reason), _) | (None, Some(reason)) => {
                self.work.is_gone(reason);
                self.reporter.hindered(reason);
            }
            (None, None) if was_well => {}
            (None, None) => {
                self.work.is_there();
                self.reporter.ready();
            }
        }
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
