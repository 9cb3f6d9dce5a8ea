//! Requests for messages that wait for their turn: how much each still gets, when it ends, when it hears a heartbeat.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A request that waits.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) inbox: Box<str>,
    /// The number of the connection that asks.
    pub(super) asker: u64,
    pub(super) messages_left: u64,
    pub(super) bytes_left: Option<u64>,
    pub(super) got_some: bool,
    /// Takes what is there; waits only for the first message, and only if it says until when.
    pub(super) no_wait: bool,
    pub(super) expires: Option<Instant>,
    pub(super) heartbeat: Option<Duration>,
    pub(super) next_heartbeat: Option<Instant>,
    /// Those with a smaller number come first.
    pub(super) rank: u8,
    pub(super) group: Group,
    /// When it was last offered a message that its client was too far behind to take.
    pub(super) behind_at: Option<Instant>,
}

/// What a request says to a consumer with priority groups.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) name: Box<str>,
    /// It takes messages when at least so many wait, if any number is given.
    pub(super) min_pending: u64,
    /// It takes messages when at least so many are unacknowledged, if any number is given.
    pub(super) min_ack_pending: u64,
    /// The pin that its client was given.
    pub(super) pin: Box<str>,
}

impl Pull {
    /// Whether it wants an answer even when there is nothing.
    pub(super) fn is_immediate(&self) -> bool {
        self.no_wait && self.expires.is_none()
    }

    /// Whether it hears heartbeats while it waits.
    pub(super) fn has_heartbeat(&self) -> bool {
        self.heartbeat.is_some()
    }

    /// Whether a message of this size is more than it takes.
    pub(super) fn is_too_small_for(&self, bytes: u64) -> bool {
        self.bytes_left.is_some_and(|left| bytes > left)
    }

    /// Takes note of a message it got. Returns whether it is complete.
    pub(super) fn got(&mut self, bytes: u64, now: Instant) -> bool {
        self.got_some = true;
        self.messages_left = self.messages_left.saturating_sub(1);
        self.bytes_left = self.bytes_left.map(|left| left.saturating_sub(bytes));
        self.next_heartbeat = self.heartbeat.map(|heartbeat| now + heartbeat);
        self.messages_left == 0 || self.bytes_left == Some(0)
    }

    /// The headers that tell how much of it was not served.
    pub(super) fn leftover(&self) -> [(&'static str, String); 2] {
        [
            ("Nats-Pending-Messages", self.messages_left.to_string()),
            (
                "Nats-Pending-Bytes",
                self.bytes_left.unwrap_or(0).to_string(),
            ),
        ]
    }
}

/// The waiting requests of one consumer, served in turn.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    waiting: VecDeque<Pull>,
    begun: Option<Instant>,
}

impl Pulls {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, pull: Pull) {
        let place = match self.waiting.back() {
            Some(last) if last.rank > pull.rank => self
                .waiting
                .partition_point(|other| other.rank <= pull.rank),
            _ => self.waiting.len(),
        };
        self.waiting.insert(place, pull);
    }

    /// Whether a burst begins: the messages of one are offered at the same time.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        self.begun.replace(now) != Some(now)
    }

    /// The place of the first request whose client is not known to be behind at this time, where they are tried one after the other.
    pub(super) fn first_untried(&self, now: Instant) -> usize {
        self.waiting
            .partition_point(|pull| pull.behind_at == Some(now))
    }

    /// Whether a client was found to be behind at this time.
    pub(super) fn is_any_behind(&self, now: Instant) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|pull| pull.behind_at == Some(now))
    }

    /// The place of the first request of this kind from `from` on whose client is not known to be behind at this time. There is none if
    /// its rank is worse than that of the one before `from`, which is behind.
    pub(super) fn find(
        &self,
        from: usize,
        now: Instant,
        is_it: impl Fn(&Pull) -> bool,
    ) -> Option<usize> {
        let before = from.checked_sub(1).and_then(|last| self.waiting.get(last));
        let mut others = self.waiting.iter().enumerate().skip(from);
        let (place, found) = others.find(|(_, pull)| pull.behind_at != Some(now) && is_it(pull))?;
        let is_held_up = before.is_some_and(|before| before.rank < found.rank);
        (!is_held_up).then_some(place)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Pull> {
        self.waiting.get_mut(place)
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<Pull> {
        self.waiting.remove(place)
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Pull) -> bool) {
        self.waiting.retain(keep);
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Pull> {
        self.waiting.drain(..)
    }

    /// How many messages all requests together still take.
    pub(super) fn messages_left(&self) -> u64 {
        let left = self.waiting.iter().map(|pull| pull.messages_left);
        left.fold(0, u64::saturating_add)
    }

    /// Takes out the requests whose time is up.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Pull> {
        self.take(|pull| pull.expires.is_some_and(|expires| expires <= now))
    }

    /// Takes out the requests that do not wait for more, now that there is no more.
    pub(super) fn take_satisfied(&mut self) -> Vec<Pull> {
        self.take(|pull| pull.no_wait && (pull.got_some || pull.expires.is_none()))
    }

    /// Takes out the requests that do not wait for more, although there is more that is held back: their client would
    /// wait on with the heartbeat that is due.
    pub(super) fn take_satisfied_late(&mut self, now: Instant) -> Vec<Pull> {
        let is_due = |pull: &Pull| pull.next_heartbeat.is_some_and(|next| next <= now);
        self.take(|pull| pull.no_wait && pull.got_some && is_due(pull))
    }

    /// The inboxes that are due a heartbeat; the next is due later.
    pub(super) fn take_heartbeats(&mut self, now: Instant) -> Vec<Box<str>> {
        let mut inboxes = Vec::new();
        for pull in &mut self.waiting {
            if pull.next_heartbeat.is_some_and(|next| next <= now) {
                pull.next_heartbeat = pull.heartbeat.map(|heartbeat| now + heartbeat);
                inboxes.push(pull.inbox.clone());
            }
        }
        inboxes
    }

    /// When something is next due: an end or a heartbeat.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting
            .iter()
            .flat_map(|pull| [pull.expires, pull.next_heartbeat])
            .flatten()
            .min()
    }

    /// Takes out the requests of a kind.
    pub(super) fn take(&mut self, matching: impl Fn(&Pull) -> bool) -> Vec<Pull> {
        if !self.waiting.iter().any(&matching) {
            return Vec::new();
        }
        let (taken, left) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(matching);
        self.waiting = left;
        Vec::from_iter::<VecDeque<Pull>>(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::consumer_config::ConsumerConfig;
    use super::super::json;
    use super::super::pull_request::PullRequest;
    use super::*;

    fn pull(body: &str, now: Instant) -> Result<Pull, String> {
        let config: ConsumerConfig = json::parse(br#"{"max_batch": 100}"#).unwrap();
        PullRequest::parse(body.as_bytes())?.into_pull("inbox", 1, &config, now)
    }

    #[test]
    fn requests_end_when_full_satisfied_or_late() {
        let now = Instant::now();
        let mut pulls = Pulls::default();
        pulls.push(pull(r#"{"batch": 2, "expires": 1000}"#, now).unwrap());
        pulls.push(pull(r#"{"batch": 2, "no_wait": true, "expires": 2000}"#, now).unwrap());
        pulls.push(pull(r#"{"batch": 2, "no_wait": true}"#, now).unwrap());
        assert_eq!(
            pulls.take_satisfied().len(),
            1,
            "nothing there, and no time given"
        );
        let mut first = pulls.remove(0).unwrap();
        assert!(!first.got(10, now) && first.got(10, now));
        let mut second = pulls.remove(0).unwrap();
        assert!(!second.got(10, now));
        assert_eq!(second.leftover()[0].1, "1");
        pulls.push(second);
        assert_eq!(pulls.take_satisfied().len(), 1, "it got what was there");
        let heard = r#"{"expires": 1000000000, "idle_heartbeat": 100000000}"#;
        pulls.push(pull(heard, now).unwrap());
        let later = now + Duration::from_millis(100);
        assert_eq!(pulls.next_due(), Some(later));
        assert_eq!(pulls.take_heartbeats(later).len(), 1);
        assert!(pulls.take_heartbeats(later).is_empty());
        assert!(pulls.take_expired(later).is_empty());
        assert_eq!(pulls.take_expired(now + Duration::from_secs(1)).len(), 1);
        assert!(pulls.is_empty());
    }

    #[test]
    fn requests_of_a_better_rank_come_first() {
        let now = Instant::now();
        let mut pulls = Pulls::default();
        for (batch, rank) in [(1, 5), (2, 1), (3, 5), (4, 1)] {
            let mut pull = pull(&format!(r#"{{"batch": {batch}}}"#), now).unwrap();
            pull.rank = rank;
            pulls.push(pull);
        }
        let order = pulls.drain().map(|pull| pull.messages_left);
        assert_eq!(order.collect::<Vec<_>>(), [2, 4, 1, 3]);
    }

    #[test]
    fn bytes_are_a_limit_too() {
        let now = Instant::now();
        let mut pull = pull(r#"{"batch": 9, "max_bytes": 25}"#, now).unwrap();
        assert!(!pull.got(10, now));
        assert!(pull.is_too_small_for(16) && !pull.is_too_small_for(15));
        assert!(pull.got(15, now));
    }
}
