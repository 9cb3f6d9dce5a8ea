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
    /// Offers a message to the requests in turn, until one takes it. Those whose clients are behind keep their turns: others of the same
    /// rank may take it meanwhile. `now` is the same throughout a burst of messages, in which each of those is tried once.
    pub(super) fn hand_to_a_pull(
        &mut self,
        stream: &str,
        consumer: &Consumer,
        router: &Router,
        delivery: &Delivery<'_>,
        bytes: u64,
        now: Instant,
    ) -> Handover {
        let policy = consumer.config.priority_policy;
        if policy == PriorityPolicy::PinnedClient && self.pulls.begin(now) {
            self.end_wrong_pins(router);
        }
        let mut from = match policy {
            PriorityPolicy::None | PriorityPolicy::Prioritized => self.pulls.first_untried(now),
            PriorityPolicy::Overflow | PriorityPolicy::PinnedClient => 0,
        };
        while let Some(place) = self.choose(from, stream, consumer, router, now)
            && let Some(pull) = self.pulls.get_mut(place)
        {
            from = place;
            if pull.is_too_small_for(bytes) {
                end_pull(router, pull, "409 Message Size Exceeds MaxBytes");
                self.pulls.remove(place);
                continue;
            }
            let pinned = self
                .pin
                .as_ref()
                .map(|pin| headers::extended(delivery.headers, &[("Nats-Pin-Id", &pin.id)]));
            let delivery = Delivery {
                headers: pinned.as_deref().unwrap_or(delivery.headers),
                ..*delivery
            };
            let asker = Some(pull.asker);
            match router.hand_over(&pull.inbox, asker, &delivery, &mut self.filled) {
                Handover::NobodyThere => _ = self.pulls.remove(place),
                Handover::Congested => {
                    pull.behind_at = Some(now);
                    from += 1;
                }
                Handover::Delivered => {
                    let is_complete = pull.got(bytes, now);
                    if is_complete && pull.bytes_left.is_some_and(|left| left > 0) {
                        end_pull(router, pull, "409 Batch Completed");
                    }
                    let pull = self.pulls.remove(place);
                    if let Some(pull) = pull.filter(|_| !is_complete) {
                        self.pulls.push(pull);
                    }
                    return Handover::Delivered;
                }
            }
        }
        if self.pulls.is_any_behind(now) {
            Handover::Congested
        } else {
            Handover::NobodyThere
        }
    }

    /// The place of the request that the next message is for, from `from` on.
    fn choose(
        &mut self,
        from: usize,
        stream: &str,
        consumer: &Consumer,
        router: &Router,
        now: Instant,
    ) -> Option<usize> {
        match consumer.config.priority_policy {
            PriorityPolicy::None | PriorityPolicy::Prioritized => {
                self.pulls.find(from, now, |_| true)
            }
            PriorityPolicy::Overflow => {
                let unacknowledged = consumer.num_ack_pending() as u64;
                let reached = |least: u64, number: u64| least > 0 && least <= number;
                self.pulls.find(from, now, |Pull { group, .. }| {
                    (group.min_pending == 0 && group.min_ack_pending == 0)
                        || reached(group.min_pending, consumer.num_pending)
                        || reached(group.min_ack_pending, unacknowledged)
                })
            }
            PriorityPolicy::PinnedClient => self.choose_pinned(from, stream, consumer, router, now),
        }
    }

    fn choose_pinned(
        &mut self,
        from: usize,
        stream: &str,
        consumer: &Consumer,
        router: &Router,
        now: Instant,
    ) -> Option<usize> {
        if let Some(pin) = &self.pin {
            let is_pinned = |pull: &Pull| pull.group.pin == pin.id;
            return self.pulls.find(from, now, is_pinned);
        }
        loop {
            let place = self.pulls.find(from, now, |_| true)?;
            let pull = self.pulls.get_mut(place)?;
            if !router.has_interest(&pull.inbox) {
                self.pulls.remove(place);
                continue;
            }
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
            return Some(place);
        }
    }

    /// Ends the requests with another pin than the client has that is pinned.
    fn end_wrong_pins(&mut self, router: &Router) {
        let current = self.pin.as_ref().map(|pin| &*pin.id);
        let is_wrong = |pull: &Pull| {
            let pin = Some(&*pull.group.pin).filter(|pin| !pin.is_empty());
            pin.is_some() && pin != current
        };
        for pull in self.pulls.take(is_wrong) {
            end_pull(router, &pull, "423 Nats-Wrong-Pin-Id");
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::consumer::SavedConsumer;
    use super::super::consumer_config::ConsumerConfig;
    use super::super::pull_request::PullRequest;
    use super::super::recovery::Recovery;
    use super::super::state::State;
    use super::super::stream_config::{ConsumerLimits, StreamConfig};
    use super::*;
    use crate::broker::outbound::Outbound;
    use crate::broker::router::Subscription;

    /// Two clients ask a consumer for messages, one that is behind and then one that is not: what becomes of two messages in one burst,
    /// between which the first client catches up, and of one in the next; and how many does each get, and who asks for more?
    async fn served(config: Value, slow: &str, fast: &str) -> ([Handover; 3], [u64; 2], Vec<u64>) {
        let now = Instant::now();
        let stream: StreamConfig = json::parse(br#"{"name": "S"}"#).unwrap();
        let state = State::new(stream.checked().unwrap(), 0, &Recovery::default());
        let config: ConsumerConfig = json::parse(config.to_string().as_bytes()).unwrap();
        let config = config.checked(&ConsumerLimits::default()).unwrap();
        let saved = SavedConsumer::new(1, config, 0, 0);
        let consumer = Consumer::restore(saved, &state.messages, now);
        let router = Router::default();
        let mut waiting = Waiting::new(&state, &consumer, &router, &Arc::default(), now);
        let clients = [(1, slow), (2, fast)].map(|(id, request)| {
            let client = Outbound::new(id, 64 << 20);
            let inbox = format!("inbox.{id}");
            let subscription =
                Subscription::new(inbox.as_str().into(), None, "1".into(), Arc::clone(&client));
            router.subscribe(Arc::new(subscription));
            let request = PullRequest::parse(request.as_bytes()).unwrap();
            let pull = request
                .into_pull(&inbox, id, &consumer.config, now)
                .unwrap();
            waiting.pulls.push(pull);
            client
        });
        clients[0].send(&vec![0; 8 << 20]);
        let delivery = Delivery {
            subject: "a",
            reply: None,
            headers: &[],
            payload: b"x",
        };
        let mut hand_over =
            |now| waiting.hand_to_a_pull("S", &consumer, &router, &delivery, 1, now);
        let first = hand_over(now);
        clients[0].next().await.unwrap();
        let second = hand_over(now);
        let third = hand_over(now + Duration::from_millis(1));
        let left = waiting.pulls.drain().map(|pull| pull.asker);
        let got = clients.map(|client| client.sent().messages);
        ([first, second, third], got, left.collect())
    }

    #[tokio::test]
    async fn a_request_whose_client_is_behind_keeps_its_turn_and_holds_up_none_of_its_rank() {
        use Handover::{Congested, Delivered};
        let plain = json!({"durable_name": "d", "ack_policy": "explicit"});
        let outcome = served(plain, "9", "9").await;
        assert_eq!(
            outcome,
            ([Delivered; 3], [1, 2], vec![2, 1]),
            "it is tried once in a burst"
        );
        for (policy, outcomes, got, left) in [
            (
                "prioritized",
                [Congested, Congested, Delivered],
                [1, 0],
                vec![1, 2],
            ),
            (
                "pinned_client",
                [Congested, Congested, Delivered],
                [1, 0],
                vec![2, 1],
            ),
            ("overflow", [Delivered; 3], [1, 2], vec![2, 1]),
        ] {
            let config = json!({
                "durable_name": "d", "ack_policy": "explicit",
                "priority_policy": policy, "priority_groups": ["A"],
            });
            let [first, second] =
                [1, 2].map(|rank| format!(r#"{{"group": "A", "priority": {rank}, "batch": 9}}"#));
            let outcome = served(config, &first, &second).await;
            assert_eq!(outcome, (outcomes, got, left), "{policy}");
        }
    }
}
