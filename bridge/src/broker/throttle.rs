//! Warnings that may be due again and again, and stand in the log once a minute at most.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(60);

/// How often the log is to have a warning.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// How often there was something to warn of, and when the log last had a line of it.
    state: Mutex<(u64, Option<Instant>)>,
}

impl Throttle {
    /// Takes note of something to warn of. Returns how often that has been, if the log is to have a line.
    pub(super) fn is_due(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (times, warned) = &mut *state;
        *times += 1;
        if warned.is_some_and(|warned| now < warned + INTERVAL) {
            return None;
        }
        *warned = Some(now);
        Some(*times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_the_first_and_then_one_a_minute() {
        let throttle = Throttle::default();
        let now = Instant::now();
        assert_eq!(throttle.is_due(now), Some(1));
        assert_eq!(throttle.is_due(now + INTERVAL / 2), None);
        assert_eq!(throttle.is_due(now + INTERVAL), Some(3));
        assert_eq!(throttle.is_due(now + INTERVAL), None);
    }
}
