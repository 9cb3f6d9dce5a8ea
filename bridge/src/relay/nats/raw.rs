//! Reads messages of a stream one by one from the API, which has headers in base64.
//!
//! A server takes any bytes for headers. The client cannot read them all, and ends its connection at the first message
//! with others: what a consumer hands out behind it would never arrive.

use std::borrow::Cow;

use async_nats::{HeaderName, HeaderValue, jetstream::stream::RawMessage};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;

use super::{
    super::{
        flow::{BATCH_BYTES, BATCH_RECORDS, Interruption},
        record::NatsRecord,
    },
    connection::Connection,
};

/// What is in it is not for a log.
const NOT_A_HEADER: &str = "one of them has no proper name and value";
/// What the server says if there is no such message.
const NO_MESSAGE: u64 = 10_037;

#[derive(Deserialize)]
struct Answer {
    message: Option<RawMessage>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    err_code: u64,
    description: String,
}

/// Reads the messages of `subject` from one sequence to another, at most those of a batch. They count whether the client
/// could read them or not: it knows best what it cannot.
pub(super) async fn read(
    connection: &Connection,
    stream: &str,
    subject: &str,
    (mut from, to): (u64, u64),
) -> Result<Vec<NatsRecord>, Interruption> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    while bytes < BATCH_BYTES && records.len() < BATCH_RECORDS {
        let record = next(connection, stream, subject, from).await?;
        let Some(record) = record.filter(|record| record.sequence <= to) else {
            break;
        };
        from = record.sequence + 1;
        bytes += record.size();
        records.push(record);
    }
    Ok(records)
}

/// The first message of `subject` that has `from` or a later sequence.
pub(super) async fn next(
    connection: &Connection,
    stream: &str,
    subject: &str,
    from: u64,
) -> Result<Option<NatsRecord>, Interruption> {
    let asked = json!({ "seq": from, "next_by_subj": subject });
    let answer = connection
        .jetstream
        .request(format!("STREAM.MSG.GET.{stream}"), &asked)
        .await;
    let message = match answer.map_err(Interruption::unavailable)? {
        Answer {
            message: Some(message),
            ..
        } => message,
        Answer {
            error: Some(error), ..
        } if error.err_code != NO_MESSAGE => {
            return Err(Interruption::Unavailable(error.description));
        }
        _ => return Ok(None),
    };
    let decoded = |text: &str| STANDARD.decode(text).map_err(Interruption::unavailable);
    let (headers, flaw) = headers(&decoded(message.headers.as_deref().unwrap_or_default())?);
    let published = message.time.unix_timestamp_nanos() / 1_000_000;
    Ok(Some(NatsRecord {
        subject: message.subject,
        headers,
        payload: decoded(&message.payload)?.into(),
        sequence: message.sequence,
        timestamp_ms: i64::try_from(published).ok(),
        flaw,
    }))
}

/// The headers that can be read, sorted by name, and why others cannot, or a client would take them for the server's.
fn headers(raw: &[u8]) -> (Vec<(String, String)>, Option<String>) {
    let text = String::from_utf8_lossy(raw);
    let mut flaw = matches!(text, Cow::Owned(_)).then(|| "they are not UTF-8".to_owned());
    let mut lines = text.lines();
    if lines
        .next()
        .is_some_and(|first| first.trim_end() != "NATS/1.0")
    {
        flaw = Some("they begin as no headers do".into());
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        if line.starts_with(char::is_whitespace)
            && let Some((_, value)) = headers.last_mut()
        {
            value.push_str(line.trim_end());
            if value.parse::<HeaderValue>().is_err() {
                flaw = Some(NOT_A_HEADER.into());
                headers.pop();
            }
            continue;
        }
        let header = line.split_once(':').filter(|(name, value)| {
            name.parse::<HeaderName>().is_ok() && value.trim().parse::<HeaderValue>().is_ok()
        });
        match header {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => flaw = Some(NOT_A_HEADER.into()),
        }
    }
    headers.sort_by(|(a, _), (b, _)| a.cmp(b));
    (headers, flaw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_reads_has_no_flaw() {
        for (raw, expected) in [
            (&b""[..], &[][..]),
            (b"NATS/1.0\r\n\r\n", &[]),
            (
                b"NATS/1.0\r\nb: 2\r\na: 1\r\n more\r\nb:3 \r\n\r\n",
                &[("a", "1 more"), ("b", "2"), ("b", "3")],
            ),
        ] {
            let expected = expected
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            assert_eq!(headers(raw), (expected.collect(), None));
        }
    }

    #[test]
    fn what_the_client_cannot_read_is_a_flaw_of_the_others() {
        for raw in [
            &b"NATS/1.0\r\na: 1\r\nx y: 2\r\n\r\n"[..],
            b"NATS/1.0\r\na: 1\r\nx\r\n\r\n",
            b"NATS/1.0\r\na: 1\r\nx: 2\r3\r\n\r\n",
            b"NATS/1.0 what\r\na: 1\r\n\r\n",
            b"NATS/2.0\r\na: 1\r\n\r\n",
            b" NATS/1.0\r\na: 1\r\n\r\n",
        ] {
            let (headers, flaw) = headers(raw);
            assert_eq!(headers, [("a".to_owned(), "1".to_owned())]);
            assert!(flaw.is_some(), "{raw:?}");
        }
        let (headers, flaw) = headers(b"NATS/1.0\r\na: \xff\r\n\r\n");
        assert_eq!(headers, [("a".to_owned(), "\u{fffd}".to_owned())]);
        assert!(flaw.is_some());
    }
}
