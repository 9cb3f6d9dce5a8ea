//! Tests of the API beside a stream that does not answer.

use serde_json::json;

use super::*;
use crate::broker::Access;
use crate::broker::jetstream::error::BUSY;
use crate::broker::outbound::Outbound;
use crate::broker::router::Subscription;

/// Longer than the API waits for a stream, many times over.
const LIMIT: Duration = Duration::from_secs(60);

/// Adds a stream `stuck`, which takes nothing, with queues that are as full as said.
fn add_stuck(jetstream: &JetStream, are_full: bool) -> Inbox {
    let config: stream_config::StreamConfig = json::parse(br#"{"name": "stuck"}"#).unwrap();
    let (handle, stuck) = new_handle(&config.checked().unwrap());
    if are_full {
        for _ in 0..stream::MAX_COMMANDS {
            let _ = handle.commands.try_send(Command::Stop);
            drop(handle.ask(Request::ConsumerInfo("x".into())));
        }
    }
    jetstream.streams.insert(handle);
    stuck
}

impl JetStream {
    /// Adds a stream `stuck`, which takes nothing for as long as the value is kept, and holds up its publishers.
    pub(in crate::broker) fn add_stuck_stream(&self) -> impl Sized + use<> {
        add_stuck(self, true)
    }
}

struct Bench {
    jetstream: JetStream,
    _tasks: JoinSet<String>,
    /// What waits for the stream `stuck`, which takes nothing.
    stuck: Inbox,
}

impl Bench {
    /// Streams `ok` and `stuck`; the queues of the latter are as full as said.
    async fn start(dir: &std::path::Path, are_full: bool) -> Self {
        let stats = Arc::<Counters>::default();
        let router = Arc::new(Router::new(Arc::clone(&stats)));
        let mut tasks = JoinSet::new();
        let config = BrokerConfig::new(dir, Access::Open);
        let jetstream = JetStream::open(&config, router, stats, &mut tasks).await;
        let jetstream = jetstream.unwrap();
        let config = json!({"name": "ok"});
        jetstream.ask("STREAM.CREATE.ok", &config).await.unwrap();
        let stuck = add_stuck(&jetstream, are_full);
        Bench {
            jetstream,
            _tasks: tasks,
            stuck,
        }
    }

    async fn ask(&self, subject: &str, body: Value) -> error::Result<Value> {
        let answer = timeout(LIMIT, self.jetstream.ask(subject, &body)).await;
        answer.unwrap_or_else(|_| panic!("{subject} is not answered"))
    }

    /// What is asked of the stream `stuck`, for a test to answer.
    fn take_requests(&mut self) -> Asked {
        let none = mpsc::channel(1).1;
        Asked::new(std::mem::replace(&mut self.stuck.requests, none))
    }
}

type Asked = tokio::sync::Mutex<mpsc::Receiver<(Request, Responder)>>;

async fn next(asked: &Asked) -> (Request, Responder) {
    let next = timeout(LIMIT, async { asked.lock().await.recv().await }).await;
    next.expect("something is asked of the stream").unwrap()
}

/// What a stream answers that has taken over a configuration.
fn described(request: Request) -> Value {
    let Request::Configure(config) = request else {
        panic!("{request:?}")
    };
    json!({"config": config})
}

#[tokio::test]
async fn a_stream_whose_queues_are_full_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path(), true).await;
    for (subject, body) in [
        ("STREAM.INFO.stuck", Value::Null),
        ("STREAM.UPDATE.stuck", json!({"name": "stuck"})),
        ("STREAM.DELETE.stuck", Value::Null),
        ("STREAM.CREATE.stuck", json!({"name": "stuck"})),
    ] {
        assert_eq!(
            bench.ask(subject, body).await.unwrap_err(),
            BUSY,
            "{subject}"
        );
        bench.ask("STREAM.INFO.ok", Value::Null).await.unwrap();
    }
    let list = bench.ask("STREAM.LIST", Value::Null).await.unwrap();
    assert_eq!(list["missing"], json!(["stuck"]), "{list}");
    assert_eq!(list["streams"][0]["config"]["name"], "ok");
    let account = bench.ask("INFO", Value::Null).await.unwrap();
    assert_eq!(account["streams"], 2);
}

#[tokio::test]
async fn a_change_that_a_stream_makes_late_is_answered_when_it_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path(), false).await;
    let asked = bench.take_requests();
    let config = json!({"name": "stuck", "subjects": ["later"]});
    let other = json!({"name": "other", "subjects": ["later"]});
    let update = bench.ask("STREAM.UPDATE.stuck", config);
    let meanwhile = async {
        let (request, responder) = next(&asked).await;
        // Whether that takes the subject is not known yet.
        let refused = bench.ask("STREAM.CREATE.other", other.clone()).await;
        assert_eq!(refused.unwrap_err(), BUSY);
        let again = bench.ask("STREAM.UPDATE.stuck", json!({"name": "stuck"}));
        assert_eq!(again.await.unwrap_err(), BUSY);
        // Streams that have nothing to do with it are made, changed and deleted.
        for (operation, subject) in [("CREATE", "a"), ("UPDATE", "b")] {
            let config = json!({"name": "beside", "subjects": [subject]});
            let operation = format!("STREAM.{operation}.beside");
            bench.ask(&operation, config).await.unwrap();
        }
        let deleted = bench.ask("STREAM.DELETE.beside", Value::Null);
        deleted.await.unwrap();
        responder.send(Ok(described(request)));
    };
    let (updated, ()) = tokio::join!(update, meanwhile);
    assert_eq!(updated.unwrap()["config"]["subjects"], json!(["later"]));
    assert!(bench.jetstream.streams.by_subject("later").is_some());
    let refused = bench.ask("STREAM.CREATE.other", other).await;
    assert_eq!(refused.unwrap_err(), error::SUBJECTS_OVERLAP);

    let delete = bench.ask("STREAM.DELETE.stuck", Value::Null);
    let meanwhile = async {
        let (_, responder) = next(&asked).await;
        bench.ask("STREAM.INFO.ok", Value::Null).await.unwrap();
        responder.send(Ok(json!({"success": true})));
    };
    assert_eq!(
        tokio::join!(delete, meanwhile).0.unwrap(),
        json!({"success": true})
    );
    assert!(bench.jetstream.streams.by_name("stuck").is_none());
}

/// Its log may or may not have what it was to change.
#[tokio::test]
async fn a_stream_that_panics_while_it_changes_takes_what_it_takes_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path(), false).await;
    let asked = bench.take_requests();
    for (subject, has_changed) in [("one", true), ("two", false), ("three", true)] {
        let config = json!({"name": "stuck", "subjects": [subject]});
        let update = bench.ask("STREAM.UPDATE.stuck", config);
        let panicking = async {
            let (request, lost) = next(&asked).await;
            drop(lost);
            let before = bench.jetstream.streams.by_name("stuck").unwrap();
            let (again, responder) = next(&asked).await;
            assert!(matches!(again, Request::Info(_)), "{again:?}");
            let before = json!({"config": {"subjects": *before.subjects}});
            responder.send(Ok(match has_changed {
                true => described(request),
                false => before,
            }));
        };
        let (updated, ()) = tokio::join!(update, panicking);
        assert_eq!(updated.is_ok(), has_changed, "{subject}");
        let stream = bench.jetstream.streams.by_subject(subject);
        assert_eq!(stream.is_some(), has_changed, "{subject}");
    }
    assert!(bench.jetstream.streams.by_subject("one").is_none());
    let delete = bench.ask("STREAM.DELETE.stuck", Value::Null);
    let ending = async {
        drop(next(&asked).await);
        let (_, responder) = next(&asked).await;
        responder.send(Err(error::STREAM_NOT_FOUND));
    };
    tokio::join!(delete, ending).0.unwrap();
    assert!(bench.jetstream.streams.by_name("stuck").is_none());
}

/// Nothing but the message itself has the stream look at its consumers.
#[tokio::test(start_paused = true)]
async fn what_is_in_memory_alone_is_delivered_before_the_clock_moves() {
    let dir = tempfile::tempdir().unwrap();
    let stats = Arc::<Counters>::default();
    let router = Arc::new(Router::new(Arc::clone(&stats)));
    let client = Outbound::new(1, 1 << 20);
    let inbox = Subscription::new("inbox".into(), None, "1".into(), Arc::clone(&client));
    router.subscribe(Arc::new(inbox));
    let config = BrokerConfig::new(dir.path(), Access::Open);
    let mut tasks = JoinSet::new();
    let jetstream = JetStream::open(&config, router, stats, &mut tasks).await;
    let jetstream = jetstream.unwrap();
    let config = json!({"name": "M", "subjects": ["a"], "storage": "memory"});
    jetstream.ask("STREAM.CREATE.M", &config).await.unwrap();
    let publish = async || {
        let message = Message {
            subject: "a".into(),
            reply: None,
            headers: Bytes::new(),
            payload: Bytes::new(),
        };
        let taker = jetstream.taker("a").unwrap();
        jetstream.accept(message, taker, 2).await.unwrap();
    };
    publish().await;
    let before = tokio::time::Instant::now();
    let config = json!({"durable_name": "c", "deliver_subject": "inbox"});
    let request = json!({"stream_name": "M", "config": config});
    jetstream
        .ask("CONSUMER.CREATE.M.c", &request)
        .await
        .unwrap();
    for _ in 0..3 {
        let delivered = client.next().await.unwrap();
        client.written(delivered.iter().map(|bytes| bytes.len()).sum());
        assert_eq!(before.elapsed(), Duration::ZERO);
        publish().await;
    }
}
