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
use super::state::Change;
use super::stream::Stream;
use super::stream_config::StreamConfig;
use crate::broker::store::record::Record;

/// The longest lists of one answer.
pub(super) const NAMES_PER_PAGE: usize = 1024;
pub(super) const INFOS_PER_PAGE: usize = 256;
const SUBJECTS_PER_PAGE: usize = 100_000;

/// A request about one stream.
#[derive(Debug)]
pub(super) enum Request {
    Info(Bytes),
    Configure(StreamConfig),
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
    seq: Option<u64>,
    keep: Option<u64>,
    #[serde(default)]
    filter: String,
}

#[derive(Deserialize)]
struct DeleteRequest {
    seq: u64,
}

impl Stream {
    /// Answers a request, at once or when what it changes is on disk.
    pub(super) async fn answer(&mut self, request: Request, responder: Responder) {
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
            Request::Delete => Err(error::BUSY),
        };
        responder.send(result);
    }

    fn info(&self, body: &[u8]) -> Result<Value> {
        let request: InfoRequest = json::parse(body)?;
        if request.subjects_filter.is_empty() {
            return Ok(describe_stream(&self.state, request.deleted_details, None));
        }
        let filter = Filter::of(&[&request.subjects_filter]);
        let mut subjects: Vec<_> = self
            .state
            .messages
            .subjects()
            .filter(|(subject, _)| filter.takes(subject))
            .collect();
        subjects.sort_unstable();
        let total = subjects.len();
        let counts = subjects
            .into_iter()
            .skip(request.offset)
            .take(SUBJECTS_PER_PAGE);
        let counts: Map<String, Value> = counts
            .map(|(subject, count)| (subject.to_owned(), count.into()))
            .collect();
        let mut info = describe_stream(&self.state, request.deleted_details, Some(counts));
        if let Some(info) = info.as_object_mut() {
            info.insert("total".to_owned(), total.into());
            info.insert("offset".to_owned(), request.offset.into());
            info.insert("limit".to_owned(), SUBJECTS_PER_PAGE.into());
        }
        Ok(info)
    }

    fn configure(&mut self, config: StreamConfig, responder: Responder) {
        match config.check_update_of(&self.state.config) {
            Ok(()) => self.change(Change::Configured(Box::new(config)), false, responder),
            Err(refusal) => responder.send(Err(refusal)),
        }
    }

    fn purge(&mut self, body: &[u8], responder: Responder) {
        let request = match json::parse::<PurgeRequest>(body) {
            Ok(_) if self.state.config.deny_purge => {
                return responder.send(Err(error::forbidden(10110, "stream purge not permitted")));
            }
            Ok(request) if request.seq.is_some() && request.keep.is_some() => {
                return responder.send(Err(error::bad_request(
                    "sequence and keep can not both be given",
                )));
            }
            Ok(request) => request,
            Err(refusal) => return responder.send(Err(refusal)),
        };
        let everything = request.filter.is_empty() && request.keep.is_none();
        if everything {
            let seq = request.seq.unwrap_or(u64::MAX).min(self.tail_seq + 1);
            self.batch.push(&Record::PurgedBelow { seq });
            self.batch
                .effects
                .push(Effect::RemoveBelow { seq, responder });
            return;
        }
        let patterns: Vec<&str> = [request.filter.as_str()]
            .into_iter()
            .filter(|filter| !filter.is_empty())
            .collect();
        let seqs = self.state.messages.to_purge(
            &Filter::of(&patterns),
            request.seq,
            request.keep.unwrap_or(0),
        );
        for seq in &seqs {
            self.batch.push(&Record::Deleted { seq: *seq });
        }
        self.batch.effects.push(Effect::Remove {
            seqs,
            purge: true,
            responder,
        });
    }

    fn delete_message(&mut self, body: &[u8], responder: Responder) {
        match json::parse::<DeleteRequest>(body) {
            Ok(_) if self.state.config.deny_delete => {
                responder.send(Err(error::forbidden(10057, "message delete not permitted")))
            }
            Ok(DeleteRequest { seq }) if self.state.messages.contains(seq) => {
                self.batch.push(&Record::Deleted { seq });
                self.batch.effects.push(Effect::Remove {
                    seqs: vec![seq],
                    purge: false,
                    responder,
                });
            }
            Ok(DeleteRequest { seq }) => responder.send(Err(error::sequence_not_found(seq))),
            Err(refusal) => responder.send(Err(refusal)),
        }
    }
}
