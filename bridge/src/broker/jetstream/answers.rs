//! Answers of the API: who gets them, and the descriptions of streams and consumers that go into them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::advisories::Audit;
use super::consumer::{Consumer, Progress};
use super::deliver::Waiting;
use super::domain::{Domain, mark};
use super::error::Result;
use super::json;
use super::priority;
use super::push::Push;
use super::state::State;
use super::usage::Usage;
use super::versions;
use crate::broker::router::Router;

/// The type of an answer that has a message in it.
pub(super) const MESSAGE: &str = "stream_msg_get_response";

/// Who waits for the answer to a request.
#[derive(Debug)]
pub(super) enum Responder {
    /// A client; `kind` is the type of the answer.
    Client {
        router: Arc<Router>,
        inbox: Box<str>,
        kind: &'static str,
        usage: Arc<Usage>,
        audit: Option<Box<Audit>>,
    },
    /// Another part of the broker.
    Internal(oneshot::Sender<Result<Value>>),
    /// Another one, with a member more if the answer is no refusal.
    With(Box<Responder>, &'static str, Value),
}

impl Responder {
    /// One for what nobody asked for.
    pub(super) fn nobody() -> Self {
        Responder::Internal(oneshot::channel().0)
    }

    /// Has an answer say this too.
    pub(super) fn with(self, name: &'static str, member: Value) -> Self {
        Responder::With(Box::new(self), name, member)
    }

    pub(super) fn send(self, result: Result<Value>) {
        match self {
            Responder::Internal(waiting) => {
                let _ = waiting.send(result);
            }
            Responder::With(responder, name, member) => {
                responder.send(result.map(|mut answer| {
                    json::set(&mut answer, name, member);
                    answer
                }));
            }
            Responder::Client {
                router,
                inbox,
                kind,
                usage,
                audit,
            } => {
                // Who may hear of requests may not know what is stored.
                let shows_message = kind == MESSAGE && result.is_ok();
                let mut answer = Map::new();
                answer.insert(
                    "type".to_owned(),
                    format!("io.nats.jetstream.api.v1.{kind}").into(),
                );
                match result {
                    Ok(Value::Object(members)) => {
                        answer.extend(members);
                        versions::mark(&mut answer);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        usage.refusals.fetch_add(1, Ordering::Relaxed);
                        answer.insert("error".to_owned(), json!(error));
                    }
                }
                let answer = Value::Object(answer).to_string();
                router.answer(&inbox, &[], answer.as_bytes());
                if let Some(audit) = audit.filter(|_| !shows_message) {
                    audit.publish(&router, &answer);
                }
            }
        }
    }
}

/// A stream as the API describes it. `subjects` are those to list with their counts.
pub(super) fn describe_stream(
    state: &State,
    domain: Option<&Domain>,
    deleted: bool,
    subjects: Option<Map<String, Value>>,
) -> Value {
    let messages = &state.messages;
    let mut counts = json!({
        "messages": messages.len(),
        "bytes": messages.bytes,
        "first_seq": messages.first_seq(),
        "first_ts": json::time(messages.first_time()),
        "last_seq": messages.last_seq,
        "last_ts": json::time(messages.last_time),
        "consumer_count": state.consumers.len(),
    });
    if let Some(counts) = counts.as_object_mut() {
        if messages.subject_count() > 0 {
            counts.insert("num_subjects".to_owned(), messages.subject_count().into());
        }
        if messages.deleted_count() > 0 {
            counts.insert("num_deleted".to_owned(), messages.deleted_count().into());
            if deleted {
                counts.insert("deleted".to_owned(), messages.deleted(100_000).into());
            }
        }
        if let Some(subjects) = subjects {
            counts.insert("subjects".to_owned(), Value::Object(subjects));
        }
    }
    let mut info = json!({
        "config": &state.config,
        "created": json::time(state.created),
        "state": counts,
        "ts": json::time(json::now()),
    });
    mark(domain, &mut info);
    info
}

/// A consumer as the API describes it, with what its clients wait for.
pub(super) fn describe_consumer(
    stream: &str,
    consumer: &Consumer,
    waiting: Option<&Waiting>,
) -> Value {
    let progress = |progress: Progress, last: Option<i64>| {
        let mut progress =
            json!({"consumer_seq": progress.consumer_seq, "stream_seq": progress.stream_seq});
        if let Some(last) = last {
            json::set(&mut progress, "last_active", json::time(last));
        }
        progress
    };
    let mut info = json!({
        "stream_name": stream,
        "name": consumer.config.name,
        "created": json::time(consumer.created),
        "config": consumer.config,
        "delivered": progress(consumer.delivered, consumer.last_delivery),
        "ack_floor": progress(consumer.ack_floor, consumer.last_ack),
        "num_ack_pending": consumer.num_ack_pending(),
        "num_redelivered": consumer.num_redelivered(),
        "num_waiting": waiting.map_or(0, |waiting| waiting.pulls.len()),
        "num_pending": consumer.num_pending,
        "ts": json::time(json::now()),
    });
    if waiting
        .and_then(|waiting| waiting.push.as_ref())
        .is_some_and(Push::is_active)
    {
        json::set(&mut info, "push_bound", true);
    }
    if let Some(groups) = priority::describe(consumer, waiting) {
        json::set(&mut info, "priority_groups", groups);
    }
    if let Some(left) = consumer.config.pause_left(json::now()) {
        json::set(&mut info, "paused", true);
        json::set(&mut info, "pause_remaining", nanos(left));
    }
    info
}

/// A duration as the API has it.
pub(super) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// One page of a list, as the API's lists are: its members under `name`.
pub(super) fn page(name: &str, items: Vec<Value>, offset: usize, limit: usize) -> Value {
    let total = items.len();
    let offset = offset.min(total);
    let items: Vec<Value> = items.into_iter().skip(offset).take(limit).collect();
    let mut page = Map::new();
    page.insert("total".to_owned(), total.into());
    page.insert("offset".to_owned(), offset.into());
    page.insert("limit".to_owned(), limit.into());
    page.insert(name.to_owned(), Value::Array(items));
    Value::Object(page)
}
