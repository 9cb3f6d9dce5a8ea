//! What the log says of dead letters: the first of a cause at once, and then how many followed, once a
//! minute. A peer that sends nothing but broken events fills no log.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long further dead letters of a cause are only counted.
const QUIET: Duration = Duration::from_secs(60);
/// The most causes that are told apart. Texts of further ones share a line.
const MAX_CAUSES: usize = 20;
const MAX_CAUSE_CHARS: usize = 120;

/// Counts dead letters by their cause, and tells which of them are worth a line.
#[derive(Debug, Default)]
pub(super) struct DeadLetterLog {
    causes: HashMap<String, Cause>,
}

#[derive(Debug)]
struct Cause {
    logged_at: Instant,
    /// Dead letters since then.
    unlogged: u64,
    /// The reason of the last one.
    reason: String,
}

/// Dead letters of one cause that no line of the log has counted yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) count: u64,
    pub(super) reason: String,
}

impl DeadLetterLog {
    /// Counts a dead letter, and returns whether it is the first of its cause for a while.
    pub(super) fn is_news(&mut self, reason: &str, now: Instant) -> bool {
        let mut cause = cause(reason);
        if self.causes.len() >= MAX_CAUSES && !self.causes.contains_key(&cause) {
            cause.clear();
        }
        match self.causes.get_mut(&cause) {
            Some(known) => {
                known.unlogged += 1;
                reason.clone_into(&mut known.reason);
                false
            }
            None => {
                let first = Cause {
                    logged_at: now,
                    unlogged: 0,
                    reason: reason.to_owned(),
                };
                self.causes.insert(cause, first);
                true
            }
        }
    }

    /// Takes out the counts that are due.
    pub(super) fn take_repeated(&mut self, now: Instant) -> Vec<Repeated> {
        let mut repeated = Vec::new();
        self.causes.retain(|_, cause| {
            if now.duration_since(cause.logged_at) < QUIET {
                return true;
            }
            let count = std::mem::take(&mut cause.unlogged);
            if count == 0 {
                return false;
            }
            cause.logged_at = now;
            repeated.push(Repeated {
                count,
                reason: cause.reason.clone(),
            });
            true
        });
        repeated
    }
}

/// The reason without what differs from event to event: numbers, and what is quoted.
fn cause(reason: &str) -> String {
    let mut cause = String::new();
    for (index, part) in reason.split('`').enumerate() {
        if index % 2 == 0 {
            cause.extend(part.chars().filter(|c| !c.is_numeric()));
        }
    }
    cause.chars().take(MAX_CAUSE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_thousand_dead_letters_of_one_cause_are_two_lines() {
        let begin = Instant::now();
        let mut log = DeadLetterLog::default();
        let mut lines = 0;
        for number in 0..5_000 {
            let reason = format!("no status: `film {number}` at column {number}");
            lines += usize::from(log.is_news(&reason, begin));
        }
        assert_eq!(lines, 1);
        assert_eq!(log.take_repeated(begin), [], "they are not due yet");
        let repeated = log.take_repeated(begin + QUIET);
        let reason = "no status: `film 4999` at column 4999".to_owned();
        let count = 4_999;
        assert_eq!(repeated, [Repeated { count, reason }]);

        assert!(!log.is_news("no status: `x` at column 1", begin + QUIET));
        assert_eq!(log.take_repeated(begin + QUIET * 2).len(), 1);
        assert_eq!(log.take_repeated(begin + QUIET * 3), []);
        assert!(
            log.is_news("no status: `x` at column 1", begin + QUIET * 3),
            "after a quiet minute it is news again"
        );
    }

    #[test]
    fn causes_are_told_apart_up_to_a_limit() {
        let begin = Instant::now();
        let mut log = DeadLetterLog::default();
        assert!(log.is_news("broken JSON", begin));
        assert!(log.is_news("the handler panicked", begin));
        let texts = (0_u32..1_000).map(|n| char::from_u32(0x4e00 + n).unwrap());
        let lines = texts.filter(|text| log.is_news(&format!("odd {text}"), begin));
        assert_eq!(lines.count(), MAX_CAUSES - 1);
        assert!(log.causes.len() <= MAX_CAUSES + 1);
    }
}
