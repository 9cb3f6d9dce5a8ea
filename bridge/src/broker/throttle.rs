//! Warnings that may be due again and again, and stand in the log a few times a minute at most.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(60);

/// How often the log is to have a warning: once a minute by default.
#[derive(Debug)]
pub(super) struct Throttle {
    /// How many lines the log has of it in a minute.
    lines: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often there was something to warn of.
    times: u64,
    /// When the minute began, and how many lines the log has had since.
    minute: Option<(Instant, u32)>,
}

impl Default for Throttle {
    fn default() -> Self {
        Throttle::new(1)
    }
}

impl Throttle {
    /// One for so many lines a minute.
    pub(super) fn new(lines: u32) -> Self {
        Throttle {
            lines,
            state: Mutex::default(),
        }
    }

    /// Takes note of something to warn of. Returns how often that has been, if the log is to have a line.
    pub(super) fn is_due(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.times += 1;
        let minute = state.minute.filter(|(begun, _)| now < *begun + INTERVAL);
        let (begun, lines) = minute.unwrap_or((now, 0));
        if lines >= self.lines {
            return None;
        }
        state.minute = Some((begun, lines + 1));
        Some(state.times)
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

    #[test]
    fn the_log_has_as_many_a_minute_as_it_may() {
        let throttle = Throttle::new(2);
        let now = Instant::now();
        let due = |after| throttle.is_due(now + after);
        let times = [due(Duration::ZERO), due(INTERVAL / 2), due(INTERVAL / 2)];
        assert_eq!(times, [Some(1), Some(2), None]);
        assert_eq!(due(INTERVAL), Some(4));
    }
}
