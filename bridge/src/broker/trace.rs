//! The operations of clients in the log, for those who look for what is wrong between a client and the broker: as nats-server traces
//! them, but without what messages hold, and without what clients show to be let in.

use std::fmt;

use super::access::Identity;
use super::clients::Client;
use super::introduction;
use super::protocol::Operation;

/// What of an introduction is no secret, whatever it is. A name without a password may be a token, and a key may be a private one.
const SHOWN: [&str; 12] = [
    "account",
    "echo",
    "headers",
    "lang",
    "name",
    "new_account",
    "no_responders",
    "pedantic",
    "protocol",
    "tls_required",
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
        let is_shown = match name.as_str() {
            "user" => has_password,
            "nkey" => value.as_str().is_some_and(Identity::is_key),
            other => SHOWN.contains(&other),
        };
        if !is_shown {
            *value = "[REDACTED]".into();
        }
    }
    said.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_keys_only_public_ones_are_shown() {
        let key = nkeys::KeyPair::new_user();
        for (shown, is_shown) in [
            (key.public_key(), true),
            (key.seed().unwrap(), false),
            ("s3cr3t".to_owned(), false),
        ] {
            let said = format!(r#"{{"nkey":"{shown}","user":"{shown}","verbose":false}}"#);
            let line = line(&Operation::Connect(said.as_bytes()));
            let expected = if is_shown {
                shown.as_str()
            } else {
                "[REDACTED]"
            };
            assert!(line.contains(&format!(r#""nkey":"{expected}""#)), "{line}");
            assert!(line.contains(r#""user":"[REDACTED]""#), "{line}");
        }
    }
}
