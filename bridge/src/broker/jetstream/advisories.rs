//! What the server tells anyone who listens of its streams, their consumers and messages: subjects below `$JS.EVENT`.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::acks::AckSubject;
use super::consumer::Exhausted;
use super::json;
use super::stream::Stream;
use crate::broker::protocol::Message;
use crate::broker::router::Router;

/// Publishes an event of this type with these members, if anyone listens.
pub(super) fn publish(router: &Router, subject: &str, kind: &str, members: &Value) {
    if !router.is_heard(subject) {
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
    router.announce(Message {
        subject: subject.into(),
        reply: None,
        headers: Bytes::new(),
        payload: Value::Object(event).to_string().into(),
    });
}

/// Tells of a message that a consumer was handed as often as may be, in vain.
pub(super) fn exhausted(router: &Router, stream: &str, consumer: &str, what: Exhausted) {
    publish(
        router,
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

/// Tells that a client takes all messages of a consumer from now on.
pub(super) fn pinned(router: &Router, stream: &str, consumer: &str, group: &str, pin: &str) {
    publish(
        router,
        &format!("$JS.EVENT.ADVISORY.CONSUMER.PINNED.{stream}.{consumer}"),
        "advisory.v1.consumer_group_pinned",
        &json!({"stream": stream, "consumer": consumer, "group": group, "pinned_id": pin}),
    );
}

/// Tells that no client takes all messages of a consumer any more.
pub(super) fn unpinned(router: &Router, stream: &str, consumer: &str, group: &str, reason: &str) {
    publish(
        router,
        &format!("$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.{stream}.{consumer}"),
        "advisory.v1.consumer_group_unpinned",
        &json!({"stream": stream, "consumer": consumer, "group": group, "reason": reason}),
    );
}

/// Tells that something happened to a stream: `what` is in the subject, `action` in the message.
pub(super) fn advise_of_stream(router: &Router, stream: &str, what: &str, action: &str) {
    publish(
        router,
        &format!("$JS.EVENT.ADVISORY.STREAM.{what}.{stream}"),
        "advisory.v1.stream_action",
        &json!({"stream": stream, "action": action}),
    );
}

impl Stream {
    /// Tells that a consumer was made or deleted.
    pub(super) fn advise_of_consumer(&self, consumer: &str, action: &str) {
        let stream = &self.state.config.name;
        let what = match action {
            "create" => "CREATED",
            _ => "DELETED",
        };
        publish(
            &self.router,
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

    /// Tells that a client wants a message again.
    pub(super) fn advise_of_nak(&self, ack: &AckSubject<'_>) {
        let subject = format!(
            "$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.{}.{}",
            ack.stream, ack.consumer
        );
        publish(&self.router, &subject, "advisory.v1.nak", &about(ack));
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
        publish(&self.router, &subject, "advisory.v1.terminated", &members);
    }

    /// Tells how long an acknowledgement took, in nanoseconds.
    pub(super) fn advise_of_ack(&self, ack: &AckSubject<'_>, took: u64) {
        let subject = format!(
            "$JS.EVENT.METRIC.CONSUMER.ACK.{}.{}",
            ack.stream, ack.consumer
        );
        let mut members = about(ack);
        json::set(&mut members, "ack_time", took);
        publish(&self.router, &subject, "metric.v1.consumer_ack", &members);
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
