//! How long single messages are kept, as their publishers say with the header `Nats-TTL`, and which messages are marks.
//!
//! A stream may leave a mark on a subject whose last message grew old. The message is then taken out by the mark, which
//! replaces it, so that no crash comes between the two.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::json::SECOND;
use super::state::State;
use crate::broker::headers;
use crate::broker::store::log::Position;
use crate::broker::subjects::has_wildcard;

/// The longest time that is counted; longer ones are as good as for ever.
const MAX_SECONDS: u64 = 1 << 33;

pub(super) const TTL: &str = "Nats-TTL";
pub(super) const MARKER_REASON: &str = "Nats-Marker-Reason";

/// How long a message is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Lifetime {
    /// So many nanoseconds.
    Limited(i64),
    /// Whatever age the stream allows.
    Unlimited,
}

impl Lifetime {
    /// What the header of a message says; an error if it is no time.
    pub(super) fn of(block: &[u8]) -> Result<Option<Self>, ()> {
        let text = match headers::value(block, TTL) {
            None | Some("") => return Ok(None),
            Some(text) => text,
        };
        if text.eq_ignore_ascii_case("never") {
            return Ok(Some(Lifetime::Unlimited));
        }
        let seconds = match text.parse::<u64>() {
            Ok(seconds) => seconds,
            Err(_) => parse_duration(text).ok_or(())?,
        };
        match i64::try_from(seconds.min(MAX_SECONDS)) {
            Ok(seconds) if seconds > 0 => Ok(Some(Lifetime::Limited(seconds * SECOND))),
            _ => Err(()),
        }
    }
}

/// A duration such as `1h30m` or `1.5s`, in whole seconds.
fn parse_duration(mut text: &str) -> Option<u64> {
    let mut nanos = 0_f64;
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, rest) = text.split_at_checked(digits)?;
        let unit_len = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let (unit, rest) = rest.split_at_checked(unit_len)?;
        let unit = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        nanos += number.parse::<f64>().ok()? * unit;
        text = rest;
    }
    Some((nanos / 1e9) as u64)
}

/// Whether a message says that what was on its subject is gone.
pub(super) fn is_marker(block: &[u8]) -> bool {
    headers::value(block, MARKER_REASON).is_some()
        || headers::value(block, "KV-Operation") == Some("PURGE")
}

/// The messages of a stream that are kept for another time than the rest.
#[derive(Debug, Default)]
pub(super) struct Lifetimes {
    due: BTreeSet<(i64, u64)>,
    due_of: HashMap<u64, i64>,
    unlimited: HashSet<u64>,
    markers: HashSet<u64>,
    /// Those that a mark is about to replace.
    being_marked: HashSet<u64>,
    /// What is before it is kept without limit, or gone.
    aging_from: u64,
}

impl Lifetimes {
    pub(super) fn add(&mut self, seq: u64, stored: i64, lifetime: Option<Lifetime>) {
        match lifetime {
            None => {}
            Some(Lifetime::Unlimited) => {
                self.unlimited.insert(seq);
            }
            Some(Lifetime::Limited(nanos)) => self.set_due(seq, stored.saturating_add(nanos)),
        }
    }

    pub(super) fn add_marker(&mut self, seq: u64) {
        self.markers.insert(seq);
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if let Some(due) = self.due_of.remove(&seq) {
            self.due.remove(&(due, seq));
        }
        self.unlimited.remove(&seq);
        self.markers.remove(&seq);
        self.being_marked.remove(&seq);
    }

    /// When the next message's time is over.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.due.first().map(|(due, _)| *due)
    }

    fn set_due(&mut self, seq: u64, due: i64) {
        self.due_of.insert(seq, due);
        self.due.insert((due, seq));
    }

    fn take_due(&mut self, now: i64) -> Option<u64> {
        let (due, seq) = self.due.first().copied().filter(|(due, _)| *due <= now)?;
        self.due.remove(&(due, seq));
        self.due_of.remove(&seq);
        Some(seq)
    }

    /// What was to be marked could not be: it is tried again a second later.
    pub(super) fn retry_marks(&mut self, now: i64) {
        for seq in std::mem::take(&mut self.being_marked) {
            self.set_due(seq, now.saturating_add(SECOND));
        }
    }
}

impl State {
    /// The oldest message that grows old, with the time when it was stored.
    pub(super) fn first_aging(&mut self) -> Option<(u64, i64)> {
        let (messages, lifetimes) = (&self.messages, &mut self.lifetimes);
        if lifetimes.unlimited.is_empty() && lifetimes.being_marked.is_empty() {
            return (messages.len() > 0).then(|| (messages.first_seq(), messages.first_time()));
        }
        let mut entries = messages.range(lifetimes.aging_from);
        let mut is_first = true;
        entries.find_map(|entry| {
            if lifetimes.unlimited.contains(&entry.seq) {
                if is_first {
                    lifetimes.aging_from = entry.seq + 1;
                }
                return None;
            }
            is_first = false;
            let is_marked = lifetimes.being_marked.contains(&entry.seq);
            (!is_marked).then_some((entry.seq, entry.time))
        })
    }

    /// Takes out what is too old, or notes that a mark is to replace it; and forgets message ids that are too old.
    pub(super) fn expire(&mut self, now: i64) {
        let window = self.config.duplicate_window;
        self.duplicates.forget_before(now.saturating_sub(window));
        while let Some(seq) = self.lifetimes.take_due(now) {
            self.end_life(seq);
        }
        if let Some(age) = self.limits.max_age {
            let oldest = now.saturating_sub(age);
            while let Some((seq, _)) = self.first_aging().filter(|(_, time)| *time < oldest) {
                self.end_life(seq);
            }
        }
        if let Some(age) = self.limits.max_acknowledged_age {
            let oldest = now.saturating_sub(age);
            let is_over = |state: &Self, (seq, time): (u64, i64)| {
                (time < oldest && state.is_acknowledged(seq)).then_some(seq)
            };
            while let Some(seq) = self.first_aging().and_then(|first| is_over(self, first)) {
                self.remove(seq);
            }
        }
    }

    /// Takes a message over that is stored: puts out what is too old by its time, what no longer fits, and what it replaces.
    pub(super) fn take_over(
        &mut self,
        seq: u64,
        subject: &str,
        position: Position,
        time: i64,
        size: u64,
        headers: &[u8],
    ) {
        self.expire(time);
        let has_marks = !self.lifetimes.being_marked.is_empty() && !has_wildcard(subject);
        let before = has_marks.then(|| self.messages.last_on(subject)).flatten();
        let marked = before.filter(|before| self.lifetimes.being_marked.contains(before));
        self.add(seq, subject, position, time, size);
        self.follow_headers(seq, subject, time, headers);
        // What it is the newer of needs no mark.
        if let Some(marked) = marked {
            self.give_up(marked);
        }
    }

    fn end_life(&mut self, seq: u64) {
        if self.config.subject_delete_marker_ttl > 0
            && !self.lifetimes.markers.contains(&seq)
            && let Some(subject) = self.messages.subject_of(seq)
            && self.messages.count_on(subject) == 1
            // A mark there would replace the messages of all subjects that match.
            && !has_wildcard(subject)
        {
            self.to_mark.push((seq, subject.into()));
            self.lifetimes.being_marked.insert(seq);
        } else {
            self.give_up(seq);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use bytes::{Bytes, BytesMut};
    use futures::FutureExt;
    use serde_json::{Value, json};

    use super::super::answers::Responder;
    use super::super::json;
    use super::super::recovery::{Recovery, recover_at};
    use super::super::state::Change;
    use super::super::stream::Stream;
    use super::super::stream_config::StreamConfig;
    use super::*;
    use crate::broker::Counters;
    use crate::broker::protocol::Message;
    use crate::broker::router::Router;
    use crate::broker::store::folder::Folder;
    use crate::broker::store::log::{Log, Opening};
    use crate::broker::store::record::{self, Record, StoredMessage};
    use crate::broker::store::syncer::Syncer;

    const HOUR: i64 = 3600 * SECOND;

    /// A stream without a task, which goes on from what was stored hours ago.
    pub(in crate::broker::jetstream) struct Bench {
        dir: tempfile::TempDir,
        pub(in crate::broker::jetstream) stream: Stream,
        now: i64,
    }

    impl Bench {
        /// What was stored is given by subject, how many hours ago that was, and header `Nats-TTL`; the stream is recovered as it
        /// was so many hours ago.
        pub(in crate::broker::jetstream) fn new(
            config: &Value,
            stored: &[(&str, i64, &str)],
            hours: i64,
        ) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (folder, now) = (Folder::open(dir.path()).unwrap(), json::now());
            let state = State::new(parsed(config), 0, &Recovery::default());
            let path = folder.stream_dir("S");
            let log = Log::create(path, 1 << 20, state.opening()).unwrap();
            let mut bytes = BytesMut::new();
            for (seq, (subject, hours, ttl)) in (1..).zip(stored) {
                let message = StoredMessage {
                    seq,
                    time: now - hours * HOUR,
                    subject: (*subject).into(),
                    headers: headers::with_status("", &[(TTL, ttl)]),
                    payload: Bytes::new(),
                };
                record::encode(&mut bytes, &Record::Message(message));
            }
            log.write(bytes.freeze(), Opening::default).run().unwrap();
            let (state, log) = recovered(log.dir(), now - hours * HOUR);
            let stats = Arc::<Counters>::default();
            let router = Arc::new(Router::new(Arc::clone(&stats)));
            let syncer = Syncer::start(folder).unwrap();
            let stream = Stream::new(state, log, syncer, router, stats, Arc::default());
            Bench { dir, stream, now }
        }

        fn publish(&mut self, subject: &str) {
            self.publish_with(subject, Bytes::new(), Bytes::new());
        }

        pub(in crate::broker::jetstream) fn publish_with(
            &mut self,
            subject: &str,
            headers: Bytes,
            payload: Bytes,
        ) {
            let published = self.stream.publish(Message {
                subject: subject.into(),
                reply: None,
                headers,
                payload,
            });
            published.now_or_never().unwrap();
        }

        pub(in crate::broker::jetstream) fn configure(&mut self, config: &Value) {
            let change = Change::Configured(Box::new(parsed(config)));
            self.stream.change(change, false, Responder::nobody());
        }

        /// Does what time asks for, as of so many hours from now.
        fn tend(&mut self, hours: i64) {
            self.stream.expire(self.now + hours * HOUR);
            self.stream.write_marks();
        }

        /// Writes what is gathered, and does what time asks for meanwhile and then; a restart brings back the same.
        pub(in crate::broker::jetstream) async fn settle(&mut self, hours: i64) -> Vec<u64> {
            self.stream.submit();
            self.tend(hours);
            let outcome = self.stream.outcome.take().unwrap().await.unwrap();
            self.stream.written(outcome);
            self.tend(hours);
            self.stream.flush().await;
            let path = self.dir.path().join("streams/S");
            let (state, _) = recovered(&path, self.now + hours * HOUR);
            assert_eq!(state.fingerprint(), self.stream.state.fingerprint());
            state.messages.range(0).map(|entry| entry.seq).collect()
        }
    }

    fn parsed(config: &Value) -> StreamConfig {
        let config: StreamConfig = json::parse(config.to_string().as_bytes()).unwrap();
        config.checked().unwrap()
    }

    fn recovered(dir: &std::path::Path, time: i64) -> (State, Log) {
        let found = recover_at(dir.to_owned(), &Recovery::default(), Instant::now(), time);
        found.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_message_whose_time_ends_during_a_write_is_replayed_as_it_left() {
        let config =
            json!({"name": "S", "subjects": ["a", "b"], "max_msgs": 2, "allow_msg_ttl": true});
        let mut bench = Bench::new(&config, &[("a", 9, ""), ("a", 0, "1h")], 0);
        bench.publish("a");
        assert_eq!(bench.settle(2).await, [3]);
        bench.publish("a");
        assert_eq!(bench.settle(2).await, [3, 4]);
    }

    #[tokio::test]
    async fn a_limit_that_comes_after_a_message_left_puts_out_nothing_for_it() {
        let config = json!({"name": "S", "allow_msg_ttl": true});
        let limited = json!({"name": "S", "allow_msg_ttl": true, "max_msgs": 1});
        let stored = [("S", 9, ""), ("S", 3, "1h")];
        for left in [3, 0] {
            let mut bench = Bench::new(&config, &stored, left);
            bench.configure(&limited);
            assert_eq!(bench.settle(0).await, [1]);
        }
    }

    #[tokio::test]
    async fn a_mark_replaces_nothing_that_is_newer_than_what_it_stands_for() {
        let config = json!({
            "name": "S", "subjects": ["a", "b", "c", "c.*"], "allow_msg_ttl": true,
            "allow_rollup_hdrs": true, "subject_delete_marker_ttl": 10 * HOUR,
        });
        let stored = ["a", "b", "c"].map(|subject| (subject, 20, "11h"));
        // Its time is over when the next on its subject comes, is on its way, or never comes.
        let mut bench = Bench::new(&config, &stored, 10);
        bench.publish("a");
        assert_eq!(bench.settle(0).await, [4, 5, 6]);
        let subject = |seq| bench.stream.state.messages.subject_of(seq);
        let subjects = [4, 5, 6].map(subject);
        assert_eq!(subjects, [Some("a"), Some("b"), Some("c")]);
        // A mark on a subject that is a pattern would replace the others.
        let stored = [("c.x", 20, ""), ("c.*", 20, "11h")];
        let mut bench = Bench::new(&config, &stored, 10);
        bench.publish("a");
        assert_eq!(bench.settle(0).await, [1, 3]);
    }

    #[test]
    fn lifetimes_are_read() {
        let lifetime = |text: &str| Lifetime::of(&headers::with_status("", &[(TTL, text)]));
        let seconds = |seconds: i64| Ok(Some(Lifetime::Limited(seconds * SECOND)));
        for (text, expected) in [
            ("", Ok(None)),
            ("never", Ok(Some(Lifetime::Unlimited))),
            ("5", seconds(5)),
            ("5s", seconds(5)),
            ("1h30m", seconds(5400)),
            ("1.5s", seconds(1)),
            ("1500ms", seconds(1)),
            ("500ms", Err(())),
            ("0", Err(())),
            ("-1s", Err(())),
            ("5 s", Err(())),
            ("soon", Err(())),
            ("s", Err(())),
        ] {
            assert_eq!(lifetime(text), expected, "{text}");
        }
        assert!(is_marker(b"NATS/1.0\r\nKV-Operation: PURGE\r\n\r\n"));
        assert!(!is_marker(b"NATS/1.0\r\nKV-Operation: DEL\r\n\r\n"));
    }
}
