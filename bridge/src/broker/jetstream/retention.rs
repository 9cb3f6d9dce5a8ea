//! What makes a stream give up messages, and what is told before a durable consumer loses any by it.
//!
//! A stream that sets no limit of its own has those of the server: an age, a size, and an age for what
//! every durable consumer has acknowledged.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::consumer::Consumer;
use super::json;
use super::stream::Stream;
use super::stream_config::{Discard, StreamConfig, limit};
use crate::broker::Retention;

/// How often a stream looks for consumers that are behind.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the log has a line for them.
const WARNING_INTERVAL: Duration = Duration::from_secs(300);
/// For how long a stream counts as degraded after a consumer has lost messages.
const LOSS_SHOWN: Duration = Duration::from_secs(300);

const WHAT_TO_DO: &str = "let it catch up, raise --broker-max-age or --broker-max-bytes, or delete the consumer if it \
     is not used";

/// The limits that count for a stream. Ages are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Limits {
    pub(super) max_msgs: Option<u64>,
    pub(super) max_bytes: Option<u64>,
    pub(super) max_msgs_per_subject: Option<u64>,
    pub(super) max_age: Option<i64>,
    /// The age for messages that every durable consumer has acknowledged.
    pub(super) max_acknowledged_age: Option<i64>,
    /// Whether the oldest messages give way; else new ones are refused.
    pub(super) discards_old: bool,
}

impl Limits {
    /// The stream's own limits, or those of the server if it sets none.
    pub(super) fn of(config: &StreamConfig, retention: &Retention) -> Self {
        let own = Limits {
            max_msgs: limit(config.max_msgs),
            max_bytes: limit(config.max_bytes),
            max_msgs_per_subject: limit(config.max_msgs_per_subject),
            max_age: Some(config.max_age).filter(|age| *age > 0),
            max_acknowledged_age: None,
            discards_old: config.discard == Discard::Old,
        };
        let is_limited = own.max_msgs.is_some()
            || own.max_bytes.is_some()
            || own.max_msgs_per_subject.is_some()
            || own.max_age.is_some();
        if is_limited {
            return own;
        }
        Limits {
            max_bytes: Some(retention.max_bytes).filter(|bytes| *bytes > 0),
            max_age: nanos(retention.max_age),
            max_acknowledged_age: nanos(retention.keep_acknowledged),
            ..own
        }
    }
}

fn nanos(age: Duration) -> Option<i64> {
    let nanos = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    Some(nanos).filter(|nanos| *nanos > 0)
}

/// What the log says of consumers that are behind.
#[derive(Debug)]
pub(super) struct Lag {
    next_check: Instant,
    warned: Option<Instant>,
    /// The warning was of a loss, and not of one to come.
    told_of_loss: bool,
    /// The lost messages that the log has counted.
    lost: u64,
    lost_at: Option<Instant>,
    /// Whether the stream counts among those that lag.
    counted: bool,
}

impl Lag {
    pub(super) fn new(now: Instant) -> Self {
        Lag {
            next_check: now,
            warned: None,
            told_of_loss: false,
            lost: 0,
            lost_at: None,
            counted: false,
        }
    }

    /// Takes note that so many messages are lost by now, and whether a consumer is near a loss. If the log is due
    /// a line, returns how many lost messages it has not counted yet.
    fn due_line(&mut self, lost: u64, is_near_loss: bool, now: Instant) -> Option<u64> {
        let uncounted = lost - self.lost;
        if uncounted > 0 {
            self.lost_at = Some(now);
        }
        let is_due = self
            .warned
            .is_none_or(|warned| now >= warned + WARNING_INTERVAL);
        // That it may soon come to a loss is no news of the loss.
        let is_news = uncounted > 0 && !self.told_of_loss;
        if !(is_due || is_news) || (uncounted == 0 && !is_near_loss) {
            return None;
        }
        self.warned = Some(now);
        self.told_of_loss = uncounted > 0;
        self.lost = lost;
        Some(uncounted)
    }
}

impl Stream {
    /// Looks, once in a while, whether durable consumers are about to lose messages or have lost some.
    pub(super) fn watch_lag(&mut self, now: Instant) {
        if now < self.lag.next_check {
            return;
        }
        self.lag.next_check = now + CHECK_INTERVAL;
        let mut consumers = self.state.consumers.values();
        let behind = consumers.find(|consumer| self.is_near_loss(consumer));
        let stream = &self.state.config.name;
        match (
            self.lag.due_line(self.state.lost, behind.is_some(), now),
            behind,
        ) {
            (None, _) | (Some(0), None) => {}
            (Some(0), Some(Consumer { config, .. })) => {
                let consumer = &config.name;
                tracing::warn!(
                    stream,
                    consumer,
                    "the durable consumer {consumer} of the stream {stream} is so far behind that messages which it has \
                     not acknowledged will soon be dropped: {WHAT_TO_DO}"
                );
            }
            (Some(_), _) => {
                for (consumer, lost_messages) in std::mem::take(&mut self.state.lost_by) {
                    tracing::warn!(
                        stream,
                        consumer,
                        lost_messages,
                        "the durable consumer {consumer} of the stream {stream} is so far behind that {lost_messages} messages \
                         which it has not acknowledged were dropped: {WHAT_TO_DO}"
                    );
                }
            }
        }
        let shown = |at: Instant| now < at + LOSS_SHOWN;
        let lags = behind.is_some() || self.lag.lost_at.is_some_and(shown);
        self.count_lag(lags);
    }

    /// Counts the stream among those that lag, or no longer.
    pub(super) fn count_lag(&mut self, lags: bool) {
        match (self.lag.counted, lags) {
            (false, true) => self.stats.lagging_streams.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.stats.lagging_streams.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
        self.lag.counted = lags;
    }

    /// When [`Stream::watch_lag`] next has something to do.
    pub(super) fn next_lag_check(&self) -> Option<Instant> {
        let backlog = self.state.consumers.values().any(Consumer::is_behind);
        let is_untold = self.state.lost > self.lag.lost;
        (backlog || is_untold || self.lag.counted).then_some(self.lag.next_check)
    }

    /// Whether the oldest message that a durable consumer waits for is in the last fifth of its time, or
    /// among the next to give way to others.
    fn is_near_loss(&self, consumer: &Consumer) -> bool {
        if !consumer.is_behind() {
            return false;
        }
        let (messages, limits) = (&self.state.messages, &self.state.limits);
        let oldest = messages.first_seq().max(consumer.done_until() + 1);
        let Some(stored) = messages.time_from(oldest) else {
            return false;
        };
        let age = json::now().saturating_sub(stored);
        let nearly = |max: u64| max / 5 * 4;
        let is_full = limits
            .max_bytes
            .is_some_and(|max| messages.bytes > nearly(max))
            || limits
                .max_msgs
                .is_some_and(|max| messages.len() > nearly(max));
        let is_first =
            (oldest - messages.first_seq()) * 5 <= messages.last_seq - messages.first_seq();
        limits.max_age.is_some_and(|max| age > max / 5 * 4)
            || (limits.discards_old && is_full && is_first)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::super::consumer::SavedConsumer;
    use super::super::consumer_config::ConsumerConfig;
    use super::super::recovery::Recovery;
    use super::super::state::{Change, State};
    use super::super::stream_config::ConsumerLimits;
    use super::*;
    use crate::broker::Counters;
    use crate::broker::router::Router;
    use crate::broker::store::folder::Folder;
    use crate::broker::store::log::{Log, Position};
    use crate::broker::store::syncer::Syncer;

    #[test]
    fn a_stream_without_limits_has_those_of_the_server() {
        let retention = Retention {
            max_age: Duration::from_secs(10),
            max_bytes: 1000,
            keep_acknowledged: Duration::from_secs(1),
        };
        let limits = |config: serde_json::Value| {
            let config: StreamConfig = json::parse(config.to_string().as_bytes()).unwrap();
            Limits::of(&config.checked().unwrap(), &retention)
        };
        let servers = Limits {
            max_bytes: Some(1000),
            max_age: Some(10_000_000_000),
            max_acknowledged_age: Some(1_000_000_000),
            discards_old: true,
            ..Limits::default()
        };
        assert_eq!(limits(json!({"name": "S"})), servers);
        let own = Limits {
            max_msgs: Some(5),
            discards_old: false,
            ..Limits::default()
        };
        assert_eq!(
            limits(json!({"name": "S", "max_msgs": 5, "discard": "new"})),
            own
        );
        assert_eq!(
            limits(json!({"name": "S", "max_age": 100_000_000})).max_bytes,
            None
        );
    }

    #[test]
    fn the_log_has_a_line_of_a_first_loss_at_once_and_of_what_follows_once_in_a_while() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut lag = Lag::new(begin);
        assert_eq!(lag.due_line(0, false, at(0)), None);
        assert_eq!(lag.due_line(0, true, at(1)), Some(0), "a loss is near");
        assert_eq!(lag.due_line(0, true, at(2)), None);
        assert_eq!(lag.due_line(5, true, at(3)), Some(5), "the first loss");
        assert_eq!(lag.due_line(9, true, at(4)), None);
        assert_eq!(lag.due_line(9, false, at(302)), None);
        assert_eq!(lag.due_line(9, false, at(303)), Some(4));
        assert_eq!(lag.due_line(9, false, at(900)), None, "all is told");
        assert_eq!(lag.due_line(9, true, at(901)), Some(0), "the next is near");
        assert_eq!(lag.due_line(10, true, at(902)), Some(1));
    }

    /// What the log of a test holds.
    #[derive(Clone, Default)]
    pub(in super::super) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        /// Takes what this thread logs.
        pub(in super::super) fn of_this_thread() -> (Self, tracing::subscriber::DefaultGuard) {
            let lines = Self::default();
            let writer = lines.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(move || writer.clone());
            let guard = tracing::subscriber::set_default(subscriber.finish());
            (lines, guard)
        }

        pub(in super::super) fn take(&self) -> String {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            String::from_utf8(bytes).unwrap()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The number and the name of the consumers of a test.
    const DILIGENT: (u32, &str) = (1, "diligent");
    const SLOW: (u32, &str) = (2, "slow");
    const ASLEEP: (u32, &str) = (3, "asleep");

    /// A stream that keeps ten messages, with durable consumers, of which "diligent" takes everything and others nothing.
    fn stream_of_ten(data_dir: &Path, consumers: &[(u32, &str)]) -> Stream {
        let folder = Folder::open(data_dir).unwrap();
        let config: StreamConfig = json::parse(br#"{"name": "S", "max_msgs": 10}"#).unwrap();
        let mut state = State::new(config.checked().unwrap(), 0, &Recovery::default());
        for (id, name) in consumers.iter().copied() {
            let config = json!({"durable_name": name, "ack_policy": "explicit"});
            let config: ConsumerConfig = json::parse(config.to_string().as_bytes()).unwrap();
            let saved = SavedConsumer::new(
                id,
                config.checked(&ConsumerLimits::default()).unwrap(),
                0,
                0,
            );
            state.apply(Change::ConsumerSaved(Box::new(saved)), Instant::now());
        }
        let log = Log::create(folder.stream_dir("S"), 1 << 20, state.opening()).unwrap();
        let syncer = Syncer::start(folder).unwrap();
        let stats = Arc::<Counters>::default();
        let router = Arc::new(Router::new(Arc::clone(&stats)));
        Stream::new(state, log, syncer, router, stats, Arc::default())
    }

    fn store(stream: &mut Stream, count: u64) {
        for seq in stream.state.messages.last_seq + 1..=stream.state.messages.last_seq + count {
            let position = Position {
                segment: 1,
                offset: seq,
                len: 1,
            };
            stream.state.add(seq, "S", position, json::now(), 100);
            take_one(stream, "diligent");
        }
    }

    fn take_one(stream: &mut Stream, consumer: &str) {
        let consumer = stream.state.consumers.get_mut(consumer).unwrap();
        let next = consumer.next(&stream.state.messages).unwrap();
        let seq = next.seq;
        consumer.handed_out(next, Instant::now());
        consumer.acknowledge(seq);
    }

    #[test]
    fn the_consumer_that_loses_messages_is_named_before_and_after() {
        let dir = tempfile::tempdir().unwrap();
        let mut stream = stream_of_ten(dir.path(), &[DILIGENT, SLOW]);
        let (lines, _log) = Lines::of_this_thread();
        let mut now = Instant::now();
        let mut look = |stream: &mut Stream| {
            assert!(stream.next_lag_check().is_some_and(|at| at <= now));
            stream.watch_lag(now);
            now += CHECK_INTERVAL;
            lines.take()
        };
        store(&mut stream, 5);
        assert_eq!(look(&mut stream), "");
        store(&mut stream, 5);
        let warning = look(&mut stream);
        assert!(warning.contains("the durable consumer slow of the stream S"));
        assert!(warning.contains("will soon be dropped"), "{warning}");
        store(&mut stream, 3);
        let told = look(&mut stream);
        assert!(told.contains("the durable consumer slow of the stream S"));
        assert!(told.contains("3 messages which it has not acknowledged were dropped"));
        assert!(
            told.contains("WARN") && told.contains("lost_messages=3"),
            "{told}"
        );
        assert_eq!(look(&mut stream), "");
    }

    #[test]
    fn each_consumer_that_loses_messages_is_named_with_its_own_losses_unless_it_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let mut stream = stream_of_ten(dir.path(), &[DILIGENT, SLOW, ASLEEP]);
        let (lines, _log) = Lines::of_this_thread();
        let begin = Instant::now();
        store(&mut stream, 12);
        for _ in 0..3 {
            take_one(&mut stream, "slow");
        }
        store(&mut stream, 5);
        stream.watch_lag(begin);
        let told = lines.take();
        let told: Vec<_> = told.lines().collect();
        assert_eq!(told.len(), 2, "{told:#?}");
        for (line, (consumer, lost)) in told.iter().zip([("asleep", 7), ("slow", 4)]) {
            let said = format!(
                "the durable consumer {consumer} of the stream S is so far behind that {lost} messages"
            );
            assert!(line.contains(&said), "{line}");
            assert!(line.contains(&format!("lost_messages={lost}")), "{line}");
        }

        store(&mut stream, 2);
        let deleted = Change::ConsumerDeleted("slow".into());
        stream.state.apply(deleted, begin);
        stream.watch_lag(begin + WARNING_INTERVAL);
        let told = lines.take();
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains("asleep") && told.contains("lost_messages=2"));
    }
}
