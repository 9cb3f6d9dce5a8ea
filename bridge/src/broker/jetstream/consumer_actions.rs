//! What is done to a consumer that is there: it is held up, starts anew, lets its pinned client go; and what follows when a
//! change of it is on disk.

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{Responder, describe_consumer, nanos};
use super::batch::Effect;
use super::consumer_config::DeliverPolicy;
use super::deliver::Waiting;
use super::error::{self, Result};
use super::json;
use super::priority::is_valid_group;
use super::state::Change;
use super::stream::Stream;

#[derive(Deserialize)]
struct PauseRequest {
    #[serde(default)]
    pause_until: String,
}

#[derive(Deserialize)]
struct ResetRequest {
    #[serde(default)]
    seq: u64,
}

#[derive(Deserialize)]
struct UnpinRequest {
    #[serde(default)]
    group: String,
}

impl Stream {
    /// Takes note of a change of a consumer that is on disk. Returns the answer for who asked for it.
    pub(super) fn consumer_changed(&mut self, name: &str, created: bool, now: Instant) -> Value {
        let Some(consumer) = self.state.consumers.get(name) else {
            self.end_pulls(name);
            self.advise_of_consumer(name, "delete");
            return json!({"success": true});
        };
        let mut fresh = Waiting::new(&self.state, consumer, &self.router, &self.interest, now);
        // The requests of a consumer that only changed go on.
        if let Some(waiting) = self.waiting.remove(name) {
            fresh.pulls = waiting.pulls;
            fresh.pin = waiting.pin;
        }
        let waiting = self.waiting.entry(name.to_owned()).or_insert(fresh);
        let answer = describe_consumer(&self.state.config.name, consumer, Some(waiting));
        if created {
            self.advise_of_consumer(name, "create");
        }
        answer
    }

    /// Whether a change of a consumer is on its way to the disk.
    pub(super) fn is_changing(&self, name: &str) -> bool {
        let mut changes = self.changes();
        changes.any(|(change, _)| match change {
            Change::ConsumerSaved(saved) => saved.config.name == name,
            Change::ConsumerDeleted(deleted) => deleted == name,
            Change::Configured(_) => false,
        })
    }

    /// How many new consumers are on their way to the disk.
    pub(super) fn consumers_being_made(&self) -> usize {
        self.changes().filter(|(_, created)| *created).count()
    }

    /// The changes on their way to the disk, and whether each makes a consumer.
    fn changes(&self) -> impl Iterator<Item = (&Change, bool)> {
        let writing = self.writing.iter().flat_map(|(batch, _)| &batch.effects);
        let effects = writing.chain(&self.batch.effects);
        effects.filter_map(|effect| match effect {
            Effect::Change {
                change, created, ..
            } => Some((change, *created)),
            _ => None,
        })
    }

    /// Holds up a consumer's deliveries until a time, or lets them go on.
    pub(super) fn pause_consumer(&mut self, name: &str, body: &[u8], responder: Responder) {
        let Some(consumer) = self.state.consumers.get(name) else {
            return responder.send(Err(error::CONSUMER_NOT_FOUND));
        };
        let until = match json::parse(body) {
            Ok(PauseRequest { pause_until }) if is_never(&pause_until) => String::new(),
            Ok(PauseRequest { pause_until }) if json::parse_time(&pause_until).is_some() => {
                pause_until
            }
            Ok(_) => return responder.send(Err(error::INVALID_JSON)),
            Err(refusal) => return responder.send(Err(refusal)),
        };
        let mut saved = consumer.save();
        saved.config.pause_until.clone_from(&until);
        if let Err(refusal) = saved.config.check_size() {
            return responder.send(Err(refusal));
        }
        let left = saved.config.pause_left(json::now());
        let shown = match until.as_str() {
            "" => json::time(0),
            until => until.to_owned(),
        };
        let mut answer = json!({"paused": left.is_some(), "pause_until": shown});
        if let Some(left) = left {
            json::set(&mut answer, "pause_remaining", nanos(left));
        }
        self.advise_of_pause(name, left.is_some(), &until);
        let change = Change::ConsumerSaved(Box::new(saved));
        self.change(change, false, Responder::nobody());
        self.batch.add(Effect::Answer { answer, responder });
    }

    /// Has a consumer start anew from a sequence, or from what it has not acknowledged.
    pub(super) fn reset_consumer(&mut self, name: &str, body: &[u8], responder: Responder) {
        let Some(consumer) = self.state.consumers.get(name) else {
            return responder.send(Err(error::CONSUMER_NOT_FOUND));
        };
        let seq = match json::parse(body).and_then(|request| self.reset_to(name, &request)) {
            Ok(seq) => seq,
            Err(refusal) => return responder.send(Err(refusal)),
        };
        let mut saved = consumer.save();
        saved.start_anew(self.state.next_consumer_id, seq);
        self.state.next_consumer_id += 1;
        let change = Change::ConsumerSaved(Box::new(saved));
        self.change(change, false, responder.with("reset_seq", seq.into()));
    }

    /// The sequence that a consumer is to start anew from.
    fn reset_to(&self, name: &str, request: &ResetRequest) -> Result<u64> {
        let consumer = self.state.consumers.get(name);
        let consumer = consumer.ok_or(error::CONSUMER_NOT_FOUND)?;
        let config = &consumer.config;
        match (request.seq, config.deliver_policy) {
            (0, _) => Ok(consumer.ack_floor.stream_seq + 1),
            (seq, DeliverPolicy::All) => Ok(seq),
            (seq, DeliverPolicy::ByStartSequence) if seq >= config.opt_start_seq => Ok(seq),
            (_, DeliverPolicy::ByStartSequence) => Err(error::bad_reset("below start seq")),
            (seq, DeliverPolicy::ByStartTime) => {
                let time = json::parse_time(&config.opt_start_time);
                let first = time.and_then(|time| self.state.messages.first_since(time));
                if first.is_some_and(|first| seq < first) {
                    return Err(error::bad_reset("below start time"));
                }
                Ok(seq)
            }
            _ => Err(error::bad_reset("not allowed")),
        }
    }

    /// Lets the pinned client of a consumer go.
    pub(super) fn unpin_consumer(&mut self, name: &str, body: &[u8]) -> Result<Value> {
        let UnpinRequest { group } = json::parse(body)?;
        if group.is_empty() {
            return Err(error::INVALID_JSON);
        }
        if !is_valid_group(&group) {
            return Err(error::BAD_GROUP);
        }
        let consumer = self.state.consumers.get(name);
        let consumer = consumer.ok_or(error::CONSUMER_NOT_FOUND)?;
        if !consumer.config.priority_groups.contains(&group) {
            return Err(error::UNKNOWN_GROUP);
        }
        if let Some(waiting) = self.waiting.get_mut(name) {
            waiting.unpin(&self.state.config.name, name, &self.router, "admin");
        }
        Ok(json!({}))
    }
}

fn is_never(time: &str) -> bool {
    time.is_empty() || time == json::time(0)
}
