//! What the passing of time asks of a stream's consumers.

use std::time::Instant;

use super::answers::Responder;
use super::batch::Effect;
use super::consumer::Progress;
use super::consumer_config::nanos_to_duration;
use super::deliver::{Waiting, end_pull};
use super::state::{self, Change};
use super::stream::Stream;
use crate::broker::headers;
use crate::broker::store::record::Record;

impl Stream {
    /// Ends requests whose time is up, sends heartbeats, makes late messages due again, drops consumers that are not used.
    pub(super) fn tend_consumers(&mut self, now: Instant) {
        let mut unused = Vec::new();
        for (name, consumer) in &mut self.state.consumers {
            consumer.expire(now);
            let waiting = self
                .waiting
                .entry(name.clone())
                .or_insert_with(|| Waiting::new(now));
            for pull in waiting.pulls.take_expired(now) {
                end_pull(&self.router, &pull, "408 Request Timeout");
            }
            for inbox in waiting.pulls.take_heartbeats(now) {
                let Progress {
                    consumer_seq,
                    stream_seq,
                } = consumer.delivered;
                let progress = [
                    ("Nats-Last-Consumer", &*consumer_seq.to_string()),
                    ("Nats-Last-Stream", &*stream_seq.to_string()),
                ];
                self.router.answer(
                    &inbox,
                    &headers::with_status("100 Idle Heartbeat", &progress),
                    &[],
                );
            }
            let threshold = nanos_to_duration(consumer.config.inactive_threshold);
            if !threshold.is_zero() && now >= waiting.last_active + threshold {
                let router = &self.router;
                waiting
                    .pulls
                    .retain(|pull| router.has_interest(&pull.inbox));
                waiting.last_active = now;
                if waiting.pulls.is_empty() {
                    unused.push(name.clone());
                }
            }
        }
        for name in unused {
            self.forget_consumer(name);
        }
    }

    fn forget_consumer(&mut self, name: String) {
        let (answer, _) = tokio::sync::oneshot::channel();
        self.change(
            Change::ConsumerDeleted(name),
            false,
            Responder::Internal(answer),
        );
    }

    /// Writes down a change that takes effect when it is on disk.
    pub(super) fn change(&mut self, change: Change, created: bool, responder: Responder) {
        self.batch.push(&Record::Change(state::to_json(&change)));
        self.batch.effects.push(Effect::Change {
            change,
            created,
            responder,
        });
    }

    /// When [`Stream::tend_consumers`] or [`Stream::serve_pulls`] next has something to do.
    pub(super) fn next_consumer_due(&self, now: Instant) -> Option<Instant> {
        let due_of = |(name, waiting): (&String, &Waiting)| {
            let consumer = self.state.consumers.get(name)?;
            let threshold = nanos_to_duration(consumer.config.inactive_threshold);
            let unused = (!threshold.is_zero()).then(|| waiting.last_active + threshold);
            let asked = !waiting.pulls.is_empty();
            let more = (asked && waiting.more).then_some(now);
            let paused = waiting.paused_until.filter(|_| asked);
            let dues = [
                waiting.pulls.next_due(),
                paused,
                unused,
                more,
                consumer.next_due(),
            ];
            dues.into_iter().flatten().min()
        };
        self.waiting.iter().filter_map(due_of).min()
    }
}
