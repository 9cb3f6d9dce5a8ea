//! Reading single messages of a stream by their sequence or subject.

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

#[derive(Deserialize)]
struct GetRequest {
    seq: Option<u64>,
    last_by_subj: Option<String>,
    next_by_subj: Option<String>,
}

impl Stream {
    /// Answers with a message in JSON.
    pub(super) async fn get_message(&mut self, body: &[u8]) -> Result<Value> {
        let message = self.find_message(json::parse(body)?).await?;
        let mut answer = json!({"subject": message.subject, "seq": message.seq, "time": json::time(message.time)});
        if let Some(answer) = answer.as_object_mut() {
            for (name, bytes) in [("data", &message.payload), ("hdrs", &message.headers)] {
                if !bytes.is_empty() {
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
        let request = match subject {
            Some(subject) => Ok(GetRequest {
                seq: None,
                last_by_subj: Some(subject.to_owned()),
                next_by_subj: None,
            }),
            None if body.trim_ascii().is_empty() => Err("408 Empty Request"),
            None => json::parse(body).map_err(|_| "408 Bad Request"),
        };
        let request = match request {
            Ok(request) => request,
            Err(status) => return self.router.answer(inbox, &headers::status(status), &[]),
        };
        let Ok(message) = self.find_message(request).await else {
            return self
                .router
                .answer(inbox, &headers::status("404 Message Not Found"), &[]);
        };
        let origin = [
            ("Nats-Stream", self.state.config.name.as_str()),
            ("Nats-Subject", &message.subject),
            ("Nats-Sequence", &message.seq.to_string()),
            ("Nats-Time-Stamp", &json::time(message.time)),
        ];
        self.router.answer(
            inbox,
            &headers::extended(&message.headers, &origin),
            &message.payload,
        );
    }

    async fn find_message(&mut self, request: GetRequest) -> Result<StoredMessage> {
        let messages = &self.state.messages;
        let seq = match request {
            GetRequest {
                next_by_subj: Some(pattern),
                seq,
                ..
            } => messages.next_wanted(seq.unwrap_or(0), &Filter::of(&[pattern])),
            GetRequest {
                last_by_subj: Some(pattern),
                ..
            } => messages.last_on(&pattern),
            GetRequest { seq: Some(seq), .. } => messages.contains(seq).then_some(seq),
            GetRequest { .. } => {
                return Err(error::bad_request("a sequence or a subject is required"));
            }
        };
        match self.body(seq.ok_or(error::NO_MESSAGE)?).await {
            Ok(Some(Record::Message(message))) => Ok(message),
            Ok(_) => Err(error::NO_MESSAGE),
            Err(error) => Err(error::store_failed(&error)),
        }
    }
}
