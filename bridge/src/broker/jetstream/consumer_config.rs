//! The configuration of a consumer: what is accepted, what absent settings mean, what may change later.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{self, Result};
use super::json::{self, is_unset};
use crate::broker::subjects;

const SECOND: i64 = 1_000_000_000;
const MAX_BACKOFF: usize = 1000;
const MAX_FILTERS: usize = 1000;
const MAX_TEXT: usize = 128 << 10;

/// A consumer's configuration under the API's names. Durations are nanoseconds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::broker) struct ConsumerConfig {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) durable_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(default)]
    pub(super) deliver_policy: DeliverPolicy,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) opt_start_seq: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) opt_start_time: String,
    #[serde(default)]
    pub(super) ack_policy: AckPolicy,
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) ack_wait: i64,
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) max_deliver: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) backoff: Vec<i64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) filter_subject: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) filter_subjects: Vec<String>,
    #[serde(default = "instant")]
    pub(super) replay_policy: String,
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) max_waiting: i64,
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) max_ack_pending: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) headers_only: bool,
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) max_batch: i64,
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) max_expires: i64,
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) max_bytes: i64,
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) inactive_threshold: i64,
    #[serde(default)]
    pub(super) num_replicas: i64,
    /// Accepted: the state is kept on disk all the same, which is more than was asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    mem_storage: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    /// Settings that this broker does not know; refused unless they say nothing.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// Where a new consumer starts.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliverPolicy {
    #[default]
    All,
    Last,
    New,
    ByStartSequence,
    ByStartTime,
    LastPerSubject,
}

/// How messages are acknowledged.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AckPolicy {
    // What the servers in the field assume when a request says nothing.
    #[default]
    None,
    All,
    Explicit,
}

fn instant() -> String {
    "instant".to_owned()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_nought(number: &i64) -> bool {
    *number == 0
}

impl ConsumerConfig {
    /// Refuses what is wrong, or not supported, and fills in what is absent.
    pub(super) fn checked(mut self) -> Result<Self> {
        if !self.durable_name.is_empty() && !self.name.is_empty() && self.durable_name != self.name
        {
            return Err(error::NAMES_DIFFER);
        }
        if self.name.is_empty() {
            self.name = self.durable_name.clone();
        }
        if self.name.is_empty() {
            self.name = format!("{:022x}", rand::random::<u128>() >> 40);
        }
        if !subjects::is_valid_name(&self.name) {
            return Err(error::BAD_DURABLE_NAME);
        }
        self.refuse_unsupported()?;
        let text = self.description.len()
            + self
                .metadata
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>();
        if text > MAX_TEXT {
            return Err(error::consumer_config(
                "description and metadata are too long",
            ));
        }
        self.check_start()?;
        self.check_filters()?;
        self.fill_in();
        if self.backoff.len() > MAX_BACKOFF
            || (self.max_deliver > 0 && self.backoff.len() as i64 > self.max_deliver)
        {
            return Err(error::BACKOFF_TOO_LONG);
        }
        Ok(self)
    }

    fn refuse_unsupported(&mut self) -> Result<()> {
        if !matches!(self.num_replicas, 0 | 1) {
            return Err(error::REPLICAS);
        }
        if self.replay_policy != "instant" {
            return Err(error::consumer_config(format!(
                "replay policy `{}` is not supported",
                self.replay_policy
            )));
        }
        if self.deliver_policy == DeliverPolicy::LastPerSubject {
            return Err(error::consumer_config(
                "deliver policy `last_per_subject` is not supported",
            ));
        }
        self.other.retain(|_, value| !is_unset(value));
        match self.other.keys().next().map(String::as_str) {
            Some("deliver_subject") => Err(error::consumer_config(
                "push consumers are not supported, use a pull consumer",
            )),
            Some("rate_limit_bps") => Err(error::PULL_WITH_RATE_LIMIT),
            Some(name) => Err(error::consumer_config(format!(
                "setting `{name}` is not supported"
            ))),
            None => Ok(()),
        }
    }

    fn check_start(&self) -> Result<()> {
        let by_seq = self.deliver_policy == DeliverPolicy::ByStartSequence;
        let by_time = self.deliver_policy == DeliverPolicy::ByStartTime;
        if by_seq != (self.opt_start_seq > 0) || self.opt_start_seq > i64::MAX.unsigned_abs() {
            return Err(error::consumer_config(
                "consumer delivery policy and optional start sequence go together",
            ));
        }
        if by_time == self.opt_start_time.is_empty()
            || (by_time && json::parse_time(&self.opt_start_time).is_none())
        {
            return Err(error::consumer_config(
                "consumer delivery policy and optional start time go together",
            ));
        }
        Ok(())
    }

    fn check_filters(&self) -> Result<()> {
        if !self.filter_subject.is_empty() && !self.filter_subjects.is_empty() {
            return Err(error::TWO_KINDS_OF_FILTER);
        }
        if self.filter_subjects.len() > MAX_FILTERS {
            return Err(error::consumer_config("too many filter subjects"));
        }
        for (place, filter) in self.filters().iter().enumerate() {
            if filter.is_empty() {
                return Err(error::EMPTY_FILTER);
            }
            if !subjects::is_valid_pattern(filter) {
                return Err(error::FILTER_NOT_SUBSET);
            }
            if self
                .filters()
                .iter()
                .take(place)
                .any(|earlier| subjects::overlap(earlier, filter))
            {
                return Err(error::FILTERS_OVERLAP);
            }
        }
        Ok(())
    }

    fn fill_in(&mut self) {
        if self.ack_policy != AckPolicy::None {
            if self.ack_wait <= 0 {
                self.ack_wait = 30 * SECOND;
            }
            if self.max_ack_pending == 0 {
                self.max_ack_pending = 1000;
            }
        }
        if let Some(first) = self.backoff.first() {
            self.ack_wait = *first;
        }
        if self.max_deliver <= 0 {
            self.max_deliver = -1;
        }
        if self.max_waiting <= 0 {
            self.max_waiting = 512;
        }
        if self.inactive_threshold <= 0 {
            self.inactive_threshold = if self.durable_name.is_empty() {
                5 * SECOND
            } else {
                0
            };
        }
    }

    /// Whether this may take the place of `current`.
    pub(super) fn check_update_of(&self, current: &ConsumerConfig) -> Result<()> {
        let fixed = [
            (
                self.deliver_policy == current.deliver_policy,
                "deliver policy",
            ),
            (
                self.opt_start_seq == current.opt_start_seq,
                "start sequence",
            ),
            (self.opt_start_time == current.opt_start_time, "start time"),
            (self.ack_policy == current.ack_policy, "ack policy"),
            (self.durable_name == current.durable_name, "durable name"),
        ];
        match fixed.iter().find(|(same, _)| !same) {
            Some((_, what)) => Err(error::consumer_config(format!("{what} can not be updated"))),
            None => Ok(()),
        }
    }

    /// The patterns of what it wants; none means everything.
    pub(super) fn filters(&self) -> &[String] {
        if self.filter_subject.is_empty() {
            &self.filter_subjects
        } else {
            std::slice::from_ref(&self.filter_subject)
        }
    }

    /// How long the acknowledgement of a message may take that was delivered so many times.
    pub(super) fn ack_wait(&self, deliveries: u32) -> Duration {
        let place = usize::try_from(deliveries.saturating_sub(1)).unwrap_or(usize::MAX);
        let nanos = self
            .backoff
            .get(place)
            .or(self.backoff.last())
            .unwrap_or(&self.ack_wait);
        nanos_to_duration(*nanos)
    }

    /// How many times a message is delivered at most.
    pub(super) fn max_deliver(&self) -> u32 {
        u32::try_from(self.max_deliver).unwrap_or(u32::MAX)
    }

    /// How many messages may wait for their acknowledgement.
    pub(super) fn max_ack_pending(&self) -> usize {
        match self.ack_policy {
            AckPolicy::None => usize::MAX,
            AckPolicy::All | AckPolicy::Explicit => {
                usize::try_from(self.max_ack_pending).unwrap_or(usize::MAX)
            }
        }
    }
}

/// A duration of the API; what is negative counts as none.
pub(super) fn nanos_to_duration(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: Value) -> Result<ConsumerConfig> {
        json::parse::<ConsumerConfig>(value.to_string().as_bytes())?.checked()
    }

    #[test]
    fn absent_settings_get_the_servers_defaults() {
        let config = check(json!({"durable_name": "d", "ack_policy": "explicit"})).unwrap();
        assert_eq!(config.name, "d");
        assert_eq!(
            (
                config.ack_wait,
                config.max_deliver,
                config.max_ack_pending,
                config.max_waiting
            ),
            (30 * SECOND, -1, 1000, 512)
        );
        assert_eq!(config.inactive_threshold, 0);
        let ephemeral = check(json!({"ack_policy": "none"})).unwrap();
        assert_eq!(
            (ephemeral.name.len(), ephemeral.inactive_threshold),
            (22, 5 * SECOND)
        );
    }

    #[test]
    fn the_waits_of_a_backoff_follow_the_deliveries() {
        let config =
            check(json!({"durable_name": "d", "ack_policy": "explicit", "backoff": [1, 2, 3]}))
                .unwrap();
        let waits: Vec<_> = (1..=5)
            .map(|deliveries| config.ack_wait(deliveries).as_nanos())
            .collect();
        assert_eq!(waits, [1, 2, 3, 3, 3]);
    }

    #[test]
    fn what_is_wrong_or_not_supported_is_refused() {
        for config in [
            json!({"deliver_subject": "x"}),
            json!({"durable_name": "a.b"}),
            json!({"durable_name": "a", "name": "b"}),
            json!({"filter_subject": "b..c"}),
            json!({"filter_subjects": ["a.b", "a.*"]}),
            json!({"filter_subjects": ["a.b", ""]}),
            json!({"filter_subject": "a.b", "filter_subjects": ["a.c"]}),
            json!({"deliver_policy": "by_start_sequence"}),
            json!({"deliver_policy": "by_start_time", "opt_start_time": "yesterday"}),
            json!({"deliver_policy": "last_per_subject"}),
            json!({"replay_policy": "original"}),
            json!({"num_replicas": 3}),
            json!({"priority_policy": "overflow", "priority_groups": ["g"]}),
            json!({"backoff": [1, 2, 3], "max_deliver": 2}),
            json!({"sample_freq": "100%"}),
        ] {
            assert!(check(config.clone()).is_err(), "{config}");
        }
    }
}
