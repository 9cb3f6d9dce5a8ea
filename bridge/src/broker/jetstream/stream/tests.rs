//! Tests of a stream's task: what it answers when the disk is full, and that it answers only after the write.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::super::batch_gets::BatchGet;
use super::super::consumer::SavedConsumer;
use super::super::consumer_config::ConsumerConfig;
use super::super::consumer_requests::MAX_CONSUMERS;
use super::super::recovery::{Recovery, recover_all};
use super::super::state::Change;
use super::super::stream_config::{ConsumerLimits, StreamConfig};
use super::super::supervision::keep_running;
use super::*;
use crate::broker::outbound::Outbound;
use crate::broker::router::Subscription;
use crate::broker::store::folder::Folder;
use crate::broker::store::log::Position;
use crate::broker::store::record::{self, Record, StoredMessage};

const INBOX: &str = "answers";

/// A stream with one client that hears the answers.
struct Bench {
    commands: mpsc::Sender<Command>,
    syncer: Syncer,
    client: Arc<Outbound>,
    stats: Arc<Counters>,
}

impl Bench {
    fn start(data_dir: &Path) -> Self {
        let folder = Folder::open(data_dir).unwrap();
        let config: StreamConfig = json::parse(br#"{"name": "S", "subjects": ["a"]}"#).unwrap();
        let state = State::new(config.checked().unwrap(), json::now(), &Recovery::default());
        let dir: PathBuf = folder.stream_dir("S");
        let log = Log::create(dir, 1 << 20, state.opening()).unwrap();
        let syncer = Syncer::start(folder).unwrap();
        let stats = Arc::<Counters>::default();
        let router = Arc::new(Router::new(Arc::clone(&stats)));
        let client = Outbound::new(1, 1 << 20);
        router.subscribe(Arc::new(Subscription::new(
            INBOX.into(),
            None,
            "1".into(),
            Arc::clone(&client),
        )));
        let (commands, waiting) = mpsc::channel(MAX_COMMANDS);
        let inbox = Inbox {
            commands: waiting,
            requests: mpsc::channel(1).1,
        };
        let stream = Stream::new(
            state,
            log,
            syncer.clone(),
            router,
            Arc::clone(&stats),
            Arc::default(),
        );
        tokio::spawn(keep_running(stream, inbox, Recovery::default()));
        Bench {
            commands,
            syncer,
            client,
            stats,
        }
    }

    async fn publish(&self, id: &str) {
        let headers = headers_with_id(id);
        let payload = Bytes::copy_from_slice(id.as_bytes());
        let message = Message {
            subject: "a".into(),
            reply: Some(INBOX.into()),
            headers,
            payload,
        };
        self.commands.send(Command::Publish(message)).await.unwrap();
    }

    /// What the client hears until it has heard so many answers.
    async fn answers(&self, count: usize) -> String {
        let mut heard = String::new();
        while heard.matches("MSG ").count() < count {
            let buffers = tokio::time::timeout(Duration::from_secs(10), self.client.next()).await;
            for bytes in buffers.unwrap().unwrap() {
                heard.push_str(std::str::from_utf8(&bytes).unwrap());
                self.client.written(bytes.len());
            }
        }
        heard
    }
}

fn headers_with_id(id: &str) -> Bytes {
    crate::broker::headers::with_status("", &[(super::super::state::MESSAGE_ID, id)])
}

#[tokio::test]
async fn a_full_disk_refuses_what_it_cannot_take_and_loses_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path());
    bench.publish("one").await;
    assert!(bench.answers(1).await.contains(r#""seq":1"#));

    bench.syncer.failing.store(true, Ordering::SeqCst);
    for id in ["two", "three", "four"] {
        bench.publish(id).await;
    }
    let heard = bench.answers(3).await;
    assert_eq!(heard.matches(r#""err_code":10077"#).count(), 3, "{heard}");
    assert_eq!(bench.stats.failing_streams.load(Ordering::Relaxed), 1);

    bench.syncer.failing.store(false, Ordering::SeqCst);
    for id in ["two", "one"] {
        bench.publish(id).await;
    }
    let heard = bench.answers(2).await;
    assert!(heard.contains(r#""seq":2"#), "room again: {heard}");
    assert!(
        heard.contains(r#""duplicate":true"#),
        "what was stored is still known: {heard}"
    );
    assert_eq!(bench.stats.failing_streams.load(Ordering::Relaxed), 0);

    bench.commands.send(Command::Stop).await.unwrap();
    bench.commands.closed().await;
    drop(bench);
    let (_folder, streams) = wait_for_lock(dir.path()).await;
    let (state, _) = &streams[0];
    assert_eq!((state.messages.len(), state.messages.last_seq), (2, 2));
    assert_eq!(state.duplicates.find("three"), None);
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path());
    for number in 1..=50 {
        bench.publish(&number.to_string()).await;
        bench.answers(1).await;
        // Read as another process would after a crash at this very moment.
        let copy = tempfile::tempdir().unwrap();
        let streams = copy.path().join("streams/S");
        std::fs::create_dir_all(&streams).unwrap();
        for file in std::fs::read_dir(dir.path().join("streams/S")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), streams.join(file.file_name())).unwrap();
        }
        let (_, recovered) = recover_all(copy.path(), &Recovery::default()).unwrap();
        assert_eq!(recovered[0].0.messages.last_seq, number);
    }
}

/// The sync thread lets go of the folder a moment after its last handle is gone.
async fn wait_for_lock(dir: &Path) -> (Folder, Vec<(State, Log)>) {
    let mut recovered = None;
    testkit::eventually("the folder is free", async || {
        recovered = recover_all(dir, &Recovery::default()).ok();
        recovered.is_some()
    })
    .await;
    recovered.unwrap()
}

/// Puts a message into a stream that holds its messages in memory.
fn hold(state: &mut State, seq: u64, payload: Bytes) {
    let mut body = bytes::BytesMut::new();
    let message = Record::Message(StoredMessage {
        seq,
        time: 0,
        subject: "a".into(),
        headers: Bytes::new(),
        payload,
    });
    record::encode(&mut body, &message);
    state.add(seq, "a", Position::default(), 0, 1);
    let body = body.freeze().slice(record::FRAME..);
    state.bodies.as_mut().unwrap().insert(seq, body);
}

/// A stream with so many messages and a push consumer to which a client listens; it runs only as the test has it.
fn with_listener(data_dir: &Path, messages: u64) -> Stream {
    with_client(data_dir, messages).0
}

/// The same with the client.
fn with_client(data_dir: &Path, messages: u64) -> (Stream, Arc<Outbound>) {
    let folder = Folder::open(data_dir).unwrap();
    let config: StreamConfig = json::parse(br#"{"name": "S", "subjects": ["a"]}"#).unwrap();
    let mut state = State::new(config.checked().unwrap(), 0, &Recovery::default());
    state.bodies = Some(std::collections::BTreeMap::new());
    let stats = Arc::<Counters>::default();
    let router = Arc::new(Router::new(Arc::clone(&stats)));
    let client = Outbound::new(1, 1 << 20);
    client.headers.store(true, Ordering::Relaxed);
    let inbox = Subscription::new(INBOX.into(), None, "1".into(), Arc::clone(&client));
    router.subscribe(Arc::new(inbox));
    let consumer = json!({"name": "c", "deliver_subject": INBOX});
    let consumer: ConsumerConfig = json::parse(consumer.to_string().as_bytes()).unwrap();
    let consumer = consumer.checked(&ConsumerLimits::default()).unwrap();
    let saved = SavedConsumer::new(1, consumer, 0, 0);
    state.apply(Change::ConsumerSaved(Box::new(saved)), Instant::now());
    (1..=messages).for_each(|seq| hold(&mut state, seq, Bytes::new()));
    let syncer = Syncer::start(folder).unwrap();
    let log = Log::in_memory();
    let stream = Stream::new(state, log, syncer, router, stats, Arc::default());
    (stream, client)
}

#[tokio::test]
async fn a_message_that_is_far_away_is_searched_for_in_turns_with_other_work() {
    const LAST: u64 = 30_000;
    let dir = tempfile::tempdir().unwrap();
    let (mut stream, client) = with_client(dir.path(), 0);
    stream.state.config.allow_direct = true;
    for seq in 1..LAST {
        let subject = format!("s.{seq}");
        stream.state.add(seq, &subject, Position::default(), 0, 1);
    }
    hold(&mut stream.state, LAST, Bytes::new());
    let now = Instant::now();
    for (request, expected, other) in [
        (
            r#"{"seq": 1, "next_by_subj": "*"}"#,
            "Nats-Sequence: 30000",
            0,
        ),
        (r#"{"seq": 1, "next_by_subj": "*.x"}"#, "404 Message", 0),
        (
            r#"{"seq": 1, "next_by_subj": "*", "batch": 2}"#,
            "Nats-Sequence: 30000",
            1,
        ),
        (
            r#"{"seq": 1, "next_by_subj": "*.x", "batch": 2}"#,
            "404 Message",
            0,
        ),
    ] {
        stream.direct_get(None, request.as_bytes(), INBOX, 1).await;
        let mut turns = 0;
        while stream.next_batch_get_due(now).is_some() {
            assert_eq!(client.queued(), 0, "{request}");
            stream.serve_batch_gets(now).await;
            turns += 1;
        }
        assert!((3..10).contains(&turns), "{request}: {turns} turns");
        stream.filled.flush();
        let bytes: Vec<u8> = client.next().await.unwrap().into_iter().flatten().collect();
        client.written(bytes.len());
        let heard = String::from_utf8(bytes).unwrap();
        assert!(heard.contains(expected), "{request}: {heard}");
        assert_eq!(heard.matches("HMSG").count(), 1 + other, "{heard}");
        assert_eq!(heard.contains("Num-Pending"), other > 0, "{heard}");
    }

    let consumer = stream.state.consumers.get_mut("c").unwrap();
    let config = ConsumerConfig {
        filter_subject: "*".into(),
        ..consumer.config.clone()
    };
    consumer.reconfigure(config, &stream.state.messages);
    stream.tend_consumers(now);
    let mut turns = 1;
    stream.serve_consumers(now).await;
    while stream.next_consumer_due(now) == Some(now) {
        stream.serve_consumers(now).await;
        turns += 1;
    }
    assert!((3..10).contains(&turns), "{turns} turns");
    assert_eq!(stream.state.consumers["c"].delivered.stream_seq, LAST);
}

#[tokio::test]
async fn a_few_look_ups_are_followed_by_other_work() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = with_listener(dir.path(), 0);
    let (commands, mut waiting) = mpsc::channel(MAX_COMMANDS);
    for _ in 0..MAX_COMMANDS {
        let get = Command::DirectGet {
            subject: None,
            body: Bytes::from_static(br#"{"seq": 1, "next_by_subj": "x.*"}"#),
            inbox: "nobody".into(),
            asker: 1,
        };
        commands.send(get).await.unwrap();
    }
    stream.handle_more(&mut waiting).await;
    assert_eq!(waiting.len(), MAX_COMMANDS - MAX_COMMANDS / LOOK_UP);
}

#[tokio::test]
async fn a_stream_rests_when_its_listener_has_just_as_much_as_one_burst_holds() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = with_listener(dir.path(), 256);
    let now = Instant::now();
    stream.tend_consumers(now);
    stream.serve_consumers(now).await;
    assert_eq!(stream.state.consumers["c"].delivered.stream_seq, 256);
    assert_eq!(stream.next_consumer_due(now), None);
}

#[tokio::test]
async fn a_stream_rests_when_what_its_listener_was_to_have_later_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = with_listener(dir.path(), 1);
    let now = Instant::now();
    stream.tend_consumers(now);
    stream.pause("c", now);
    assert_eq!(stream.next_consumer_due(now), Some(now));
    stream.state.remove(1);
    stream.serve_consumers(now).await;
    assert_eq!(stream.next_consumer_due(now), None);
}

#[tokio::test]
async fn consumers_that_lists_leave_out_count_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = with_listener(dir.path(), 0);
    for id in 2..MAX_CONSUMERS as u32 {
        let consumer = json!({"name": format!("c{id}"), "deliver_subject": "x", "direct": true});
        let config = json::parse(consumer.to_string().as_bytes()).unwrap();
        let saved = Box::new(SavedConsumer::new(id, config, 0, 0));
        let change = Change::ConsumerSaved(saved);
        stream.state.apply(change, Instant::now());
    }
    stream.check_count().unwrap();
    let config = stream.state.consumers["c"].config.clone();
    let last = SavedConsumer::new(
        0,
        ConsumerConfig {
            name: "last".into(),
            ..config
        },
        0,
        0,
    );
    let change = Change::ConsumerSaved(Box::new(last));
    stream.change(change, true, Responder::nobody());
    assert_eq!(stream.check_count(), Err(error::TOO_MANY_CONSUMERS));
}

/// It would take minutes if each id were searched for among all others.
#[tokio::test]
async fn very_many_messages_that_cannot_be_written_are_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = with_listener(dir.path(), 0);
    for number in 0..300_000 {
        stream
            .publish(Message {
                subject: "a".into(),
                reply: None,
                headers: headers_with_id(&number.to_string()),
                payload: Bytes::new(),
            })
            .await;
    }
    assert_eq!(stream.state.duplicates.len(), 300_000);
    let batch = std::mem::take(&mut stream.batch);
    stream.writing = Some((batch, Bytes::new()));
    stream.written(Err(io::Error::other("the disk is full")));
    assert_eq!(stream.state.duplicates.len(), 0);
}

/// A client that pulls holds on to a consumer that is to be deleted when it is not used for a nanosecond.
#[test]
fn a_consumer_is_not_looked_at_without_a_rest() {
    let config = json!({"name": "c", "inactive_threshold": 1});
    let config: ConsumerConfig = json::parse(config.to_string().as_bytes()).unwrap();
    assert_eq!(config.unused_limit(), Duration::from_millis(100));
}

/// The messages with these payloads that a client has been sent and has read.
async fn read_by(client: &Outbound, payload: u8) -> usize {
    let mut count = 0;
    while client.queued() > 0 {
        for bytes in client.next().await.unwrap() {
            count += bytes.iter().filter(|byte| **byte == payload).count();
            client.written(bytes.len());
        }
    }
    count
}

/// A stream that holds so many messages, each of as many bytes `#` as said, in memory, and a client that hears its answers.
fn with_reader(dir: &Path, messages: u64, bytes: usize) -> (Stream, Arc<Subscription>) {
    let mut stream = with_listener(dir, 0);
    stream.state.config.allow_direct = true;
    let payload = Bytes::from(vec![b'#'; bytes]);
    (1..=messages).for_each(|seq| hold(&mut stream.state, seq, payload.clone()));
    let client = Outbound::new(2, 64 << 20);
    let reader = Arc::new(Subscription::new("reader".into(), None, "1".into(), client));
    stream.router.subscribe(Arc::clone(&reader));
    (stream, reader)
}

async fn batch_get(stream: &mut Stream, request: serde_json::Value) {
    let body = request.to_string();
    stream.direct_get(None, body.as_bytes(), "reader", 2).await;
}

async fn slice(stream: &mut Stream, now: Instant) {
    stream.serve_batch_gets(now).await;
    stream.filled.flush();
}

#[tokio::test]
async fn long_answers_take_turns_and_end_with_those_who_hear_them() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stream, reader) = with_reader(dir.path(), 1000, 1);
    let now = Instant::now();
    for _ in 0..2 {
        batch_get(&mut stream, json!({"seq": 1, "batch": 600})).await;
    }
    let is_counted = |get: &BatchGet| get.pending.is_some();
    assert!(
        !stream.batch_gets.iter().any(is_counted),
        "they are counted in their turn"
    );
    for most in [0, 256] {
        assert_eq!(read_by(&reader.client, b'#').await, most);
        assert_eq!(stream.next_batch_get_due(now), Some(now));
        slice(&mut stream, now).await;
    }
    assert_eq!(stream.batch_gets.len(), 2);
    assert!(stream.batch_gets.iter().all(|get| get.last == 256));
    for _ in 0..4 {
        slice(&mut stream, now).await;
    }
    assert_eq!(read_by(&reader.client, b'#').await, 1200 - 256);
    assert_eq!(stream.next_batch_get_due(now), None);

    batch_get(&mut stream, json!({"multi_last": ["a"]})).await;
    batch_get(&mut stream, json!({"seq": 1, "batch": 600})).await;
    slice(&mut stream, now).await;
    stream.router.unsubscribe(&reader);
    slice(&mut stream, now).await;
    batch_get(&mut stream, json!({"seq": 1, "batch": 600})).await;
    assert_eq!(stream.next_batch_get_due(now), None);
    assert_eq!(read_by(&reader.client, b'#').await, 1);
}

#[tokio::test]
async fn long_answers_go_as_fast_as_their_client_reads_and_give_way_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stream, reader) = with_reader(dir.path(), 20, 1 << 20);
    let mut now = Instant::now();
    batch_get(&mut stream, json!({"seq": 1, "batch": 100})).await;
    slice(&mut stream, now).await;
    let due = stream.next_batch_get_due(now).unwrap();
    assert!(due > now && reader.client.queued() < 6 << 20);
    let mut read = 0;
    while let Some(due) = stream.next_batch_get_due(now) {
        now = due;
        read += read_by(&reader.client, b'#').await;
        slice(&mut stream, now).await;
    }
    read += read_by(&reader.client, b'#').await;
    assert_eq!(read, 20 << 20);

    // When there are too many, those give way first whose clients do not read.
    for _ in 0..300 {
        batch_get(&mut stream, json!({"seq": 1, "batch": 100})).await;
        slice(&mut stream, now).await;
    }
    let most = stream.batch_gets.len();
    assert!(most < 300);
    stream
        .batch_gets
        .iter_mut()
        .for_each(|get| get.paused_until = None);
    batch_get(&mut stream, json!({"seq": 1, "batch": 100})).await;
    assert_eq!(stream.batch_gets.len(), most);
}

#[tokio::test]
async fn a_stream_that_is_idle_lets_go_of_the_bodies_of_its_messages() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = with_listener(dir.path(), 0);
    let now = Instant::now();
    stream.cache.insert(1, Bytes::from_static(b"x"));
    stream.cache.trim(1, now);
    let due = stream.cache.next_due().unwrap();
    assert!(stream.next_wake(now) <= due);
    stream.tend(due);
    assert!(stream.cache.get(1).is_none());
}
