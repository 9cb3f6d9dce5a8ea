//! Time in whole microseconds, as both databases hold it. Queries take it as a parameter; only [`now`] reads the
//! clock.

use chrono::{DateTime, NaiveDateTime, Utc};

/// A point in time in whole microseconds, which is what both databases keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

/// Returns the time of the system's clock.
pub fn now() -> Moment {
    Moment(Utc::now().timestamp_micros())
}

impl Moment {
    /// The moment that many microseconds after the beginning of 1970.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the beginning of 1970, UTC.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// The moment that many seconds earlier.
    pub fn minus_seconds(self, seconds: i64) -> Self {
        Self(self.0 - seconds * 1_000_000)
    }

    /// Date and time of day, UTC.
    pub fn date_time(self) -> NaiveDateTime {
        DateTime::from_timestamp_micros(self.0)
            .unwrap_or_default()
            .naive_utc()
    }
}
