//! API requests about the consumers of one stream, answered by the stream's task.

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{Responder, describe_consumer, nanos, page};
use super::batch::Effect;
use super::beginning::Beginning;
use super::consumer::{Consumer, SavedConsumer};
use super::consumer_config::{AckPolicy, ConsumerConfig, DeliverPolicy};
use super::deliver::Waiting;
use super::error::{self, Result};
use super::filter::Filter;
use super::json;
use super::requests::{INFOS_PER_PAGE, NAMES_PER_PAGE, Offset};
use super::state::Change;
use super::stream::Stream;
use super::stream_config::limit;
use crate::broker::{headers, subjects};

/// How many consumers a stream has that sets no limit.
const MAX_CONSUMERS: u64 = 10_000;

/// What the subject of a request says about the consumer to be made.
#[derive(Debug, Default)]
pub(super) struct NamesInSubject {
    pub(super) consumer: Option<String>,
    pub(super) filter: Option<String>,
    /// The subject is that of an older request, for durable consumers alone.
    pub(super) is_durable: bool,
}

#[derive(Deserialize)]
struct PauseRequest {
    #[serde(default)]
    pause_until: String,
}

#[derive(Deserialize)]
struct CreateConsumerRequest {
    #[serde(default)]
    stream_name: String,
    config: ConsumerConfig,
    #[serde(default)]
    action: String,
}

impl Stream {
    pub(super) fn consumer_names(&self, body: &[u8]) -> Result<Value> {
        let Offset { offset } = json::parse(body)?;
        let names = self.listed().map(|consumer| consumer.config.name.clone());
        let names = names.map(Value::from).collect();
        Ok(page("consumers", names, offset, NAMES_PER_PAGE))
    }

    pub(super) fn consumer_list(&self, body: &[u8]) -> Result<Value> {
        let Offset { offset } = json::parse(body)?;
        let infos = self.listed().map(|consumer| self.describe(consumer));
        let infos = infos.collect();
        Ok(page("consumers", infos, offset, INFOS_PER_PAGE))
    }

    /// The consumers that lists show.
    fn listed(&self) -> impl Iterator<Item = &Consumer> {
        let consumers = self.state.consumers.values();
        consumers.filter(|consumer| !consumer.config.direct)
    }

    pub(super) fn delete_consumer(&mut self, name: String, responder: Responder) {
        if self.state.consumers.contains_key(&name) {
            self.change(Change::ConsumerDeleted(name), false, responder);
        } else {
            responder.send(Err(error::CONSUMER_NOT_FOUND));
        }
    }

    pub(super) fn create_consumer(
        &mut self,
        names: NamesInSubject,
        body: &[u8],
        responder: Responder,
    ) {
        let checked = json::parse(body).and_then(|request| self.check_consumer(names, request));
        let config = match checked {
            Ok((config, action)) => match self.state.consumers.get(&config.name) {
                Some(existing) if existing.config == config => {
                    return responder.send(Ok(self.describe(existing)));
                }
                Some(_) if action == "create" => {
                    return responder.send(Err(error::CONSUMER_EXISTS));
                }
                Some(existing) => {
                    if let Err(refusal) = self.check_update(&config, existing) {
                        return responder.send(Err(refusal));
                    }
                    let mut saved = existing.save();
                    saved.config = config;
                    return self.change(Change::ConsumerSaved(Box::new(saved)), false, responder);
                }
                None if action == "update" => {
                    return responder.send(Err(error::CONSUMER_DOES_NOT_EXIST));
                }
                None => config,
            },
            Err(refusal) => return responder.send(Err(refusal)),
        };
        let others = self.state.consumers.values();
        let others = others.filter(|consumer| !consumer.config.direct).count();
        if others as u64 >= limit(self.state.config.max_consumers).unwrap_or(MAX_CONSUMERS) {
            return responder.send(Err(error::TOO_MANY_CONSUMERS));
        }
        let saved = self.start(config);
        self.state.next_consumer_id += 1;
        self.change(Change::ConsumerSaved(Box::new(saved)), true, responder);
    }

    fn check_consumer(
        &self,
        names: NamesInSubject,
        request: CreateConsumerRequest,
    ) -> Result<(ConsumerConfig, String)> {
        if request.stream_name != self.state.config.name {
            return Err(error::STREAM_MISMATCH);
        }
        let mut config = request.config;
        match names.consumer {
            None if names.is_durable => return Err(error::DURABLE_NOT_IN_SUBJECT),
            None if !config.durable_name.is_empty() => return Err(error::EPHEMERAL_WITH_DURABLE),
            None => {}
            Some(_) if names.is_durable && config.durable_name.is_empty() => {
                return Err(error::DURABLE_NOT_SET);
            }
            Some(name) => {
                if !config.durable_name.is_empty() && config.durable_name != name {
                    return Err(error::NAME_MISMATCH);
                }
                config.name = name;
            }
        }
        if let Some(filter) = names.filter {
            if !config.filter_subjects.is_empty() {
                return Err(error::FILTERS_IN_SUBJECT);
            }
            if filter != config.filter_subject {
                return Err(error::FILTER_MISMATCH);
            }
        }
        let mut config = config.checked()?;
        config.check_against(&self.state.config)?;
        self.check_work_queue(&config)?;
        // A request to make or change a consumer does not let a paused one go on.
        if let Some(existing) = self.state.consumers.get(&config.name) {
            config.pause_until.clone_from(&existing.config.pause_until);
        }
        Ok((config, request.action))
    }

    /// In a work queue each message is for one consumer.
    fn check_work_queue(&self, config: &ConsumerConfig) -> Result<()> {
        if self.state.config.retention != "workqueue" || config.direct {
            return Ok(());
        }
        if config.ack_policy == AckPolicy::None && !config.is_push() {
            return Err(error::WORKQUEUE_PULL_WITHOUT_ACKS);
        }
        let others = self.state.consumers.values();
        let mut others = others
            .map(|other| &other.config)
            .filter(|other| other.name != config.name && !other.direct)
            .peekable();
        let is_new = !self.state.consumers.contains_key(&config.name);
        if is_new && config.ack_policy != AckPolicy::Explicit {
            return Err(error::WORKQUEUE_WITHOUT_ACKS);
        }
        if is_new && config.deliver_policy != DeliverPolicy::All {
            return Err(error::WORKQUEUE_NOT_ALL);
        }
        if is_new && others.peek().is_some() && config.filters().is_empty() {
            return Err(error::WORKQUEUE_UNFILTERED);
        }
        let collides = |other: &ConsumerConfig| {
            other.filters().is_empty()
                || other.filters().iter().any(|theirs| {
                    let mut own = config.filters().iter();
                    own.any(|own| subjects::overlap(own, theirs))
                })
        };
        if !config.filters().is_empty() && others.any(collides) {
            return Err(error::WORKQUEUE_NOT_UNIQUE);
        }
        Ok(())
    }

    fn check_update(&self, config: &ConsumerConfig, existing: &Consumer) -> Result<()> {
        config.check_update_of(&existing.config)?;
        let current = &existing.config.deliver_subject;
        if config.deliver_subject != *current && self.router.has_interest(current) {
            return Err(error::NAME_IN_USE);
        }
        Ok(())
    }

    /// A new consumer, where its configuration has it start.
    fn start(&self, config: ConsumerConfig) -> SavedConsumer {
        let messages = &self.state.messages;
        let all = [">".to_owned()];
        let filters = match config.filters() {
            [] => &all,
            filters => filters,
        };
        let mut beginning = Beginning::default();
        let before_first = messages.first_seq().saturating_sub(1);
        let start_after = match config.deliver_policy {
            DeliverPolicy::All => before_first,
            DeliverPolicy::New => self.tail_seq,
            // One message a subject is all that there is.
            DeliverPolicy::LastPerSubject if self.state.config.max_msgs_per_subject == 1 => {
                before_first
            }
            DeliverPolicy::LastPerSubject => {
                let seqs = messages.last_on_each(&Filter::of(filters));
                beginning = Beginning::new(seqs, messages.last_seq);
                beginning.first().map_or(messages.last_seq, |seq| seq - 1)
            }
            DeliverPolicy::ByStartSequence => (config.opt_start_seq - 1).max(before_first),
            DeliverPolicy::ByStartTime => {
                let since = json::parse_time(&config.opt_start_time)
                    .and_then(|time| messages.first_since(time));
                since.map_or(messages.last_seq, |seq| seq - 1)
            }
            DeliverPolicy::Last => {
                let last = filters.iter().filter_map(|filter| messages.last_on(filter));
                last.max().map_or(messages.last_seq, |seq| seq - 1)
            }
        };
        let id = self.state.next_consumer_id;
        SavedConsumer::new(id, config, json::now(), start_after).with_beginning(beginning)
    }

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
        }
        let waiting = self.waiting.entry(name.to_owned()).or_insert(fresh);
        let answer = describe_consumer(&self.state.config.name, consumer, Some(waiting));
        if created {
            self.advise_of_consumer(name, "create");
        }
        answer
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
        let (unheard, _) = tokio::sync::oneshot::channel();
        let change = Change::ConsumerSaved(Box::new(saved));
        self.change(change, false, Responder::Internal(unheard));
        self.batch
            .effects
            .push(Effect::Answer { answer, responder });
    }

    pub(super) fn consumer_info(&mut self, name: &str) -> Result<Value> {
        if let Some(waiting) = self.waiting.get_mut(name) {
            let router = &self.router;
            waiting
                .pulls
                .retain(|pull| router.has_interest(&pull.inbox));
            if let Some(push) = &mut waiting.push
                && push.look(router, Instant::now())
            {
                waiting.last_active = Instant::now();
            }
        }
        self.state
            .consumers
            .get(name)
            .map(|consumer| self.describe(consumer))
            .ok_or(error::CONSUMER_NOT_FOUND)
    }

    fn describe(&self, consumer: &Consumer) -> Value {
        let waiting = self.waiting.get(&consumer.config.name);
        describe_consumer(&self.state.config.name, consumer, waiting)
    }

    /// Tells those who wait for a consumer's messages that there will be none.
    pub(super) fn end_pulls(&mut self, consumer: &str) {
        if let Some(mut waiting) = self.waiting.remove(consumer) {
            for pull in waiting.pulls.drain() {
                self.router
                    .answer(&pull.inbox, &headers::status("409 Consumer Deleted"), &[]);
            }
        }
    }
}

fn is_never(time: &str) -> bool {
    time.is_empty() || time == json::time(0)
}
