use std::{
    fmt,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::board::lock;

/// How long something may be gone when the process has just started, before that is worth a line in
/// the log.
const START: Duration = Duration::from_secs(5);

/// For how long it must have been gone each time it was needed: one call that took too long on a busy
/// machine is no absence.
const CONFIRMED: Duration = Duration::from_secs(1);

/// For how long after it came back nothing is said of it: what comes and goes fills no log.
const RESPITE: Duration = Duration::from_secs(20);

/// Something outside that actors of this process need. All who need the same one share this: whoever
/// first finds it gone says so in the log, whoever first finds it there again does too, and the
/// others keep quiet.
#[derive(Debug)]
pub struct Dependency {
    gone: String,
    back: String,
    presence: Mutex<Presence>,
}

#[derive(Debug)]
struct Presence {
    quiet_until: Instant,
    gone_since: Option<Instant>,
    is_told: bool,
}

impl Dependency {
    /// A dependency that operators know as `name`. It may not be there yet.
    pub fn new(name: &str) -> Self {
        Self::in_words(format!("{name} is away"), format!("{name} is back"))
    }

    /// A dependency whose absence and return are told in these words.
    pub fn in_words(gone: impl Into<String>, back: impl Into<String>) -> Self {
        Self {
            gone: gone.into(),
            back: back.into(),
            presence: Mutex::new(Presence {
                quiet_until: Instant::now() + START,
                gone_since: None,
                is_told: false,
            }),
        }
    }

    /// It was needed and not there.
    pub fn is_gone(&self, reason: impl fmt::Display) {
        let now = Instant::now();
        let mut presence = lock(&self.presence);
        let since = *presence.gone_since.get_or_insert(now);
        let is_confirmed = now.duration_since(since) >= CONFIRMED;
        if presence.is_told || !is_confirmed || now < presence.quiet_until {
            return;
        }
        presence.is_told = true;
        drop(presence);
        tracing::warn!("{}: {reason}", self.gone);
    }

    /// It was needed and there.
    pub fn is_there(&self) {
        let mut presence = lock(&self.presence);
        let Some(since) = presence.gone_since.take() else {
            return;
        };
        if std::mem::take(&mut presence.is_told) {
            presence.quiet_until = Instant::now() + RESPITE;
            drop(presence);
            let seconds = since.elapsed().as_secs();
            tracing::info!(seconds, "{} after {seconds} s", self.back);
        }
    }
}
