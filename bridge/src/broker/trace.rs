//! The operations of clients in the log, for those who look for what is wrong between a client and the broker: as nats-server traces
//! them, but without what messages hold, and without what clients show to be let in.

use std::fmt;

use super::clients::Client;
use super::introduction;
use super::protocol::Operation;

/// What of an introduction is no secret.
const SHOWN: [&str; 14] = [
    "account",
    "echo",
    "headers",
    "lang",
    "name",
    "new_account",
    "nkey",
    "no_responders",
    "pedantic",
    "protocol",
    "tls_required",
    "user",
    "verbose",
    "version",
];

/// Traces what a client said. To be called only where it is traced: the line is made anyway.
#[cold]
pub(super) fn heard(client: &Client, operation: &Operation<'_>) {
    let line = on_one_line(&line(operation));
    let peer = client.address;
    tracing::trace!(client_id = client.outbound.client_id, %peer, "<<- [{line}]");
}

/// Traces what a client is told.
pub(super) fn said(client: &Client, line: fmt::Arguments<'_>) {
    let peer = client.address;
    tracing::trace!(client_id = client.outbound.client_id, %peer, "->> [{}]", on_one_line(&line.to_string()));
}

fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, "?")
}

fn line(operation: &Operation<'_>) -> String {
    match operation {
        Operation::Connect(options) => format!("CONNECT {}", without_secrets(options)),
        Operation::Ping => "PING".to_owned(),
        Operation::Pong => "PONG".to_owned(),
        Operation::Subscribe {
            subject,
            queue: Some(queue),
            sid,
        } => format!("SUB {subject} {queue} {sid}"),
        Operation::Subscribe { subject, sid, .. } => format!("SUB {subject} {sid}"),
        Operation::Unsubscribe {
            sid,
            after: Some(after),
        } => format!("UNSUB {sid} {after}"),
        Operation::Unsubscribe { sid, .. } => format!("UNSUB {sid}"),
        Operation::Publish(message) => {
            let reply = message
                .reply
                .map_or(String::new(), |reply| format!("{reply} "));
            let (subject, len) = (message.subject, message.content_len());
            match message.headers.len() {
                0 => format!("PUB {subject} {reply}{len}"),
                of_headers => format!("HPUB {subject} {reply}{of_headers} {len}"),
            }
        }
        Operation::Nothing => "what only servers say".to_owned(),
    }
}

fn without_secrets(options: &[u8]) -> String {
    let Ok(mut said) = introduction::read(options) else {
        return "what makes no sense".to_owned();
    };
    let has_password = introduction::has_password(&said);
    for (name, value) in said.as_object_mut().into_iter().flatten() {
        if !SHOWN.contains(&name.as_str()) || (name == "user" && !has_password) {
            *value = "[REDACTED]".into();
        }
    }
    said.to_string()
}
