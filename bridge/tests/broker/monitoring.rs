//! What a broker tells of the clients that are connected.

use bridge::broker::{Access, Broker, BrokerConfig, BrokerError, BrokerStats};
use futures::StreamExt;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::server::{settle, within};

/// A broker whose counts are looked at.
struct Served {
    addr: String,
    stats: BrokerStats,
    serving: JoinHandle<Result<(), BrokerError>>,
    _dir: TempDir,
}

async fn serve() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let stats = BrokerStats::default();
    let config = BrokerConfig::new(dir.path(), Access::Open);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let broker = Broker::open(config, stats.clone()).await.unwrap();
    let serving = tokio::spawn(broker.serve(listener, std::future::pending()));
    Served {
        addr,
        stats,
        serving,
        _dir: dir,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_lists_its_clients_and_their_subscriptions() {
    let Served {
        addr,
        stats,
        serving,
        _dir,
    } = serve().await;
    let options = async_nats::ConnectOptions::new().name("lister");
    let client = within(options.connect(addr)).await.unwrap();
    let mut workers = client
        .queue_subscribe("hello.*", "workers".into())
        .await
        .unwrap();
    workers.unsubscribe_after(7).await.unwrap();
    client.publish("hello.you", "12345".into()).await.unwrap();
    settle(&client).await;

    testkit::eventually("messages and subscriptions are counted", async || {
        let info = stats.clients().remove(0);
        // That of `settle` has ended.
        (info.messages_in, info.messages_out) == (2, 2)
            && (info.bytes_in, info.bytes_out, info.subscriptions) == (5, 5, 1)
            && (stats.subscriptions_made(), stats.subscriptions_ended()) == (2, 1)
    })
    .await;
    let listed = stats.clients();
    assert_eq!(listed.len(), 1);
    let info = &listed[0];
    assert_eq!((info.name.as_str(), info.lang.as_str()), ("lister", "rust"));
    assert!(info.address.ip().is_loopback() && !info.version.is_empty());
    assert!(info.last_activity >= info.started);
    let subscriptions = stats.subscriptions_of(info.id);
    let hello = subscriptions
        .iter()
        .find(|subscription| subscription.subject == "hello.*")
        .unwrap();
    assert_eq!(hello.queue.as_deref(), Some("workers"));
    assert_eq!((hello.max, hello.delivered), (Some(7), 1));

    testkit::eventually("the client was pinged", async || {
        stats.clients().iter().all(|info| info.round_trip.is_some())
    })
    .await;
    drop((client, workers));
    testkit::eventually("the client and its subscriptions are gone", async || {
        stats.clients().is_empty() && stats.subscriptions_ended() == 2
    })
    .await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_jetstream_a_broker_keeps_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        jetstream: None,
        ..BrokerConfig::new(dir.path().join("none"), Access::Open)
    };
    let broker = crate::server::Embedded::start_with(config).await;
    let client = broker.client().await;
    let error = client.request("$JS.API.INFO", "".into()).await.unwrap_err();
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
    assert!(!dir.path().join("none").exists());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_monitoring_is_answered_reaches_no_client() {
    let Served {
        addr,
        stats,
        serving,
        _dir,
    } = serve().await;
    let client = within(async_nats::connect(addr)).await.unwrap();
    let mut everything = client.subscribe(">").await.unwrap();
    settle(&client).await;
    // What it said itself.
    within(everything.next()).await.unwrap();
    let ask = async |subject| {
        let answer = stats.control().ask_jetstream(subject, &json!({})).await;
        answer.unwrap()
    };
    assert_eq!(ask("INFO").await["streams"], 0);
    assert_eq!(ask("STREAM.LIST").await["total"], 0);
    assert_eq!(ask("STREAM.INFO.S").await["error"]["err_code"], 10059);
    client.publish("last", "".into()).await.unwrap();
    let next = within(everything.next()).await.unwrap();
    assert_eq!(next.subject.as_str(), "last");
    serving.abort();
}
