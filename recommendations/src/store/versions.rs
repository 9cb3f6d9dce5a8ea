//! The versions of films: a hybrid clock in microseconds since 1970, which catalogs keep.

use chrono::{NaiveDateTime, SubsecRound, TimeDelta, Utc};

/// How far a catalog's clock may be ahead of ours.
const TOLERANCE: TimeDelta = TimeDelta::days(1);

/// The time as the database can hold it.
pub fn now() -> NaiveDateTime {
    Utc::now().naive_utc().trunc_subsecs(6)
}

/// Whether no clock can have given `version` by the time `now`.
pub fn is_beyond(version: i64, now: NaiveDateTime) -> bool {
    version > (now + TOLERANCE).and_utc().timestamp_micros()
}

/// Whether an update with version `sent` is not newer than the film with version `stored`. An update
/// without a version is from an older peer and counts as it comes. A stored version that no clock
/// can have given comes from before such versions were refused, and does not count.
pub fn is_late(stored: Option<i64>, sent: Option<i64>, now: NaiveDateTime) -> bool {
    match (stored, sent) {
        (Some(stored), Some(sent)) => sent <= stored && !is_beyond(stored, now),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_late_unless_it_is_newer_or_what_is_stored_cannot_be() {
        let now = now();
        let micros = now.and_utc().timestamp_micros();
        assert!(is_late(Some(5), Some(5), now));
        assert!(!is_late(Some(5), Some(6), now));
        assert!(!is_late(None, Some(1), now) && !is_late(Some(5), None, now));
        let hour_ahead = micros + 3_600_000_000;
        assert!(is_late(Some(hour_ahead), Some(micros), now));
        assert!(!is_late(Some(i64::MAX), Some(micros), now));
        assert!(is_beyond(i64::MAX, now) && !is_beyond(hour_ahead, now));
    }
}
