//! API requests about the consumers of one stream, answered by the stream's task.

use serde::Deserialize;
use serde_json::Value;

use super::answers::{Responder, describe_consumer, page};
use super::consumer::{Consumer, SavedConsumer};
use super::consumer_config::{ConsumerConfig, DeliverPolicy};
use super::error::{self, Result};
use super::json;
use super::requests::{INFOS_PER_PAGE, NAMES_PER_PAGE, Offset};
use super::state::Change;
use super::stream::Stream;
use super::stream_config::limit;

/// How many consumers a stream has that sets no limit.
const MAX_CONSUMERS: u64 = 10_000;

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
        let names = self.state.consumers.keys();
        let names = names.map(|name| name.clone().into()).collect();
        Ok(page("consumers", names, offset, NAMES_PER_PAGE))
    }

    pub(super) fn consumer_list(&self, body: &[u8]) -> Result<Value> {
        let Offset { offset } = json::parse(body)?;
        let consumers = self.state.consumers.values();
        let infos = consumers.map(|consumer| self.describe(consumer)).collect();
        Ok(page("consumers", infos, offset, INFOS_PER_PAGE))
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
        name: Option<String>,
        filter: Option<String>,
        body: &[u8],
        responder: Responder,
    ) {
        let checked =
            json::parse(body).and_then(|request| self.check_consumer(name, filter, request));
        let config = match checked {
            Ok((config, action)) => match self.state.consumers.get(&config.name) {
                Some(existing) if existing.config == config => {
                    return responder.send(Ok(self.describe(existing)));
                }
                Some(_) if action == "create" => {
                    return responder.send(Err(error::CONSUMER_EXISTS));
                }
                Some(existing) => {
                    if let Err(refusal) = config.check_update_of(&existing.config) {
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
        if self.state.consumers.len() as u64
            >= limit(self.state.config.max_consumers).unwrap_or(MAX_CONSUMERS)
        {
            return responder.send(Err(error::TOO_MANY_CONSUMERS));
        }
        let start_after = self.start_after(&config);
        let id = self.state.next_consumer_id;
        self.state.next_consumer_id += 1;
        let saved = SavedConsumer::new(id, config, json::now(), start_after);
        self.change(Change::ConsumerSaved(Box::new(saved)), true, responder);
    }

    fn check_consumer(
        &self,
        name: Option<String>,
        filter: Option<String>,
        request: CreateConsumerRequest,
    ) -> Result<(ConsumerConfig, String)> {
        if !request.stream_name.is_empty() && request.stream_name != self.state.config.name {
            return Err(error::STREAM_MISMATCH);
        }
        let mut config = request.config;
        if let Some(name) = name {
            let given = [&config.name, &config.durable_name];
            if given
                .iter()
                .any(|given| !given.is_empty() && ***given != *name)
            {
                return Err(error::NAME_MISMATCH);
            }
            config.name = name;
        }
        if filter.is_some_and(|filter| filter != config.filter_subject) {
            return Err(error::FILTER_MISMATCH);
        }
        Ok((config.checked()?, request.action))
    }

    /// The sequence behind which a new consumer starts.
    fn start_after(&self, config: &ConsumerConfig) -> u64 {
        let messages = &self.state.messages;
        let filters = config.filters();
        match config.deliver_policy {
            DeliverPolicy::All | DeliverPolicy::LastPerSubject => {
                messages.first_seq().saturating_sub(1)
            }
            DeliverPolicy::New => self.tail_seq,
            DeliverPolicy::ByStartSequence => config.opt_start_seq - 1,
            DeliverPolicy::ByStartTime => {
                let since = json::parse_time(&config.opt_start_time)
                    .and_then(|time| messages.first_since(time));
                since.map_or(messages.last_seq, |seq| seq - 1)
            }
            DeliverPolicy::Last => {
                let last = if filters.is_empty() {
                    messages.last_on(">")
                } else {
                    filters
                        .iter()
                        .filter_map(|filter| messages.last_on(filter))
                        .max()
                };
                last.map_or(messages.last_seq, |seq| seq - 1)
            }
        }
    }

    pub(super) fn consumer_info(&mut self, name: &str) -> Result<Value> {
        if let Some(waiting) = self.waiting.get_mut(name) {
            let router = &self.router;
            waiting
                .pulls
                .retain(|pull| router.has_interest(&pull.inbox));
        }
        self.state
            .consumers
            .get(name)
            .map(|consumer| self.describe(consumer))
            .ok_or(error::CONSUMER_NOT_FOUND)
    }

    fn describe(&self, consumer: &Consumer) -> Value {
        let num_waiting = self
            .waiting
            .get(&consumer.config.name)
            .map_or(0, |waiting| waiting.pulls.len());
        describe_consumer(&self.state.config.name, consumer, num_waiting)
    }
}
