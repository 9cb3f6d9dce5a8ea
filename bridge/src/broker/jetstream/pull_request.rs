//! Requests for messages as clients send them, and what is wrong with some, in the words of the servers in the field.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::consumer_checks::MAX_WAITING;
use super::consumer_config::{ConsumerConfig, nanos_to_duration};
use super::deliver::Waiting;
use super::go_duration;
use super::json;
use super::priority::PriorityPolicy;
use super::pulls::{Group, Pull};
use super::stream::Stream;
use crate::broker::headers;

const WORST_PRIORITY: u8 = 9;
/// How often a request hears heartbeats at most. A client takes them for missing after twice the time that it asked for.
const MIN_HEARTBEAT: Duration = Duration::from_millis(50);
/// The longest pin that a client shows; those that it is given are shorter.
const MAX_PIN: usize = 64;

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
    #[serde(default)]
    group: Box<str>,
    #[serde(default)]
    min_pending: i64,
    #[serde(default)]
    min_ack_pending: i64,
    /// The pin that the client was given.
    #[serde(default)]
    id: Box<str>,
    #[serde(default)]
    priority: i64,
    /// It is no JSON, so it can say nothing of groups.
    #[serde(skip)]
    is_plain: bool,
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
            is_plain: true,
            ..PullRequest::default()
        })
    }

    /// Checks a request against the limits of its consumer. The error is a status for the requester.
    pub(super) fn into_pull(
        self,
        inbox: &str,
        asker: u64,
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
        let heartbeat = heartbeat.map(|heartbeat| heartbeat.max(MIN_HEARTBEAT));
        let no_wait = self.no_wait;
        let messages_left = at_least_none(self.batch).max(1);
        let bytes_left = Some(at_least_none(self.max_bytes)).filter(|bytes| *bytes > 0);
        let (rank, group) = self.check_group(config)?;
        Ok(Pull {
            inbox: inbox.into(),
            asker,
            messages_left,
            bytes_left,
            got_some: false,
            no_wait,
            expires: expires.and_then(|expires| now.checked_add(early(expires))),
            heartbeat,
            next_heartbeat: heartbeat.map(|heartbeat| now + heartbeat),
            rank,
            group,
            behind_at: None,
        })
    }

    /// Checks what it says of priority groups. Returns its rank among the requests, and its group.
    fn check_group(self, config: &ConsumerConfig) -> Result<(u8, Group), String> {
        let policy = config.priority_policy;
        let bad = |why: &str| Err(format!("400 Bad Request - {why}"));
        if (self.min_pending != 0 || self.min_ack_pending != 0)
            && policy != PriorityPolicy::Overflow
        {
            return bad("Not a Overflow Priority consumer");
        }
        if !self.id.is_empty() && policy != PriorityPolicy::PinnedClient {
            return bad("Not a Pinned Client Priority consumer");
        }
        if self.id.len() > MAX_PIN {
            return bad("Nats-Pin-Id too long");
        }
        let rank = match u8::try_from(self.priority) {
            Ok(priority) if priority <= WORST_PRIORITY => priority,
            _ => return bad("Priority must be between 0 and 9"),
        };
        if policy == PriorityPolicy::None {
            return Ok((0, Group::default()));
        }
        if !self.is_plain && self.group.is_empty() {
            return bad("Priority Group missing");
        }
        let is_known = |group: &String| **group == *self.group;
        if !self.is_plain && !config.priority_groups.iter().any(is_known) {
            return bad("Invalid Priority Group");
        }
        let rank = match policy {
            PriorityPolicy::Prioritized if self.is_plain => WORST_PRIORITY + 1,
            PriorityPolicy::Prioritized => rank,
            _ => 0,
        };
        let group = Group {
            name: self.group,
            min_pending: at_least_none(self.min_pending),
            min_ack_pending: at_least_none(self.min_ack_pending),
            pin: self.id,
        };
        Ok((rank, group))
    }
}

fn at_least_none(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// When a request ends that may wait so long: a little early, since timers are a little late, and a client that gave up by
/// itself would not see what comes after that.
fn early(expires: Duration) -> Duration {
    const EARLY: Duration = Duration::from_millis(1);
    if expires > EARLY * 20 {
        expires - EARLY
    } else {
        expires
    }
}

impl Stream {
    /// Takes a request for messages.
    pub(super) fn pull(&mut self, name: &str, body: &[u8], inbox: &str, asker: u64) {
        if let Err(status) = self.take_pull(name, body, inbox, asker) {
            self.router.answer(inbox, &headers::status(&status), &[]);
        }
    }

    /// Takes a request for messages, or tells the status to answer it with.
    fn take_pull(
        &mut self,
        name: &str,
        body: &[u8],
        inbox: &str,
        asker: u64,
    ) -> Result<(), String> {
        let now = Instant::now();
        let Some(consumer) = self.state.consumers.get_mut(name) else {
            return Err("503".to_owned());
        };
        if consumer.config.is_push() {
            return Err("409 Consumer is push based".to_owned());
        }
        let request = PullRequest::parse(body)?;
        let pull = request.into_pull(inbox, asker, &consumer.config, now)?;
        let pin_lasts = nanos_to_duration(consumer.config.priority_timeout);
        consumer.expire(now);
        let available = consumer.available();
        let max_waiting = usize::try_from(consumer.config.max_waiting.min(MAX_WAITING));
        let max_waiting = max_waiting.unwrap_or_default();
        if !self.waiting.contains_key(name)
            && let Some(consumer) = self.state.consumers.get(name)
        {
            let waiting = Waiting::new(&self.state, consumer, &self.router, &self.interest, now);
            self.waiting.insert(name.to_owned(), waiting);
        }
        let Some(waiting) = self.waiting.get_mut(name) else {
            return Err("503".to_owned());
        };
        if let Some(pin) = &mut waiting.pin {
            pin.check(&pull.group.pin, now + pin_lasts)?;
        }
        waiting.last_active = now;
        if pull.is_immediate() && available == 0 {
            return Err("404 No Messages".to_owned());
        }
        let is_full = waiting.pulls.len() >= max_waiting;
        if is_full || (pull.no_wait && available > 0) {
            waiting.forget_gone(&self.router);
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

    fn pull(config: &str, body: &str) -> Result<Pull, String> {
        let config: ConsumerConfig = json::parse(config.as_bytes()).unwrap();
        PullRequest::parse(body.as_bytes())?.into_pull("inbox", 1, &config, Instant::now())
    }

    #[test]
    fn requests_come_in_many_forms() {
        let config = r#"{"max_batch": 100}"#;
        for (body, batch) in [
            ("", 1),
            ("5", 5),
            (r#"{"batch": 7}"#, 7),
            ("{}", 1),
            (r#"{"batch":3,"expires":null}"#, 3),
            ("five", 1),
        ] {
            assert_eq!(pull(config, body).unwrap().messages_left, batch, "{body}");
        }
        let large = "400 Bad Request - heartbeat value too large";
        for (body, error) in [
            ("{", "400 Bad Request - invalid JSON"),
            ("101", "409 Exceeded MaxRequestBatch of 100"),
            (r#"{"idle_heartbeat": 6, "expires": 10}"#, large),
            (r#"{"idle_heartbeat": 6}"#, large),
        ] {
            assert_eq!(pull(config, body).unwrap_err(), error, "{body}");
        }
    }

    #[test]
    fn a_request_hears_heartbeats_at_intervals_that_keep_no_stream_busy() {
        let heartbeat = |millis: u64| {
            let nanos = millis * 1_000_000;
            let body = format!(r#"{{"idle_heartbeat": {nanos}, "expires": {}}}"#, nanos * 3);
            pull("{}", &body).unwrap().heartbeat.unwrap()
        };
        assert_eq!(heartbeat(1), MIN_HEARTBEAT);
        assert_eq!(heartbeat(70), Duration::from_millis(70));
    }

    #[test]
    fn a_pin_has_a_longest_length() {
        let config = r#"{"priority_policy": "pinned_client", "priority_groups": ["A"]}"#;
        let body = |len| format!(r#"{{"group": "A", "id": "{}"}}"#, "x".repeat(len));
        pull(config, &body(MAX_PIN)).unwrap();
        let refusal = pull(config, &body(MAX_PIN + 1)).unwrap_err();
        assert_eq!(refusal, "400 Bad Request - Nats-Pin-Id too long");
    }

    #[test]
    fn requests_say_what_goes_with_the_consumers_groups() {
        let config =
            |policy| format!(r#"{{"priority_policy": "{policy}", "priority_groups": ["A"]}}"#);
        for (policy, body, error) in [
            (
                "none",
                r#"{"min_pending": 1}"#,
                "Not a Overflow Priority consumer",
            ),
            (
                "overflow",
                r#"{"group": "A", "id": "x"}"#,
                "Not a Pinned Client Priority consumer",
            ),
            (
                "prioritized",
                r#"{"group": "A", "priority": 10}"#,
                "Priority must be between 0 and 9",
            ),
            ("overflow", "{}", "Priority Group missing"),
            (
                "pinned_client",
                r#"{"group": "B"}"#,
                "Invalid Priority Group",
            ),
        ] {
            let refusal = pull(&config(policy), body).unwrap_err();
            assert_eq!(refusal, format!("400 Bad Request - {error}"));
        }
        let ranked = pull(&config("prioritized"), r#"{"group": "A", "priority": 3}"#).unwrap();
        assert_eq!(ranked.rank, 3);
        let unranked = pull(&config("overflow"), r#"{"group": "A", "priority": 3}"#).unwrap();
        assert_eq!(unranked.rank, 0);
    }
}
