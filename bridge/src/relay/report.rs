//! What a route tells of itself: how much it carries, how far behind it is, and whether it is stuck.
//!
//! The engines hold a [`RouteReport`] and say what happens; [`RelayReport`] shows the reports of all routes to operators.

mod recent;
mod section;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use recent::Recent;
pub use section::RelayReport;

use super::mapping::Direction;
use recent::Window;

/// What one route reports. Clones report to the same place.
#[derive(Debug, Clone)]
pub struct RouteReport(Arc<Report>);

#[derive(Debug)]
struct Report {
    name: String,
    direction: Direction,
    counters: Counters,
    lag: Mutex<Option<u64>>,
    window: Mutex<Window>,
    state: Mutex<State>,
}

/// What a route does.
#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Moving,
    Standby,
    /// Why it does not go on, and since when.
    Stuck(String, Instant),
}

#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    received_bytes: AtomicU64,
    delivered: AtomicU64,
    /// The latencies of all delivered messages together, in microseconds.
    latency_micros: AtomicU64,
    skipped: AtomicU64,
    retried: AtomicU64,
    dead_letters: AtomicU64,
}

/// A route as it is at this moment. All counts are since the process started.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteStatus {
    /// Its name.
    pub name: String,
    /// Which way it goes.
    pub direction: Direction,
    /// Messages read; those that were read again are counted again.
    pub received: u64,
    /// Bytes of them.
    pub received_bytes: u64,
    /// Messages that the other side has durably.
    pub delivered: u64,
    /// How long they were on their way, all together.
    pub latency_total: Duration,
    /// Messages that had been in one of the clusters before.
    pub skipped: u64,
    /// Attempts that failed and were made again.
    pub retried: u64,
    /// Messages that went to the dead letters.
    pub dead_letters: u64,
    /// Messages that wait at the side that is read, as far as that is known.
    pub lag: Option<u64>,
    /// What was delivered lately.
    pub recent: Recent,
    /// Whether other instances have all that there is to read.
    pub is_standby: bool,
    /// Why it is stuck, and for how long.
    pub stuck: Option<(String, Duration)>,
}

impl RouteReport {
    /// A report of a route that has done nothing yet.
    pub fn new(name: &str, direction: Direction) -> Self {
        Self(Arc::new(Report {
            name: name.to_owned(),
            direction,
            counters: Counters::default(),
            lag: Mutex::default(),
            window: Mutex::new(Window::new(Instant::now())),
            state: Mutex::default(),
        }))
    }

    /// The route's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Messages were read; `bytes` are those of all of them together.
    pub fn received(&self, messages: u64, bytes: u64) {
        let counters = &self.0.counters;
        counters.received.fetch_add(messages, Ordering::Relaxed);
        counters.received_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The other side has messages durably, each of which was on its way for `latency`, from being read.
    pub fn delivered(&self, messages: u64, latency: Duration) {
        let counters = &self.0.counters;
        counters.delivered.fetch_add(messages, Ordering::Relaxed);
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let total = micros.saturating_mul(messages);
        counters.latency_micros.fetch_add(total, Ordering::Relaxed);
        lock(&self.0.window).record(Instant::now(), messages, latency);
    }

    /// Messages had been in one of the clusters before and go no further.
    pub fn skipped(&self, messages: u64) {
        let skipped = &self.0.counters.skipped;
        skipped.fetch_add(messages, Ordering::Relaxed);
    }

    /// An attempt failed and is made again.
    pub fn retried(&self) {
        self.0.counters.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages went to the dead letters.
    pub fn dead_letters(&self, messages: u64) {
        let dead_letters = &self.0.counters.dead_letters;
        dead_letters.fetch_add(messages, Ordering::Relaxed);
    }

    /// So many messages wait at the side that is read; none if that is not known.
    pub fn lag(&self, messages: Option<u64>) {
        *lock(&self.0.lag) = messages;
    }

    /// The route has not gone on since then, for this reason. It stays so until [`moving`](Self::moving).
    pub fn stuck(&self, reason: impl Into<String>, since: Instant) {
        *lock(&self.0.state) = State::Stuck(reason.into(), since);
    }

    /// The route goes on.
    pub fn moving(&self) {
        *lock(&self.0.state) = State::Moving;
    }

    /// Other instances have all that there is to read, and this one waits to take over.
    pub fn standby(&self) {
        *lock(&self.0.state) = State::Standby;
    }

    /// The route as it is now.
    pub fn status(&self) -> RouteStatus {
        let Report {
            name,
            direction,
            counters,
            lag,
            window,
            state,
        } = &*self.0;
        let state = lock(state).clone();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RouteStatus {
            name: name.clone(),
            direction: *direction,
            received: count(&counters.received),
            received_bytes: count(&counters.received_bytes),
            delivered: count(&counters.delivered),
            latency_total: Duration::from_micros(count(&counters.latency_micros)),
            skipped: count(&counters.skipped),
            retried: count(&counters.retried),
            dead_letters: count(&counters.dead_letters),
            lag: *lock(lag),
            recent: lock(window).recent(Instant::now()),
            is_standby: matches!(state, State::Standby),
            stuck: match state {
                State::Stuck(reason, since) => Some((reason, since.elapsed())),
                State::Moving | State::Standby => None,
            },
        }
    }
}

/// Locks what no panic can leave half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_stuck_until_it_moves() {
        let report = RouteReport::new("films", Direction::KafkaToNats);
        report.received(3, 30);
        report.delivered(2, Duration::from_millis(5));
        report.stuck("no stream has the subject", Instant::now());
        report.clone().lag(Some(7));
        let status = report.status();
        assert_eq!((status.received, status.delivered), (3, 2));
        assert_eq!(status.lag, Some(7));
        assert_eq!(status.latency_total, Duration::from_millis(10));
        assert_eq!(status.stuck.unwrap().0, "no stream has the subject");
        report.moving();
        assert_eq!(report.status().stuck, None);
        report.standby();
        assert!(report.status().is_standby);
    }
}
