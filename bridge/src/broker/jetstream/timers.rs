//! What the passing of time asks of a stream's consumers.

use std::time::Instant;

use super::advisories;
use super::answers::Responder;
use super::batch::{Batch, Effect};
use super::consumer::{Consumer, GIVEN_UP};
use super::deliver::{Waiting, end_pull};
use super::json;
use super::push::{Push, idle_heartbeat};
use super::state::{self, Change};
use super::stream::Stream;
use super::stream_config::StreamConfig;
use crate::broker::headers;
use crate::broker::router::Router;
use crate::broker::store::record::Record;

impl Stream {
    /// Ends requests whose time is up, sends heartbeats, makes late messages due again, drops consumers that are not used.
    pub(super) fn tend_consumers(&mut self, now: Instant) {
        let mut unused = Vec::new();
        let interest_changed = std::mem::take(&mut self.interest_changed);
        self.wait_for_clients(now);
        let (router, stream) = (&self.router, &self.state.config.name);
        for (name, consumer) in &mut self.state.consumers {
            consumer.expire(now);
            note_given_up(&mut self.batch, router, &self.state.config, consumer);
            let Some(waiting) = self.waiting.get_mut(name) else {
                continue;
            };
            for pull in waiting.pulls.take_expired(now) {
                end_pull(router, &pull, "408 Request Timeout");
            }
            for pull in waiting.pulls.take_satisfied_late(now) {
                router.answer(&pull.inbox, &headers::status("404 No Messages"), &[]);
            }
            let due = waiting.pulls.take_heartbeats(now);
            if due.iter().any(|inbox| !router.has_interest(inbox)) {
                waiting.forget_gone(router);
            }
            for inbox in due {
                router.answer(&inbox, &idle_heartbeat(consumer.delivered, None), &[]);
            }
            if let Some(push) = &mut waiting.push {
                if interest_changed && push.look(router, now) {
                    waiting.last_active = now;
                }
                push.beat(router, consumer.delivered, now);
            }
            if waiting.pin.as_ref().is_some_and(|pin| pin.until <= now) {
                waiting.unpin(stream, name, router, "timeout");
            }
            let limit = consumer.config.unused_limit();
            if !limit.is_zero() && now >= waiting.last_active + limit {
                waiting.forget_gone(router);
                waiting.last_active = now;
                if !waiting.is_used() {
                    unused.push(name.clone());
                }
            }
        }
        for name in unused {
            self.forget_consumer(name);
        }
    }

    /// Makes room for the clients of consumers that have none yet.
    fn wait_for_clients(&mut self, now: Instant) {
        if self.waiting.len() == self.state.consumers.len() {
            return;
        }
        for (name, consumer) in &self.state.consumers {
            if !self.waiting.contains_key(name) {
                let waiting =
                    Waiting::new(&self.state, consumer, &self.router, &self.interest, now);
                self.waiting.insert(name.clone(), waiting);
            }
        }
    }

    /// Lets go of the consumers that are to be in memory alone, as a start of the server does. Their clients make them anew,
    /// and would get everything twice beside the old ones. One with a durable name is kept, which is more than was asked for.
    pub(super) fn forget_memory_consumers(&mut self) {
        let consumers = self.state.consumers.values();
        let forgotten =
            consumers.filter(|consumer| consumer.config.mem_storage && !consumer.is_durable());
        let names: Vec<_> = forgotten
            .map(|consumer| consumer.config.name.clone())
            .collect();
        for name in names {
            self.forget_consumer(name);
        }
    }

    fn forget_consumer(&mut self, name: String) {
        self.change(Change::ConsumerDeleted(name), false, Responder::nobody());
    }

    /// Writes down a change that takes effect when it is on disk.
    pub(super) fn change(&mut self, change: Change, created: bool, responder: Responder) {
        let time = json::now();
        self.batch.push(&Record::Expired { time });
        self.batch.add(Effect::Expire(time));
        self.batch.push(&Record::Change(state::to_json(&change)));
        self.batch.add(Effect::Change {
            change,
            created,
            responder,
        });
    }

    /// When [`Stream::tend_consumers`] or [`Stream::serve_consumers`] next has something to do.
    pub(super) fn next_consumer_due(&self, now: Instant) -> Option<Instant> {
        let due_of = |(name, waiting): (&String, &Waiting)| {
            let consumer = self.state.consumers.get(name)?;
            let limit = consumer.config.unused_limit();
            let is_pushed = waiting.push.as_ref().is_some_and(Push::is_active);
            let unused = (!limit.is_zero() && !is_pushed).then(|| waiting.last_active + limit);
            // What is left of an earlier burst or pause counts only while there is something to do.
            let may_deliver = self.may_deliver(name, waiting);
            let more = (may_deliver && waiting.more).then_some(now);
            let paused = waiting.paused_until.filter(|_| may_deliver);
            let dues = [
                waiting.pulls.next_due(),
                waiting.push.as_ref().and_then(Push::next_due),
                waiting.pin.as_ref().map(|pin| pin.until),
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

/// Says in the log, and to clients, what a consumer has given up.
pub(super) fn note_given_up(
    batch: &mut Batch,
    router: &Router,
    config: &StreamConfig,
    consumer: &mut Consumer,
) {
    for what in consumer.take_exhausted() {
        batch.push(&Record::Attempts {
            consumer: consumer.id,
            seq: what.seq,
            count: GIVEN_UP,
            consumer_seq: 0,
        });
        advisories::exhausted(router, config, &consumer.config.name, what);
    }
}
