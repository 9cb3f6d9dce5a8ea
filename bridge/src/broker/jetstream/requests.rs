//! API requests about one stream, answered by its task.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answers::{Responder, describe_stream};
use super::batch::Effect;
use super::consumer_requests::NamesInSubject;
use super::error::{self, Result};
use super::filter::Filter;
use super::json;
use super::state::{Change, MAX_SEQ};
use super::stream::Stream;
use super::stream_config::StreamConfig;
use super::usage::stream_configuration_size;
use crate::broker::store::record::Record;

/// The longest lists of one answer.
pub(super) const NAMES_PER_PAGE: usize = 1024;
pub(super) const INFOS_PER_PAGE: usize = 256;
const SUBJECTS_PER_PAGE: usize = 100_000;

/// A request about one stream.
#[derive(Debug)]
pub(super) enum Request {
    Info(Bytes),
    Configure(Box<StreamConfig>),
    Delete,
    Purge(Bytes),
    GetMessage(Bytes),
    DeleteMessage(Bytes),
    CreateConsumer { names: NamesInSubject, body: Bytes },
    PauseConsumer { name: String, body: Bytes },
    ResetConsumer { name: String, body: Bytes },
    UnpinConsumer { name: String, body: Bytes },
    ConsumerInfo(String),
    ConsumerNames(Bytes),
    ConsumerList(Bytes),
    DeleteConsumer(String),
}

impl Request {
    /// The consumer that it makes, changes or deletes.
    fn changed_consumer(&self) -> Option<&str> {
        match self {
            Request::CreateConsumer { names, .. } => names.consumer.as_deref(),
            Request::PauseConsumer { name, .. }
            | Request::ResetConsumer { name, .. }
            | Request::DeleteConsumer(name) => Some(name),
            _ => None,
        }
    }
}

/// Where a page of a list starts.
#[derive(Debug, Deserialize)]
pub(super) struct Offset {
    #[serde(default)]
    pub(super) offset: usize,
}

#[derive(Deserialize)]
struct InfoRequest {
    #[serde(default)]
    deleted_details: bool,
    #[serde(default)]
    subjects_filter: String,
    #[serde(default)]
    offset: usize,
}

#[derive(Deserialize)]
struct PurgeRequest {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    keep: u64,
    #[serde(default)]
    filter: String,
}

#[derive(Deserialize)]
struct DeleteRequest {
    #[serde(default)]
    seq: u64,
    /// Asked for by most clients: the bytes of a deleted message go when its segment does, and not before.
    #[serde(default, rename = "no_erase")]
    _no_erase: bool,
}

impl Stream {
    /// Answers a request, at once or when what it changes is on disk.
    pub(super) async fn answer(&mut self, request: Request, responder: Responder) {
        // What is on its way to the disk would undo what is asked for now, or the other way round.
        if request
            .changed_consumer()
            .is_some_and(|name| self.is_changing(name))
        {
            self.flush().await;
        }
        let result = match request {
            Request::Info(body) => self.info(&body),
            Request::Configure(config) => return self.configure(config, responder),
            Request::Purge(body) => return self.purge(&body, responder),
            Request::GetMessage(body) => self.get_message(&body).await,
            Request::DeleteMessage(body) => return self.delete_message(&body, responder),
            Request::CreateConsumer { names, body } => {
                return self.create_consumer(names, &body, responder);
            }
            Request::ResetConsumer { name, body } => {
                return self.reset_consumer(&name, &body, responder);
            }
            Request::UnpinConsumer { name, body } => self.unpin_consumer(&name, &body),
            Request::PauseConsumer { name, body } => {
                return self.pause_consumer(&name, &body, responder);
            }
            Request::ConsumerInfo(name) => self.consumer_info(&name),
            Request::ConsumerNames(body) => self.consumer_names(&body),
            Request::ConsumerList(body) => self.consumer_list(&body),
            Request::DeleteConsumer(name) => return self.delete_consumer(name, responder),
            Request::Delete => return self.delete(responder).await,
        };
        responder.send(result);
    }

    fn info(&self, body: &[u8]) -> Result<Value> {
        let request: InfoRequest = json::parse(body)?;
        let mut subjects = Vec::new();
        if !request.subjects_filter.is_empty() {
            let filter = Filter::of(&[&request.subjects_filter]);
            subjects.extend(self.state.messages.subjects(&filter));
        }
        let total = subjects.len();
        let offset = request.offset.min(total);
        let counts: Map<String, Value> = subjects
            .into_iter()
            .skip(offset)
            .take(SUBJECTS_PER_PAGE)
            .map(|(subject, count)| (subject.to_owned(), count.into()))
            .collect();
        let counts = Some(counts).filter(|counts| !counts.is_empty());
        let mut info = describe_stream(
            &self.state,
            self.router.domain(),
            request.deleted_details,
            counts,
        );
        if let Some(info) = info.as_object_mut() {
            let limit = if total > 0 { SUBJECTS_PER_PAGE } else { 0 };
            for (name, value) in [("total", total), ("offset", offset), ("limit", limit)] {
                info.insert(name.to_owned(), value.into());
            }
        }
        Ok(info)
    }

    fn configure(&mut self, config: Box<StreamConfig>, responder: Responder) {
        let current = &self.state.config;
        let checked = config
            .check_update_of(current)
            .and_then(|()| self.check_consumer_limits(&config))
            .and_then(|()| self.usage.check_reservation(&config, Some(current)))
            .and_then(|()| {
                let now = stream_configuration_size(&config);
                self.usage.check_configuration(self.configured(None), now)
            });
        match checked {
            Ok(()) => self.change(Change::Configured(config), false, responder),
            Err(refusal) => responder.send(Err(refusal)),
        }
    }

    /// Whether the consumers that there are stay within new limits for consumers.
    fn check_consumer_limits(&self, config: &StreamConfig) -> Result<()> {
        let limits = config.consumer_limits;
        if limits == self.state.config.consumer_limits {
            return Ok(());
        }
        let exceeds = |set: i64, max: i64| max > 0 && set > max;
        let consumers = self
            .state
            .consumers
            .values()
            .map(|consumer| &consumer.config);
        let beyond: Vec<&str> = consumers
            .filter(|consumer| {
                exceeds(consumer.inactive_threshold, limits.inactive_threshold)
                    || exceeds(consumer.max_ack_pending, limits.max_ack_pending)
            })
            .map(|consumer| consumer.name.as_str())
            .collect();
        if beyond.is_empty() {
            return Ok(());
        }
        Err(error::forbidden(
            10069,
            format!("change to limits violates consumers: {}", beyond.join(", ")),
        ))
    }

    fn purge(&mut self, body: &[u8], responder: Responder) {
        let config = &self.state.config;
        let request = match json::parse::<PurgeRequest>(body) {
            Ok(request) if request.seq > 0 && request.keep > 0 => Err(error::BAD_REQUEST),
            Ok(_) if config.sealed => Err(error::SEALED),
            Ok(_) if config.deny_purge => {
                Err(error::forbidden(10110, "stream purge not permitted"))
            }
            other => other,
        };
        let PurgeRequest { seq, keep, filter } = match request {
            Ok(request) => request,
            Err(refusal) => return responder.send(Err(refusal)),
        };
        let is_filtered = !filter.is_empty() && filter != ">";
        if !is_filtered && keep == 0 {
            let seq = match seq {
                0 => self.tail_seq + 1,
                seq => seq.min(MAX_SEQ),
            };
            self.tail_seq = self.tail_seq.max(seq - 1);
            self.batch.push(&Record::PurgedBelow { seq });
            let effect = Effect::RemoveBelow { seq, responder };
            return self.batch.add(effect);
        }
        let filter = if is_filtered {
            Filter::of(&[filter])
        } else {
            Filter::All
        };
        let below = Some(seq).filter(|seq| *seq > 0);
        let seqs = self.state.messages.to_purge(&filter, below, keep);
        for seq in &seqs {
            self.batch.push(&Record::Deleted { seq: *seq });
        }
        self.batch.add(Effect::Remove {
            seqs,
            purge: true,
            responder,
        });
    }

    fn delete_message(&mut self, body: &[u8], responder: Responder) {
        let config = &self.state.config;
        let request = match json::parse::<DeleteRequest>(body) {
            _ if json::is_empty(body) => Err(error::BAD_REQUEST),
            Ok(_) if config.sealed => Err(error::SEALED),
            Ok(_) if config.deny_delete => {
                Err(error::forbidden(10057, "message delete not permitted"))
            }
            Ok(request) if !self.state.messages.contains(request.seq) => {
                Err(error::sequence_not_found(request.seq))
            }
            other => other,
        };
        match request {
            Ok(DeleteRequest { seq, .. }) => {
                self.batch.push(&Record::Deleted { seq });
                self.batch.add(Effect::Remove {
                    seqs: vec![seq],
                    purge: false,
                    responder,
                });
            }
            Err(refusal) => responder.send(Err(refusal)),
        }
    }
}
