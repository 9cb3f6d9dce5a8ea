//! The clients' side of a push consumer: whether anyone listens where it delivers to, its heartbeats, its flow control.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::consumer::Progress;
use super::consumer_config::{ConsumerConfig, nanos_to_duration};
use super::flow::Flow;
use crate::broker::headers;
use crate::broker::interest::InterestWatch;
use crate::broker::outbound::Filled;
use crate::broker::protocol::Delivery;
use crate::broker::router::{Handover, Router};

/// Where a push consumer delivers to, and what it knows of who is there.
#[derive(Debug)]
pub(super) struct Push {
    subject: Box<str>,
    /// Whether anyone was there when it last looked.
    is_active: bool,
    heartbeat: Option<Duration>,
    next_heartbeat: Instant,
    flow: Option<Flow>,
    /// Where flow control is answered to, but for the last token.
    flow_subject: String,
    /// Who has been sent something that is not written yet.
    pub(super) filled: Filled,
    _watch: InterestWatch,
}

impl Push {
    /// `None` for a consumer from which clients pull. `watcher` is told when it is time to [`look`](Self::look) again.
    pub(super) fn new(
        stream: &str,
        config: &ConsumerConfig,
        router: &Router,
        watcher: &Arc<Notify>,
        now: Instant,
    ) -> Option<Self> {
        if !config.is_push() {
            return None;
        }
        // Watched before it looks, so that no change goes unseen.
        let watch = router.watch_interest(&config.deliver_subject, Arc::clone(watcher));
        let heartbeat = nanos_to_duration(config.idle_heartbeat);
        let mut push = Push {
            subject: config.deliver_subject.as_str().into(),
            is_active: false,
            heartbeat: Some(heartbeat).filter(|heartbeat| !heartbeat.is_zero()),
            next_heartbeat: now,
            flow: config.flow_control.then(Flow::new),
            flow_subject: format!("$JS.FC.{stream}.{}", config.name),
            filled: Filled::default(),
            _watch: watch,
        };
        push.look(router, now);
        Some(push)
    }

    pub(super) fn is_active(&self) -> bool {
        self.is_active
    }

    /// Whether it takes a message now.
    pub(super) fn is_ready(&self) -> bool {
        self.is_active && !self.flow.as_ref().is_some_and(Flow::is_stalled)
    }

    /// Looks whether anyone is there. Returns whether that is another answer than the last time.
    pub(super) fn look(&mut self, router: &Router, now: Instant) -> bool {
        let is_active = router.has_interest(&self.subject);
        let changed = is_active != self.is_active;
        self.is_active = is_active;
        if changed && is_active {
            self.put_off_heartbeat(now);
        }
        changed
    }

    /// Delivers a message that counts so many bytes.
    pub(super) fn deliver(
        &mut self,
        router: &Router,
        delivery: &Delivery<'_>,
        bytes: u64,
        now: Instant,
    ) -> Handover {
        let outcome = router.hand_over(&self.subject, None, delivery, &mut self.filled);
        match outcome {
            Handover::Delivered => {
                self.put_off_heartbeat(now);
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                if self.flow.as_mut().is_some_and(|flow| flow.sent(bytes)) {
                    self.ask(router);
                }
            }
            Handover::NobodyThere => self.is_active = false,
            Handover::Congested => {}
        }
        outcome
    }

    /// Asks the client to say that it has what was sent so far.
    fn ask(&mut self, router: &Router) {
        let Some(flow) = &mut self.flow else {
            return;
        };
        let answer = format!("{}.{:08x}", self.flow_subject, rand::random::<u32>());
        flow.requested(&answer);
        let request = Delivery {
            subject: &self.subject,
            reply: Some(&answer),
            headers: &headers::status("100 FlowControl Request"),
            payload: &[],
        };
        router.route(&self.subject, &request, None, &mut self.filled, None);
    }

    /// Takes the answer to a request of [`Push::ask`].
    pub(super) fn answered(&mut self, subject: &str) {
        if let Some(flow) = &mut self.flow {
            flow.answered(subject);
        }
    }

    /// Sends a heartbeat if one is due.
    pub(super) fn beat(&mut self, router: &Router, delivered: Progress, now: Instant) {
        if self.next_due().is_none_or(|due| due > now) {
            return;
        }
        self.put_off_heartbeat(now);
        let request = self.flow.as_ref().and_then(Flow::request);
        let stalled = request.map(|request| ("Nats-Consumer-Stalled", request));
        router.answer(&self.subject, &idle_heartbeat(delivered, stalled), &[]);
    }

    /// When [`Push::beat`] next has something to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.heartbeat
            .filter(|_| self.is_active)
            .map(|_| self.next_heartbeat)
    }

    fn put_off_heartbeat(&mut self, now: Instant) {
        self.next_heartbeat = now + self.heartbeat.unwrap_or_default();
    }
}

/// The headers of a heartbeat of a consumer that is this far.
pub(super) fn idle_heartbeat(delivered: Progress, more: Option<(&str, &str)>) -> bytes::Bytes {
    let consumer_seq = delivered.consumer_seq.to_string();
    let stream_seq = delivered.stream_seq.to_string();
    let mut progress = vec![
        ("Nats-Last-Consumer", consumer_seq.as_str()),
        ("Nats-Last-Stream", stream_seq.as_str()),
    ];
    progress.extend(more);
    headers::with_status("100 Idle Heartbeat", &progress)
}
