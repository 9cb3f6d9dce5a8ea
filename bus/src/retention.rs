//! How much of a topic brokers keep. A topic whose limits were set on the broker keeps them, unless an
//! operator sets others here; one without limits gets the defaults, so that no log grows without end.

use std::time::Duration;

use clap::Args;
use runtime::settings::{age, size};

const DEFAULT_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);
const DEFAULT_MAX_BYTES: u64 = 1 << 30;

/// The limits of topics, the same settings for every program. 0 stands for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct Retention {
    /// How long the broker keeps the events of a topic (such as 12h or 7d; 0: without limit) [default: 7d,
    /// or what the topic has]
    #[arg(long, env = "EVENT_MAX_AGE", value_name = "AGE", value_parser = age)]
    pub event_max_age: Option<Duration>,

    /// How many bytes of events the broker keeps of a topic (such as 512MiB; 0: any number) [default:
    /// what the topic has, or 1GiB over Kafka]
    #[arg(long, env = "EVENT_MAX_BYTES", value_name = "SIZE", value_parser = size)]
    pub event_max_bytes: Option<u64>,
}

impl Retention {
    /// The age limit of a topic that has `current`. `None` stands for no limit.
    pub(super) fn max_age(&self, current: Option<Duration>) -> Option<Duration> {
        let chosen = self.event_max_age.or(current).unwrap_or(DEFAULT_MAX_AGE);
        Some(chosen).filter(|age| !age.is_zero())
    }

    /// The size limit of a topic that has `current`. `None` stands for no limit.
    pub(super) fn max_bytes(&self, current: Option<u64>) -> Option<u64> {
        let chosen = self
            .event_max_bytes
            .or(current)
            .unwrap_or(DEFAULT_MAX_BYTES);
        Some(chosen).filter(|bytes| *bytes > 0)
    }

    /// Whether an operator sets a limit.
    pub(super) fn is_set(&self) -> bool {
        self.event_max_age.is_some() || self.event_max_bytes.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_counts_more_than_what_a_topic_has_and_that_more_than_the_default() {
        let day = Duration::from_secs(86_400);
        let unset = Retention::default();
        assert_eq!(unset.max_age(None), Some(day * 7));
        assert_eq!(unset.max_age(Some(day)), Some(day));
        assert_eq!(unset.max_bytes(None), Some(1 << 30));
        assert_eq!(unset.max_bytes(Some(5)), Some(5));
        let set = Retention {
            event_max_age: Some(Duration::ZERO),
            event_max_bytes: Some(7),
        };
        assert_eq!(set.max_age(Some(day)), None);
        assert_eq!(set.max_bytes(Some(5)), Some(7));
    }
}
