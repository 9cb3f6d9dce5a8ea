//! Messages that tell their publisher where they go: a message with the header `Nats-Trace-Dest` is followed by an event on
//! the subject in it, and with `Nats-Trace-Only` it is not delivered at all.

use std::time::SystemTime;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::clients::{Clients, go_time};
use super::headers;
use super::protocol::{Delivery, Message};
use super::router::Subscription;

pub(super) const DESTINATION: &str = "Nats-Trace-Dest";
const ONLY: &str = "Nats-Trace-Only";
/// What servers write where a message is not to be traced any further.
const DISABLED: &str = "trace disabled";

pub(super) const PUBLISH_DENIED: &str = "Not delivered because publish denied for this subject";
pub(super) const NO_ECHO: &str = "Not delivered because of no echo";
pub(super) const SUBSCRIPTION_DENIED: &str =
    "Not delivered because subscription denies this subject";
pub(super) const LIMIT_EXCEEDED: &str = "Not delivered because auto-unsubscribe exceeded";
pub(super) const CLIENT_CLOSED: &str = "Not delivered because client is closed";

/// The way of a message so far.
#[derive(Debug)]
pub(super) struct MessageTrace {
    pub(super) destination: Box<str>,
    /// Whether the message is not to be delivered.
    pub(super) is_only: bool,
    request: Value,
    events: Vec<Value>,
}

impl MessageTrace {
    /// The trace of a message, if it asks for one.
    pub(super) fn of(message: &Delivery<'_>) -> Option<Self> {
        memchr::memmem::find(message.headers, DESTINATION.as_bytes())?;
        let destination = headers::value(message.headers, DESTINATION)?;
        if destination.is_empty() || destination == DISABLED {
            return None;
        }
        let only = headers::value(message.headers, ONLY).unwrap_or_default();
        let is_only = ["1", "true", "on"].contains(&only.to_ascii_lowercase().as_str());
        Some(MessageTrace {
            destination: destination.into(),
            is_only,
            request: json!({
                "header": headers::all(message.headers),
                "msgsize": message.content_len(),
            }),
            events: Vec::new(),
        })
    }

    /// It came in from a client.
    pub(super) fn came(&mut self, client: u64, name: &str, account: &str, subject: &str) {
        let mut event = event("in");
        event.extend([
            ("kind".to_owned(), json!(0)),
            ("cid".to_owned(), json!(client)),
            ("acc".to_owned(), json!(account)),
            ("subj".to_owned(), json!(subject)),
        ]);
        put_unless_empty(&mut event, "name", name);
        self.events.push(Value::Object(event));
    }

    /// It was refused as it came in.
    pub(super) fn refused(&mut self, error: &str) {
        if let Some(came) = self.events.first_mut().and_then(Value::as_object_mut) {
            put_unless_empty(came, "error", error);
        }
    }

    /// It goes to a subscription, or would but for the error.
    pub(super) fn goes_to(&mut self, subscription: &Subscription, error: &str) {
        let mut event = event("eg");
        event.extend([
            ("kind".to_owned(), json!(0)),
            ("cid".to_owned(), json!(subscription.client.client_id)),
            ("sub".to_owned(), json!(subscription.subject)),
        ]);
        put_unless_empty(
            &mut event,
            "queue",
            subscription.queue.as_deref().unwrap_or(""),
        );
        put_unless_empty(&mut event, "error", error);
        self.events.push(Value::Object(event));
    }

    /// A stream says what became of it there.
    pub(super) fn reached_stream(&mut self, outcome: Map<String, Value>) {
        let mut event = event("js");
        event.extend(outcome);
        self.events.push(Value::Object(event));
    }

    /// The event that tells of all this.
    pub(super) fn into_message(mut self, server: Value, clients: &Clients) -> Message {
        for event in self.events.iter_mut().filter_map(Value::as_object_mut) {
            let is_out = event.get("type").is_some_and(|kind| kind == "eg");
            let client = event.get("cid").and_then(Value::as_u64);
            if let Some(client) = client.filter(|_| is_out).and_then(|id| clients.get(id)) {
                put_unless_empty(event, "name", &client.introduced().name);
            }
        }
        let told = json!({"server": server, "request": self.request, "events": self.events});
        Message {
            subject: self.destination,
            reply: None,
            headers: Bytes::new(),
            payload: told.to_string().into(),
        }
    }
}

fn event(kind: &str) -> Map<String, Value> {
    let mut event = Map::new();
    event.insert("type".to_owned(), kind.into());
    event.insert("ts".to_owned(), now().into());
    event
}

pub(super) fn now() -> String {
    go_time(SystemTime::now())
}

fn put_unless_empty(event: &mut Map<String, Value>, name: &str, text: &str) {
    if !text.is_empty() {
        event.insert(name.to_owned(), text.into());
    }
}
