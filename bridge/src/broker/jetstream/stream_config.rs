//! The configuration of a stream: its settings under the API's names, and what absent settings mean.
//!
//! What is refused, and with which words, is in [`checks`]; the words are those of the servers in the field, for clients show them.

mod checks;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::Result;
use super::json::{SECOND, is_unset};
use super::transform::Transform;
use super::versions;

const DEFAULT_DUPLICATE_WINDOW: i64 = 120 * SECOND;
const UNLIMITED: i64 = -1;

/// A stream's configuration under the API's names. Durations are nanoseconds; after [`StreamConfig::checked`] -1 means no limit.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(in crate::broker) struct StreamConfig {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) subjects: Vec<String>,
    #[serde(default)]
    pub(super) retention: RetentionPolicy,
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
    #[serde(default)]
    pub(super) storage: Storage,
    #[serde(default)]
    pub(super) num_replicas: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) no_ack: bool,
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) duplicate_window: i64,
    /// Kept for clients that ask for it again; there is one server to place streams on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    placement: Option<Value>,
    /// Kept for clients that ask for it again: what is stored is not compressed.
    #[serde(default)]
    compression: Compression,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) first_seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject_transform: Option<SubjectTransform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) republish: Option<Republish>,
    #[serde(default)]
    pub(super) allow_direct: bool,
    /// Only mirrors have it, and they are refused.
    #[serde(default)]
    mirror_direct: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) discard_new_per_subject: bool,
    #[serde(default)]
    pub(super) sealed: bool,
    #[serde(default)]
    pub(super) deny_delete: bool,
    #[serde(default)]
    pub(super) deny_purge: bool,
    #[serde(default)]
    pub(super) allow_rollup_hdrs: bool,
    #[serde(default)]
    pub(super) consumer_limits: ConsumerLimits,
    /// Whether publishers may say how long a message is kept.
    #[serde(default)]
    pub(super) allow_msg_ttl: bool,
    /// How long a mark is kept that stands for a subject's last message when that grew old; 0 for no marks.
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) subject_delete_marker_ttl: i64,
    /// Whether publishers may have several messages stored as a whole or not at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) allow_atomic: bool,
    /// Whether publishers may send batches that are stored as they come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) allow_batched: bool,
    /// Whether all messages are counters.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) allow_msg_counter: bool,
    /// Whether publishers may have messages published later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) allow_msg_schedules: bool,
    /// Kept for clients that ask for it again: all that is acknowledged is on the disk.
    #[serde(default, skip_serializing_if = "PersistMode::is_default")]
    persist_mode: PersistMode,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    /// Settings that this broker does not know; refused unless they say nothing.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// What makes a stream let go of its messages.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RetentionPolicy {
    /// Its limits alone.
    #[default]
    Limits,
    /// That every consumer which wants a message is done with it.
    Interest,
    /// That the one consumer which wants a message is done with it.
    WorkQueue,
}

/// What gives way when a stream is full.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Discard {
    #[default]
    Old,
    New,
}

/// Where the messages of a stream are.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Storage {
    #[default]
    File,
    /// In memory alone; a restart ends the stream.
    Memory,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Compression {
    #[default]
    None,
    S2,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum PersistMode {
    #[default]
    #[serde(alias = "")]
    Default,
    Async,
}

impl PersistMode {
    fn is_default(&self) -> bool {
        *self == PersistMode::Default
    }
}

/// Another subject for what is published on some.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct SubjectTransform {
    #[serde(default)]
    pub(super) src: String,
    #[serde(default)]
    pub(super) dest: String,
}

/// Where what is stored is published again.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Republish {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) src: String,
    #[serde(default)]
    pub(super) dest: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) headers_only: bool,
}

/// What consumers of the stream get that set nothing of their own, and the most that they may set.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct ConsumerLimits {
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) inactive_threshold: i64,
    #[serde(default, skip_serializing_if = "is_nought")]
    pub(super) max_ack_pending: i64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_nought(number: &i64) -> bool {
    *number == 0
}

impl StreamConfig {
    /// Refuses what is wrong or not supported, and fills in what is absent.
    pub(super) fn checked(mut self) -> Result<Self> {
        self.check_texts()?;
        self.check_replicas()?;
        self.refuse_unsupported()?;
        self.fill_in();
        self.check_times()?;
        self.check_policies()?;
        if self.subjects.is_empty() {
            self.subjects.push(self.name.clone());
        }
        self.check_subjects()?;
        self.check_transforms()?;
        self.check_sizes()?;
        Ok(self)
    }

    fn fill_in(&mut self) {
        versions::strip(&mut self.metadata);
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
        self.num_replicas = 1;
        if self.placement.as_ref().is_some_and(is_unset) {
            self.placement = None;
        }
        if self.duplicate_window == 0 {
            self.duplicate_window = DEFAULT_DUPLICATE_WINDOW;
            if self.max_age > 0 {
                self.duplicate_window = self.duplicate_window.min(self.max_age);
            }
        }
        if self.subject_delete_marker_ttl > 0 {
            (self.allow_msg_ttl, self.allow_rollup_hdrs) = (true, true);
            self.deny_purge = false;
        }
        if self.allow_msg_schedules {
            (self.allow_rollup_hdrs, self.deny_purge) = (true, false);
        }
        if self.sealed {
            self.max_age = 0;
            self.discard = Discard::New;
            (self.deny_delete, self.deny_purge) = (true, true);
            self.allow_rollup_hdrs = false;
        }
        if let Some(republish) = &mut self.republish
            && republish.src.is_empty()
        {
            republish.src = ">".to_owned();
        }
    }

    /// Another subject for a message, where the stream is to store it under one.
    pub(super) fn incoming_transform(&self) -> Option<Transform> {
        let SubjectTransform { src, dest } = self.subject_transform.as_ref()?;
        Transform::new(src, dest).ok()
    }

    /// The subject under which a stored message is published again.
    pub(super) fn republish_transform(&self) -> Option<Transform> {
        let Republish { src, dest, .. } = self.republish.as_ref()?;
        Transform::new(src, dest).ok()
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
    fn what_is_wrong_or_not_supported_is_refused() {
        for (setting, value) in [
            ("num_replicas", json!(3)),
            ("mirror", json!({"name": "T"})),
            ("sources", json!([{"name": "T"}])),
            ("mirror_direct", json!(true)),
            ("compression", json!("zip")),
            ("subject_transform", json!({"src": "a.*", "dest": "b.$2"})),
            ("republish", json!({"src": ">", "dest": "S.>"})),
            ("subjects", json!(["a.>", "a.b"])),
            ("subjects", json!(["a..b"])),
            ("subjects", json!(["$JS.API.>"])),
            ("subjects", json!([">"])),
            ("max_age", json!(5)),
            ("name", json!("a.b")),
        ] {
            let mut config = json!({"name": "S"});
            config[setting] = value;
            if setting == "republish" {
                config["subjects"] = json!(["S.a"]);
            }
            assert!(check(config.clone()).is_err(), "{config}");
        }
    }

    #[test]
    fn what_is_published_again_is_not_taken_by_the_stream_itself() {
        let check = |src: &str, dest: &str| {
            let republish = json!({"src": src, "dest": dest});
            check(json!({"name": "S", "subjects": ["a", "b.c.d"], "republish": republish}))
        };
        for (src, dest) in [
            (">", "b.>"),
            ("*", "{{wildcard(1)}}"),
            ("*", "$1"),
            ("b.*.*", "b.{{split(1,-)}}"),
            ("b.*.*", "{{left(1,1)}}.c.d"),
            ("b.>", ""),
        ] {
            let refusal = check(src, dest).unwrap_err();
            let refusal = serde_json::to_string(&refusal).unwrap();
            assert!(refusal.contains("forms a cycle"), "{src} {dest}: {refusal}");
        }
        for dest in ["c.{{wildcard(1)}}", "{{wildcard(1)}}.c", "c.{{split(1,-)}}"] {
            check("*", dest).unwrap();
        }
    }

    #[test]
    fn a_configuration_has_a_largest_size() {
        let subjects = |len: usize| {
            let subjects: Vec<String> = (100..900)
                .map(|number| format!("{number}{}", "x".repeat(len)))
                .collect();
            check(json!({"name": "S", "subjects": subjects}))
        };
        subjects(300).unwrap();
        let refusal = serde_json::to_string(&subjects(330).unwrap_err()).unwrap();
        assert!(refusal.contains("exceeds maximum size"), "{refusal}");
    }

    #[test]
    fn what_was_stored_by_an_older_broker_is_read() {
        let older = json!({
            "name": "S", "subjects": ["S"], "retention": "limits", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1,
            "max_age": 0, "max_msgs_per_subject": -1, "max_msg_size": -1, "discard": "old", "storage": "file",
            "num_replicas": 1, "duplicate_window": 120 * SECOND, "deny_delete": false, "deny_purge": false,
            "allow_direct": false,
        });
        let config: StreamConfig = serde_json::from_value(older).unwrap();
        assert_eq!(config, check(json!({"name": "S"})).unwrap());
    }
}
