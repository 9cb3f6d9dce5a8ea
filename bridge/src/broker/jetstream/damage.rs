//! A stream whose last segment is cut off at any byte, or has any byte changed: what is recovered is what was acknowledged up to
//! there, batch by batch, and nothing else.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::consumer_requests::NamesInSubject;
use super::recovery::{Recovery, recover_at};
use super::state::State;
use super::stream_config::StreamConfig;
use super::*;
use crate::broker::outbound::Outbound;
use crate::broker::router::Subscription;
use crate::broker::store::folder::Folder;
use crate::broker::store::log::{Log, Position, Replay};
use crate::broker::store::record::{self, FRAME, Record};

const INBOX: &str = "inbox";
const SEGMENT_BYTES: u64 = 1 << 20;

/// A folder for files that need not outlive the machine; syncing them costs nothing then.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// A stream that does what a test says, and what it held after each step.
struct Scenario {
    dir: TempDir,
    stream: Stream,
    /// The state before the last segment was begun.
    before: String,
    /// How long the last segment was, and the state.
    steps: Vec<(usize, String)>,
}

impl Scenario {
    fn new(config: Value) -> Self {
        let dir = folder();
        let data = Folder::open(dir.path()).unwrap();
        let config: StreamConfig = json::parse(config.to_string().as_bytes()).unwrap();
        let state = State::new(config.checked().unwrap(), json::now(), &Recovery::default());
        let log = Log::create(data.stream_dir("S"), SEGMENT_BYTES, state.opening()).unwrap();
        let stats = Arc::<Counters>::default();
        let router = Arc::new(Router::new(Arc::clone(&stats)));
        let client = Outbound::new(1, 1 << 20);
        let listener = Subscription::new(INBOX.into(), None, "1".into(), client);
        router.subscribe(Arc::new(listener));
        let syncer = Syncer::start(data).unwrap();
        Scenario {
            stream: Stream::new(state, log, syncer, router, stats, Arc::default()),
            dir,
            before: String::new(),
            steps: Vec::new(),
        }
    }

    /// Writes down what there is to be written, and takes note of what is durable now.
    async fn settle(&mut self) {
        self.stream.serve_consumers(Instant::now()).await;
        self.stream.state.release_settled();
        self.stream.flush().await;
        let state = self.stream.state.fingerprint();
        let bytes = fs::read(last_segment(self.stream.log.dir())).unwrap();
        self.steps.push((*ends(bytes).last().unwrap(), state));
    }

    async fn publish(&mut self, subject: &str, header: (&str, &str)) {
        match header {
            ("", _) => self.publish_with(subject, &[]).await,
            header => self.publish_with(subject, &[header]).await,
        }
    }

    async fn publish_with(&mut self, subject: &str, headers: &[(&str, &str)]) {
        let headers = match headers {
            [] => Bytes::new(),
            headers => crate::broker::headers::with_status("", headers),
        };
        self.stream
            .publish(Message {
                subject: subject.into(),
                reply: Some(INBOX.into()),
                headers,
                payload: Bytes::from_static(b"x"),
            })
            .await;
        self.settle().await;
    }

    async fn ask(&mut self, request: Request) {
        let (answer, answered) = oneshot::channel();
        let responder = Responder::Internal(answer);
        self.stream.answer(request, responder).await;
        self.settle().await;
        answered.await.unwrap().unwrap();
    }

    async fn consumer(&mut self, config: Value) {
        let names = NamesInSubject {
            consumer: config["name"].as_str().map(str::to_owned),
            ..NamesInSubject::default()
        };
        let body = json!({"stream_name": "S", "config": config}).to_string();
        let body = body.into();
        self.ask(Request::CreateConsumer { names, body }).await;
    }

    async fn pull(&mut self, consumer: &str, count: u32) {
        let count = count.to_string();
        self.stream.pull(consumer, count.as_bytes(), INBOX, 1);
        self.settle().await;
    }

    async fn acknowledge(&mut self, consumer: &str, seq: u64, how: &[u8]) {
        let subject = format!("$JS.ACK.S.{consumer}.1.{seq}.{seq}.0.0");
        self.stream
            .acknowledge(&subject, how, Some(INBOX.into()), 1);
        self.settle().await;
    }

    /// Has what comes now be in another segment. The one before is deleted when nothing of it lives any more; of a folder that
    /// is damaged it is a part, as it was when the last segment was begun.
    fn end_segment(&mut self) {
        fs::create_dir(self.damaged()).unwrap();
        for file in fs::read_dir(self.stream.log.dir()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), self.damaged().join(file.file_name())).unwrap();
        }
        self.stream.log.end_segment();
        self.before = self.stream.state.fingerprint();
        self.steps.clear();
    }

    fn damaged(&self) -> PathBuf {
        self.dir.path().join("damaged")
    }

    /// Tries what the last segment may have become.
    fn check(self) {
        let damaged = Damaged::new(self.damaged(), &last_segment(self.stream.log.dir()));
        let (ends, batches) = (ends(damaged.bytes.clone()), damaged.batches());
        let mut steps: HashMap<usize, String> = self.steps.into_iter().collect();
        // Its beginning alone says nothing.
        let first = batches[0].start;
        steps.insert(first, self.before);
        for batch in &batches {
            let state = damaged.recovered(&damaged.bytes[..batch.start]);
            if let Some(expected) = steps.get(&batch.start) {
                assert_eq!(&state, expected, "what was durable is recovered");
            }
            let begin = if batch.start == first { 0 } else { batch.start };
            for at in begin..batch.end {
                let cut = damaged.recovered(&damaged.bytes[..at]);
                assert_eq!(cut, state, "cut at {at}, in the batch {batch:?}");
            }
        }
        let whole = damaged.recovered(&damaged.bytes);
        assert_eq!(whole, steps[&damaged.bytes.len()]);
        for (number, end) in ends.iter().enumerate() {
            let begin = number.checked_sub(1).map_or(0, |before| ends[before]);
            let batch = batches.iter().find(|batch| batch.contains(&begin));
            let expected = match batch {
                // Without its beginning the segment is set aside.
                None => [steps[&first].clone(), steps[&first].clone()],
                Some(batch) => [*end, batch.end].map(|end| damaged.without(begin..end)),
            };
            for at in begin..*end {
                let mut bytes = damaged.bytes.clone();
                bytes[at] ^= 1 << (at % 8);
                let changed = damaged.recovered(&bytes);
                // Of a batch nothing is found behind a length that is not right.
                let in_length = at - begin < 4;
                assert!(
                    changed == expected[0] || in_length && changed == expected[1],
                    "changed at {at}, in record {number} of the batch {batch:?}: {changed}"
                );
            }
        }
    }
}

/// The last segment of a stream.
fn last_segment(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let segments = paths.filter(|path| path.extension().is_some_and(|kind| kind == "log"));
    segments.max().unwrap()
}

/// Where the records of a segment end.
fn ends(bytes: Vec<u8>) -> Vec<usize> {
    let (bytes, mut ends) = (Bytes::from(bytes), Vec::new());
    let mut at = 0;
    while let Some(body) = record::body_at(&bytes, at) {
        at += FRAME + body.len();
        ends.push(at);
    }
    ends
}

/// A folder as that of a stream, of which the last segment is changed.
struct Damaged {
    dir: PathBuf,
    last: PathBuf,
    bytes: Vec<u8>,
    now: Instant,
    time: i64,
}

impl Damaged {
    fn new(dir: PathBuf, segment: &Path) -> Self {
        let mut bytes = fs::read(segment).unwrap();
        bytes.truncate(*ends(bytes.clone()).last().unwrap());
        let last = dir.join(segment.file_name().unwrap());
        Damaged {
            dir,
            last,
            bytes,
            now: Instant::now(),
            time: json::now(),
        }
    }

    /// Where the batches of the segment are.
    fn batches(&self) -> Vec<Range<usize>> {
        let bytes = Bytes::from(self.bytes.clone());
        let (mut batches, mut begin) = (Vec::new(), 0);
        while let Some(body) = record::body_at(&bytes, begin) {
            let end = begin + FRAME + body.len();
            let batch = match record::decode(body) {
                Some(Record::Batch { len, .. }) => begin..end + len as usize,
                _ => begin..end,
            };
            begin = batch.end;
            batches.push(batch);
        }
        // The first three are records of its beginning.
        batches.split_off(3)
    }

    /// The state that is recovered when these are the bytes of the last segment.
    fn recovered(&self, bytes: &[u8]) -> String {
        fs::write(&self.last, bytes).unwrap();
        let (now, time) = (self.now, self.time);
        let state = recover_at(self.dir.clone(), &Recovery::default(), now, time);
        let _ = fs::remove_file(self.last.with_extension("damaged"));
        let (state, _) = state.unwrap().expect("the first segment is whole");
        state.fingerprint()
    }

    /// The state that all records but those here in the last segment come to.
    fn without(&self, left_out: Range<usize>) -> String {
        fs::write(&self.last, &self.bytes).unwrap();
        let mut records: Vec<(Position, Record, Replay)> = Vec::new();
        let visit = |position, record, replay| records.push((position, record, replay));
        Log::open(self.dir.clone(), SEGMENT_BYTES, visit).unwrap();
        let last = records.last().unwrap().0.segment;
        records.retain(|(position, ..)| {
            let offset = position.offset as usize;
            position.segment != last || !left_out.contains(&offset)
        });
        let mut records = records.into_iter();
        let (_, first, _) = records.next().unwrap();
        let mut state = State::from_snapshot(&first, self.now, &Recovery::default()).unwrap();
        for (position, record, replay) in records {
            state.replay(position, record, replay, self.now);
        }
        state.end_replay();
        state.expire(self.time);
        state.fingerprint()
    }
}

#[tokio::test]
async fn a_damaged_segment_gives_back_what_was_acknowledged_and_no_more() {
    let config = json!({
        "name": "S", "subjects": ["a", "b.>"], "max_msgs_per_subject": 3,
        "allow_rollup_hdrs": true, "allow_msg_ttl": true,
    });
    let mut scenario = Scenario::new(config.clone());
    scenario.publish("a", ("Nats-Msg-Id", "1")).await;
    let explicit = json!({"name": "d", "durable_name": "d", "ack_policy": "explicit"});
    scenario.consumer(explicit).await;
    scenario.pull("d", 1).await;
    scenario.end_segment();
    scenario.publish("a", ("Nats-Msg-Id", "2")).await;
    // Its id is known.
    scenario.publish("a", ("Nats-Msg-Id", "1")).await;
    scenario
        .consumer(json!({"name": "e", "ack_policy": "all"}))
        .await;
    scenario.publish("b.x", ("Nats-TTL", "1h")).await;
    scenario.pull("d", 2).await;
    scenario.acknowledge("d", 1, b"+ACK").await;
    scenario.acknowledge("d", 2, b"-NAK").await;
    scenario.pull("d", 1).await;
    scenario.pull("e", 3).await;
    scenario.acknowledge("e", 2, b"+ACK").await;
    scenario.publish("b.y", ("", "")).await;
    scenario.publish("b.x", ("Nats-Rollup", "sub")).await;
    let body = json!({"seq": 4}).to_string().into();
    scenario.ask(Request::DeleteMessage(body)).await;
    let body = json!({"pause_until": "2100-01-01T00:00:00Z"})
        .to_string()
        .into();
    let name = "e".to_owned();
    scenario.ask(Request::PauseConsumer { name, body }).await;
    scenario.publish("a", ("", "")).await;
    let body = json!({"filter": "b.>"}).to_string().into();
    scenario.ask(Request::Purge(body)).await;
    let (name, body) = ("d".to_owned(), Bytes::new());
    scenario.ask(Request::ResetConsumer { name, body }).await;
    let mut config: StreamConfig = json::parse(config.to_string().as_bytes()).unwrap();
    config.max_msgs = 2;
    let config = Box::new(config.checked().unwrap());
    scenario.ask(Request::Configure(config)).await;
    scenario.ask(Request::DeleteConsumer("e".into())).await;
    let body = json!({"seq": 6}).to_string().into();
    scenario.ask(Request::Purge(body)).await;
    scenario.publish("a", ("Nats-Msg-Id", "3")).await;
    scenario.check();
}

#[tokio::test]
async fn a_damaged_segment_of_a_stream_that_keeps_what_is_wanted_does_so_too() {
    let config = json!({"name": "S", "subjects": ["a", "b"], "retention": "interest"});
    let mut scenario = Scenario::new(config);
    let wants_b =
        json!({"name": "b", "durable_name": "b", "ack_policy": "explicit", "filter_subject": "b"});
    scenario.consumer(wants_b).await;
    scenario.publish("a", ("Nats-Msg-Id", "1")).await;
    scenario.publish("b", ("", "")).await;
    scenario.pull("b", 1).await;
    scenario.end_segment();
    // The state that the segment begins with knows already what its first batch says.
    scenario.acknowledge("b", 2, b"+ACK").await;
    scenario.publish("a", ("Nats-Msg-Id", "2")).await;
    let wants_a =
        json!({"name": "d", "durable_name": "d", "ack_policy": "all", "filter_subject": "a"});
    scenario.consumer(wants_a).await;
    scenario
        .consumer(json!({"name": "n", "ack_policy": "none"}))
        .await;
    for subject in ["a", "b", "a", "a"] {
        scenario.publish(subject, ("", "")).await;
    }
    scenario.pull("n", 3).await;
    scenario.pull("d", 2).await;
    scenario.acknowledge("d", 5, b"+ACK").await;
    scenario.ask(Request::DeleteConsumer("n".into())).await;
    scenario.publish("b", ("Nats-Msg-Id", "3")).await;
    scenario.pull("d", 1).await;
    scenario.acknowledge("d", 6, b"+TERM").await;
    scenario.check();
}

#[tokio::test]
async fn a_batch_that_is_stored_as_a_whole_is_torn_as_a_whole() {
    let config = json!({"name": "S", "subjects": ["a", "b"], "allow_atomic": true});
    let mut scenario = Scenario::new(config);
    scenario.publish("a", ("", "")).await;
    scenario.end_segment();
    scenario.publish("b", ("", "")).await;
    for (seq, subject) in [("1", "a"), ("2", "b"), ("3", "a")] {
        let last = ("Nats-Batch-Commit", "1");
        let id = [("Nats-Batch-Id", "id"), ("Nats-Batch-Sequence", seq), last];
        let len = if seq == "3" { 3 } else { 2 };
        scenario.publish_with(subject, &id[..len]).await;
    }
    scenario.publish("b", ("", "")).await;
    assert_eq!(scenario.stream.state.messages.len(), 6);
    scenario.check();
}
