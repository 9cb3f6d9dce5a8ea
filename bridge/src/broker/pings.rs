//! Whether a client is there: when it last said something, when it was asked, and how many questions stay without an answer.
//!
//! The session takes note of what the client says, and the connection's actor asks; times are counted from the connection's start.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What is known of whether one client is there.
#[derive(Debug, Default)]
pub(super) struct Pings {
    heard: AtomicU64,
    /// When it was last asked; zero before the first time.
    asked: AtomicU64,
    unanswered: AtomicU32,
}

/// What is to be done about a client when its time has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Due {
    /// It has said something lately.
    Nothing,
    Ask,
    /// It was asked too often without an answer.
    Close,
}

impl Pings {
    /// The client asked for something.
    pub(super) fn heard(&self, now: Duration) {
        self.heard.store(nanos(now), Ordering::Relaxed);
    }

    /// The client answered; returns how long that took, if it was asked.
    pub(super) fn answered(&self, now: Duration) -> Option<Duration> {
        self.unanswered.store(0, Ordering::Relaxed);
        let asked = self.asked.load(Ordering::Relaxed);
        (asked > 0).then(|| now.saturating_sub(Duration::from_nanos(asked)))
    }

    /// What is due for a client that is asked every `interval`, and may leave `max` questions without an answer. The first
    /// question is asked in any case, to learn how far away the client is.
    pub(super) fn due(&self, now: Duration, interval: Duration, max: u32) -> Due {
        let heard = Duration::from_nanos(self.heard.load(Ordering::Relaxed));
        if self.asked.load(Ordering::Relaxed) > 0 && now < heard + interval {
            return Due::Nothing;
        }
        if self.unanswered.load(Ordering::Relaxed) >= max {
            return Due::Close;
        }
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        self.asked.store(nanos(now).max(1), Ordering::Relaxed);
        Due::Ask
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_client_that_leaves_too_many_questions_unanswered_is_closed() {
        let pings = Pings::default();
        assert_eq!(pings.answered(at(1)), None, "it was not asked");
        pings.heard(at(1));
        let due = |seconds| pings.due(at(seconds), INTERVAL, 2);
        assert_eq!(due(2), Due::Ask, "the first question in any case");
        assert_eq!(pings.answered(at(3)), Some(at(1)));
        assert_eq!(due(10), Due::Nothing, "it was heard nine seconds ago");
        assert_eq!(
            (due(11), due(21), due(31)),
            (Due::Ask, Due::Ask, Due::Close)
        );
        assert_eq!(pings.answered(at(32)), Some(at(11)));
        assert_eq!(due(41), Due::Ask);
        pings.heard(at(50));
        assert_eq!(due(51), Due::Nothing);
    }
}
