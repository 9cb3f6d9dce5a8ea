//! Serving a stream's consumers: requests for messages, the messages handed out, the acknowledgements that come back.

use std::time::{Duration, Instant};

use super::acks::{self, Verdict};
use super::batch::{Batch, Effect};
use super::consumer::{Consumer, Next, Progress};
use super::pulls::{Pull, PullRequest, Pulls};
use super::stream::Stream;
use crate::broker::headers;
use crate::broker::protocol::Delivery;
use crate::broker::router::Handover;
use crate::broker::store::record::{Record, StoredMessage};

/// How many messages one consumer gets before the others, and the publishers, have their turn.
const BURST: usize = 256;
/// How long a client that does not read is left alone before its next message.
const CONGESTION_PAUSE: Duration = Duration::from_millis(5);
/// How long a consumer waits after its message could not be read from disk.
const READ_PAUSE: Duration = Duration::from_secs(1);

/// What clients want of one consumer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) pulls: Pulls,
    /// The progress that stands in the log.
    noted: Progress,
    pub(super) last_active: Instant,
    pub(super) paused_until: Option<Instant>,
    /// A burst ended before the messages or the requests did.
    pub(super) more: bool,
}

impl Waiting {
    pub(super) fn new(now: Instant) -> Self {
        Waiting {
            pulls: Pulls::default(),
            noted: Progress::default(),
            last_active: now,
            paused_until: None,
            more: false,
        }
    }
}

/// What came of an attempt to hand out one message.
enum Step {
    HandedOut,
    /// Nothing to deliver, or no client that asks for it.
    Idle,
    /// To be tried again then.
    Pause(Duration),
}

impl Stream {
    /// Takes a request for messages.
    pub(super) fn pull(&mut self, name: &str, body: &[u8], inbox: &str) {
        let now = Instant::now();
        let Some(consumer) = self.state.consumers.get_mut(name) else {
            return self.router.answer_no_responders(inbox);
        };
        let request = PullRequest::parse(body).map_err(str::to_owned);
        let pull = match request.and_then(|request| request.into_pull(inbox, &consumer.config, now))
        {
            Ok(pull) => pull,
            Err(status) => return self.router.answer(inbox, &headers::status(&status), &[]),
        };
        consumer.expire(now);
        if pull.is_immediate() && consumer.available() == 0 {
            return self
                .router
                .answer(inbox, &headers::status("404 No Messages"), &[]);
        }
        if pull.is_immediate() && consumer.num_ack_pending() >= consumer.config.max_ack_pending() {
            return self
                .router
                .answer(inbox, &headers::status("409 Exceeded MaxAckPending"), &[]);
        }
        let max_waiting = usize::try_from(consumer.config.max_waiting).unwrap_or(usize::MAX);
        let waiting = self
            .waiting
            .entry(name.to_owned())
            .or_insert_with(|| Waiting::new(now));
        waiting.last_active = now;
        if waiting.pulls.len() >= max_waiting {
            let router = &self.router;
            waiting
                .pulls
                .retain(|pull| router.has_interest(&pull.inbox));
        }
        if waiting.pulls.len() >= max_waiting {
            return self
                .router
                .answer(inbox, &headers::status("409 Exceeded MaxWaiting"), &[]);
        }
        waiting.pulls.push(pull);
    }

    /// Takes an acknowledgement. When the client asks for confirmation, it gets it once the acknowledgement is on disk.
    pub(super) fn acknowledge(
        &mut self,
        name: &str,
        seq: u64,
        body: &[u8],
        inbox: Option<Box<str>>,
    ) {
        let now = Instant::now();
        let Some(consumer) = self.state.consumers.get_mut(name) else {
            if let Some(inbox) = inbox {
                self.router.answer_no_responders(&inbox);
            }
            return;
        };
        let Some(verdict) = acks::parse_body(body) else {
            return;
        };
        if let Some(waiting) = self.waiting.get_mut(name) {
            waiting.last_active = now;
        }
        let known = seq <= consumer.delivered.stream_seq;
        let mut inbox = inbox;
        match verdict {
            Verdict::Done => settle(&mut self.batch, consumer, seq),
            Verdict::Again(delay) => {
                consumer.reject(seq, delay.and_then(|delay| now.checked_add(delay)))
            }
            Verdict::Working => consumer.extend(seq, now),
            Verdict::DoneAndNext(rest) => {
                settle(&mut self.batch, consumer, seq);
                if let Some(inbox) = inbox.take() {
                    self.pull(name, body.get(rest..).unwrap_or_default(), &inbox);
                }
            }
        }
        if let Some(inbox) = inbox.filter(|_| known) {
            self.batch.effects.push(Effect::Confirm { inbox });
        }
    }

    /// Hands out what can be handed out.
    pub(super) async fn serve_pulls(&mut self, now: Instant) {
        let names: Vec<String> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| !waiting.pulls.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            let mut more = true;
            for _ in 0..BURST {
                match self.serve_one(&name, now).await {
                    Step::HandedOut => continue,
                    Step::Idle => {}
                    Step::Pause(pause) => self.pause(&name, now + pause),
                }
                more = false;
                break;
            }
            self.end_burst(&name, more);
        }
    }

    fn pause(&mut self, name: &str, until: Instant) {
        if let Some(waiting) = self.waiting.get_mut(name) {
            waiting.paused_until = Some(until);
        }
    }

    fn end_burst(&mut self, name: &str, more: bool) {
        let (Some(waiting), Some(consumer)) =
            (self.waiting.get_mut(name), self.state.consumers.get(name))
        else {
            return;
        };
        waiting.more = more;
        if waiting.noted != consumer.delivered {
            waiting.noted = consumer.delivered;
            let Progress {
                consumer_seq,
                stream_seq: seq,
            } = consumer.delivered;
            self.batch.push(&Record::Delivered {
                consumer: consumer.id,
                seq,
                consumer_seq,
            });
        }
        if more || waiting.paused_until.is_some() {
            return;
        }
        for pull in waiting.pulls.take_satisfied() {
            if pull.is_immediate() {
                self.router
                    .answer(&pull.inbox, &headers::status("404 No Messages"), &[]);
            } else {
                end_pull(&self.router, &pull, "408 Request Timeout");
            }
        }
    }

    async fn serve_one(&mut self, name: &str, now: Instant) -> Step {
        let (Some(waiting), Some(consumer)) = (
            self.waiting.get_mut(name),
            self.state.consumers.get_mut(name),
        ) else {
            return Step::Idle;
        };
        if let Some(until) = waiting.paused_until {
            if until > now {
                return Step::Pause(until - now);
            }
            waiting.paused_until = None;
        }
        if waiting.pulls.is_empty() {
            return Step::Idle;
        }
        let Some(next) = consumer.next(&self.state.messages) else {
            return Step::Idle;
        };
        match self.body(next.seq).await {
            Ok(Some(Record::Message(message))) => self.offer(name, next, &message, now),
            Ok(_) => {
                tracing::error!(
                    stream = self.state.config.name,
                    seq = next.seq,
                    "passing over a message that cannot be read"
                );
                self.state.remove(next.seq);
                Step::HandedOut
            }
            Err(error) => {
                tracing::error!(stream = self.state.config.name, seq = next.seq, %error, "cannot read a message from disk");
                Step::Pause(READ_PAUSE)
            }
        }
    }

    /// Offers a message to the requests in turn, until one takes it.
    fn offer(&mut self, name: &str, next: Next, message: &StoredMessage, now: Instant) -> Step {
        let (Some(waiting), Some(consumer)) = (
            self.waiting.get_mut(name),
            self.state.consumers.get_mut(name),
        ) else {
            return Step::Idle;
        };
        let ack = ack_subject(&self.state.config.name, consumer, next, message.time);
        let size = message.payload.len().to_string();
        let headers_only = consumer
            .config
            .headers_only
            .then(|| headers::extended(&message.headers, &[("Nats-Msg-Size", &size)]));
        let delivery = match &headers_only {
            Some(headers) => Delivery {
                subject: &message.subject,
                reply: Some(&ack),
                headers,
                payload: &[],
            },
            None => Delivery {
                subject: &message.subject,
                reply: Some(&ack),
                headers: &message.headers,
                payload: &message.payload,
            },
        };
        let bytes =
            (message.subject.len() + ack.len() + delivery.headers.len() + delivery.payload.len())
                as u64;
        while let Some(mut pull) = waiting.pulls.pop() {
            if pull.is_too_small_for(bytes) {
                end_pull(&self.router, &pull, "409 Message Size Exceeds MaxBytes");
                continue;
            }
            match self.router.hand_over(&pull.inbox, &delivery) {
                Handover::NobodyThere => {}
                Handover::Congested => {
                    waiting.pulls.put_back(pull);
                    return Step::Pause(CONGESTION_PAUSE);
                }
                Handover::Delivered => {
                    if !pull.got(bytes, now) {
                        waiting.pulls.push(pull);
                    }
                    consumer.handed_out(next, now);
                    if next.deliveries > 1 {
                        self.batch.push(&Record::Attempts {
                            consumer: consumer.id,
                            seq: next.seq,
                            count: next.deliveries,
                        });
                    }
                    return Step::HandedOut;
                }
            }
        }
        Step::Idle
    }
}

/// Where the acknowledgement of a message is to be sent; it also tells the client about the message.
fn ack_subject(stream: &str, consumer: &Consumer, next: Next, time: i64) -> String {
    let left = consumer
        .num_pending
        .saturating_sub(u64::from(next.deliveries == 1));
    let consumer_seq = consumer.delivered.consumer_seq + 1;
    let name = &consumer.config.name;
    format!(
        "$JS.ACK.{stream}.{name}.{}.{}.{consumer_seq}.{time}.{left}",
        next.deliveries, next.seq
    )
}

fn settle(batch: &mut Batch, consumer: &mut Consumer, seq: u64) {
    for seq in consumer.acknowledge(seq) {
        batch.push(&Record::Done {
            consumer: consumer.id,
            seq,
        });
    }
}

pub(super) fn end_pull(router: &crate::broker::router::Router, pull: &Pull, status: &str) {
    let leftover = pull.leftover();
    let leftover: Vec<(&str, &str)> = leftover
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    router.answer(&pull.inbox, &headers::with_status(status, &leftover), &[]);
}
