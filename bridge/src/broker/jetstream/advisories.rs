//! What the server tells anyone who listens of its streams, their consumers and messages: subjects below `$JS.EVENT`.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::acks::AckSubject;
use super::consumer::Exhausted;
use super::domain::mark;
use super::json;
use super::stream::Stream;
use super::stream_config::StreamConfig;
use crate::broker::protocol::Message;
use crate::broker::router::Router;
use crate::broker::subjects;

/// Who gets an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Audience {
    /// Subscribers, and the stream that takes its subject.
    All,
    /// Subscribers alone.
    Subscribers,
}

impl Audience {
    /// Who gets events about the messages of a stream. Those of one that itself takes events are for no stream: each event
    /// that is stored could bring about the next.
    pub(super) fn of(config: &StreamConfig) -> Self {
        let takes_events = |subject: &String| subjects::overlap(subject, "$JS.EVENT.>");
        if config.subjects.iter().any(takes_events) {
            Audience::Subscribers
        } else {
            Audience::All
        }
    }
}

/// Where each request of a client to the API is told of, with the answer.
pub(super) const AUDIT: &str = "$JS.EVENT.ADVISORY.API";

/// Larger answers are not told.
const MAX_AUDITED: usize = 1 << 20;

/// A request to the API that somebody wants to hear of when it is answered.
#[derive(Debug)]
pub(super) struct Audit {
    pub(super) server: Arc<str>,
    /// The client, if it is still there.
    pub(super) client: Option<Value>,
    /// The subject without `$JS.API.`.
    pub(super) subject: Box<str>,
    pub(super) request: Bytes,
}

impl Audit {
    pub(super) fn publish(&self, router: &Router, response: &str) {
        if response.len() > MAX_AUDITED {
            return;
        }
        let mut members = json!({
            "server": &*self.server,
            "client": self.client,
            "subject": format!("$JS.API.{}", self.subject),
            "response": response,
        });
        if !self.request.is_empty() {
            let request = String::from_utf8_lossy(&self.request);
            json::set(&mut members, "request", request);
        }
        publish(
            router,
            Audience::All,
            AUDIT,
            "advisory.v1.api_audit",
            &members,
        );
    }
}

/// Publishes an event of this type with these members, if anyone listens.
pub(super) fn publish(
    router: &Router,
    audience: Audience,
    subject: &str,
    kind: &str,
    members: &Value,
) {
    let is_heard = match audience {
        Audience::All => router.is_heard(subject),
        Audience::Subscribers => router.has_interest(subject),
    };
    if !is_heard {
        return;
    }
    let mut event = Map::new();
    let kind = format!("io.nats.jetstream.{kind}");
    event.insert("type".to_owned(), kind.into());
    let id = format!("{:022x}", rand::random::<u128>() >> 40);
    event.insert("id".to_owned(), id.into());
    event.insert("timestamp".to_owned(), json::time(json::now()).into());
    if let Value::Object(members) = members {
        event.extend(members.clone());
    }
    let mut event = Value::Object(event);
    mark(router.domain(), &mut event);
    let event = event.to_string();
    match audience {
        Audience::All => router.announce(Message {
            subject: subject.into(),
            reply: None,
            headers: Bytes::new(),
            payload: event.into(),
        }),
        Audience::Subscribers => router.answer(subject, &[], event.as_bytes()),
    }
}

/// Tells of a message that a consumer was handed as often as may be, in vain.
pub(super) fn exhausted(router: &Router, config: &StreamConfig, consumer: &str, what: Exhausted) {
    let stream = &config.name;
    publish(
        router,
        Audience::of(config),
        &format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{stream}.{consumer}"),
        "advisory.v1.max_deliver",
        &json!({
            "stream": stream,
            "consumer": consumer,
            "stream_seq": what.seq,
            "deliveries": what.deliveries,
        }),
    );
}

/// Tells of a batch that will not be stored.
pub(super) fn batch_abandoned(router: &Router, config: &StreamConfig, batch: &str, reason: &str) {
    let stream = &config.name;
    publish(
        router,
        Audience::of(config),
        &format!("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.{stream}"),
        "advisory.v1.stream_batch_abandoned",
        &json!({"stream": stream, "batch": batch, "reason": reason}),
    );
}

/// Tells that a client takes all messages of a consumer from now on.
pub(super) fn pinned(router: &Router, stream: &str, consumer: &str, group: &str, pin: &str) {
    publish(
        router,
        Audience::All,
        &format!("$JS.EVENT.ADVISORY.CONSUMER.PINNED.{stream}.{consumer}"),
        "advisory.v1.consumer_group_pinned",
        &json!({"stream": stream, "consumer": consumer, "group": group, "pinned_id": pin}),
    );
}

/// Tells that no client takes all messages of a consumer any more.
pub(super) fn unpinned(router: &Router, stream: &str, consumer: &str, group: &str, reason: &str) {
    publish(
        router,
        Audience::All,
        &format!("$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.{stream}.{consumer}"),
        "advisory.v1.consumer_group_unpinned",
        &json!({"stream": stream, "consumer": consumer, "group": group, "reason": reason}),
    );
}

/// Tells that something happened to a stream: `what` is in the subject, `action` in the message.
pub(super) fn advise_of_stream(router: &Router, stream: &str, what: &str, action: &str) {
    publish(
        router,
        Audience::All,
        &format!("$JS.EVENT.ADVISORY.STREAM.{what}.{stream}"),
        "advisory.v1.stream_action",
        &json!({"stream": stream, "action": action}),
    );
}

impl Stream {
    /// Tells that a consumer was made, or deleted.
    pub(super) fn advise_of_consumer(&self, consumer: &str, action: &str) {
        let stream = &self.state.config.name;
        let what = match action {
            "create" => "CREATED",
            _ => "DELETED",
        };
        publish(
            &self.router,
            Audience::All,
            &format!("$JS.EVENT.ADVISORY.CONSUMER.{what}.{stream}.{consumer}"),
            "advisory.v1.consumer_action",
            &json!({"stream": stream, "consumer": consumer, "action": action}),
        );
    }

    /// Tells that a consumer's deliveries are held up, or go on.
    pub(super) fn advise_of_pause(&self, consumer: &str, is_paused: bool, until: &str) {
        let stream = &self.state.config.name;
        publish(
            &self.router,
            Audience::All,
            &format!("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.{stream}.{consumer}"),
            "advisory.v1.consumer_pause",
            &json!({
                "stream": stream,
                "consumer": consumer,
                "paused": is_paused,
                "pause_until": if until.is_empty() { json::time(0) } else { until.to_owned() },
            }),
        );
    }

    /// Tells what became of a message.
    fn advise(&self, subject: &str, kind: &str, members: &Value) {
        let audience = Audience::of(&self.state.config);
        publish(&self.router, audience, subject, kind, members);
    }

    /// Tells that a client wants a message again.
    pub(super) fn advise_of_nak(&self, ack: &AckSubject<'_>) {
        let subject = format!(
            "$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.{}.{}",
            ack.stream, ack.consumer
        );
        self.advise(&subject, "advisory.v1.nak", &about(ack));
    }

    /// Tells that a client gave a message up.
    pub(super) fn advise_of_term(&self, ack: &AckSubject<'_>, reason: &str) {
        let subject = format!(
            "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{}.{}",
            ack.stream, ack.consumer
        );
        let mut members = about(ack);
        if !reason.is_empty() {
            json::set(&mut members, "reason", reason);
        }
        self.advise(&subject, "advisory.v1.terminated", &members);
    }

    /// Tells how long an acknowledgement took, in nanoseconds.
    pub(super) fn advise_of_ack(&self, ack: &AckSubject<'_>, took: u64) {
        let subject = format!(
            "$JS.EVENT.METRIC.CONSUMER.ACK.{}.{}",
            ack.stream, ack.consumer
        );
        let mut members = about(ack);
        json::set(&mut members, "ack_time", took);
        self.advise(&subject, "metric.v1.consumer_ack", &members);
    }
}

fn about(ack: &AckSubject<'_>) -> Value {
    json!({
        "stream": ack.stream,
        "consumer": ack.consumer,
        "consumer_seq": ack.consumer_seq,
        "stream_seq": ack.seq,
        "deliveries": ack.deliveries,
    })
}
