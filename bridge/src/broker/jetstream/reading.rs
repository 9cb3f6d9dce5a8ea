//! Reading messages of a stream by their sequence, subject or time: in JSON for the API, and as they are, one or several.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{self, Result};
use super::filter::Filter;
use super::json;
use super::stream::Stream;
use crate::broker::headers;
use crate::broker::store::record::{Record, StoredMessage};

/// The most messages that one request for the last messages on several subjects gets.
const MAX_MANY: usize = 1024;
/// The most bytes that a request for several messages gets when it sets no limit.
const MAX_BYTES: usize = 64 << 20;

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
    pub(super) async fn direct_get(&mut self, subject: Option<&str>, body: &[u8], inbox: &str) {
        if !self.state.config.allow_direct {
            return self.router.answer_no_responders(inbox);
        }
        if let Err(status) = self.try_direct_get(subject, body, inbox).await {
            self.router.answer(inbox, &headers::status(status), &[]);
        }
    }

    async fn try_direct_get(
        &mut self,
        subject: Option<&str>,
        body: &[u8],
        inbox: &str,
    ) -> std::result::Result<(), &'static str> {
        const NOT_FOUND: &str = "404 Message Not Found";
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
            return self.send_last_of_many(&request, inbox).await;
        }
        let from = self.start_of(&request).map_err(|_| NOT_FOUND)?;
        if request.batch > 0 {
            return self.send_batch(&request, from, inbox).await;
        }
        let found = self.find_message(&request, from).await;
        self.send_message(&found.map_err(|_| NOT_FOUND)?, request.no_hdr, None, inbox);
        Ok(())
    }

    /// Sends several messages that follow one another, and then says that these were all.
    async fn send_batch(
        &mut self,
        request: &GetRequest,
        from: u64,
        inbox: &str,
    ) -> std::result::Result<(), &'static str> {
        let filter = filter_of(&request.next_by_subj);
        let mut left = self.state.messages.count_wanted(from, &filter);
        let (mut next, mut last, mut bytes) = (from, 0, 0);
        for _ in 0..request.batch {
            let Some(seq) = self.state.messages.next_wanted(next, &filter) else {
                break;
            };
            let Ok(message) = self.read(seq).await else {
                break;
            };
            left = left.saturating_sub(1);
            self.send_message(&message, request.no_hdr, Some((left, last)), inbox);
            bytes += sent_bytes(&message);
            (next, last) = (seq + 1, seq);
            if bytes >= max_bytes(request) {
                break;
            }
        }
        if last == 0 {
            return Err("404 Message Not Found");
        }
        self.send_end(left, last, None, inbox);
        Ok(())
    }

    /// Sends the last message on each of several subjects, and then says that these were all.
    async fn send_last_of_many(
        &mut self,
        request: &GetRequest,
        inbox: &str,
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
        let (mut left, mut last, mut bytes) = (seqs.len() as u64, 0, 0);
        for seq in seqs.into_iter().take(limit) {
            let message = self.read(seq).await.map_err(|_| "404 Message Not Found")?;
            left -= 1;
            self.send_message(&message, false, Some((left, last)), inbox);
            bytes += sent_bytes(&message);
            last = seq;
            if bytes >= max_bytes(request) {
                break;
            }
        }
        self.send_end(left, last, Some(up_to), inbox);
        Ok(())
    }

    /// Sends a message with headers that say where it is stored; in a batch, also how many follow and which came before.
    fn send_message(
        &mut self,
        message: &StoredMessage,
        no_headers: bool,
        in_batch: Option<(u64, u64)>,
        inbox: &str,
    ) {
        if no_headers {
            let payload = &message.payload;
            return self
                .router
                .answer_with_others(inbox, &[], payload, &mut self.filled);
        }
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
        let headers = headers::extended(&message.headers, &origin);
        let payload = &message.payload;
        self.router
            .answer_with_others(inbox, &headers, payload, &mut self.filled);
    }

    fn send_end(&mut self, left: u64, last: u64, up_to: Option<u64>, inbox: &str) {
        let (left, last) = (left.to_string(), last.to_string());
        let mut origin = vec![
            ("Nats-Num-Pending", left.as_str()),
            ("Nats-Last-Sequence", &last),
        ];
        let up_to = up_to.map(|seq| seq.to_string());
        if let Some(seq) = &up_to {
            origin.push(("Nats-UpTo-Sequence", seq));
        }
        let end = headers::with_status("204 EOB", &origin);
        self.router
            .answer_with_others(inbox, &end, &[], &mut self.filled);
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
        match self.body(seq).await {
            Ok(Some(Record::Message(message))) => Ok(message),
            Ok(_) => Err(error::NO_MESSAGE),
            Err(error) => Err(error::store_failed(&error)),
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

fn sent_bytes(message: &StoredMessage) -> usize {
    message.subject.len() + message.headers.len() + message.payload.len()
}
