//! What clients send to acknowledge: the subject names the message, the body says what became of it.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::batch::{Batch, Effect};
use super::consumer::Consumer;
use super::consumer_config::{AckPolicy, nanos_to_duration};
use super::go_duration;
use super::json;
use super::stream::Stream;
use crate::broker::store::record::Record;

/// What became of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict<'a> {
    Done,
    /// Never to be delivered again, for this reason.
    GivenUp(&'a str),
    /// Deliver again, after a while if one is given.
    Again(Option<Duration>),
    /// Still at it.
    Working,
    /// Done; the rest of the body asks for the next.
    DoneAndNext(&'a [u8]),
}

/// The message that an acknowledgement is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AckSubject<'a> {
    pub(super) stream: &'a str,
    pub(super) consumer: &'a str,
    pub(super) deliveries: u64,
    pub(super) seq: u64,
    pub(super) consumer_seq: u64,
}

/// Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`.
pub(super) fn parse_subject(subject: &str) -> Option<AckSubject<'_>> {
    let mut tokens = subject.strip_prefix("$JS.ACK.")?.split('.');
    let (stream, consumer) = (tokens.next()?, tokens.next()?);
    let mut number = || tokens.next()?.parse().ok();
    Some(AckSubject {
        stream,
        consumer,
        deliveries: number()?,
        seq: number()?,
        consumer_seq: number()?,
    })
}

/// Reads the body of an acknowledgement; `None` when it is none.
pub(super) fn parse_body(body: &[u8]) -> Option<Verdict<'_>> {
    match body {
        b"" | b"+ACK" | b"+OK" => return Some(Verdict::Done),
        b"+WPI" => return Some(Verdict::Working),
        _ => {}
    }
    if let Some(reason) = body.strip_prefix(b"+TERM") {
        let reason = std::str::from_utf8(reason).unwrap_or_default();
        return Some(Verdict::GivenUp(reason.trim()));
    }
    if let Some(request) = body.strip_prefix(b"+NXT") {
        return Some(Verdict::DoneAndNext(request));
    }
    let delay = body.strip_prefix(b"-NAK")?;
    Some(Verdict::Again(parse_delay(delay.trim_ascii())))
}

/// Reads how long a rejected message is to wait: JSON, or a duration as Go writes it.
fn parse_delay(text: &[u8]) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Delay {
        delay: i64,
    }
    let delay = if text.starts_with(b"{") {
        serde_json::from_slice(text)
            .ok()
            .map(|Delay { delay }| nanos_to_duration(delay))
    } else {
        std::str::from_utf8(text).ok().and_then(go_duration::parse)
    };
    delay.filter(|delay| !delay.is_zero())
}

impl Stream {
    /// Takes an acknowledgement. When the client asks for confirmation, it gets it once the acknowledgement is on disk.
    pub(super) fn acknowledge(
        &mut self,
        subject: &str,
        body: &[u8],
        inbox: Option<Box<str>>,
        asker: u64,
    ) {
        let now = Instant::now();
        let Some(ack) = parse_subject(subject) else {
            return;
        };
        let consumer = self.state.consumers.get_mut(ack.consumer);
        let waits = |consumer: &&mut Consumer| consumer.config.ack_policy != AckPolicy::None;
        let Some(consumer) = consumer.filter(waits) else {
            if let Some(inbox) = inbox {
                self.router.answer_no_responders(&inbox);
            }
            return;
        };
        let Some(verdict) = parse_body(body) else {
            return;
        };
        if let Some(waiting) = self.waiting.get_mut(ack.consumer) {
            waiting.last_active = now;
        }
        let is_pending = consumer.is_pending(ack.seq);
        let took = consumer
            .config
            .sampled_percent()
            .filter(|percent| is_pending && rand::random_range(0..100) < *percent)
            .and_then(|_| consumer.handed_out_at(ack.seq))
            .map(|at| u64::try_from(now.saturating_duration_since(at).as_nanos()));
        let known = ack.seq <= consumer.delivered.stream_seq;
        let mut inbox = inbox;
        match verdict {
            Verdict::Done => {
                settle(&mut self.batch, consumer, ack.seq);
                if let Some(took) = took {
                    self.advise_of_ack(&ack, took.unwrap_or(u64::MAX));
                }
            }
            Verdict::GivenUp(reason) => {
                settle(&mut self.batch, consumer, ack.seq);
                self.advise_of_term(&ack, reason);
            }
            Verdict::Again(delay) => {
                consumer.reject(ack.seq, delay.and_then(|delay| now.checked_add(delay)));
                if is_pending {
                    self.advise_of_nak(&ack);
                }
            }
            Verdict::Working => consumer.extend(ack.seq, now),
            Verdict::DoneAndNext(request) => {
                settle(&mut self.batch, consumer, ack.seq);
                if let Some(inbox) = inbox.take() {
                    self.pull(ack.consumer, request, &inbox, asker);
                }
            }
        }
        self.release_settled_by(ack.consumer);
        if let Some(inbox) = inbox.filter(|_| known) {
            self.batch.add(Effect::Confirm { inbox });
        }
    }
}

fn settle(batch: &mut Batch, consumer: &mut Consumer, seq: u64) {
    consumer.last_ack = Some(json::now());
    for seq in consumer.acknowledge(seq) {
        batch.push(&Record::Done {
            consumer: consumer.id,
            seq,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_name_the_message() {
        let expected = AckSubject {
            stream: "S",
            consumer: "c",
            deliveries: 1,
            seq: 17,
            consumer_seq: 3,
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
            ("+TERM", Some(Verdict::GivenUp(""))),
            ("+TERM because", Some(Verdict::GivenUp("because"))),
            ("-NAK", Some(Verdict::Again(None))),
            (
                "-NAK {\"delay\": 5}",
                Some(Verdict::Again(Some(Duration::from_nanos(5)))),
            ),
            ("-NAK {\"delay\": 0}", Some(Verdict::Again(None))),
            ("+WPI", Some(Verdict::Working)),
            (
                "-NAK 5s",
                Some(Verdict::Again(Some(Duration::from_secs(5)))),
            ),
            ("-NAK soon", Some(Verdict::Again(None))),
            ("+NXT 5", Some(Verdict::DoneAndNext(b" 5"))),
            ("hello", None),
        ] {
            assert_eq!(parse_body(body.as_bytes()), expected, "{body}");
        }
    }
}
