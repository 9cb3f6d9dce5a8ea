//! Whether a client is there: when it last said something, when it was asked, and how many questions stay without an answer.
//!
//! The session takes note of what the client says, with each message, so that times are plain numbers: nanoseconds since the
//! connection's start. The connection's actor asks.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

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
    pub(super) fn heard(&self, now: u64) {
        self.heard.store(now, Ordering::Relaxed);
    }

    /// The client answered; returns how long that took, if it was asked.
    pub(super) fn answered(&self, now: u64) -> Option<u64> {
        self.unanswered.store(0, Ordering::Relaxed);
        let asked = self.asked.load(Ordering::Relaxed);
        (asked > 0).then(|| now.saturating_sub(asked))
    }

    /// What is due for a client that is asked every `interval`, and may leave `max` questions without an answer. The first
    /// question is asked in any case, to learn how far away the client is.
    pub(super) fn due(&self, now: u64, interval: u64, max: u32) -> Due {
        let heard = self.heard.load(Ordering::Relaxed);
        if self.asked.load(Ordering::Relaxed) > 0 && now < heard.saturating_add(interval) {
            return Due::Nothing;
        }
        if self.unanswered.load(Ordering::Relaxed) >= max {
            return Due::Close;
        }
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        self.asked.store(now.max(1), Ordering::Relaxed);
        Due::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: u64 = 10;

    #[test]
    fn a_client_that_leaves_too_many_questions_unanswered_is_closed() {
        let pings = Pings::default();
        assert_eq!(pings.answered(1), None, "it was not asked");
        pings.heard(1);
        let due = |now| pings.due(now, INTERVAL, 2);
        assert_eq!(due(2), Due::Ask, "the first question in any case");
        assert_eq!(pings.answered(3), Some(1));
        assert_eq!(due(10), Due::Nothing, "it was heard nine seconds ago");
        assert_eq!(
            (due(11), due(21), due(31)),
            (Due::Ask, Due::Ask, Due::Close)
        );
        assert_eq!(pings.answered(32), Some(11));
        assert_eq!(due(41), Due::Ask);
        pings.heard(50);
        assert_eq!(due(51), Due::Nothing);
    }
}
