//! Panics of a connection, of a stream and of the JetStream API: whoever caused them is refused or restarted, and nobody else notices.

use async_nats::jetstream::{self, consumer::pull, stream};
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// What a connection, a stream and the API do when a test says so.
pub(super) fn on_request() -> ! {
    panic!("made to panic by a test")
}

struct Serving {
    addr: String,
    shared: Arc<Shared>,
    stats: BrokerStats,
    task: JoinHandle<Result<(), BrokerError>>,
}

impl Serving {
    async fn start(dir: &std::path::Path) -> Self {
        let config = BrokerConfig::new(dir, Access::Open);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let stats = BrokerStats::default();
        let broker = Broker::open(config, stats.clone()).await.unwrap();
        let shared = broker.control().broker().unwrap();
        let task = tokio::spawn(broker.serve(listener, std::future::pending()));
        Serving {
            addr,
            shared,
            stats,
            task,
        }
    }

    async fn client(&self) -> async_nats::Client {
        async_nats::connect(&self.addr).await.unwrap()
    }

    async fn panic(&self, stream: &str) {
        let jetstream = self.shared.jetstream.as_ref().unwrap();
        jetstream.panic_in(stream).await;
    }
}

async fn publish(context: &jetstream::Context, subject: &'static str) -> u64 {
    let ack = context.publish(subject, "x".into()).await.unwrap();
    ack.await.unwrap().sequence
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_panics_goes_on_where_its_log_ends() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Serving::start(dir.path()).await;
    let context = jetstream::new(broker.client().await);
    for (name, storage) in [
        ("file", stream::StorageType::File),
        ("memory", stream::StorageType::Memory),
        ("other", stream::StorageType::File),
    ] {
        let config = stream::Config {
            name: name.into(),
            storage,
            ..stream::Config::default()
        };
        context.create_stream(config).await.unwrap();
    }
    for name in ["file", "memory"] {
        for expected in 1..=3 {
            assert_eq!(publish(&context, name).await, expected);
        }
        let stream = context.get_stream(name).await.unwrap();
        let config = pull::Config {
            durable_name: Some("c".into()),
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut first = consumer.fetch().max_messages(1).messages().await.unwrap();
        first
            .next()
            .await
            .unwrap()
            .unwrap()
            .double_ack()
            .await
            .unwrap();

        broker.panic(name).await;
        assert_eq!(
            publish(&context, "other").await,
            if name == "file" { 1 } else { 2 }
        );
        assert_eq!(publish(&context, name).await, 4);
        let mut rest = consumer.fetch().max_messages(3).messages().await.unwrap();
        for expected in 2..=4 {
            let message = rest.next().await.unwrap().unwrap();
            assert_eq!(message.info().unwrap().stream_sequence, expected, "{name}");
        }
    }
    assert_eq!(broker.stats.stream_restarts(), 2);
    assert_eq!(
        broker.stats.accepted(),
        1,
        "the client was never disconnected"
    );
    broker.task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_panics_again_and_again_ends_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Serving::start(dir.path()).await;
    let context = jetstream::new(broker.client().await);
    let config = stream::Config {
        name: "S".into(),
        ..stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
    for _ in 0..7 {
        broker.panic("S").await;
    }
    let ended = timeout(std::time::Duration::from_secs(20), broker.task).await;
    let error = ended.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, BrokerError::Crashed(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_or_a_request_that_panics_takes_nothing_along() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Serving::start(dir.path()).await;
    let client = broker.client().await;
    let mut messages = client.subscribe("a").await.unwrap();
    let other = async_nats::ConnectOptions::new()
        .max_reconnects(Some(1))
        .connect(&broker.addr)
        .await
        .unwrap();
    other.subscribe("b").await.unwrap();
    other.flush().await.unwrap();
    assert_eq!(broker.stats.clients().len(), 2);
    other.publish("$PANIC", "".into()).await.unwrap();
    testkit::eventually("it has connected again", async || {
        broker.stats.accepted() == 3 && broker.stats.connections() == 2
    })
    .await;
    client.publish("$JS.API.PANIC", "".into()).await.unwrap();
    let request = async_nats::Request::new()
        .timeout(Some(std::time::Duration::from_millis(100)))
        .payload("".into());
    assert!(client.send_request("$JS.API.PANIC", request).await.is_err());
    let context = jetstream::new(client.clone());
    assert_eq!(context.query_account().await.unwrap().streams, 0);
    client.publish("a", "x".into()).await.unwrap();
    assert_eq!(messages.next().await.unwrap().payload, "x");
    broker.task.abort();
}
