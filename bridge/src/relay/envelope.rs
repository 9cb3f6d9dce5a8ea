//! What the headers of NATS cannot say of a record of Kafka: its time, a key or a header that is no plain text, and the
//! order of headers. It travels as JSON in one header, and every record that comes from Kafka has it.

use std::{fmt::Write, str};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Header: what plain headers do not say of a record of Kafka, as JSON.
pub(super) const RECORD_HEADER: &str = "Marquee-Kafka-Record";

/// Bytes in JSON: text as it is, anything else as base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Coded {
    Text(String),
    Binary { base64: String },
}

impl Coded {
    pub(super) fn of(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Binary {
                base64: STANDARD_NO_PAD.encode(bytes),
            },
        }
    }

    pub(super) fn bytes(self) -> Result<Bytes, base64::DecodeError> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Binary { base64 } => Ok(STANDARD_NO_PAD.decode(base64)?.into()),
        }
    }
}

/// A header in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Entry {
    /// The next value of the plain header of this name.
    Plain(String),
    /// A name or a value that is no plain header.
    Given(String, Option<Coded>),
}

/// What plain headers do not say of a record of Kafka.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Envelope {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<i64>,
    /// Only a key that is no plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Coded>,
    /// Whether there was no value; an empty payload would be an empty one otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) tombstone: bool,
    /// All headers in their order. None if the plain ones, sorted by name, are all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) headers: Option<Vec<Entry>>,
}

impl Envelope {
    /// The value of the header: one line of ASCII, which every client reads as it was sent.
    pub(super) fn to_header(&self) -> serde_json::Result<String> {
        let json = serde_json::to_string(self)?;
        if json.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Ok(json);
        }
        let mut line = String::with_capacity(json.len() * 2);
        for c in json.chars() {
            if (' '..='~').contains(&c) {
                line.push(c);
                continue;
            }
            // Such a character stands in a string.
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
        Ok(line)
    }
}

/// Whether a header of NATS can have this name without a meaning of its own there.
pub(super) fn is_plain_name(name: &str) -> bool {
    let begins_with = |prefix: &str| {
        let beginning = name.get(..prefix.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(prefix))
    };
    // `Nats-Rollup` would purge a stream. Some clients take `Status` for the server's.
    let is_reserved = ["nats-", "marquee-relay-", "marquee-kafka-"]
        .into_iter()
        .any(begins_with)
        || ["status", "description"]
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved));
    let is_legal = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    !name.is_empty() && name.bytes().all(is_legal) && !is_reserved
}

/// The text of bytes that every client of NATS reads as they were sent: one line, without space around it.
pub(super) fn plain_value(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?;
    let is_trimmed = |c: char| c.is_whitespace() || c == '\u{feff}';
    let is_whole = !text.starts_with(is_trimmed) && !text.ends_with(is_trimmed);
    let is_break = |c: char| c.is_control() && c != '\t' || matches!(c, '\u{2028}' | '\u{2029}');
    (is_whole && !text.contains(is_break)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_as_short_as_it_can_be() {
        let mut envelope = Envelope {
            timestamp: Some(7),
            ..Envelope::default()
        };
        let json = |envelope: &Envelope| envelope.to_header().unwrap();
        assert_eq!(json(&envelope), r#"{"timestamp":7}"#);
        envelope.key = Some(Coded::of(b"\xff"));
        envelope.tombstone = true;
        envelope.headers = Some(vec![
            Entry::Plain("a".into()),
            Entry::Given("b\n".into(), None),
            Entry::Given("c".into(), Some(Coded::of("\u{7f}🎬".as_bytes()))),
        ]);
        let text = r#"{"timestamp":7,"key":{"base64":"/w"},"tombstone":true,"headers":["a",["b\n",null],["c","\u007f\ud83c\udfac"]]}"#;
        assert_eq!(json(&envelope), text);
        assert_eq!(serde_json::from_str::<Envelope>(text).unwrap(), envelope);
    }

    #[test]
    fn a_header_with_a_meaning_of_its_own_is_not_plain() {
        for name in ["marquee-id", "X-Y", "a", "natsy"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in [
            "",
            "a b",
            "a:",
            "é",
            "Nats-Rollup",
            "nats-msg-id",
            "status",
            "Marquee-Relay-Path",
            "marquee-kafka-record",
        ] {
            assert!(!is_plain_name(name), "{name}");
        }
        for value in ["", "a b", "a\tb", "é"] {
            assert_eq!(plain_value(value.as_bytes()), Some(value));
        }
        for value in [
            " a",
            "a ",
            "a\nb",
            "\0",
            "\u{feff}a",
            "a\u{a0}",
            "a\u{2028}b",
        ] {
            assert_eq!(plain_value(value.as_bytes()), None, "{value:?}");
        }
        assert_eq!(plain_value(b"\xff"), None);
    }
}
