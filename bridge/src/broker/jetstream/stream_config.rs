//! The configuration of a stream: what is accepted, what absent settings mean, what may change later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{self, Result};
use super::json::is_unset;
use crate::broker::subjects;

const SECOND: i64 = 1_000_000_000;
const DEFAULT_DUPLICATE_WINDOW: i64 = 120 * SECOND;
const MIN_AGE: i64 = SECOND / 10;
const UNLIMITED: i64 = -1;
const MAX_SUBJECTS: usize = 1000;
const MAX_TEXT: usize = 128 << 10;
/// Leaves room to count on.
const MAX_FIRST_SEQ: u64 = 1 << 62;

/// A stream's configuration under the API's names. Durations are nanoseconds; after [`StreamConfig::checked`] -1 means no limit.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::broker) struct StreamConfig {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(default)]
    pub(super) subjects: Vec<String>,
    #[serde(default = "limits")]
    pub(super) retention: String,
    #[serde(default)]
    pub(super) max_consumers: i64,
    #[serde(default)]
    pub(super) max_msgs: i64,
    #[serde(default)]
    pub(super) max_bytes: i64,
    #[serde(default)]
    pub(super) max_age: i64,
    #[serde(default)]
    pub(super) max_msgs_per_subject: i64,
    #[serde(default)]
    pub(super) max_msg_size: i64,
    #[serde(default)]
    pub(super) discard: Discard,
    #[serde(default = "file")]
    pub(super) storage: String,
    #[serde(default)]
    pub(super) num_replicas: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) no_ack: bool,
    #[serde(default)]
    pub(super) duplicate_window: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) discard_new_per_subject: bool,
    #[serde(default)]
    pub(super) deny_delete: bool,
    #[serde(default)]
    pub(super) deny_purge: bool,
    #[serde(default)]
    pub(super) allow_direct: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) first_seq: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    /// Settings that this broker does not know; refused unless they say nothing.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// What gives way when a stream is full.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Discard {
    #[default]
    Old,
    New,
}

fn limits() -> String {
    "limits".to_owned()
}

fn file() -> String {
    "file".to_owned()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl StreamConfig {
    /// Refuses what is wrong or not supported, and fills in what is absent.
    pub(super) fn checked(mut self) -> Result<Self> {
        if !subjects::is_valid_name(&self.name) {
            return Err(error::bad_request(
                "stream name is required and can not contain white space, `.`, `*`, `>`, `/`, `\\`",
            ));
        }
        self.refuse_unsupported()?;
        if self.subjects.is_empty() {
            self.subjects.push(self.name.clone());
        }
        self.check_subjects()?;
        for limit in [
            &mut self.max_consumers,
            &mut self.max_msgs,
            &mut self.max_bytes,
            &mut self.max_msgs_per_subject,
            &mut self.max_msg_size,
        ] {
            if *limit <= 0 {
                *limit = UNLIMITED;
            }
        }
        if self.first_seq > MAX_FIRST_SEQ {
            return Err(error::stream_config("first sequence is too large"));
        }
        self.num_replicas = 1;
        self.max_age = self.max_age.max(0);
        if self.max_age > 0 && self.max_age < MIN_AGE {
            return Err(error::stream_config("max age needs to be >= 100ms"));
        }
        if self.duplicate_window < 0 {
            return Err(error::stream_config(
                "duplicates window can not be negative",
            ));
        }
        if self.duplicate_window == 0 {
            self.duplicate_window = DEFAULT_DUPLICATE_WINDOW;
            if self.max_age > 0 {
                self.duplicate_window = self.duplicate_window.min(self.max_age);
            }
        }
        if self.max_age > 0 && self.duplicate_window > self.max_age {
            return Err(error::stream_config(
                "duplicates window can not be larger then max age",
            ));
        }
        if self.discard_new_per_subject
            && (self.discard != Discard::New || self.max_msgs_per_subject <= 0)
        {
            return Err(error::stream_config(
                "discard new per subject requires discard new policy and max msgs per subject to be set",
            ));
        }
        Ok(self)
    }

    fn refuse_unsupported(&mut self) -> Result<()> {
        if !matches!(self.num_replicas, 0 | 1) {
            return Err(error::REPLICAS);
        }
        if self.retention != "limits" {
            return Err(error::stream_config(format!(
                "retention `{}` is not supported, only `limits` is",
                self.retention
            )));
        }
        if self.storage != "file" {
            return Err(error::stream_config(format!(
                "storage `{}` is not supported, only `file` is",
                self.storage
            )));
        }
        self.other.retain(|_, value| !is_unset(value));
        match self.other.keys().next() {
            Some(name) => Err(error::stream_config(format!(
                "setting `{name}` is not supported"
            ))),
            None => Ok(()),
        }
    }

    fn check_subjects(&self) -> Result<()> {
        let text = self.description.len()
            + self
                .metadata
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>();
        if self.subjects.len() > MAX_SUBJECTS || text > MAX_TEXT {
            return Err(error::stream_config(
                "too many subjects, or description and metadata too long",
            ));
        }
        for (place, subject) in self.subjects.iter().enumerate() {
            if !subjects::is_valid_pattern(subject)
                || subjects::token_count(subject) > subjects::MAX_TOKENS
            {
                return Err(error::stream_config("invalid subject"));
            }
            if self
                .subjects
                .iter()
                .take(place)
                .any(|earlier| subjects::overlap(earlier, subject))
            {
                return Err(error::stream_config(format!(
                    "subject `{subject}` overlaps with another of the stream"
                )));
            }
            if ["$JS.>", "$SYS.>"]
                .iter()
                .any(|reserved| subjects::overlap(reserved, subject))
                && !self.no_ack
            {
                return Err(error::stream_config(
                    "subjects that overlap with jetstream api require no-ack to be true",
                ));
            }
        }
        Ok(())
    }

    /// Whether this may take the place of `current`.
    pub(super) fn check_update_of(&self, current: &StreamConfig) -> Result<()> {
        if self.max_consumers != current.max_consumers {
            return Err(error::stream_config(
                "stream configuration update can not change MaxConsumers",
            ));
        }
        if self.first_seq != current.first_seq {
            return Err(error::stream_config(
                "stream configuration update can not change first sequence",
            ));
        }
        if (current.deny_delete && !self.deny_delete) || (current.deny_purge && !self.deny_purge) {
            return Err(error::stream_config(
                "stream configuration update can not cancel deny message deletes or purge",
            ));
        }
        Ok(())
    }
}

/// A limit as a number to compare with; `None` for no limit.
pub(super) fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::broker::jetstream::json;

    fn check(value: Value) -> Result<StreamConfig> {
        json::parse::<StreamConfig>(value.to_string().as_bytes())?.checked()
    }

    #[test]
    fn absent_settings_get_the_servers_defaults() {
        let config = check(json!({"name": "S", "subjects": null, "max_msgs": 0, "storage": "file", "compression": "none", "mirror": null})).unwrap();
        assert_eq!(config.subjects, ["S"]);
        assert_eq!(
            (config.max_msgs, config.max_bytes, config.num_replicas),
            (-1, -1, 1)
        );
        assert_eq!(config.duplicate_window, 120 * SECOND);
        let aged = check(json!({"name": "S", "max_age": SECOND})).unwrap();
        assert_eq!(aged.duplicate_window, SECOND);
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for (setting, value) in [
            ("retention", json!("workqueue")),
            ("storage", json!("memory")),
            ("num_replicas", json!(3)),
            ("sealed", json!(true)),
            ("mirror", json!({"name": "T"})),
            ("sources", json!([{"name": "T"}])),
            ("compression", json!("s2")),
            ("allow_rollup_hdrs", json!(true)),
            ("subject_transform", json!({"src": "a", "dest": "b"})),
            ("subjects", json!(["a.>", "a.b"])),
            ("subjects", json!(["a..b"])),
            ("subjects", json!(["$JS.API.>"])),
            ("subjects", json!([">"])),
            ("max_age", json!(5)),
            ("name", json!("a.b")),
        ] {
            let mut config = json!({"name": "S"});
            config[setting] = value;
            assert!(check(config.clone()).is_err(), "{config}");
        }
    }
}
