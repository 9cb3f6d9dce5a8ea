//! What makes a stream give up messages, and what is told before a durable consumer loses any by it.
//!
//! A stream that sets no limit of its own has those of the server: an age, a size, and an age for what
//! every durable consumer has acknowledged.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::consumer::Consumer;
use super::json;
use super::stream::Stream;
use super::stream_config::{Discard, StreamConfig, limit};
use crate::broker::Retention;

/// How often a stream looks for consumers that are behind.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the log has a line for them.
const WARNING_INTERVAL: Duration = Duration::from_secs(300);
/// For how long a stream counts as degraded after a consumer has lost messages.
const LOSS_SHOWN: Duration = Duration::from_secs(300);

/// The limits that count for a stream. Ages are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Limits {
    pub(super) max_msgs: Option<u64>,
    pub(super) max_bytes: Option<u64>,
    pub(super) max_msgs_per_subject: Option<u64>,
    pub(super) max_age: Option<i64>,
    /// The age for messages that every durable consumer has acknowledged.
    pub(super) max_acknowledged_age: Option<i64>,
    /// Whether the oldest messages give way; else new ones are refused.
    pub(super) discards_old: bool,
}

impl Limits {
    /// The stream's own limits, or those of the server if it sets none.
    pub(super) fn of(config: &StreamConfig, retention: &Retention) -> Self {
        let own = Limits {
            max_msgs: limit(config.max_msgs),
            max_bytes: limit(config.max_bytes),
            max_msgs_per_subject: limit(config.max_msgs_per_subject),
            max_age: Some(config.max_age).filter(|age| *age > 0),
            max_acknowledged_age: None,
            discards_old: config.discard == Discard::Old,
        };
        let is_limited = own.max_msgs.is_some()
            || own.max_bytes.is_some()
            || own.max_msgs_per_subject.is_some()
            || own.max_age.is_some();
        if is_limited {
            return own;
        }
        Limits {
            max_bytes: Some(retention.max_bytes).filter(|bytes| *bytes > 0),
            max_age: nanos(retention.max_age),
            max_acknowledged_age: nanos(retention.keep_acknowledged),
            ..own
        }
    }
}

fn nanos(age: Duration) -> Option<i64> {
    let nanos = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    Some(nanos).filter(|nanos| *nanos > 0)
}

/// What the log says of consumers that are behind.
#[derive(Debug)]
pub(super) struct Lag {
    next_check: Instant,
    warned: Option<Instant>,
    /// The warning was of a loss, and not of one to come.
    told_of_loss: bool,
    /// The lost messages that the log has counted.
    lost: u64,
    lost_at: Option<Instant>,
    /// Whether the stream counts among those that lag.
    counted: bool,
}

impl Lag {
    pub(super) fn new(now: Instant) -> Self {
        Lag {
            next_check: now,
            warned: None,
            told_of_loss: false,
            lost: 0,
            lost_at: None,
            counted: false,
        }
    }
}

impl Stream {
    /// Looks, once in a while, whether durable consumers are about to lose messages or have lost some.
    pub(super) fn watch_lag(&mut self, now: Instant) {
        if now < self.lag.next_check {
            return;
        }
        self.lag.next_check = now + CHECK_INTERVAL;
        let lost = self.state.lost - self.lag.lost;
        if lost > 0 {
            self.lag.lost_at = Some(now);
        }
        let behind = self
            .state
            .consumers
            .values()
            .find(|consumer| self.is_near_loss(consumer));
        let shown = |at: Instant| now < at + LOSS_SHOWN;
        let lags = behind.is_some() || self.lag.lost_at.is_some_and(shown);
        let due = self
            .lag
            .warned
            .is_none_or(|warned| now >= warned + WARNING_INTERVAL);
        // That it may soon come to a loss is no news of the loss.
        let due = due || (lost > 0 && !self.lag.told_of_loss);
        if (lost > 0 || behind.is_some()) && due {
            self.lag.warned = Some(now);
            self.lag.told_of_loss = lost > 0;
            self.lag.lost = self.state.lost;
            tracing::warn!(
                stream = self.state.config.name,
                consumer = behind.map_or("", |consumer| consumer.config.name.as_str()),
                lost_messages = lost,
                "a durable consumer is so far behind that messages it has not acknowledged are dropped, or soon will be: \
                 let it catch up, raise --broker-max-age or --broker-max-bytes, or delete the consumer if it is not used"
            );
        }
        self.count_lag(lags);
    }

    /// Counts the stream among those that lag, or no longer.
    pub(super) fn count_lag(&mut self, lags: bool) {
        match (self.lag.counted, lags) {
            (false, true) => self.stats.lagging_streams.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.stats.lagging_streams.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
        self.lag.counted = lags;
    }

    /// When [`Stream::watch_lag`] next has something to do.
    pub(super) fn next_lag_check(&self) -> Option<Instant> {
        let backlog = self.state.consumers.values().any(Consumer::is_behind);
        (backlog || self.lag.counted).then_some(self.lag.next_check)
    }

    /// Whether the oldest message that a durable consumer waits for is in the last fifth of its time, or
    /// among the next to give way to others.
    fn is_near_loss(&self, consumer: &Consumer) -> bool {
        if !consumer.is_behind() {
            return false;
        }
        let (messages, limits) = (&self.state.messages, &self.state.limits);
        let oldest = messages.first_seq().max(consumer.ack_floor.stream_seq + 1);
        let Some(stored) = messages.time_from(oldest) else {
            return false;
        };
        let age = json::now().saturating_sub(stored);
        let nearly = |max: u64| max / 5 * 4;
        let is_full = limits
            .max_bytes
            .is_some_and(|max| messages.bytes > nearly(max))
            || limits
                .max_msgs
                .is_some_and(|max| messages.len() > nearly(max));
        let is_first =
            (oldest - messages.first_seq()) * 5 <= messages.last_seq - messages.first_seq();
        limits.max_age.is_some_and(|max| age > max / 5 * 4)
            || (limits.discards_old && is_full && is_first)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stream_without_limits_has_those_of_the_server() {
        let retention = Retention {
            max_age: Duration::from_secs(10),
            max_bytes: 1000,
            keep_acknowledged: Duration::from_secs(1),
        };
        let limits = |config: serde_json::Value| {
            let config: StreamConfig = json::parse(config.to_string().as_bytes()).unwrap();
            Limits::of(&config.checked().unwrap(), &retention)
        };
        let servers = Limits {
            max_bytes: Some(1000),
            max_age: Some(10_000_000_000),
            max_acknowledged_age: Some(1_000_000_000),
            discards_old: true,
            ..Limits::default()
        };
        assert_eq!(limits(json!({"name": "S"})), servers);
        let own = Limits {
            max_msgs: Some(5),
            discards_old: false,
            ..Limits::default()
        };
        assert_eq!(
            limits(json!({"name": "S", "max_msgs": 5, "discard": "new"})),
            own
        );
        assert_eq!(
            limits(json!({"name": "S", "max_age": 100_000_000})).max_bytes,
            None
        );
    }
}
