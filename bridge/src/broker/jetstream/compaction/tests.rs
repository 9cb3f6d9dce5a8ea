//! Tests of compaction: the disk stays bounded, and whatever a crash leaves holds the same stream.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::FutureExt;
use serde_json::{Value, json};

use super::super::answers::Responder;
use super::super::consumer::{Consumer, SavedConsumer};
use super::super::consumer_config::ConsumerConfig;
use super::super::recovery::{Recovery, recover_all};
use super::super::state::{Change, State};
use super::super::stream_config::{ConsumerLimits, StreamConfig};
use super::*;
use crate::broker::Counters;
use crate::broker::headers;
use crate::broker::protocol::Message;
use crate::broker::router::Router;
use crate::broker::store::folder::Folder;
use crate::broker::store::log::Log;
use crate::broker::store::record::{self, Record};
use crate::broker::store::syncer::Syncer;

const SEGMENT: u64 = 8_000;

/// A stream without a task, and the folder that it is in.
struct Bench {
    dir: tempfile::TempDir,
    stream: Stream,
    /// The message ids that were used.
    ids: Vec<String>,
    /// How often a crash was tried.
    crashes: usize,
}

impl Bench {
    fn new(config: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let config: StreamConfig = json::parse(config.to_string().as_bytes()).unwrap();
        let state = State::new(config.checked().unwrap(), 7, &Recovery::default());
        let log = Log::create(folder.stream_dir("S"), SEGMENT, state.opening()).unwrap();
        let syncer = Syncer::start(folder).unwrap();
        let stats = Arc::<Counters>::default();
        let router = Arc::new(Router::new(Arc::clone(&stats)));
        Bench {
            dir,
            stream: Stream::new(state, log, syncer, router, stats, Arc::default()),
            ids: Vec::new(),
            crashes: 0,
        }
    }

    fn add_consumer(&mut self, id: u32, name: &str, filter: &str) {
        let config =
            json!({"durable_name": name, "ack_policy": "explicit", "filter_subject": filter});
        let config: ConsumerConfig = json::parse(config.to_string().as_bytes()).unwrap();
        let config = config.checked(&ConsumerLimits::default()).unwrap();
        let saved = SavedConsumer::new(id, config, 0, 0);
        let change = Change::ConsumerSaved(Box::new(saved));
        self.stream.change(change, true, Responder::nobody());
    }

    fn publish(&mut self, subject: &str, id: &str, len: usize) {
        let headers = match id {
            "" => Bytes::new(),
            id => headers::with_status("", &[("Nats-Msg-Id", id)]),
        };
        if !id.is_empty() {
            self.ids.push(id.to_owned());
        }
        let published = self.stream.publish(Message {
            subject: subject.into(),
            reply: None,
            headers,
            payload: vec![b'x'; len].into(),
        });
        published.now_or_never().unwrap();
    }

    /// Hands out the next message of a consumer. Returns its sequence.
    fn take(&mut self, name: &str) -> Option<u64> {
        let consumer = self.stream.state.consumers.get_mut(name).unwrap();
        let next = consumer.next(&self.stream.state.messages)?;
        consumer.handed_out(next, Instant::now());
        let delivered = consumer.delivered;
        self.stream.batch.push(&Record::Delivered {
            consumer: consumer.id,
            seq: delivered.stream_seq,
            consumer_seq: delivered.consumer_seq,
        });
        Some(next.seq)
    }

    fn acknowledge(&mut self, name: &str, seq: u64) {
        let subject = format!("$JS.ACK.S.{name}.1.{seq}.1.1.0");
        self.stream.acknowledge(&subject, b"+ACK", None, 1);
    }

    /// Writes what is gathered and takes all steps of a compaction. Before and after each, a crash loses nothing.
    async fn settle(&mut self) {
        self.stream.flush().await;
        self.stream.watch_garbage(Instant::now());
        self.stream.flush().await;
        while self.stream.compactor.step.is_some() {
            self.crash();
            let outcome = self.stream.compactor.step_done().await;
            self.crash();
            self.stream.stepped(outcome);
            self.crash();
        }
    }

    /// A segment of messages comes and, but for what was handed out before, goes.
    async fn turn_over(&mut self) {
        for _ in 0..SEGMENT / 400 {
            self.publish("S", "", 400);
        }
        self.settle().await;
        while let Some(seq) = self.take("d") {
            self.acknowledge("d", seq);
        }
        self.settle().await;
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("streams/S")
    }

    fn disk_bytes(&self) -> u64 {
        let files = std::fs::read_dir(self.folder()).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    }

    /// Looks at what a broker would find if this one ended now.
    fn crash(&mut self) {
        let copy = tempfile::tempdir().unwrap();
        let folder = copy.path().join("streams/S");
        std::fs::create_dir_all(&folder).unwrap();
        for file in std::fs::read_dir(self.folder()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        let (state, log) = recovered(copy.path());
        self.crashes += 1;
        let found = description(&state, &log, &self.ids);
        let expected = description(&self.stream.state, &self.stream.log, &self.ids);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "crash {}", self.crashes);
        }
        assert_eq!(found.len(), expected.len(), "crash {}", self.crashes);
    }
}

fn recovered(dir: &Path) -> (State, Log) {
    let recovery = Recovery {
        segment_bytes: SEGMENT,
        ..Recovery::default()
    };
    let (_, mut streams) = recover_all(dir, &recovery).unwrap();
    streams.pop().unwrap()
}

/// All that is known of a stream, with the bodies of its messages as they are on disk.
fn description(state: &State, log: &Log, ids: &[String]) -> Vec<String> {
    let messages = &state.messages;
    let mut lines = vec![format!(
        "{:?} {} {} {} {} {}",
        state.config,
        messages.first_seq(),
        messages.last_seq,
        messages.last_time,
        messages.bytes,
        state.duplicates.last(),
    )];
    let positions = messages.range(0).map(|entry| entry.position);
    let bodies = log.reader(positions.collect()).read().unwrap();
    for (entry, body) in messages.range(0).zip(bodies) {
        let Some(Record::Message(message)) = record::decode(body) else {
            panic!("no message at {entry:?}");
        };
        assert_eq!((message.seq, message.time), (entry.seq, entry.time));
        assert_eq!(messages.subject_of(entry.seq), Some(&*message.subject));
        lines.push(format!("{message:?} {}", entry.size));
    }
    lines.push(format!("{:?}", messages.deleted(usize::MAX)));
    let describe = |consumer: &Consumer| {
        let saved = serde_json::to_string(&consumer.save()).unwrap();
        format!("{saved} {}", consumer.num_pending)
    };
    lines.extend(state.consumers.values().map(describe));
    for id in ids {
        lines.push(format!("{id} {:?}", state.duplicates.find(id)));
    }
    lines
}

#[tokio::test]
async fn a_stuck_message_of_a_work_queue_keeps_no_other_on_the_disk() {
    let mut bench = Bench::new(&json!({"name": "S", "retention": "workqueue"}));
    bench.add_consumer(1, "d", "");
    bench.settle().await;
    bench.publish("S", "", 100);
    bench.settle().await;
    assert_eq!(bench.take("d"), Some(1));
    for _ in 0..100 {
        bench.turn_over().await;
        assert!(bench.disk_bytes() < 6 * SEGMENT, "{}", bench.disk_bytes());
    }
    bench.crash();
    assert_eq!(bench.stream.state.messages.len(), 1);
    assert!(bench.crashes > 20, "{}", bench.crashes);
}

#[tokio::test]
async fn the_id_of_a_message_that_was_moved_is_known_when_the_message_is_gone() {
    let mut bench = Bench::new(&json!({"name": "S", "retention": "workqueue"}));
    bench.add_consumer(1, "d", "");
    bench.publish("S", "id", 100);
    for _ in 0..SEGMENT / 800 {
        bench.publish("S", "", 400);
    }
    bench.settle().await;
    assert_eq!(bench.take("d"), Some(1));
    for _ in 0..5 {
        bench.turn_over().await;
    }
    bench.acknowledge("d", 1);
    for _ in 0..5 {
        bench.turn_over().await;
    }
    bench.crash();
    assert_eq!(bench.stream.state.duplicates.find("id"), Some(1));
}

#[tokio::test]
async fn a_key_that_is_overwritten_again_and_again_takes_the_disk_of_one() {
    let config = json!({"name": "S", "subjects": ["kv.>"], "max_msgs_per_subject": 1});
    let mut bench = Bench::new(&config);
    bench.publish("kv.old", "", 100);
    for _ in 0..200 {
        for _ in 0..500 {
            bench.publish("kv.new", "", 10);
        }
        bench.settle().await;
    }
    bench.crash();
    assert_eq!(bench.stream.state.messages.len(), 2);
    assert_eq!(bench.stream.state.messages.last_seq, 100_001);
    // A batch is in one segment, whatever its size.
    let batch = 500 * 70;
    assert!(bench.disk_bytes() < 4 * batch, "{}", bench.disk_bytes());
}

#[tokio::test]
async fn few_messages_of_many_segments_come_to_be_in_few() {
    let config = json!({"name": "S", "subjects": ["kv.>"], "max_msgs_per_subject": 1});
    let mut bench = Bench::new(&config);
    for kept in 0..60 {
        bench.publish(&format!("kv.{kept}"), "", 100);
        for _ in 0..20 {
            bench.publish("kv.new", "", 400);
        }
        bench.settle().await;
    }
    bench.crash();
    assert_eq!(bench.stream.state.messages.len(), 61);
    let files = std::fs::read_dir(bench.folder()).unwrap().count();
    assert!(files < 8, "{files} segments");
}

/// The next of a row of numbers that look random.
fn next(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    (*seed >> 33) % below
}

#[tokio::test]
async fn whatever_happens_to_messages_a_crash_at_any_step_brings_back_what_there_was() {
    for (mut seed, retention) in [(1, "limits"), (2, "workqueue"), (3, "interest")] {
        let config = json!({
            "name": "S", "subjects": ["a.*"], "retention": retention,
            "max_msgs": 90, "max_msgs_per_subject": 40, "allow_rollup_hdrs": true,
        });
        let mut bench = Bench::new(&config);
        bench.add_consumer(1, "c", "a.1");
        bench.add_consumer(2, "d", "a.2");
        bench.settle().await;
        let mut taken: Vec<(&str, u64)> = Vec::new();
        for round in 0..800 {
            match next(&mut seed, 12) {
                0..=5 => {
                    let id = format!("id-{round}");
                    let id = if next(&mut seed, 4) == 0 { &id } else { "" };
                    let subject = format!("a.{}", next(&mut seed, 4));
                    let len = next(&mut seed, 600);
                    bench.publish(&subject, id, len as usize);
                }
                6..=8 => {
                    bench.stream.flush().await;
                    let name = ["c", "d"][next(&mut seed, 2) as usize];
                    taken.extend(bench.take(name).map(|seq| (name, seq)));
                }
                9 | 10 if taken.len() > 5 => {
                    let place = next(&mut seed, taken.len() as u64);
                    let (name, seq) = taken.swap_remove(place as usize);
                    bench.acknowledge(name, seq);
                }
                11 => {
                    bench.stream.flush().await;
                    let messages = &bench.stream.state.messages;
                    let seq = messages.first_seq() + next(&mut seed, 60);
                    if messages.contains(seq) {
                        bench.stream.batch.push(&Record::Deleted { seq });
                        bench.stream.state.remove(seq);
                    }
                }
                _ => {}
            }
            if next(&mut seed, 6) == 0 {
                bench.settle().await;
            }
        }
        bench.settle().await;
        bench.crash();
        let len = bench.stream.state.messages.len();
        assert!(len > 20 && bench.crashes > 30, "{len} {}", bench.crashes);
    }
}

#[tokio::test]
async fn a_compaction_that_fails_harms_nothing_and_is_tried_again() {
    let config = json!({"name": "S", "subjects": ["kv.>"], "max_msgs_per_subject": 1});
    let mut bench = Bench::new(&config);
    bench.publish("kv.old", "", 100);
    let full = Arc::clone(&bench.stream.syncer.failing_steps);
    full.store(true, Ordering::SeqCst);
    let fill = async |bench: &mut Bench| {
        for _ in 0..60 {
            bench.publish("kv.new", "", 400);
            bench.settle().await;
        }
    };
    fill(&mut bench).await;
    bench.crash();
    assert!(bench.stream.compactor.retry.is_some());
    let before = bench.disk_bytes();
    assert!(before > 2 * SEGMENT, "{before}");
    full.store(false, Ordering::SeqCst);
    // The time of the next attempt has come.
    bench.stream.compactor.retry = Some(Instant::now());
    fill(&mut bench).await;
    assert!(bench.stream.compactor.retry.is_none());
    assert!(bench.disk_bytes() < 5 * SEGMENT, "{}", bench.disk_bytes());
}

#[tokio::test]
async fn what_consumers_did_while_the_disk_was_full_is_known_when_there_is_room_again() {
    let config = json!({"name": "S", "retention": "workqueue"});
    let mut bench = Bench::new(&config);
    bench.add_consumer(1, "d", "");
    for _ in 0..4 {
        bench.publish("S", "", 10);
    }
    bench.settle().await;
    for seq in 1..=3 {
        assert_eq!(bench.take("d"), Some(seq));
    }
    bench.settle().await;
    let full = Arc::clone(&bench.stream.syncer.failing);
    full.store(true, Ordering::SeqCst);
    bench.acknowledge("d", 1);
    bench.publish("S", "lost", 10);
    bench.acknowledge("d", 3);
    bench.stream.flush().await;
    assert!(bench.stream.failing && !bench.stream.state.messages.contains(3));
    full.store(false, Ordering::SeqCst);
    bench.publish("S", "", 10);
    bench.settle().await;
    bench.crash();
    let left: Vec<u64> = bench
        .stream
        .state
        .messages
        .range(0)
        .map(|entry| entry.seq)
        .collect();
    assert_eq!(left, [2, 4, 5]);
}

#[tokio::test]
async fn the_last_id_is_that_of_the_last_message_also_after_a_failed_write() {
    let config = json!({"name": "S", "subjects": ["a.*"], "retention": "interest"});
    let mut bench = Bench::new(&config);
    bench.add_consumer(1, "d", "a.1");
    bench.settle().await;
    bench.publish("a.2", "nobody wants it", 10);
    bench.publish("a.1", "last", 10);
    bench.settle().await;
    bench.stream.syncer.failing.store(true, Ordering::SeqCst);
    bench.publish("a.1", "refused", 10);
    bench.stream.flush().await;
    assert_eq!(bench.stream.state.duplicates.last(), "last");
    assert_eq!(bench.stream.state.duplicates.find("refused"), None);
    bench.crash();
}

#[tokio::test]
async fn a_message_is_not_kept_for_a_consumer_that_goes_before_it_is_stored() {
    let config = json!({"name": "S", "retention": "interest"});
    let mut bench = Bench::new(&config);
    bench.add_consumer(1, "d", "");
    bench.settle().await;
    bench.publish("S", "", 10);
    let deleted = Change::ConsumerDeleted("d".into());
    bench.stream.change(deleted, false, Responder::nobody());
    bench.publish("S", "", 10);
    bench.settle().await;
    bench.crash();
    let messages = &bench.stream.state.messages;
    assert_eq!((messages.len(), messages.last_seq), (0, 2));
}

#[tokio::test]
async fn a_damaged_segment_stays_as_it_is() {
    let config = json!({"name": "S", "subjects": ["kv.>"], "max_msgs_per_subject": 1});
    let mut bench = Bench::new(&config);
    bench.publish("kv.old", "", 100);
    bench.stream.flush().await;
    let first = bench.folder().join("0000000000000001.log");
    let mut bytes = std::fs::read(&first).unwrap();
    let len = bench.stream.log.total_len() as usize;
    bytes[len - 3] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    for _ in 0..100 {
        bench.publish("kv.new", "", 400);
        bench.stream.flush().await;
        while bench.stream.compactor.step.is_some() {
            let outcome = bench.stream.compactor.step_done().await;
            bench.stream.stepped(outcome);
        }
    }
    assert!(bench.stream.compactor.retry.is_none());
    let left = std::fs::read(&first).unwrap();
    assert_eq!(left[..len], bytes[..len]);
    assert!(bench.disk_bytes() < 6 * SEGMENT, "{}", bench.disk_bytes());
}

#[tokio::test]
async fn who_reads_a_segment_goes_on_when_it_is_rewritten() {
    let config = json!({"name": "S", "subjects": ["kv.>"], "max_msgs_per_subject": 1});
    let mut bench = Bench::new(&config);
    bench.publish("kv.gone", "", 4000);
    bench.publish("kv.old", "", 100);
    bench.stream.flush().await;
    let position = |bench: &Bench| {
        bench
            .stream
            .state
            .messages
            .range(2)
            .next()
            .unwrap()
            .position
    };
    let before = position(&bench);
    let reader = bench.stream.log.reader(vec![before]);
    for _ in 0..60 {
        bench.publish("kv.gone", "", 400);
        bench.settle().await;
    }
    let after = position(&bench);
    assert!(after.offset < before.offset && after.segment == before.segment);
    let old = reader.read().unwrap();
    assert_eq!(old, bench.stream.log.reader(vec![after]).read().unwrap());
}
