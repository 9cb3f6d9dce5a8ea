//! What an actor of the bus reports of itself: troubles that several tasks notice, put together into
//! one state of health, and counters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime::{Dependency, Reporter, telemetry::counted};

/// The counter of events that became dead letters.
const DEAD_LETTERS: &str = "dead letters";

/// What keeps an actor of the bus from its work, put together from what its tasks notice.
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
    unavailable: Option<String>,
    /// Why the work does not go on though the broker can be reached.
    stuck: Option<String>,
    /// Why the handler wants to try again later, which the part that noticed it has written to the log.
    retrying: Option<String>,
    /// Events that the broker deleted too early, and whose effects are not repaired yet.
    missing: u64,
}

impl Troubles {
    fn are_none(&self) -> bool {
        self.reason().is_none() && self.missing == 0
    }

    /// What is worth a line in the log.
    fn news(&self) -> Option<&String> {
        self.unavailable.as_ref().or(self.stuck.as_ref())
    }

    /// Why nothing goes on.
    fn reason(&self) -> Option<&String> {
        self.news().or(self.retrying.as_ref())
    }
}

/// Effects of missing events are being repaired until this is dropped.
pub(super) struct Repair {
    condition: Arc<Condition>,
    missing: u64,
}

impl Drop for Repair {
    fn drop(&mut self) {
        self.condition
            .change(|troubles| troubles.missing -= self.missing);
    }
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

    /// As [`Self::new`], for a consumer: its dead letters are shown before there is one, for alerts see only how a count grows.
    pub(super) fn of_consumer(name: &str, reporter: Reporter) -> Self {
        reporter.count(DEAD_LETTERS, 0);
        Self::new(name, reporter)
    }

    /// Events were settled.
    pub(super) fn settled(&self, count: usize) {
        self.reporter.handled(count as u64);
    }

    /// The broker has `count` more events.
    pub(super) fn published(&self, count: usize) {
        self.reporter.count("events published", count as u64);
    }

    /// An event became a dead letter.
    pub(super) fn dead_letter(&self) {
        self.reporter.count(DEAD_LETTERS, 1);
    }

    /// `missing` events never arrived; the actor is degraded until the value is dropped.
    pub(super) fn repairing(self: &Arc<Self>, missing: u64) -> Repair {
        self.change(|troubles| troubles.missing += missing);
        Repair {
            condition: self.clone(),
            missing,
        }
    }

    /// The broker may be unavailable.
    pub(super) fn suspect_broker(&self) {
        self.change(|troubles| troubles.suspected = true);
    }

    /// Whether it is worth while to look for the broker.
    pub(super) fn is_broker_suspected(&self) -> bool {
        let troubles = self.troubles();
        troubles.suspected || troubles.unavailable.is_some()
    }

    /// The broker cannot be reached.
    pub(super) fn broker_unavailable(&self, reason: impl Into<String>) {
        self.change(|troubles| troubles.unavailable = Some(reason.into()));
    }

    /// The broker answered.
    pub(super) fn broker_available(&self) {
        self.change(|troubles| {
            troubles.suspected = false;
            if troubles.unavailable.take().is_some() {
                // Whether it still is will show.
                troubles.stuck = None;
            }
        });
    }

    /// The work does not go on.
    pub(super) fn stuck(&self, reason: impl Into<String>) {
        self.change(|troubles| troubles.stuck = Some(reason.into()));
    }

    /// The handler wants to try again later.
    pub(super) fn retrying(&self, reason: impl Into<String>) {
        self.change(|troubles| troubles.retrying = Some(reason.into()));
    }

    /// The work goes on.
    pub(super) fn going_on(&self) {
        self.change(|troubles| {
            troubles.stuck = None;
            troubles.retrying = None;
        });
    }

    /// Why nothing goes on, if so.
    pub(super) fn trouble(&self) -> Option<String> {
        self.troubles().reason().cloned()
    }

    fn change(&self, change: impl FnOnce(&mut Troubles)) {
        let mut troubles = self.troubles();
        let was_well = troubles.are_none();
        change(&mut troubles);
        if was_well && troubles.are_none() {
            return;
        }
        match troubles.news() {
            Some(reason) => self.work.unavailable(reason),
            None => self.work.available(),
        }
        if let Some(reason) = troubles.reason() {
            self.reporter.hindered(reason);
            return;
        }
        match troubles.missing {
            0 => self.reporter.ready(),
            missing => self.reporter.hindered(format_args!(
                "the broker deleted {} that had not been consumed",
                counted(missing, "event")
            )),
        }
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_handler_waits_for_is_shown_and_is_no_news_for_the_log() {
        let mut troubles = Troubles {
            retrying: Some("the database is unavailable".into()),
            ..Troubles::default()
        };
        assert_eq!(troubles.reason(), troubles.retrying.as_ref());
        assert_eq!(troubles.news(), None);
        assert!(!troubles.are_none());
        troubles.stuck = Some("the topic cannot be made".into());
        assert_eq!(troubles.news(), troubles.stuck.as_ref());
        assert_eq!(troubles.reason(), troubles.stuck.as_ref());
    }
}
