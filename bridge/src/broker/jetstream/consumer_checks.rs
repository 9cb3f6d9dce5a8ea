//! What a consumer's configuration may say, alone and beside its stream's, and what of it may change later.

use std::time::Duration;

use super::consumer_config::{
    AckPolicy, ConsumerConfig, DeliverPolicy, UNLIMITED, nanos_to_duration,
};
use super::error::{self, Result};
use super::go_duration;
use super::json::{self, is_unset};
use super::priority::{PriorityPolicy, is_valid_group};
use super::stream_config::{ConsumerLimits, StreamConfig};
use super::usage::MAX_CONFIGURATION;
use super::versions;
use crate::broker::subjects;

const MAX_BACKOFF: usize = 1000;
const MAX_FILTERS: usize = 1000;
const MAX_GROUPS: usize = 1000;
const MAX_DESCRIPTION: usize = 4096;
const MAX_METADATA: usize = 128 << 10;
/// How many requests of one consumer may wait at most.
pub(super) const MAX_WAITING: i64 = 16_384;
const MIN_HEARTBEAT: Duration = Duration::from_millis(100);
const MIN_MAX_EXPIRES: Duration = Duration::from_millis(1);

impl ConsumerConfig {
    /// Refuses what is wrong, or not supported, and fills in what is absent; for a stream with these limits.
    pub(super) fn checked(mut self, limits: &ConsumerLimits) -> Result<Self> {
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
        if self.name.contains(['/', '\\']) {
            return Err(error::NAME_WITH_PATH_SEPARATORS);
        }
        if !subjects::is_valid_name(&self.name) {
            return Err(error::BAD_DURABLE_NAME);
        }
        self.fill_in(limits);
        versions::strip(&mut self.metadata);
        self.refuse_unsupported()?;
        self.check_acknowledging()?;
        self.check_texts()?;
        if self.is_push() {
            self.check_push()?;
        } else {
            self.check_pull()?;
        }
        self.check_filters()?;
        self.check_start()?;
        self.check_sampling()?;
        self.check_priority()?;
        self.check_limits(limits)?;
        if self.flow_control && self.idle_heartbeat == 0 {
            return Err(error::FLOW_CONTROL_WITHOUT_HEARTBEAT);
        }
        self.check_size()?;
        Ok(self)
    }

    /// Refuses what does not go with the stream.
    pub(super) fn check_against(&self, stream: &StreamConfig) -> Result<()> {
        let forms_cycle = |own: &String| subjects::is_subset(&self.deliver_subject, own);
        if self.is_push() && stream.subjects.iter().any(forms_cycle) {
            return Err(error::DELIVER_CYCLE);
        }
        Ok(())
    }

    /// Refuses what the server would have to fill in or to change, for clients that want to know.
    pub(super) fn check_pedantically(&self, limits: &ConsumerLimits) -> Result<()> {
        let not_negative = [
            (self.max_waiting, "max_waiting"),
            (self.max_batch, "max_batch"),
            (self.max_expires, "max_expires"),
            (self.max_bytes, "max_bytes"),
            (self.idle_heartbeat, "idle_heartbeat"),
            (self.inactive_threshold, "inactive_threshold"),
            (self.priority_timeout, "priority_timeout"),
        ];
        if let Some((_, name)) = not_negative.into_iter().find(|(value, _)| *value < 0) {
            return Err(error::pedantic(format!("{name} must not be negative")));
        }
        let unlimited = [
            (self.max_deliver, "max_deliver"),
            (self.max_ack_pending, "max_ack_pending"),
        ];
        if let Some((_, name)) = unlimited.into_iter().find(|(value, _)| *value < UNLIMITED) {
            return Err(error::pedantic(format!("{name} must be set to -1")));
        }
        if self
            .backoff
            .first()
            .is_some_and(|first| *first != self.ack_wait)
        {
            let why = "first backoff value has to equal batch AckWait";
            return Err(error::pedantic(why.to_owned()));
        }
        let limited = [
            (
                self.max_ack_pending,
                limits.max_ack_pending,
                "max_ack_pending",
            ),
            (
                self.inactive_threshold,
                limits.inactive_threshold,
                "inactive_threshold",
            ),
        ];
        match limited
            .into_iter()
            .find(|(own, limit, _)| *own == 0 && *limit > 0)
        {
            Some((_, _, name)) => Err(error::pedantic(format!(
                "{name} must be set if it's configured in stream limits"
            ))),
            None => Ok(()),
        }
    }

    fn check_limits(&self, limits: &ConsumerLimits) -> Result<()> {
        if limits.max_ack_pending > 0 && self.max_ack_pending > limits.max_ack_pending {
            return Err(error::too_many_unacknowledged(limits.max_ack_pending));
        }
        if limits.inactive_threshold > 0 && self.inactive_threshold > limits.inactive_threshold {
            let limit = nanos_to_duration(limits.inactive_threshold);
            return Err(error::inactive_too_long(&go_duration::format(limit)));
        }
        Ok(())
    }

    fn refuse_unsupported(&mut self) -> Result<()> {
        if !matches!(self.num_replicas, 0 | 1) {
            return Err(error::REPLICAS);
        }
        if self.ack_policy == AckPolicy::FlowControl {
            return Err(error::consumer_config(
                "ack policy `flow_control` is not supported",
            ));
        }
        self.other.retain(|_, value| !is_unset(value));
        match self.other.keys().next() {
            Some(name) => Err(error::consumer_config(format!(
                "setting `{name}` is not supported"
            ))),
            None => Ok(()),
        }
    }

    fn check_acknowledging(&self) -> Result<()> {
        if self.backoff.iter().any(|wait| *wait < 0) {
            return Err(error::NEGATIVE_BACKOFF);
        }
        if self.ack_wait < 0 {
            return Err(error::NEGATIVE_ACK_WAIT);
        }
        let waits = self.backoff.len();
        let is_too_long = i64::try_from(waits).is_ok_and(|waits| waits > self.max_deliver);
        if waits > MAX_BACKOFF || (self.max_deliver != UNLIMITED && waits > 0 && is_too_long) {
            return Err(error::BACKOFF_TOO_LONG);
        }
        Ok(())
    }

    fn check_texts(&self) -> Result<()> {
        if self.description.len() > MAX_DESCRIPTION {
            return Err(error::description_too_long(MAX_DESCRIPTION));
        }
        let pairs = self.metadata.iter();
        let metadata: usize = pairs.map(|(name, value)| name.len() + value.len()).sum();
        if metadata > MAX_METADATA {
            return Err(error::METADATA_TOO_LONG);
        }
        Ok(())
    }

    /// Refuses a configuration whose texts, filters and the like are too large together.
    pub(super) fn check_size(&self) -> Result<()> {
        if json::size(self) > MAX_CONFIGURATION {
            return Err(error::consumer_config(format!(
                "consumer configuration exceeds maximum size of {MAX_CONFIGURATION} bytes"
            )));
        }
        Ok(())
    }

    fn check_push(&self) -> Result<()> {
        if subjects::has_wildcard(&self.deliver_subject) {
            return Err(error::DELIVER_TO_WILDCARDS);
        }
        if !subjects::is_valid_pattern(&self.deliver_subject) {
            return Err(error::BAD_DELIVER_SUBJECT);
        }
        if self.max_waiting != 0 {
            return Err(error::PUSH_WITH_MAX_WAITING);
        }
        if self.max_ack_pending > 0 && self.ack_policy == AckPolicy::None {
            return Err(error::MAX_ACK_PENDING_WITHOUT_ACKS);
        }
        if self.idle_heartbeat > 0 && nanos_to_duration(self.idle_heartbeat) < MIN_HEARTBEAT {
            return Err(error::SMALL_HEARTBEAT);
        }
        if self.direct && !self.durable_name.is_empty() {
            return Err(error::DIRECT_DURABLE);
        }
        Ok(())
    }

    fn check_pull(&self) -> Result<()> {
        if self.rate_limit_bps > 0 {
            return Err(error::PULL_WITH_RATE_LIMIT);
        }
        if self.idle_heartbeat > 0 {
            return Err(error::PULL_WITH_HEARTBEAT);
        }
        if self.flow_control {
            return Err(error::PULL_WITH_FLOW_CONTROL);
        }
        if self.max_expires != 0 && nanos_to_duration(self.max_expires) < MIN_MAX_EXPIRES {
            return Err(error::SMALL_MAX_EXPIRES);
        }
        if self.direct {
            return Err(error::DIRECT_PULL);
        }
        if self.max_waiting > MAX_WAITING {
            return Err(error::consumer_config(format!(
                "max waiting is too large, maximum allowed is {MAX_WAITING}"
            )));
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
        let filters = self.filters();
        if filters.iter().any(String::is_empty) {
            return Err(error::EMPTY_FILTER);
        }
        for (place, filter) in filters.iter().enumerate() {
            if !subjects::is_valid_pattern(filter) {
                return Err(error::stream_config("bad subject"));
            }
            let includes = |other: &String| {
                subjects::is_subset(filter, other) || subjects::is_subset(other, filter)
            };
            if filters.iter().take(place).any(includes) {
                return Err(error::FILTERS_OVERLAP);
            }
        }
        Ok(())
    }

    fn check_start(&self) -> Result<()> {
        let policy = match self.deliver_policy {
            DeliverPolicy::All => "all",
            DeliverPolicy::Last => "last",
            DeliverPolicy::New => "new",
            DeliverPolicy::LastPerSubject => "last per subject",
            DeliverPolicy::ByStartSequence => "by start sequence",
            DeliverPolicy::ByStartTime => "by start time",
        };
        let not_set = |what| {
            error::bad_policy(format!(
                "consumer delivery policy is deliver {policy}, but optional {what} is not set"
            ))
        };
        let also_set = |what| {
            error::bad_policy(format!(
                "consumer delivery policy is deliver {policy}, but optional start {what} is also set"
            ))
        };
        let by_seq = self.deliver_policy == DeliverPolicy::ByStartSequence;
        let by_time = self.deliver_policy == DeliverPolicy::ByStartTime;
        if by_seq && self.opt_start_seq == 0 {
            return Err(not_set("start sequence"));
        }
        if by_time && self.opt_start_time.is_empty() {
            return Err(not_set("start time"));
        }
        if !by_seq && self.opt_start_seq > 0 {
            return Err(also_set("sequence"));
        }
        if !by_time && !self.opt_start_time.is_empty() {
            return Err(also_set("time"));
        }
        if self.opt_start_seq > i64::MAX.unsigned_abs() {
            return Err(error::bad_policy("start sequence is too large".to_owned()));
        }
        let times = [&self.opt_start_time, &self.pause_until];
        let is_bad = |time: &&String| !time.is_empty() && json::parse_time(time).is_none();
        if times.into_iter().any(|time| is_bad(&time)) {
            return Err(error::INVALID_JSON);
        }
        if self.deliver_policy == DeliverPolicy::LastPerSubject && self.filters().is_empty() {
            return Err(not_set("filter subject"));
        }
        Ok(())
    }

    fn check_sampling(&self) -> Result<()> {
        if self.sample_freq.is_empty() || self.sampled_percent().is_some() {
            Ok(())
        } else {
            Err(error::bad_sampling(&self.sample_freq))
        }
    }

    fn check_priority(&self) -> Result<()> {
        let groups = &self.priority_groups;
        if self.priority_policy == PriorityPolicy::None {
            return match (groups.is_empty(), self.priority_timeout) {
                (false, _) => Err(error::GROUPS_WITHOUT_PRIORITY),
                (true, 1..) => Err(error::TIMEOUT_WITHOUT_PRIORITY),
                (true, _) => Ok(()),
            };
        }
        if self.is_push() {
            return Err(error::PUSH_WITH_GROUPS);
        }
        if groups.is_empty() || groups.len() > MAX_GROUPS {
            return Err(error::PRIORITY_WITHOUT_GROUP);
        }
        if groups.iter().any(String::is_empty) {
            return Err(error::EMPTY_GROUP);
        }
        if !groups.iter().all(|group| is_valid_group(group)) {
            return Err(error::BAD_GROUP);
        }
        Ok(())
    }

    /// Whether this may take the place of `current`.
    pub(super) fn check_update_of(&self, current: &ConsumerConfig) -> Result<()> {
        let time = |config: &ConsumerConfig| json::parse_time(&config.opt_start_time);
        let fixed = [
            (
                self.deliver_policy == current.deliver_policy,
                "deliver policy",
            ),
            (self.mem_storage == current.mem_storage, "storage type"),
            (self.direct == current.direct, "direct"),
            (
                self.opt_start_seq == current.opt_start_seq,
                "start sequence",
            ),
            (time(self) == time(current), "start time"),
            (self.ack_policy == current.ack_policy, "ack policy"),
            (self.replay_policy == current.replay_policy, "replay policy"),
            (self.idle_heartbeat == current.idle_heartbeat, "heart beats"),
            (self.flow_control == current.flow_control, "flow control"),
            (self.max_waiting == current.max_waiting, "max waiting"),
            (self.durable_name == current.durable_name, "durable name"),
        ];
        match (current.is_push(), self.is_push()) {
            (false, true) => {
                return Err(error::consumer_config(
                    "can not update pull consumer to push based",
                ));
            }
            (true, false) => {
                return Err(error::consumer_config(
                    "can not update push consumer to pull based",
                ));
            }
            _ => {}
        }
        match fixed.iter().find(|(same, _)| !same) {
            Some((_, what)) => Err(error::consumer_config(format!("{what} can not be updated"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
