//! What a stream's configuration must not say, and what an update must not change.

use super::super::error::{self, Result};
use super::super::json::{self, SECOND, is_unset};
use super::super::state::MAX_SEQ;
use super::super::transform::Transform;
use super::super::usage::MAX_CONFIGURATION;
use super::{Discard, PersistMode, RetentionPolicy, Storage, StreamConfig};
use crate::broker::subjects;

const MIN_TIME: i64 = SECOND / 10;
const MAX_NAME: usize = 255;
const MAX_DESCRIPTION: usize = 4 << 10;
const MAX_METADATA: usize = 128 << 10;
const MAX_SUBJECTS: usize = 1000;
const MAX_REPLICAS: i64 = 5;

impl StreamConfig {
    pub(super) fn check_texts(&self) -> Result<()> {
        if self.name.len() > MAX_NAME {
            return refuse(format!(
                "stream name is too long, maximum allowed is {MAX_NAME}"
            ));
        }
        if !subjects::is_valid_name(&self.name) {
            return refuse(r"stream name is required and can not contain '.', '*', '>', '\', '/'");
        }
        if self.description.len() > MAX_DESCRIPTION {
            return refuse(format!(
                "stream description is too long, maximum allowed is {MAX_DESCRIPTION}"
            ));
        }
        let metadata = self.metadata.iter();
        let metadata: usize = metadata.map(|(name, value)| name.len() + value.len()).sum();
        if metadata > MAX_METADATA {
            return refuse(format!(
                "stream metadata exceeds maximum size of {MAX_METADATA} bytes"
            ));
        }
        Ok(())
    }

    pub(super) fn check_replicas(&self) -> Result<()> {
        match self.num_replicas {
            0 | 1 => Ok(()),
            ..0 => Err(error::NEGATIVE_REPLICAS),
            2..=MAX_REPLICAS => Err(error::REPLICAS),
            _ => refuse(format!("maximum replicas is {MAX_REPLICAS}")),
        }
    }

    /// Refuses what needs a cluster of servers, and settings that are not known.
    pub(super) fn refuse_unsupported(&mut self) -> Result<()> {
        self.other.retain(|_, value| !is_unset(value));
        if self.mirror_direct {
            return refuse("stream has no mirror but does have mirror direct");
        }
        match self.other.keys().next().map(String::as_str) {
            Some("mirror") => refuse("mirrors are not supported by this server"),
            Some("sources") => refuse("sources are not supported by this server"),
            Some(name) => refuse(format!("setting `{name}` is not supported by this server")),
            None => Ok(()),
        }
    }

    pub(super) fn check_times(&self) -> Result<()> {
        if self.max_age < 0 {
            return refuse("max age can not be negative");
        }
        if self.max_age > 0 && self.max_age < MIN_TIME {
            return refuse("max age needs to be >= 100ms");
        }
        if self.duplicate_window < 0 {
            return refuse("duplicates window can not be negative");
        }
        if self.max_age > 0 && self.duplicate_window > self.max_age {
            return refuse("duplicates window can not be larger then max age");
        }
        if self.duplicate_window > 0 && self.duplicate_window < MIN_TIME {
            return refuse("duplicates window needs to be >= 100ms");
        }
        Ok(())
    }

    pub(super) fn check_policies(&self) -> Result<()> {
        if self.subject_delete_marker_ttl < 0 {
            return refuse("subject delete marker TTL must not be negative");
        }
        if self.subject_delete_marker_ttl > 0 && self.subject_delete_marker_ttl < SECOND {
            return refuse("subject delete marker TTL must be at least 1 second");
        }
        if self.deny_purge && self.allow_rollup_hdrs {
            return refuse("roll-ups require the purge permission");
        }
        if self.allow_msg_counter {
            if self.discard == Discard::New && !self.sealed {
                return refuse("counter stream cannot use discard new");
            }
            if self.allow_msg_ttl {
                return refuse("counter stream cannot use message TTLs");
            }
            if self.allow_msg_schedules {
                return refuse("counter stream cannot use message schedules");
            }
            if self.retention != RetentionPolicy::Limits {
                return refuse("counter stream can only use limits retention");
            }
        }
        if self.persist_mode == PersistMode::Async {
            if self.storage != Storage::File {
                return refuse("async persist mode is only supported on file storage");
            }
            if self.allow_atomic {
                return refuse("async persist mode is not supported with atomic batch publish");
            }
        }
        if self.allow_msg_schedules && self.discard == Discard::New && !self.sealed {
            return refuse("message scheduling cannot use discard new");
        }
        if self.discard_new_per_subject && self.discard != Discard::New {
            return refuse("discard new per subject requires discard new policy to be set");
        }
        if self.discard_new_per_subject && self.max_msgs_per_subject <= 0 {
            return refuse("discard new per subject requires max msgs per subject > 0");
        }
        Ok(())
    }

    pub(super) fn check_subjects(&self) -> Result<()> {
        if self.subjects.len() > MAX_SUBJECTS {
            return refuse(format!("more than {MAX_SUBJECTS} subjects"));
        }
        for (place, subject) in self.subjects.iter().enumerate() {
            if !subjects::is_valid_pattern(subject)
                || subjects::token_count(subject) > subjects::MAX_TOKENS
            {
                return refuse("invalid subject");
            }
            self.check_reserved(subject)?;
            for later in self.subjects.iter().skip(place + 1) {
                if subjects::overlap(later, subject) {
                    return refuse(format!("subject \"{subject}\" overlaps with \"{later}\""));
                }
            }
        }
        Ok(())
    }

    /// A stream that takes the API's own subjects must not acknowledge, or its answers would go in circles.
    fn check_reserved(&self, subject: &str) -> Result<()> {
        if self.no_ack {
            return Ok(());
        }
        if subject == ">" {
            return refuse("capturing all subjects requires no-ack to be true");
        }
        let overlaps = |reserved: &&str| subjects::overlap(reserved, subject);
        let within = |allowed: &str| subject.starts_with(allowed);
        if ["$JS.>", "$JSC.>", "$NRG.>"].iter().any(overlaps) && !within("$JS.EVENT.") {
            return refuse("subjects that overlap with jetstream api require no-ack to be true");
        }
        if overlaps(&"$SYS.>") && !within("$SYS.ACCOUNT.") {
            return refuse("subjects that overlap with system api require no-ack to be true");
        }
        Ok(())
    }

    pub(super) fn check_transforms(&self) -> Result<()> {
        if let Some(transform) = &self.subject_transform {
            if !transform.src.is_empty() && !subjects::is_valid_pattern(&transform.src) {
                return Err(error::transform_source(&transform.src));
            }
            Transform::new(&transform.src, &transform.dest).map_err(error::transform)?;
        }
        let Some(republish) = &self.republish else {
            return Ok(());
        };
        let is_taken = |by: &str| {
            self.subjects
                .iter()
                .any(|subject| subjects::overlap(by, subject))
        };
        const CYCLE: &str = "stream configuration for republish destination forms a cycle";
        if is_taken(&republish.dest) {
            return refuse(CYCLE);
        }
        match Transform::new(&republish.src, &republish.dest) {
            Ok(transform) if is_taken(&transform.results()) => refuse(CYCLE),
            Ok(_) => Ok(()),
            Err(_) => refuse(format!(
                "stream configuration for republish with transform from '{}' to '{}' not valid",
                republish.src, republish.dest
            )),
        }
    }

    pub(super) fn check_sizes(&self) -> Result<()> {
        if json::size(self) > MAX_CONFIGURATION {
            return refuse(format!(
                "stream configuration exceeds maximum size of {MAX_CONFIGURATION} bytes"
            ));
        }
        if self.first_seq > MAX_SEQ {
            return refuse("first sequence is too large");
        }
        if i32::try_from(self.max_msg_size).is_err() {
            return Err(error::INVALID_JSON);
        }
        Ok(())
    }

    /// Whether this may take the place of `current`.
    pub(in super::super) fn check_update_of(&self, current: &StreamConfig) -> Result<()> {
        let was_or_is = |policy| [self.retention, current.retention].contains(&policy);
        if self.storage != current.storage {
            return refuse("stream configuration update can not change storage type");
        }
        if self.retention != current.retention && was_or_is(RetentionPolicy::WorkQueue) {
            return refuse(
                "stream configuration update can not change retention policy to/from workqueue",
            );
        }
        if current.sealed && !self.sealed {
            return refuse("stream configuration update can not unseal a sealed stream");
        }
        if current.deny_delete && !self.deny_delete {
            return refuse("stream configuration update can not cancel deny message deletes");
        }
        if current.deny_purge && !self.deny_purge {
            return refuse("stream configuration update can not cancel deny purge");
        }
        if current.allow_msg_counter != self.allow_msg_counter {
            return refuse("stream configuration update can not change message counter setting");
        }
        if current.persist_mode != self.persist_mode {
            return refuse("stream configuration update can not change persist mode");
        }
        if current.allow_msg_schedules && !self.allow_msg_schedules {
            return refuse("message schedules can not be disabled");
        }
        if current.allow_msg_ttl && !self.allow_msg_ttl {
            return refuse("message TTL status can not be disabled");
        }
        Ok(())
    }
}

fn refuse<T>(why: impl Into<std::borrow::Cow<'static, str>>) -> Result<T> {
    Err(error::stream_config(why))
}
