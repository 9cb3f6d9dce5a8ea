//! Serving a stream's consumers: the messages handed out to the clients that ask or listen for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::consumer::{Consumer, Next, Progress};
use super::json;
use super::pace::Pace;
use super::priority::Pin;
use super::pulls::{Pull, Pulls};
use super::push::Push;
use super::state::State;
use super::stream::Stream;
use super::timers::note_given_up;
use super::unreadable::READ_PAUSE;
use crate::broker::headers;
use crate::broker::outbound::Filled;
use crate::broker::protocol::Delivery;
use crate::broker::router::{Handover, Router};
use crate::broker::store::record::{Record, StoredMessage};

/// How many messages one consumer gets before the others, and the publishers, have their turn.
const BURST: usize = 256;
/// A consumer that passes over so many sequences for a message has searched for long: the others have their turn.
const FAR: u64 = 1024;
/// How long a client that does not read is left alone before its next message.
const CONGESTION_PAUSE: Duration = Duration::from_millis(5);

/// What clients want of one consumer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) pulls: Pulls,
    /// Where a push consumer delivers to.
    pub(super) push: Option<Push>,
    /// The client that takes all messages, where there may be one.
    pub(super) pin: Option<Pin>,
    pace: Pace,
    /// The progress that stands in the log.
    noted: Progress,
    pub(super) last_active: Instant,
    pub(super) paused_until: Option<Instant>,
    /// A burst ended before the messages or the requests did.
    pub(super) more: bool,
    /// Whose requests have been sent something that is not written yet.
    pub(super) filled: Filled,
}

impl Waiting {
    pub(super) fn new(
        state: &State,
        consumer: &Consumer,
        router: &Router,
        watcher: &Arc<Notify>,
        now: Instant,
    ) -> Self {
        let config = &consumer.config;
        Waiting {
            pulls: Pulls::default(),
            push: Push::new(&state.config.name, config, router, watcher, now),
            pin: None,
            pace: Pace::of(config, state.messages.last_seq, now),
            noted: Progress::default(),
            last_active: now,
            paused_until: None,
            more: false,
            filled: Filled::default(),
        }
    }

    /// Has written what was handed out.
    fn flush(&mut self) {
        self.filled.flush();
        if let Some(push) = &mut self.push {
            push.filled.flush();
        }
    }

    /// Whether a client asks or listens for messages.
    pub(super) fn is_asked(&self) -> bool {
        !self.pulls.is_empty() || self.push.as_ref().is_some_and(Push::is_ready)
    }

    /// Drops the requests of clients that listen no more.
    pub(super) fn forget_gone(&mut self, router: &Router) {
        self.pulls.retain(|pull| router.has_interest(&pull.inbox));
    }

    /// Whether a client holds on to the consumer.
    pub(super) fn is_used(&self) -> bool {
        !self.pulls.is_empty() || self.push.as_ref().is_some_and(Push::is_active)
    }
}

/// What came of an attempt to hand out one message.
enum Step {
    HandedOut,
    /// The search for the message took long, and has perhaps not found it yet: the others have their turn.
    Searched,
    /// Nothing to deliver, or no client that asks for it.
    Idle,
    /// To be tried again then.
    Pause(Duration),
}

impl Stream {
    /// Hands out what can be handed out.
    pub(super) async fn serve_consumers(&mut self, now: Instant) {
        let names: Vec<String> = self
            .waiting
            .iter()
            .filter(|(name, waiting)| self.may_deliver(name, waiting))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            let mut more = true;
            for _ in 0..BURST {
                match self.serve_one(&name, now).await {
                    Step::HandedOut => continue,
                    Step::Searched => {}
                    Step::Idle => more = false,
                    Step::Pause(pause) => {
                        self.pause(&name, now + pause);
                        more = false;
                    }
                }
                break;
            }
            self.end_burst(&name, more);
        }
    }

    /// Whether there is something to do for a consumer's clients. Requests may be for what is there, and end without it.
    pub(super) fn may_deliver(&self, name: &str, waiting: &Waiting) -> bool {
        let consumer = self.state.consumers.get(name);
        let has_some = consumer.is_some_and(|consumer| consumer.available() > 0);
        waiting.is_asked() && (has_some || !waiting.pulls.is_empty())
    }

    pub(super) fn pause(&mut self, name: &str, until: Instant) {
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
        waiting.flush();
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
            // Those that are done with when they are handed out.
            self.release_settled_by(name);
        }
        let (Some(waiting), Some(consumer)) =
            (self.waiting.get_mut(name), self.state.consumers.get(name))
        else {
            return;
        };
        if more || waiting.paused_until.is_some() || consumer.is_stalled() {
            return;
        }
        for pull in waiting.pulls.take_satisfied() {
            self.router
                .answer(&pull.inbox, &headers::status("404 No Messages"), &[]);
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
        if !waiting.is_asked() {
            return Step::Idle;
        }
        if let Some(left) = consumer.config.pause_left(json::now()) {
            return Step::Pause(left);
        }
        let next = consumer.next(&self.state.messages);
        note_given_up(&mut self.batch, &self.router, &self.state.config, consumer);
        let Some(next) = next else {
            return match consumer.is_searching(&self.state.messages) {
                true => Step::Searched,
                false => Step::Idle,
            };
        };
        if !self.has_body(next.seq)
            && let Some(waiting) = self.waiting.get_mut(name)
        {
            waiting.flush();
        }
        match self.message(next.seq).await {
            Ok(Some(message)) => self.offer(name, next, &message, now),
            Ok(None) => Step::HandedOut,
            Err(_) if self.is_lost(next.seq, now).await => {
                self.pass_over_lost(next.seq);
                Step::HandedOut
            }
            Err(_) => Step::Pause(READ_PAUSE),
        }
    }

    /// Offers a message to the client that listens, or to the requests in turn until one takes it.
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
        if let Some(wait) = waiting.pace.wait(next.seq, message.time, bytes, now) {
            return Step::Pause(wait);
        }
        let outcome = match &mut waiting.push {
            Some(push) => push.deliver(&self.router, &delivery, bytes, now),
            None => {
                let stream = &self.state.config.name;
                waiting.hand_to_a_pull(stream, consumer, &self.router, &delivery, bytes, now)
            }
        };
        match outcome {
            Handover::NobodyThere => return Step::Idle,
            Handover::Congested => return Step::Pause(CONGESTION_PAUSE),
            Handover::Delivered => {}
        }
        waiting.pace.sent(next.seq, message.time, bytes, now);
        waiting.last_active = now;
        let is_far = next.seq > consumer.delivered.stream_seq + FAR;
        let consumer_seq = consumer.handed_out(next, now);
        consumer.last_delivery = Some(json::now());
        if next.deliveries > 1 {
            self.batch.push(&Record::Attempts {
                consumer: consumer.id,
                seq: next.seq,
                count: next.deliveries,
                consumer_seq,
            });
        }
        if is_far {
            Step::Searched
        } else {
            Step::HandedOut
        }
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

/// Tells a client that its request ends, and how much of it was not served.
pub(super) fn end_pull(router: &Router, pull: &Pull, status: &str) {
    let leftover = pull.leftover();
    let leftover: Vec<(&str, &str)> = leftover
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    router.answer(&pull.inbox, &headers::with_status(status, &leftover), &[]);
}
