//! Tests of a stream's task: what it answers when the disk is full, and that it answers only after the write.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::super::recovery::recover_all;
use super::super::stream_config::StreamConfig;
use super::super::supervision::{Recovery, keep_running};
use super::*;
use crate::broker::Retention;
use crate::broker::outbound::Outbound;
use crate::broker::router::Subscription;
use crate::broker::store::folder::Folder;

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
        let state = State::new(config.checked().unwrap(), json::now(), Retention::UNLIMITED);
        let dir: PathBuf = folder.stream_dir("S");
        let log = Log::create(dir, 1 << 20, state.snapshot()).unwrap();
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
        let (commands, receiver) = mpsc::channel(MAX_COMMANDS);
        let stream = Stream::new(
            state,
            log,
            syncer.clone(),
            router,
            Arc::clone(&stats),
            Arc::default(),
        );
        let recovery = Recovery {
            segment_bytes: 1 << 20,
            retention: Retention::UNLIMITED,
        };
        tokio::spawn(keep_running(stream, receiver, recovery));
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
            let bytes = tokio::time::timeout(Duration::from_secs(10), self.client.next()).await;
            heard.push_str(std::str::from_utf8(&bytes.unwrap().unwrap()).unwrap());
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
        let (_, recovered) = recover_all(copy.path(), 1 << 20, Retention::UNLIMITED).unwrap();
        assert_eq!(recovered[0].0.messages.last_seq, number);
    }
}

/// The sync thread lets go of the folder a moment after its last handle is gone.
async fn wait_for_lock(dir: &Path) -> (Folder, Vec<(State, Log)>) {
    let mut recovered = None;
    testkit::eventually("the folder is free", async || {
        recovered = recover_all(dir, 1 << 20, Retention::UNLIMITED).ok();
        recovered.is_some()
    })
    .await;
    recovered.unwrap()
}
