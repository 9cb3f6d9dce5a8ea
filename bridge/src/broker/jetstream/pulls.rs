//! Requests for messages that wait for their turn: how much each still gets, when it ends, when it hears a heartbeat.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::consumer_config::{ConsumerConfig, nanos_to_duration};
use super::deliver::Waiting;
use super::go_duration;
use super::json;
use super::stream::Stream;
use crate::broker::headers;

/// The body of a pull request.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PullRequest {
    #[serde(default)]
    batch: i64,
    #[serde(default)]
    expires: i64,
    #[serde(default)]
    no_wait: bool,
    #[serde(default)]
    max_bytes: i64,
    #[serde(default)]
    idle_heartbeat: i64,
}

impl PullRequest {
    /// Reads a body: JSON, or a bare number of messages; anything else asks for one message.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let body = body.trim_ascii();
        if body.starts_with(b"{") {
            return json::parse(body).map_err(|_| "400 Bad Request - invalid JSON".to_owned());
        }
        let text = std::str::from_utf8(body).unwrap_or_default();
        Ok(PullRequest {
            batch: text.parse().unwrap_or(1),
            ..PullRequest::default()
        })
    }

    /// Checks a request against the limits of its consumer. The error is a status for the requester.
    pub(super) fn into_pull(
        self,
        inbox: &str,
        config: &ConsumerConfig,
        now: Instant,
    ) -> Result<Pull, String> {
        let heartbeat =
            Some(nanos_to_duration(self.idle_heartbeat)).filter(|heartbeat| !heartbeat.is_zero());
        let expires = Some(nanos_to_duration(self.expires)).filter(|expires| !expires.is_zero());
        if let Some(heartbeat) = heartbeat
            && expires.is_none_or(|expires| heartbeat * 2 > expires)
        {
            return Err("400 Bad Request - heartbeat value too large".to_owned());
        }
        if config.max_batch > 0 && self.batch > config.max_batch {
            return Err(format!(
                "409 Exceeded MaxRequestBatch of {}",
                config.max_batch
            ));
        }
        if config.max_expires > 0 && self.expires > config.max_expires {
            return Err(format!(
                "409 Exceeded MaxRequestExpires of {}",
                go_duration::format(nanos_to_duration(config.max_expires))
            ));
        }
        if config.max_bytes > 0 && self.max_bytes > config.max_bytes {
            return Err(format!(
                "409 Exceeded MaxRequestMaxBytes of {}",
                config.max_bytes
            ));
        }
        Ok(Pull {
            inbox: inbox.into(),
            messages_left: u64::try_from(self.batch).unwrap_or(0).max(1),
            bytes_left: u64::try_from(self.max_bytes)
                .ok()
                .filter(|bytes| *bytes > 0),
            got_some: false,
            no_wait: self.no_wait,
            expires: expires.and_then(|expires| now.checked_add(expires)),
            heartbeat,
            next_heartbeat: heartbeat.map(|heartbeat| now + heartbeat),
        })
    }
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) inbox: Box<str>,
    pub(super) messages_left: u64,
    pub(super) bytes_left: Option<u64>,
    got_some: bool,
    /// Takes what is there; waits only for the first message, and only if it says until when.
    no_wait: bool,
    expires: Option<Instant>,
    heartbeat: Option<Duration>,
    next_heartbeat: Option<Instant>,
}

impl Pull {
    /// Whether it wants an answer even when there is nothing.
    pub(super) fn is_immediate(&self) -> bool {
        self.no_wait && self.expires.is_none()
    }

    /// Whether it hears heartbeats while it waits.
    fn has_heartbeat(&self) -> bool {
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
}

impl Pulls {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, pull: Pull) {
        self.waiting.push_back(pull);
    }

    /// The request whose turn it is. Put it back with [`Pulls::push`] if it is not complete.
    pub(super) fn pop(&mut self) -> Option<Pull> {
        self.waiting.pop_front()
    }

    /// A request that could not be served just now keeps its turn.
    pub(super) fn put_back(&mut self, pull: Pull) {
        self.waiting.push_front(pull);
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Pull) -> bool) {
        self.waiting.retain(keep);
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Pull> {
        self.waiting.drain(..)
    }

    /// How many messages all requests together still take.
    fn messages_left(&self) -> u64 {
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

    fn take(&mut self, matching: impl Fn(&Pull) -> bool) -> Vec<Pull> {
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

impl Stream {
    /// Takes a request for messages.
    pub(super) fn pull(&mut self, name: &str, body: &[u8], inbox: &str) {
        if let Err(status) = self.take_pull(name, body, inbox) {
            self.router.answer(inbox, &headers::status(&status), &[]);
        }
    }

    /// Takes a request for messages, or tells the status to answer it with.
    fn take_pull(&mut self, name: &str, body: &[u8], inbox: &str) -> Result<(), String> {
        let now = Instant::now();
        let Some(consumer) = self.state.consumers.get_mut(name) else {
            return Err("503".to_owned());
        };
        if consumer.config.is_push() {
            return Err("409 Consumer is push based".to_owned());
        }
        let request = PullRequest::parse(body)?;
        let pull = request.into_pull(inbox, &consumer.config, now)?;
        consumer.expire(now);
        let available = consumer.available();
        let max_waiting = usize::try_from(consumer.config.max_waiting).unwrap_or(usize::MAX);
        if !self.waiting.contains_key(name)
            && let Some(consumer) = self.state.consumers.get(name)
        {
            let waiting = Waiting::new(&self.state, consumer, &self.router, &self.interest, now);
            self.waiting.insert(name.to_owned(), waiting);
        }
        let Some(waiting) = self.waiting.get_mut(name) else {
            return Err("503".to_owned());
        };
        waiting.last_active = now;
        if pull.is_immediate() && available == 0 {
            return Err("404 No Messages".to_owned());
        }
        let is_full = waiting.pulls.len() >= max_waiting;
        if is_full || (pull.no_wait && available > 0) {
            let router = &self.router;
            waiting
                .pulls
                .retain(|pull| router.has_interest(&pull.inbox));
        }
        if pull.no_wait && available > 0 && available < waiting.pulls.messages_left() {
            return Err("408 Requests Pending".to_owned());
        }
        if waiting.pulls.len() < max_waiting {
            waiting.pulls.push(pull);
            return Ok(());
        }
        // A client that is to hear heartbeats misses them; an answer would have it ask again at once.
        if pull.has_heartbeat() {
            return Ok(());
        }
        Err("409 Exceeded MaxWaiting".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(body: &str, now: Instant) -> Result<Pull, String> {
        let config: ConsumerConfig = json::parse(br#"{"max_batch": 100}"#).unwrap();
        PullRequest::parse(body.as_bytes())?.into_pull("inbox", &config, now)
    }

    #[test]
    fn requests_come_in_many_forms() {
        let now = Instant::now();
        for (body, batch) in [
            ("", 1),
            ("5", 5),
            (r#"{"batch": 7}"#, 7),
            ("{}", 1),
            (r#"{"batch":3,"expires":null}"#, 3),
            ("five", 1),
        ] {
            assert_eq!(pull(body, now).unwrap().messages_left, batch, "{body}");
        }
        for (body, error) in [
            ("{", "400 Bad Request - invalid JSON"),
            ("101", "409 Exceeded MaxRequestBatch of 100"),
            (
                r#"{"idle_heartbeat": 6, "expires": 10}"#,
                "400 Bad Request - heartbeat value too large",
            ),
            (
                r#"{"idle_heartbeat": 6}"#,
                "400 Bad Request - heartbeat value too large",
            ),
        ] {
            assert_eq!(pull(body, now).unwrap_err(), error, "{body}");
        }
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
        let mut first = pulls.pop().unwrap();
        assert!(!first.got(10, now) && first.got(10, now));
        let mut second = pulls.pop().unwrap();
        assert!(!second.got(10, now));
        assert_eq!(second.leftover()[0].1, "1");
        pulls.push(second);
        assert_eq!(pulls.take_satisfied().len(), 1, "it got what was there");
        pulls.push(pull(r#"{"expires": 1000, "idle_heartbeat": 100}"#, now).unwrap());
        let later = now + Duration::from_nanos(100);
        assert_eq!(pulls.next_due(), Some(later));
        assert_eq!(pulls.take_heartbeats(later).len(), 1);
        assert!(pulls.take_heartbeats(later).is_empty());
        assert!(pulls.take_expired(later).is_empty());
        assert_eq!(
            pulls.take_expired(now + Duration::from_nanos(1000)).len(),
            1
        );
        assert!(pulls.is_empty());
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
