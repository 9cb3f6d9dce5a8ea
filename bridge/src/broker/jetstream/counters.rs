//! Streams whose messages are counters: a publisher says by how much to count on, and the stream stores the total.

use bytes::Bytes;
use num_bigint::BigInt;
use serde::Deserialize;
use serde_json::json;

use super::error::{self, Result};
use super::publish;
use super::release::ROLLUP;
use super::stream::Stream;
use crate::broker::protocol::Message;
use crate::broker::store::record::{self, Record};
use crate::broker::{headers, subjects};

pub(super) const INCREMENT: &str = "Nats-Incr";

/// Conditions that make no sense where the stream says what is stored.
const CONDITIONS: [&str; 6] = [
    ROLLUP,
    publish::STREAM,
    publish::LAST_ID,
    publish::LAST_SEQUENCE,
    publish::LAST_SUBJECT_SEQUENCE,
    publish::LAST_SUBJECT,
];

/// What is stored of a counter.
#[derive(Deserialize)]
struct Total {
    #[serde(default)]
    val: String,
}

/// A number as any server takes it: digits, perhaps with a sign.
fn parse(text: &str) -> Option<BigInt> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

impl Stream {
    /// Puts the new total in the place of the payload. Returns it; `None` where the stream has no counters.
    pub(super) async fn count_on(&mut self, message: &mut Message) -> Result<Option<String>> {
        let has_counters = self.state.config.allow_msg_counter;
        let value = |name| headers::value(&message.headers, name).filter(|text| !text.is_empty());
        let Some(increment) = value(INCREMENT) else {
            return match has_counters {
                true => Err(error::COUNTER_MISSING),
                false => Ok(None),
            };
        };
        let increment = parse(increment).ok_or(error::COUNTER_INVALID)?;
        if !has_counters {
            return Err(error::COUNTERS_DISABLED);
        }
        // Its total would be that of another counter.
        if !subjects::is_literal(&message.subject) {
            return Err(error::COUNTER_INVALID);
        }
        if !message.payload.is_empty() {
            return Err(error::COUNTER_WITH_PAYLOAD);
        }
        if CONDITIONS.iter().any(|name| value(name).is_some()) {
            return Err(error::COUNTER_INVALID);
        }
        let total = (self.last_total(&message.subject).await? + increment).to_string();
        message.payload = json!({"val": total}).to_string().into();
        Ok(Some(total))
    }

    /// The total of a counter, also if it is on its way to the disk.
    async fn last_total(&mut self, subject: &str) -> Result<BigInt> {
        let unsynced = self.last_unsynced(subject);
        let unsynced = unsynced.and_then(|(_, body)| record::decode(Bytes::copy_from_slice(body)));
        let payload = match (unsynced, self.state.messages.last_on(subject)) {
            (Some(Record::Message(message)), _) => message.payload,
            (_, Some(seq)) => self.read(seq).await?.payload,
            _ => return Ok(BigInt::ZERO),
        };
        let total: Total = serde_json::from_slice(&payload).map_err(|_| error::COUNTER_BROKEN)?;
        Ok(parse(&total.val).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn increments_are_numbers_of_any_size() {
        let long = "9".repeat(100);
        for (text, is_number) in [
            ("1", true),
            ("+1", true),
            ("-20", true),
            (&*long, true),
            ("", false),
            ("-", false),
            ("1_0", false),
            ("1.5", false),
            ("--1", false),
        ] {
            assert_eq!(parse(text).is_some(), is_number, "{text}");
        }
    }
}
