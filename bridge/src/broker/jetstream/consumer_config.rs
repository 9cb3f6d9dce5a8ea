//! The configuration of a consumer under the API's names, and what absent settings mean. What is accepted is in
//! [`consumer_checks`](super::consumer_checks).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json::{self, SECOND};
use super::priority::PriorityPolicy;
use super::stream_config::ConsumerLimits;

pub(super) const UNLIMITED: i64 = -1;
const DEFAULT_ACK_WAIT: i64 = 30 * SECOND;
const DEFAULT_MAX_ACK_PENDING: i64 = 1000;
const DEFAULT_MAX_WAITING: i64 = 512;
const DEFAULT_PRIORITY_TIMEOUT: i64 = 120 * SECOND;
const EPHEMERAL_INACTIVE_THRESHOLD: i64 = 5 * SECOND;
/// How often it is looked at most whether clients use a consumer.
const MIN_UNUSED: Duration = Duration::from_millis(100);

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
    #[serde(default)]
    pub(super) replay_policy: ReplayPolicy,
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
    /// Whether a restart ends it; its state is on disk until then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) mem_storage: bool,
    /// Where a push consumer delivers to; a pull consumer has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) deliver_subject: String,
    /// The queue group that clients are to subscribe with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) deliver_group: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) flow_control: bool,
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) idle_heartbeat: i64,
    /// In bits per second.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) rate_limit_bps: u64,
    /// In percent, with or without the sign.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) sample_freq: String,
    /// Accepted for what it is elsewhere: a consumer that lists leave out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) direct: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) pause_until: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) priority_groups: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) priority_policy: PriorityPolicy,
    /// After how long a pinned client that does not ask is let go of.
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) priority_timeout: i64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    /// Settings that this broker does not know; refused unless they say nothing.
    #[serde(flatten)]
    pub(super) other: BTreeMap<String, Value>,
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
    /// Known so that it can be refused by its name.
    #[serde(rename = "flow_control")]
    FlowControl,
}

/// How fast messages are delivered that were there before the consumer.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReplayPolicy {
    #[default]
    Instant,
    /// As fast as they came in.
    Original,
}

fn is_default(policy: &PriorityPolicy) -> bool {
    *policy == PriorityPolicy::None
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_nought(number: &i64) -> bool {
    *number == 0
}

impl ConsumerConfig {
    /// Gives absent settings the values that they stand for: those of the stream, else the server's.
    pub(super) fn fill_in(&mut self, limits: &ConsumerLimits) {
        for at_least_none in [
            &mut self.max_waiting,
            &mut self.max_batch,
            &mut self.max_expires,
            &mut self.max_bytes,
            &mut self.idle_heartbeat,
            &mut self.inactive_threshold,
            &mut self.priority_timeout,
        ] {
            *at_least_none = (*at_least_none).max(0);
        }
        if self.max_deliver == 0 {
            self.max_deliver = UNLIMITED;
        }
        self.max_deliver = self.max_deliver.max(UNLIMITED);
        self.max_ack_pending = self.max_ack_pending.max(UNLIMITED);
        if self.max_ack_pending == 0 {
            self.max_ack_pending = limits.max_ack_pending.max(UNLIMITED);
        }
        if self.inactive_threshold == 0 {
            self.inactive_threshold = limits.inactive_threshold.max(0);
        }
        if self.inactive_threshold == 0 && self.durable_name.is_empty() {
            self.inactive_threshold = EPHEMERAL_INACTIVE_THRESHOLD;
        }
        if self.ack_policy != AckPolicy::None {
            if self.ack_wait == 0 {
                self.ack_wait = DEFAULT_ACK_WAIT;
            }
            if self.max_ack_pending == 0 {
                self.max_ack_pending = DEFAULT_MAX_ACK_PENDING;
            }
        }
        if let Some(first) = self.backoff.first() {
            self.ack_wait = *first;
        }
        if self.priority_policy == PriorityPolicy::PinnedClient && self.priority_timeout == 0 {
            self.priority_timeout = DEFAULT_PRIORITY_TIMEOUT;
        }
        if !self.is_push() && self.max_waiting == 0 {
            self.max_waiting = DEFAULT_MAX_WAITING;
        }
    }

    /// Whether it delivers to a subject; else clients pull.
    pub(super) fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    /// After how long it is deleted that no client uses; zero for never.
    pub(super) fn unused_limit(&self) -> Duration {
        let limit = nanos_to_duration(self.inactive_threshold);
        if limit.is_zero() {
            limit
        } else {
            limit.max(MIN_UNUSED)
        }
    }

    /// How much longer it is paused.
    pub(super) fn pause_left(&self, now: i64) -> Option<Duration> {
        let until = json::parse_time(&self.pause_until)?;
        Some(nanos_to_duration(until.saturating_sub(now))).filter(|left| !left.is_zero())
    }

    /// How many of a hundred acknowledgements are to be told of.
    pub(super) fn sampled_percent(&self) -> Option<u32> {
        let number = self.sample_freq.strip_suffix('%');
        number.unwrap_or(&self.sample_freq).parse().ok()
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
            AckPolicy::All | AckPolicy::Explicit | AckPolicy::FlowControl => {
                usize::try_from(self.max_ack_pending).unwrap_or(usize::MAX)
            }
        }
    }
}

/// A duration of the API; what is negative counts as none.
pub(super) fn nanos_to_duration(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
