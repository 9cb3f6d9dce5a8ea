//! Which of a consumer's clients come first: one that is pinned, those with a better priority, or others only when much
//! waits.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::advisories;
use super::consumer::Consumer;
use super::consumer_config::nanos_to_duration;
use super::deliver::{Waiting, end_pull};
use super::json;
use super::pulls::Pull;
use crate::broker::headers;
use crate::broker::protocol::Delivery;
use crate::broker::router::{Handover, Router};

/// How a consumer chooses among its clients.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PriorityPolicy {
    #[default]
    None,
    /// Some clients take messages only when many wait, or many are unacknowledged.
    Overflow,
    /// One client takes all of them until it stops asking.
    PinnedClient,
    /// Clients have ranks.
    Prioritized,
}

/// The client that takes all messages of a consumer.
#[derive(Debug)]
pub(super) struct Pin {
    id: Box<str>,
    group: Box<str>,
    /// In nanoseconds since 1970.
    since: i64,
    pub(super) until: Instant,
}

impl Pin {
    /// Takes a request with this pin; its client stays pinned until then. A request with another is refused.
    pub(super) fn check(&mut self, pin: &str, until: Instant) -> Result<(), String> {
        if pin == &*self.id {
            self.until = until;
        } else if !pin.is_empty() {
            return Err("423 Nats-Pin-Id mismatch".to_owned());
        }
        Ok(())
    }
}

/// What the API shows of a consumer's groups; `None` when it has none.
pub(super) fn describe(consumer: &Consumer, waiting: Option<&Waiting>) -> Option<Value> {
    // As the servers in the field do, all share the pin of the first.
    let group = consumer.config.priority_groups.first()?;
    let pin = waiting.and_then(|waiting| waiting.pin.as_ref());
    let since = pin.map_or(0, |pin| pin.since);
    let mut state = json!({"group": group, "pinned_ts": json::time(since)});
    if let Some(pin) = pin {
        json::set(&mut state, "pinned_client_id", &*pin.id);
    }
    Some(json!([state]))
}

impl Waiting {
    /// Offers a message to the requests in turn, until one takes it.
    pub(super) fn hand_to_a_pull(
        &mut self,
        stream: &str,
        consumer: &Consumer,
        router: &Router,
        delivery: &Delivery<'_>,
        bytes: u64,
        now: Instant,
    ) -> Handover {
        while let Some(mut pull) = self.choose(stream, consumer, router, now) {
            if pull.is_too_small_for(bytes) {
                end_pull(router, &pull, "409 Message Size Exceeds MaxBytes");
                continue;
            }
            let pinned = self
                .pin
                .as_ref()
                .map(|pin| headers::extended(delivery.headers, &[("Nats-Pin-Id", &pin.id)]));
            let outcome = match &pinned {
                Some(headers) => router.hand_over(
                    &pull.inbox,
                    &Delivery {
                        headers,
                        ..*delivery
                    },
                    &mut self.filled,
                ),
                None => router.hand_over(&pull.inbox, delivery, &mut self.filled),
            };
            match outcome {
                Handover::NobodyThere => {}
                Handover::Congested => {
                    self.pulls.put_back(pull);
                    return Handover::Congested;
                }
                Handover::Delivered => {
                    if !pull.got(bytes, now) {
                        self.pulls.push(pull);
                    } else if pull.bytes_left.is_some_and(|left| left > 0) {
                        end_pull(router, &pull, "409 Batch Completed");
                    }
                    return Handover::Delivered;
                }
            }
        }
        Handover::NobodyThere
    }

    /// The request that the next message is for.
    fn choose(
        &mut self,
        stream: &str,
        consumer: &Consumer,
        router: &Router,
        now: Instant,
    ) -> Option<Pull> {
        match consumer.config.priority_policy {
            PriorityPolicy::None | PriorityPolicy::Prioritized => self.pulls.pop(),
            PriorityPolicy::Overflow => {
                let unacknowledged = consumer.num_ack_pending() as u64;
                let reached = |least: u64, number: u64| least > 0 && least <= number;
                self.pulls.pop_first(|Pull { group, .. }| {
                    (group.min_pending == 0 && group.min_ack_pending == 0)
                        || reached(group.min_pending, consumer.num_pending)
                        || reached(group.min_ack_pending, unacknowledged)
                })
            }
            PriorityPolicy::PinnedClient => self.choose_pinned(stream, consumer, router, now),
        }
    }

    fn choose_pinned(
        &mut self,
        stream: &str,
        consumer: &Consumer,
        router: &Router,
        now: Instant,
    ) -> Option<Pull> {
        let current = self.pin.as_ref().map(|pin| &*pin.id);
        let is_wrong = |pull: &Pull| {
            let pin = Some(&*pull.group.pin).filter(|pin| !pin.is_empty());
            pin.is_some() && pin != current
        };
        for pull in self.pulls.take(is_wrong) {
            end_pull(router, &pull, "423 Nats-Wrong-Pin-Id");
        }
        if let Some(pin) = &self.pin {
            return self.pulls.pop_first(|pull| pull.group.pin == pin.id);
        }
        self.forget_gone(router);
        let mut pull = self.pulls.pop()?;
        if !pull.group.name.is_empty() {
            let pin = Pin {
                id: format!("{:022x}", rand::random::<u128>() >> 40).into(),
                group: pull.group.name.clone(),
                since: json::now(),
                until: now + nanos_to_duration(consumer.config.priority_timeout),
            };
            pull.group.pin = pin.id.clone();
            let name = &consumer.config.name;
            advisories::pinned(router, stream, name, &pin.group, &pin.id);
            self.pin = Some(pin);
        }
        Some(pull)
    }

    /// Lets go of the pinned client, if there is one, for a reason that is told.
    pub(super) fn unpin(&mut self, stream: &str, consumer: &str, router: &Router, reason: &str) {
        if let Some(pin) = self.pin.take() {
            advisories::unpinned(router, stream, consumer, &pin.group, reason);
            self.paused_until = None;
        }
    }
}

/// Whether a priority group may have this name.
pub(super) fn is_valid_group(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "/_=-".contains(c);
    (1..=16).contains(&name.len()) && name.chars().all(is_allowed)
}
