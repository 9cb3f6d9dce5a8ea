//! Reading messages of a stream by their sequence, subject or time: in JSON for the API, and as they are, one or several.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::batch_gets::{BatchGet, Wanted};
use super::error::{self, Result};
use super::filter::Filter;
use super::json;
use super::messages::search::{SEARCH_STEP, Search};
use super::stream::Stream;
use crate::broker::headers;
use crate::broker::store::record::StoredMessage;

/// The most messages that one request for the last messages on several subjects gets.
const MAX_MANY: usize = 1024;
/// The most bytes that a request for several messages gets when it sets no limit.
const MAX_BYTES: usize = 64 << 20;

pub(super) const NOT_FOUND: &str = "404 Message Not Found";
/// A message is there and cannot be read; the log says why.
pub(super) const UNREADABLE: &str = "500 Message Cannot Be Read";

/// Which messages a request is for. Zero and empty mean that it does not say.
#[derive(Default, Deserialize)]
#[serde(default)]
struct GetRequest {
    seq: u64,
    last_by_subj: String,
    next_by_subj: String,
    batch: usize,
    max_bytes: usize,
    start_time: Option<String>,
    multi_last: Vec<String>,
    up_to_seq: u64,
    up_to_time: Option<String>,
    no_hdr: bool,
}

impl GetRequest {
    fn is_empty(&self) -> bool {
        self.seq == 0
            && self.last_by_subj.is_empty()
            && self.next_by_subj.is_empty()
            && self.multi_last.is_empty()
            && self.start_time.is_none()
    }

    /// Whether it asks for one thing in two ways.
    fn is_contradictory(&self) -> bool {
        let (last, next) = (!self.last_by_subj.is_empty(), !self.next_by_subj.is_empty());
        let (many, timed) = (!self.multi_last.is_empty(), self.start_time.is_some());
        (self.seq > 0 && (last || timed))
            || (last && (timed || next || many || self.batch > 0))
            || (next && many)
            || (self.up_to_seq > 0 && self.up_to_time.is_some())
    }
}

impl Stream {
    /// Answers with a message in JSON.
    pub(super) async fn get_message(&mut self, body: &[u8]) -> Result<Value> {
        let request: GetRequest = json::parse(body)?;
        let is_wrong = request.is_empty() || request.is_contradictory();
        let asks_for_many = request.batch > 0 || request.max_bytes > 0;
        if is_wrong || asks_for_many || !request.multi_last.is_empty() {
            return Err(error::BAD_REQUEST);
        }
        let no_headers = request.no_hdr;
        let from = self.start_of(&request)?;
        let message = self.find_message(&request, from).await?;
        let mut answer = json!({"subject": message.subject, "seq": message.seq, "time": json::time(message.time)});
        if let Some(answer) = answer.as_object_mut() {
            for (name, bytes) in [("data", &message.payload), ("hdrs", &message.headers)] {
                let is_left_out = name == "hdrs" && no_headers;
                if !bytes.is_empty() && !is_left_out {
                    answer.insert(name.to_owned(), BASE64_STANDARD.encode(bytes).into());
                }
            }
        }
        Ok(json!({"message": answer}))
    }

    /// Answers with the message itself, as streams that allow direct reading do.
    pub(super) async fn direct_get(
        &mut self,
        subject: Option<&str>,
        body: &[u8],
        inbox: &str,
        asker: u64,
    ) {
        if !self.state.config.allow_direct {
            return self.router.answer_no_responders(inbox);
        }
        // Of what nobody hears nothing is read.
        if self.router.has_interest(inbox)
            && let Err(status) = self.try_direct_get(subject, body, inbox, asker).await
        {
            self.router.answer(inbox, &headers::status(status), &[]);
        }
    }

    async fn try_direct_get(
        &mut self,
        subject: Option<&str>,
        body: &[u8],
        inbox: &str,
        asker: u64,
    ) -> std::result::Result<(), &'static str> {
        if subject.is_none() && body.trim_ascii().is_empty() {
            return Err("408 Empty Request");
        }
        let mut request: GetRequest = json::parse(body).map_err(|_| "408 Malformed Request")?;
        match subject {
            Some("") => return Err("408 Bad Request"),
            Some(_) if !request.is_empty() || request.batch > 0 || request.up_to_seq > 0 => {
                return Err("408 Bad Request");
            }
            Some(subject) => request.last_by_subj = subject.to_owned(),
            None if request.is_empty() => return Err("408 Empty Request"),
            None => {}
        }
        if request.is_contradictory() {
            return Err("408 Bad Request");
        }
        if !request.multi_last.is_empty() {
            return self.get_last_of_many(&request, inbox, asker);
        }
        let from = self.start_of(&request).map_err(|_| NOT_FOUND)?;
        if request.batch > 0 {
            let filter = filter_of(&request.next_by_subj);
            return self.begin_batch_get(BatchGet {
                inbox: inbox.into(),
                asker,
                pending: None,
                wanted: Wanted::Following {
                    filter,
                    from,
                    count: request.batch,
                },
                no_headers: request.no_hdr,
                is_single: false,
                bytes: max_bytes(&request),
                last: 0,
                paused_until: None,
            });
        }
        let found = match request.next_by_subj.as_str() {
            "" => self.find_message(&request, from).await,
            pattern => {
                let filter = filter_of(pattern);
                match self.state.messages.search(from, &filter, SEARCH_STEP) {
                    Search::Found(seq) => self.read(seq).await,
                    Search::Nothing => Err(error::NO_MESSAGE),
                    Search::Further(from) => {
                        return self.begin_batch_get(BatchGet {
                            inbox: inbox.into(),
                            asker,
                            pending: Some(1),
                            wanted: Wanted::Following {
                                filter,
                                from,
                                count: 1,
                            },
                            no_headers: request.no_hdr,
                            is_single: true,
                            bytes: usize::MAX,
                            last: 0,
                            paused_until: None,
                        });
                    }
                }
            }
        };
        let message = match found {
            Ok(message) => message,
            Err(refusal) if refusal == error::NO_MESSAGE => return Err(NOT_FOUND),
            Err(_) => return Err(UNREADABLE),
        };
        let headers = match request.no_hdr {
            true => Bytes::new(),
            false => self.with_origin(&message, None),
        };
        let payload = &message.payload;
        self.router
            .answer_with_others(inbox, &headers, payload, &mut self.filled);
        Ok(())
    }

    /// Begins to send the last message on each of several subjects.
    fn get_last_of_many(
        &mut self,
        request: &GetRequest,
        inbox: &str,
        asker: u64,
    ) -> std::result::Result<(), &'static str> {
        let messages = &self.state.messages;
        let mut up_to = request.up_to_seq;
        if let Some(time) = request.up_to_time.as_deref() {
            let time = json::parse_time(time).ok_or("408 Malformed Request")?;
            let behind = messages
                .first_since(time)
                .unwrap_or(messages.last_seq.saturating_add(1));
            if behind <= messages.first_seq() {
                return Err("404 No Results");
            }
            up_to = behind - 1;
        }
        if up_to == 0 {
            up_to = messages.last_seq;
        }
        let filter = Filter::of(&request.multi_last);
        let seqs = messages.last_of_each(&filter, request.seq, up_to);
        if seqs.len() > MAX_MANY {
            return Err("413 Too Many Results");
        }
        if seqs.is_empty() {
            return Err("404 No Results");
        }
        let limit = if request.batch > 0 {
            request.batch
        } else {
            MAX_MANY
        };
        let pending = seqs.len() as u64;
        let listed: Vec<u64> = seqs.into_iter().take(limit).collect();
        self.begin_batch_get(BatchGet {
            inbox: inbox.into(),
            asker,
            wanted: Wanted::Listed {
                seqs: listed.into_iter(),
                up_to,
            },
            no_headers: false,
            is_single: false,
            pending: Some(pending),
            bytes: max_bytes(request),
            last: 0,
            paused_until: None,
        })
    }

    /// The headers of a message with others that say where it is stored; in a batch, also how many follow and which came before.
    pub(super) fn with_origin(
        &self,
        message: &StoredMessage,
        in_batch: Option<(u64, u64)>,
    ) -> Bytes {
        let (seq, time) = (message.seq.to_string(), json::time(message.time));
        let mut origin = vec![
            ("Nats-Stream", self.state.config.name.as_str()),
            ("Nats-Subject", &message.subject),
            ("Nats-Sequence", &seq),
            ("Nats-Time-Stamp", &time),
        ];
        let in_batch = in_batch.map(|(left, last)| (left.to_string(), last.to_string()));
        if let Some((left, last)) = &in_batch {
            origin.push(("Nats-Num-Pending", left));
            origin.push(("Nats-Last-Sequence", last));
        }
        headers::extended(&message.headers, &origin)
    }

    /// The sequence that a request starts from.
    fn start_of(&self, request: &GetRequest) -> Result<u64> {
        let Some(time) = request.start_time.as_deref() else {
            return Ok(request.seq);
        };
        let time = json::parse_time(time)
            .ok_or_else(|| error::invalid_json("`start_time` is no time as RFC 3339 has it"))?;
        let since = self.state.messages.first_since(time);
        Ok(since.unwrap_or(self.state.messages.last_seq + 1))
    }

    async fn find_message(&mut self, request: &GetRequest, from: u64) -> Result<StoredMessage> {
        let messages = &self.state.messages;
        let seq = if !request.next_by_subj.is_empty() {
            messages.next_wanted(from, &filter_of(&request.next_by_subj))
        } else if from > 0 {
            Some(from).filter(|seq| messages.contains(*seq))
        } else {
            messages.last_on(&request.last_by_subj)
        };
        self.read(seq.ok_or(error::NO_MESSAGE)?).await
    }

    pub(super) async fn read(&mut self, seq: u64) -> Result<StoredMessage> {
        if !self.state.messages.contains(seq) {
            return Err(error::NO_MESSAGE);
        }
        match self.message(seq).await {
            Ok(message) => message.ok_or(error::NO_MESSAGE),
            Err(error) => Err(error::read_failed(&error)),
        }
    }
}

fn filter_of(pattern: &str) -> Filter {
    match pattern {
        "" => Filter::All,
        pattern => Filter::of(&[pattern]),
    }
}

fn max_bytes(request: &GetRequest) -> usize {
    match request.max_bytes {
        0 => MAX_BYTES,
        bytes => bytes,
    }
}
