//! Tests of the API beside a stream that does not answer.

use serde_json::json;

use super::*;
use crate::broker::Access;
use crate::broker::jetstream::error::BUSY;

/// Longer than the API waits for a stream, many times over.
const LIMIT: Duration = Duration::from_secs(60);

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
        let config: stream_config::StreamConfig = json::parse(br#"{"name": "stuck"}"#).unwrap();
        let (handle, stuck) = new_handle(&config.checked().unwrap());
        if are_full {
            for _ in 0..stream::MAX_COMMANDS {
                let _ = handle.commands.try_send(Command::Stop);
                drop(handle.ask(Request::ConsumerInfo("x".into())));
            }
        }
        jetstream.streams.insert(handle);
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
async fn a_change_that_a_stream_makes_late_is_taken_note_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path(), false).await;
    let config = json!({"name": "stuck", "subjects": ["later"]});
    let refused = bench.ask("STREAM.UPDATE.stuck", config).await;
    assert_eq!(refused.unwrap_err(), BUSY);
    // Whether that takes the subject is not known yet.
    let other = json!({"name": "other", "subjects": ["later"]});
    let refused = bench.ask("STREAM.CREATE.other", other.clone()).await;
    assert_eq!(refused.unwrap_err(), BUSY);
    bench.ask("STREAM.INFO.ok", Value::Null).await.unwrap();

    let (_, responder) = bench.stuck.requests.recv().await.unwrap();
    responder.send(Ok(json!({})));
    testkit::eventually("it has the subject", async || {
        bench.jetstream.streams.by_subject("later").is_some()
    })
    .await;
    let refused = bench.ask("STREAM.CREATE.other", other).await;
    assert_eq!(refused.unwrap_err(), error::SUBJECTS_OVERLAP);
}
