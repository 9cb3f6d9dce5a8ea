//! Tests of what a stream does about messages that the disk does not give, or not as they were written.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::super::cache::Cache;
use super::super::consumer::SavedConsumer;
use super::super::consumer_config::ConsumerConfig;
use super::super::recovery::Recovery;
use super::super::state::{Change, State};
use super::super::stream_config::{ConsumerLimits, StreamConfig};
use super::super::{error, json};
use super::*;
use crate::broker::Counters;
use crate::broker::outbound::Outbound;
use crate::broker::protocol::Message;
use crate::broker::router::{Router, Subscription};
use crate::broker::store::folder::Folder;
use crate::broker::store::log::Log;
use crate::broker::store::syncer::Syncer;

const INBOX: &str = "inbox";

/// A stream on the disk without a task, a push consumer, and a client that hears all.
struct Bench {
    dir: tempfile::TempDir,
    stream: Stream,
    client: Arc<Outbound>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let config: StreamConfig =
            json::parse(br#"{"name": "S", "subjects": ["a"], "allow_direct": true}"#).unwrap();
        let mut state = State::new(config.checked().unwrap(), 0, &Recovery::default());
        let consumer = json!({"name": "c", "deliver_subject": INBOX});
        let consumer: ConsumerConfig = json::parse(consumer.to_string().as_bytes()).unwrap();
        let consumer = consumer.checked(&ConsumerLimits::default()).unwrap();
        let saved = SavedConsumer::new(1, consumer, 0, 0);
        state.apply(Change::ConsumerSaved(Box::new(saved)), Instant::now());
        let log = Log::create(folder.stream_dir("S"), 1 << 20, state.opening()).unwrap();
        let stats = Arc::<Counters>::default();
        let router = Arc::new(Router::new(Arc::clone(&stats)));
        let client = Outbound::new(1, 1 << 20);
        client.headers.store(true, Ordering::Relaxed);
        let inbox = Subscription::new(INBOX.into(), None, "1".into(), Arc::clone(&client));
        router.subscribe(Arc::new(inbox));
        let syncer = Syncer::start(folder).unwrap();
        Bench {
            dir,
            stream: Stream::new(state, log, syncer, router, stats, Arc::default()),
            client,
        }
    }

    /// Stores messages, all in one batch, and forgets what they hold.
    async fn publish(&mut self, numbers: std::ops::RangeInclusive<u32>) {
        for number in numbers {
            let message = Message {
                subject: "a".into(),
                reply: None,
                headers: Bytes::new(),
                payload: format!("message-{number}").into(),
            };
            self.stream.publish(message).await;
        }
        self.stream.flush().await;
        self.stream.cache = Cache::new(&self.stream.usage);
    }

    /// Adds a message that the disk does not give: no file may be so long.
    fn add_unreadable(&mut self) {
        let seq = self.stream.tail_seq + 1;
        self.add_unreadable_at((1 << 63) | (seq * 100));
    }

    fn add_unreadable_at(&mut self, offset: u64) {
        let seq = self.stream.tail_seq + 1;
        let position = Position {
            segment: 1,
            offset,
            len: 10,
        };
        self.stream.state.add(seq, "a", position, 0, 1);
        self.stream.tail_seq = seq;
    }

    fn change_on_disk(&self, what: &[u8]) {
        let path = self.dir.path().join("streams/S/0000000000000001.log");
        let mut bytes = std::fs::read(&path).unwrap();
        let mut places = bytes.windows(what.len());
        let at = places.position(|found| found == what).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }

    /// What the client hears of the consumer's messages.
    async fn delivered(&mut self, now: Instant) -> String {
        self.stream.tend_consumers(now);
        self.stream.serve_consumers(now).await;
        self.heard().await
    }

    async fn direct_get(&mut self, request: serde_json::Value) -> String {
        let body = request.to_string();
        self.stream
            .direct_get(None, body.as_bytes(), INBOX, 1)
            .await;
        let now = Instant::now();
        while self.stream.next_batch_get_due(now).is_some() {
            self.stream.serve_batch_gets(now).await;
        }
        self.stream.filled.flush();
        self.heard().await
    }

    async fn heard(&self) -> String {
        let mut heard = String::new();
        while self.client.queued() > 0 {
            for bytes in self.client.next().await.unwrap() {
                heard.push_str(std::str::from_utf8(&bytes).unwrap());
                self.client.written(bytes.len());
            }
        }
        heard
    }

    fn unreadable_streams(&self) -> usize {
        let total = &self.stream.stats.unreadable_streams;
        total.load(Ordering::Relaxed)
    }

    /// Has it be long ago that a message could not be read for the first time.
    fn wait_long_for(&mut self, seq: u64) {
        let failing = self.stream.unreadable.messages.get_mut(&seq).unwrap();
        failing.since = failing.since.checked_sub(READ_PATIENCE).unwrap();
    }

    /// The copy of the segment that is kept when it is damaged.
    fn has_copy(&self) -> bool {
        let copy = self.dir.path().join("streams/S/0000000000000001.damaged");
        copy.exists()
    }

    /// Has the messages tried again that could not be read, once each.
    async fn retry(&mut self) {
        for _ in 0..self.stream.unreadable.messages.len() {
            let Some(due) = self.stream.next_read_retry() else {
                return;
            };
            self.stream.retry_reads(due).await;
        }
    }
}

/// Which of the messages 1 to 5 a text has.
fn numbers_in(heard: &str) -> Vec<u32> {
    let is_there = |number: &u32| heard.contains(&format!("message-{number}"));
    (1..=5).filter(is_there).collect()
}

#[tokio::test]
async fn what_is_damaged_on_the_disk_is_passed_over_and_never_served() {
    for by_consumer in [true, false] {
        let mut bench = Bench::new();
        bench.publish(1..=3).await;
        bench.change_on_disk(b"ssage-2");
        assert!(!bench.has_copy());
        let heard = match by_consumer {
            true => bench.delivered(Instant::now()).await,
            false => bench.direct_get(json!({"seq": 1, "batch": 5})).await,
        };
        assert_eq!(numbers_in(&heard), [1, 3], "{heard}");
        assert!(!heard.contains("sage-2"), "{heard}");
        assert!(!bench.stream.state.messages.contains(2));
        let heard = bench.direct_get(json!({"seq": 2})).await;
        assert!(heard.contains("404 Message Not Found"), "{heard}");
        assert!(bench.has_copy());
        assert_eq!(bench.unreadable_streams(), 0);
    }
}

#[tokio::test]
async fn what_the_disk_does_not_give_hides_no_other_and_is_said() {
    let mut bench = Bench::new();
    bench.publish(1..=2).await;
    bench.add_unreadable();
    bench.publish(4..=5).await;
    let message = bench.stream.read(1).await.unwrap();
    assert_eq!(&*message.payload, b"message-1");
    assert_eq!(bench.unreadable_streams(), 0);

    let refused = bench.stream.read(3).await.unwrap_err();
    assert_ne!(refused, error::NO_MESSAGE);
    assert_eq!(bench.unreadable_streams(), 1);
    let heard = bench.direct_get(json!({"seq": 3})).await;
    assert!(heard.contains("500 Message Cannot Be Read"), "{heard}");
    let heard = bench.direct_get(json!({"seq": 2, "batch": 5})).await;
    assert_eq!(numbers_in(&heard), [2], "{heard}");
    assert!(heard.contains("500 Message Cannot Be Read"), "{heard}");

    let mut now = Instant::now();
    assert_eq!(numbers_in(&bench.delivered(now).await), [1, 2]);
    now += READ_PAUSE;
    assert_eq!(bench.delivered(now).await, "");
    bench.wait_long_for(3);
    now += READ_PAUSE;
    assert_eq!(numbers_in(&bench.delivered(now).await), [4, 5]);
    assert!(!bench.stream.state.messages.contains(3));
    assert!(bench.has_copy(), "its segment may be read elsewhere");
    bench.retry().await;
    assert_eq!(bench.unreadable_streams(), 0);
}

#[tokio::test]
async fn the_messages_of_one_bad_area_are_waited_for_together() {
    let mut bench = Bench::new();
    bench.publish(1..=1).await;
    (0..300).for_each(|_| bench.add_unreadable());
    bench.add_unreadable_at((1 << 63) | (1 << 30));
    let now = Instant::now();
    assert_eq!(numbers_in(&bench.delivered(now).await), [1]);
    bench.wait_long_for(2);
    let now = now + READ_PAUSE;
    // A burst does not pass over all of them.
    bench.delivered(now).await;
    bench.delivered(now).await;
    let messages = &bench.stream.state.messages;
    let left: Vec<u64> = messages.range(0).map(|entry| entry.seq).collect();
    assert_eq!(left, [1, 302], "those of another area wait on their own");
    bench.retry().await;
    assert_eq!(bench.stream.unreadable.messages.len(), 1);
    assert_eq!(bench.unreadable_streams(), 1);
}

#[tokio::test]
async fn however_much_the_disk_does_not_give_a_message_is_lost_in_the_end() {
    let mut bench = Bench::new();
    bench.publish(1..=1).await;
    let last = MAX_UNREADABLE as u64 + 2;
    for seq in 2..=last {
        bench.add_unreadable_at((1 << 63) | (seq << 20));
        bench.stream.read(seq).await.unwrap_err();
    }
    assert_eq!(bench.stream.unreadable.messages.len(), MAX_UNREADABLE);
    let now = Instant::now();
    assert!(!bench.stream.is_lost(last, now).await);
    let later = Instant::now() + READ_PATIENCE;
    assert!(bench.stream.is_lost(last, later).await);
}

#[tokio::test]
async fn what_can_be_read_again_is_found_behind_what_cannot() {
    let mut bench = Bench::new();
    for seq in 1..=3 {
        bench.add_unreadable();
        bench.stream.read(seq).await.unwrap_err();
    }
    bench.stream.state.remove(3);
    bench.retry().await;
    let left: Vec<_> = bench.stream.unreadable.messages.keys().copied().collect();
    assert_eq!(left, [1, 2]);
}

#[tokio::test]
async fn a_disk_that_gives_nothing_loses_nothing() {
    let mut bench = Bench::new();
    for _ in 1..=2 {
        bench.add_unreadable();
    }
    let mut now = Instant::now();
    assert_eq!(bench.delivered(now).await, "");
    bench.wait_long_for(1);
    now += READ_PAUSE;
    assert_eq!(bench.delivered(now).await, "");
    assert!(bench.stream.state.messages.contains(1));

    // It is tried again, and forgotten when it has gone.
    assert_eq!(bench.unreadable_streams(), 1);
    let retry = bench.stream.next_read_retry().unwrap();
    bench.stream.retry_reads(retry).await;
    assert!(bench.stream.next_read_retry().unwrap() > retry);
    bench.stream.state.remove(1);
    let retry = bench.stream.next_read_retry().unwrap();
    bench.stream.retry_reads(retry).await;
    assert_eq!(bench.unreadable_streams(), 0);
    assert_eq!(bench.stream.next_read_retry(), None);
}
