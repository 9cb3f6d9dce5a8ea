//! One line in the log when something outside becomes unavailable and one when it is available again, however many actors need it.

use std::{
    fmt,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::registry::lock;

/// How long a dependency may be unavailable after the start of the process before the log has a line for it.
const START: Duration = Duration::from_secs(5);

/// How long it must have been unavailable each time it was needed: one call that took too long on a busy
/// machine does not count.
const CONFIRMED: Duration = Duration::from_secs(1);

/// How long after its return the log has no further line for it, so that what comes and goes does not fill the log.
const RESPITE: Duration = Duration::from_secs(20);

/// Something outside the process that its actors need. All actors that need the same thing share one `Dependency`: the first
/// that finds it unavailable writes a line to the log, so does the first that finds it available again, and the others write
/// nothing.
#[derive(Debug)]
pub struct Dependency {
    gone: String,
    back: String,
    /// Whether its absence is a warning.
    is_alarming: bool,
    presence: Mutex<Presence>,
}

#[derive(Debug)]
struct Presence {
    quiet_until: Instant,
    gone_since: Option<Instant>,
    is_told: bool,
}

impl Dependency {
    /// A dependency that operators know as `name`. It may not be available yet.
    pub fn new(name: &str) -> Self {
        Self::in_words(
            format!("{name} is unavailable"),
            format!("{name} is available again"),
        )
    }

    /// A dependency whose absence and return are logged in these words.
    pub fn in_words(gone: impl Into<String>, back: impl Into<String>) -> Self {
        Self {
            gone: gone.into(),
            back: back.into(),
            is_alarming: true,
            presence: Mutex::new(Presence::at_start(Instant::now())),
        }
    }

    /// A dependency whose absence is no warning, for there are others in its place: it is logged as information, in these words.
    pub(crate) fn one_of_several(gone: impl Into<String>, back: impl Into<String>) -> Self {
        Self {
            is_alarming: false,
            ..Self::in_words(gone, back)
        }
    }

    /// The dependency was needed and unavailable.
    pub fn unavailable(&self, reason: impl fmt::Display) {
        let is_news = lock(&self.presence).unavailable(Instant::now());
        if is_news {
            // Not in the name of the request that happens to notice it.
            match self.is_alarming {
                true => tracing::warn!(parent: None, "{}: {reason}", self.gone),
                false => tracing::info!(parent: None, "{}: {reason}", self.gone),
            }
        }
    }

    /// The dependency was needed and available.
    pub fn available(&self) {
        let is_news = lock(&self.presence).available(Instant::now());
        if let Some(absence) = is_news {
            let seconds = absence.as_secs();
            tracing::info!(parent: None, seconds, "{} after {seconds} s", self.back);
        }
    }
}

impl Presence {
    fn at_start(now: Instant) -> Self {
        Self {
            quiet_until: now + START,
            gone_since: None,
            is_told: false,
        }
    }

    /// Whether that is worth a line.
    fn unavailable(&mut self, now: Instant) -> bool {
        let since = *self.gone_since.get_or_insert(now);
        let is_confirmed = now.duration_since(since) >= CONFIRMED;
        let is_news = !self.is_told && is_confirmed && now >= self.quiet_until;
        self.is_told |= is_news;
        is_news
    }

    /// For how long it was gone, if that was told.
    fn available(&mut self, now: Instant) -> Option<Duration> {
        let since = self.gone_since.take()?;
        std::mem::take(&mut self.is_told).then(|| {
            self.quiet_until = now + RESPITE;
            now.duration_since(since)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn an_absence_is_told_once_and_so_is_its_end() {
        let begin = Instant::now();
        let mut presence = Presence::at_start(begin);
        let gone = begin + START;
        assert!(!presence.unavailable(gone), "not confirmed yet");
        assert!(presence.unavailable(gone + CONFIRMED));
        assert!(!presence.unavailable(gone + CONFIRMED * 2), "told already");
        let back = gone + CONFIRMED * 3;
        assert_eq!(presence.available(back), Some(CONFIRMED * 3));
        assert_eq!(presence.available(back), None, "told already");

        assert!(!presence.unavailable(back), "a new absence");
        assert!(
            !presence.unavailable(back + RESPITE - MOMENT),
            "too soon after the last"
        );
        assert!(presence.unavailable(back + RESPITE));
    }

    #[test]
    fn one_call_that_failed_and_a_slow_start_are_no_absence() {
        let begin = Instant::now();
        let mut presence = Presence::at_start(begin);
        assert!(!presence.unavailable(begin));
        assert!(
            !presence.unavailable(begin + START - MOMENT),
            "it may still start"
        );
        assert_eq!(presence.available(begin + START), None);
        assert!(!presence.unavailable(begin + START));
        assert_eq!(presence.available(begin + START + CONFIRMED), None);
        assert!(
            !presence.unavailable(begin + START + CONFIRMED * 2),
            "a new one"
        );
    }
}
