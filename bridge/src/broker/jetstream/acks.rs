//! What clients send to acknowledge: the subject names the message, the body says what became of it.

use serde::Deserialize;

use super::consumer_config::nanos_to_duration;

/// What became of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Done,
    /// Deliver again, after a while if one is given.
    Again(Option<std::time::Duration>),
    /// Still at it.
    Working,
    /// Done; the rest of the body asks for the next.
    DoneAndNext(usize),
}

/// The message that an acknowledgement is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AckSubject<'a> {
    pub(super) stream: &'a str,
    pub(super) consumer: &'a str,
    pub(super) seq: u64,
}

/// Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`.
pub(super) fn parse_subject(subject: &str) -> Option<AckSubject<'_>> {
    let mut tokens = subject.strip_prefix("$JS.ACK.")?.split('.');
    let (stream, consumer) = (tokens.next()?, tokens.next()?);
    let seq = tokens.nth(1)?.parse().ok()?;
    Some(AckSubject {
        stream,
        consumer,
        seq,
    })
}

/// Reads the body of an acknowledgement; `None` when it is none.
pub(super) fn parse_body(body: &[u8]) -> Option<Verdict> {
    #[derive(Deserialize)]
    struct Delay {
        delay: i64,
    }
    match body {
        b"" | b"+ACK" | b"+OK" => Some(Verdict::Done),
        b"+WPI" => Some(Verdict::Working),
        _ if body.starts_with(b"+TERM") || body.starts_with(b"-TERM") => Some(Verdict::Done),
        _ if body.starts_with(b"+NXT") => Some(Verdict::DoneAndNext(4)),
        _ => {
            let delay = body.strip_prefix(b"-NAK")?;
            let delay: Option<Delay> = serde_json::from_slice(delay).ok();
            Some(Verdict::Again(
                delay
                    .filter(|delay| delay.delay > 0)
                    .map(|delay| nanos_to_duration(delay.delay)),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn subjects_name_the_message() {
        let expected = AckSubject {
            stream: "S",
            consumer: "c",
            seq: 17,
        };
        assert_eq!(
            parse_subject("$JS.ACK.S.c.1.17.3.1700000000000000000.5"),
            Some(expected)
        );
        for bad in ["$JS.ACK.S.c", "$JS.ACK.S.c.1.x.3.4.5", "$JS.ACK", "other"] {
            assert_eq!(parse_subject(bad), None, "{bad}");
        }
    }

    #[test]
    fn bodies_say_what_became_of_it() {
        for (body, expected) in [
            ("", Some(Verdict::Done)),
            ("+ACK", Some(Verdict::Done)),
            ("+TERM because", Some(Verdict::Done)),
            ("-NAK", Some(Verdict::Again(None))),
            (
                "-NAK {\"delay\": 5}",
                Some(Verdict::Again(Some(Duration::from_nanos(5)))),
            ),
            ("-NAK {\"delay\": 0}", Some(Verdict::Again(None))),
            ("+WPI", Some(Verdict::Working)),
            ("+NXT 5", Some(Verdict::DoneAndNext(4))),
            ("hello", None),
        ] {
            assert_eq!(parse_body(body.as_bytes()), expected, "{body}");
        }
    }
}
