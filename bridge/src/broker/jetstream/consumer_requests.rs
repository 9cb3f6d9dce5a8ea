//! API requests about the consumers of one stream, answered by the stream's task.

use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::answers::{Responder, describe_consumer, page};
use super::beginning::Beginning;
use super::consumer::{Consumer, SavedConsumer};
use super::consumer_config::{AckPolicy, ConsumerConfig, DeliverPolicy};
use super::error::{self, Result};
use super::filter::Filter;
use super::json;
use super::requests::{INFOS_PER_PAGE, NAMES_PER_PAGE, Offset, Request};
use super::state::Change;
use super::stream::Stream;
use super::stream_config::{RetentionPolicy, limit};
use super::usage::configuration_size;
use crate::broker::{headers, subjects};

/// How many consumers a stream has at most.
pub(super) const MAX_CONSUMERS: u64 = 10_000;

/// What the subject of a request says about the consumer to be made.
#[derive(Debug, Default)]
pub(super) struct NamesInSubject {
    pub(super) consumer: Option<String>,
    pub(super) filter: Option<String>,
    /// The subject is that of an older request, for durable consumers alone.
    pub(super) is_durable: bool,
}

#[derive(Deserialize)]
struct CreateConsumerRequest {
    #[serde(default)]
    stream_name: String,
    config: ConsumerConfig,
    #[serde(default)]
    action: String,
    #[serde(default)]
    pedantic: bool,
}

/// The type of the answer to a request about a stream's consumers, and the request; `None` when there is no such
/// operation. `names` is what the subject says behind the stream.
pub(super) fn about_consumer(
    operation: &str,
    names: &str,
    body: Bytes,
) -> Option<(&'static str, Request)> {
    let name = names.to_owned();
    Some(match operation {
        "CONSUMER.CREATE" | "CONSUMER.DURABLE.CREATE" => {
            let (consumer, filter) = match names.split_once('.') {
                Some((name, filter)) => (Some(name.to_owned()), Some(filter.to_owned())),
                None => (Some(name).filter(|name| !name.is_empty()), None),
            };
            let names = NamesInSubject {
                consumer,
                filter,
                is_durable: operation == "CONSUMER.DURABLE.CREATE",
            };
            let request = Request::CreateConsumer { names, body };
            ("consumer_create_response", request)
        }
        "CONSUMER.PAUSE" => {
            let request = Request::PauseConsumer { name, body };
            ("consumer_pause_response", request)
        }
        "CONSUMER.RESET" => {
            let request = Request::ResetConsumer { name, body };
            ("consumer_reset_response", request)
        }
        "CONSUMER.UNPIN" => {
            let request = Request::UnpinConsumer { name, body };
            ("consumer_unpin_response", request)
        }
        "CONSUMER.INFO" => ("consumer_info_response", Request::ConsumerInfo(name)),
        "CONSUMER.NAMES" => ("consumer_names_response", Request::ConsumerNames(body)),
        "CONSUMER.LIST" => ("consumer_list_response", Request::ConsumerList(body)),
        "CONSUMER.DELETE" => ("consumer_delete_response", Request::DeleteConsumer(name)),
        _ => return None,
    })
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
        let (config, action) = match checked {
            Ok(checked) => checked,
            Err(refusal) => return responder.send(Err(refusal)),
        };
        let size = configuration_size(&config);
        let room = self
            .usage
            .check_configuration(self.configured(Some(&config.name)), size);
        let existing = self.state.consumers.get(&config.name);
        let refusal = match existing {
            Some(existing) if existing.config == config => {
                return responder.send(Ok(self.describe(existing)));
            }
            Some(_) if action == "create" => Err(error::CONSUMER_EXISTS),
            Some(existing) => self.check_update(&config, existing).and(room),
            None if action == "update" => Err(error::CONSUMER_DOES_NOT_EXIST),
            None => self.check_count().and(room),
        };
        if let Err(refusal) = refusal {
            return responder.send(Err(refusal));
        }
        let (saved, created) = match existing {
            Some(existing) => {
                let mut saved = existing.save();
                saved.config = config;
                (saved, false)
            }
            None => {
                let saved = self.start(config);
                self.state.next_consumer_id += 1;
                (saved, true)
            }
        };
        self.change(Change::ConsumerSaved(Box::new(saved)), created, responder);
    }

    /// Whether there may be one consumer more. Those that lists leave out count for the server alone.
    pub(super) fn check_count(&self) -> Result<()> {
        let being_made = self.consumers_being_made();
        let consumers = self.state.consumers.len() + being_made;
        let others = self.listed().count() + being_made;
        let limit = limit(self.state.config.max_consumers).unwrap_or(MAX_CONSUMERS);
        if consumers as u64 >= MAX_CONSUMERS || others as u64 >= limit {
            return Err(error::TOO_MANY_CONSUMERS);
        }
        Ok(())
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
        let limits = &self.state.config.consumer_limits;
        if request.pedantic {
            config.check_pedantically(limits)?;
        }
        let mut config = config.checked(limits)?;
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
        if self.state.config.retention != RetentionPolicy::WorkQueue || config.direct {
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
                let seqs = messages.last_of_each(&Filter::of(filters), 0, u64::MAX);
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

    pub(super) fn consumer_info(&mut self, name: &str) -> Result<Value> {
        if let Some(waiting) = self.waiting.get_mut(name) {
            let router = &self.router;
            waiting.forget_gone(router);
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
