//! Tests of batches of either kind: what a stream does with them at any moment between its writes.

use futures::FutureExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::answers::Responder;
use super::super::ingest;
use super::super::recovery::Recovery;
use super::super::requests::Request;
use super::super::state::{MESSAGE_ID, State};
use super::super::stream_config::StreamConfig;
use super::*;
use crate::broker::outbound::Outbound;
use crate::broker::router::{Router, Subscription};
use crate::broker::store::folder::Folder;
use crate::broker::store::log::Log;
use crate::broker::store::syncer::Syncer;
use crate::broker::{Counters, JetStreamSettings};

const ID_1: (&str, &str) = (MESSAGE_ID, "1");
const LAST: (&str, &str) = (COMMIT, "1");

/// A stream that does what a test says, and a client that hears everything.
struct Bench {
    stream: Stream,
    client: Arc<Outbound>,
    _dir: TempDir,
}

impl Bench {
    fn new(settings: Value) -> Self {
        Bench::within(Arc::default(), settings)
    }

    fn within(usage: Arc<Usage>, settings: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let mut config = json!({
            "name": "S", "subjects": ["a"], "allow_atomic": true, "allow_batched": true,
        });
        for (setting, value) in settings.as_object().unwrap() {
            config[setting] = value.clone();
        }
        let config: StreamConfig = json::parse(config.to_string().as_bytes()).unwrap();
        let state = State::new(config.checked().unwrap(), json::now(), &Recovery::default());
        let log = Log::create(folder.stream_dir("S"), 1 << 20, state.opening()).unwrap();
        let stats = Arc::<Counters>::default();
        let router = Arc::new(Router::new(Arc::clone(&stats)));
        let client = Outbound::new(1, 1 << 20);
        let listener = Subscription::new(">".into(), None, "1".into(), Arc::clone(&client));
        router.subscribe(Arc::new(listener));
        let syncer = Syncer::start(folder).unwrap();
        Bench {
            stream: Stream::new(state, log, syncer, router, stats, usage),
            client,
            _dir: dir,
        }
    }

    async fn publish(&mut self, inbox: &str, headers: &[(&str, &str)]) {
        let message = Message {
            subject: "a".into(),
            reply: Some(inbox.into()).filter(|_| !inbox.is_empty()),
            headers: headers::with_status("", headers),
            payload: Bytes::new(),
        };
        self.stream.publish(message).await;
    }

    /// Publishes a message of a batch that is stored as a whole. Returns what is heard at once.
    async fn gather(&mut self, id: &str, seq: u64, more: &[(&str, &str)]) -> String {
        let seq = seq.to_string();
        let own = [(ID, id), (SEQUENCE, &*seq)];
        self.publish("inbox", &[&own[..], more].concat()).await;
        self.heard()
    }

    async fn ask(&mut self, request: Request) {
        self.stream.answer(request, Responder::nobody()).await;
    }

    fn heard(&mut self) -> String {
        self.stream.filled.flush();
        let buffers = self.client.next().now_or_never().flatten();
        let bytes: Vec<u8> = buffers.into_iter().flatten().flatten().collect();
        self.client.written(bytes.len());
        String::from_utf8(bytes).unwrap()
    }

    /// What is heard when all is on disk.
    async fn settle(&mut self) -> String {
        self.stream.flush().await;
        self.heard()
    }

    fn fail_writes(&self, fail: bool) {
        self.stream.syncer.failing.store(fail, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_known_message_of_a_batch_is_acknowledged_when_it_is_on_disk() {
    for (inbox, expected) in [
        ("i.b.10.fail.1.2.$FI", r#""seq":1,"duplicate":true"#),
        ("i.b.10.ok.1.2.$FI", r#""count":1"#),
        ("i.b.1.fail.1.0.$FI", r#""seq":1"#),
    ] {
        let mut bench = Bench::new(json!({}));
        for fails in [true, false] {
            bench.fail_writes(fails);
            bench.publish("", &[ID_1]).await;
            bench.publish(inbox, &[ID_1]).await;
            let heard = bench.heard();
            assert!(!heard.contains(expected), "too early: {heard}");
            let heard = bench.settle().await;
            assert_eq!(heard.contains(expected), !fails, "{inbox}: {heard}");
            assert_eq!(heard.contains("10077"), fails, "{inbox}: {heard}");
        }
    }
}

#[tokio::test]
async fn a_batch_has_a_message_whose_id_was_known_long_ago() {
    let own = [(ID, "b"), (SEQUENCE, "1"), LAST, ID_1];
    for (inbox, headers) in [("i.b.10.fail.1.2.$FI", &[ID_1][..]), ("inbox", &own)] {
        let mut bench = Bench::new(json!({}));
        let state = &mut bench.stream.state;
        let long_ago = json::now() - state.config.duplicate_window - 1;
        state.duplicates.insert(Some("1".into()), 7, long_ago);
        bench.publish(inbox, headers).await;
        let heard = bench.settle().await;
        assert!(heard.contains(r#""seq":1,"batch":"b""#), "{heard}");
    }
}

#[tokio::test]
async fn what_is_being_removed_does_not_count() {
    let increment = |by| ("Nats-Incr", by);
    let whole = [(ID, "b"), (SEQUENCE, "1"), LAST, increment("1")];
    for (inbox, headers) in [
        ("inbox", &[increment("1")][..]),
        ("i.b.10.fail.1.2.$FI", &[increment("1")]),
        ("inbox", &whole),
    ] {
        for (is_stored, purge, body) in [
            (false, true, ""),
            (true, true, ""),
            (true, true, r#"{"filter": "a"}"#),
            (true, false, r#"{"seq": 1}"#),
        ] {
            let mut bench = Bench::new(json!({"allow_msg_counter": true}));
            bench.publish("", &[increment("100")]).await;
            if is_stored {
                bench.settle().await;
            }
            bench
                .ask(match purge {
                    true => Request::Purge(body.into()),
                    false => Request::DeleteMessage(body.into()),
                })
                .await;
            bench.publish(inbox, headers).await;
            let heard = bench.settle().await;
            assert!(heard.contains(r#""seq":2"#), "{inbox} {body}: {heard}");
            let counted = bench.stream.read(2).await.unwrap();
            assert_eq!(counted.payload, r#"{"val":"1"}"#, "{inbox} {body}");
        }
    }
    let mut bench = Bench::new(json!({}));
    bench.publish("", &[]).await;
    bench.settle().await;
    bench.ask(Request::Purge(Bytes::new())).await;
    let expected = ("Nats-Expected-Last-Subject-Sequence", "0");
    bench.publish("inbox", &[expected]).await;
    let heard = bench.settle().await;
    assert!(heard.contains(r#""seq":2"#), "{heard}");
}

#[tokio::test]
async fn a_batch_on_its_way_to_the_disk_is_not_late() {
    let mut bench = Bench::new(json!({}));
    let late = || Instant::now() + PATIENCE;
    bench.publish("i.b.10.fail.1.2.$FI", &[]).await;
    assert_eq!(bench.stream.fast_batches.next_due(), None);
    bench.stream.fast_batches.end_late(late());
    let heard = bench.settle().await;
    assert!(
        heard.contains(r#""seq":1,"batch":"b","count":1"#),
        "{heard}"
    );
    bench.publish("i.c.10.fail.1.0.$FI", &[]).await;
    bench.settle().await;
    bench.stream.fast_batches.end_late(late());
    bench.publish("i.c.10.fail.2.1.$FI", &[]).await;
    let heard = bench.settle().await;
    assert!(heard.contains("10208"), "it waited for too long: {heard}");
}

#[tokio::test]
async fn a_batch_whose_next_message_does_not_come_is_abandoned() {
    let mut bench = Bench::new(json!({}));
    bench.gather("b", 1, &[]).await;
    let now = Instant::now();
    assert!(
        bench
            .stream
            .atomic_batches
            .next_due()
            .is_some_and(|due| due <= now + PATIENCE)
    );
    bench.stream.end_late_batches(now);
    assert_eq!(bench.heard(), "");
    bench.stream.end_late_batches(now + PATIENCE);
    let heard = bench.heard();
    assert!(heard.contains("BATCH_ABANDONED.S "), "{heard}");
    assert!(heard.contains(r#""reason":"timeout""#), "{heard}");
    assert_eq!(bench.stream.atomic_batches.next_due(), None);
    let heard = bench.gather("b", 2, &[LAST]).await;
    assert!(heard.contains("10176"), "{heard}");
}

#[tokio::test]
async fn there_are_so_many_batches_and_so_many_messages_in_one() {
    let mut bench = Bench::new(json!({}));
    for number in 0..MAX_OF_STREAM {
        let heard = bench.gather(&number.to_string(), 1, &[]).await;
        assert!(!heard.contains("error"), "{number}: {heard}");
    }
    let heard = bench.gather("more", 1, &[]).await;
    assert!(heard.contains("10210"), "{heard}");
    for seq in 2..=MAX_MESSAGES {
        let heard = bench.gather("0", seq, &[]).await;
        assert!(!heard.contains("error"), "{seq}: {heard}");
    }
    let heard = bench.gather("0", MAX_MESSAGES + 1, &[LAST]).await;
    assert!(heard.contains("10199"), "{heard}");
    assert!(heard.contains(r#""reason":"large""#), "{heard}");
    // One place is free again, but for all streams together there is none.
    let usage = Arc::clone(&bench.stream.usage);
    let others = MAX_OF_ALL - MAX_OF_STREAM as u64;
    usage.batches.atomic.fetch_add(others, Ordering::Relaxed);
    bench.gather("last", 1, &[]).await;
    let mut other = Bench::within(usage, json!({}));
    let heard = other.gather("more", 1, &[]).await;
    assert!(heard.contains("10210"), "{heard}");
    bench.gather("last", 2, &[LAST]).await;
    let heard = other.gather("more", 1, &[]).await;
    assert!(!heard.contains("error"), "{heard}");
}

#[tokio::test]
async fn a_batch_that_cannot_be_written_is_refused_as_a_whole() {
    let mut bench = Bench::new(json!({}));
    for fails in [true, false] {
        bench.fail_writes(fails);
        bench.gather("b", 1, &[ID_1]).await;
        bench.gather("b", 2, &[LAST]).await;
        let heard = bench.settle().await;
        let count = heard.matches("MSG ").count();
        assert_eq!((count, heard.contains("10077")), (1, fails), "{heard}");
        let stored = if fails { 0 } else { 2 };
        assert_eq!(bench.stream.state.messages.len(), stored);
    }
}

#[tokio::test]
async fn a_batch_that_there_is_no_room_for_is_refused_as_a_whole() {
    let settings = JetStreamSettings {
        max_store: Some(1000),
        ..JetStreamSettings::default()
    };
    let mut bench = Bench::within(Arc::new(Usage::new(&settings)), json!({}));
    let filler = "x".repeat(300);
    let filler = ("Filler", &*filler);
    bench.gather("b", 1, &[filler]).await;
    bench.gather("b", 2, &[filler]).await;
    let heard = bench.gather("b", 3, &[filler, LAST]).await + &bench.settle().await;
    assert!(heard.contains("10023"), "{heard}");
    assert_eq!(bench.stream.state.messages.len(), 0);
    bench.gather("b", 1, &[filler]).await;
    bench.gather("b", 2, &[filler, LAST]).await;
    let heard = bench.settle().await;
    assert!(
        heard.contains(r#""seq":2,"batch":"b","count":2"#),
        "{heard}"
    );
}

#[tokio::test]
async fn there_are_so_many_batches_that_are_stored_as_they_come() {
    let mut bench = Bench::new(json!({}));
    let begin = async |bench: &mut Bench, number: u64| {
        let inbox = format!("i.{number}.10.fail.1.0.$FI");
        bench.publish(&inbox, &[]).await;
        bench.heard()
    };
    let most = ingest::MAX_OF_STREAM as u64;
    for number in 0..most {
        let heard = begin(&mut bench, number).await;
        assert!(!heard.contains("error"), "{number}: {heard}");
    }
    let heard = begin(&mut bench, most).await;
    assert!(heard.contains("10211"), "{heard}");
    let usage = Arc::clone(&bench.stream.usage);
    let others = ingest::MAX_OF_ALL - most;
    usage.batches.fast.fetch_add(others, Ordering::Relaxed);
    let mut other = Bench::within(Arc::clone(&usage), json!({}));
    let heard = begin(&mut other, 0).await;
    assert!(heard.contains("10211"), "{heard}");
    bench.publish("i.0.10.fail.2.2.$FI", &[]).await;
    bench.settle().await;
    let heard = begin(&mut other, 0).await;
    assert!(!heard.contains("error"), "{heard}");
    drop((bench, other));
    assert_eq!(usage.batches.fast.load(Ordering::Relaxed), others);
}

#[tokio::test]
async fn batches_take_a_share_of_the_memory() {
    assert_eq!([1 << 30, 1 << 40].map(max_bytes), [64 << 20, 256 << 20]);
    let mut bench = Bench::new(json!({}));
    let usage = Arc::clone(&bench.stream.usage);
    bench.gather("b", 1, &[]).await;
    let taken = usage.batches.bytes.load(Ordering::Relaxed);
    assert!(taken > 2 * size_of::<Message>() as u64, "{taken} bytes");
    usage
        .batches
        .bytes
        .fetch_add(*MAX_BYTES - 3 * taken, Ordering::Relaxed);
    bench.gather("b", 2, &[]).await;
    let heard = bench.gather("b", 3, &[]).await;
    assert!(heard.contains("10210"), "{heard}");
}

#[tokio::test]
async fn a_batch_takes_memory_until_it_is_on_disk_or_refused() {
    for fails in [false, true] {
        let usage = Arc::<Usage>::default();
        let mut bench = Bench::within(Arc::clone(&usage), json!({}));
        let bytes = || usage.batches.bytes.load(Ordering::Relaxed);
        bench.fail_writes(fails);
        bench.gather("one", 1, &[LAST]).await;
        let one = bytes();
        assert!(one > 0, "it is not written yet");
        bench.stream.submit();
        bench.gather("two", 1, &[LAST]).await;
        assert_eq!(bytes(), 2 * one);
        let outcome = bench.stream.outcome.take().unwrap().await.unwrap();
        bench.stream.written(outcome);
        assert_eq!(bytes(), if fails { 0 } else { one }, "{fails}");
        bench.settle().await;
        assert_eq!(bytes(), 0);
        let atomic = &usage.batches.atomic;
        assert_eq!(atomic.load(Ordering::Relaxed), 0);
    }
    // One that is refused is not written.
    let usage = Arc::<Usage>::default();
    let mut bench = Bench::within(Arc::clone(&usage), json!({}));
    bench.publish("", &[ID_1]).await;
    let heard = bench.gather("b", 1, &[LAST, ID_1]).await;
    assert!(heard.contains("duplicate"), "{heard}");
    assert_eq!(usage.batches.bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn messages_are_read_where_there_is_no_room_for_their_bodies() {
    let mut usage = Usage::default();
    usage.caches.max = 0;
    let mut bench = Bench::within(Arc::new(usage), json!({}));
    for _ in 1..=2 {
        bench.publish("", &[]).await;
    }
    bench.settle().await;
    for seq in [1, 2, 1] {
        assert!(!bench.stream.has_body(seq));
        assert_eq!(bench.stream.read(seq).await.unwrap().seq, seq);
    }
}
