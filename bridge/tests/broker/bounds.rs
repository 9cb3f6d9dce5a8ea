//! What one client may cost the broker.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream;
use bridge::broker::{Access, BrokerConfig, JetStreamSettings};
use serde_json::{Value, json};
use testkit::eventually;

use crate::core::converse;
use crate::push::{ask, make, next};
use crate::server::Embedded;

const CONNECT: &str = "CONNECT {\"verbose\":false}\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_of_too_many_tokens_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let url = broker.addr.to_string();
    let most = vec!["a"; 128].join(".");
    let say = format!("{CONNECT}SUB {most} 1\r\nPUB {most} 1\r\nx\r\nPING\r\n");
    assert_eq!(
        converse(&url, &say, "PONG\r\n").await,
        format!("MSG {most} 1 1\r\nx\r\nPONG\r\n")
    );
    let say = format!("{CONNECT}SUB {most}.a 1\r\nPING\r\n");
    assert_eq!(
        converse(&url, &say, "PONG\r\n").await,
        format!(
            "-ERR 'Permissions Violation for Subscription to \"{most}.a\", too many tokens'\r\nPONG\r\n"
        )
    );
    let context = broker.jetstream().await;
    let config = stream::Config {
        name: "S".into(),
        subjects: vec![format!("{most}.a")],
        ..stream::Config::default()
    };
    let error = context.create_stream(config).await.unwrap_err().to_string();
    assert!(error.contains("invalid subject"), "{error}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_subscriptions_of_a_client_take_so_much_memory() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let tokens = vec!["a"; 127].join(".");
    let mut say = CONNECT.to_owned();
    for sid in 100..955 {
        say.push_str(&format!("SUB {tokens}.{sid} {sid}\r\n"));
    }
    say.push_str("PING\r\n");
    let heard = converse(&broker.addr.to_string(), &say, "PONG\r\n").await;
    let refusal = "-ERR 'maximum subscriptions exceeded'\r\n";
    assert_eq!(heard.replace(refusal, ""), "PONG\r\n");
    assert!(heard.starts_with(refusal));
    broker.client().await.flush().await.unwrap();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_id_has_a_longest_length() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    let config = stream::Config {
        name: "S".into(),
        duplicate_window: Duration::from_secs(60),
        ..stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
    let publish = async |len: usize| {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", "x".repeat(len));
        let ack = context.publish_with_headers("S", headers, "x".into()).await;
        ack.unwrap().await
    };
    assert!(!publish(1024).await.unwrap().duplicate);
    assert!(publish(1024).await.unwrap().duplicate);
    let error = publish(1025).await.unwrap_err().to_string();
    assert!(error.contains("longer than 1024 bytes"), "{error}");
    broker.stop().await;
}

async fn account(client: &async_nats::Client) -> (u64, u64, u64) {
    let account = ask(client, "INFO", Value::Null).await;
    let number = |name: &str| account[name].as_u64().unwrap();
    (
        number("streams"),
        number("consumers"),
        number("reserved_storage"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_says_what_streams_take_and_reserve() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let client = broker.client().await;
    ask(
        &client,
        "STREAM.CREATE.S",
        json!({"name": "S", "max_bytes": 1000}),
    )
    .await;
    make(&client, "S", json!({"durable_name": "d"})).await;
    assert_eq!(account(&client).await, (1, 1, 1000));
    ask(
        &client,
        "STREAM.UPDATE.S",
        json!({"name": "S", "max_bytes": 3000}),
    )
    .await;
    assert_eq!(account(&client).await, (1, 1, 3000));
    ask(&client, "CONSUMER.DELETE.S.d", Value::Null).await;
    assert_eq!(account(&client).await, (1, 0, 3000));
    ask(&client, "STREAM.DELETE.S", Value::Null).await;
    assert_eq!(account(&client).await, (0, 0, 0));
    broker.stop().await;
}

async fn messages_in(client: &async_nats::Client, stream: &str) -> u64 {
    let info = ask(client, &format!("STREAM.INFO.{stream}"), Value::Null).await;
    info["state"]["messages"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_publish_what_the_other_takes_come_to_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let client = broker.client().await;
    for (name, other) in [("A", "B"), ("B", "A")] {
        let config = json!({
            "name": name, "subjects": [format!("{name}.>")],
            "republish": {"src": ">", "dest": format!("{other}.>")},
        });
        let made = ask(&client, &format!("STREAM.CREATE.{name}"), config).await;
        assert_eq!(made["error"], Value::Null, "{made}");
    }
    let mut last = client.subscribe("A.B.A.B.A.B.A.B.A.x").await.unwrap();
    let mut beyond = client.subscribe("B.A.B.A.B.A.B.A.B.A.x").await.unwrap();
    client.request("A.x", "x".into()).await.unwrap();
    next(&mut last).await;
    let all = async || messages_in(&client, "A").await + messages_in(&client, "B").await;
    eventually("the last is stored", async || all().await >= 9).await;
    client
        .publish("B.A.B.A.B.A.B.A.B.A.x", "marker".into())
        .await
        .unwrap();
    assert_eq!(next(&mut beyond).await.payload, "marker");
    broker.stop().await;
}

/// Each would be told of, stored, delivered, given up and told of again.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_does_not_feed_itself() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let client = broker.client().await;
    let what = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES";
    let mut told = client.subscribe(format!("{what}.E.c")).await.unwrap();
    let _delivered = client.subscribe("delivered").await.unwrap();
    for (stream, subject) in [("S", "s"), ("E", &*format!("{what}.>"))] {
        let config = json!({"name": stream, "subjects": [subject]});
        ask(&client, &format!("STREAM.CREATE.{stream}"), config).await;
        let consumer = json!({
            "name": "c", "deliver_subject": "delivered", "ack_policy": "explicit",
            "max_deliver": 1, "ack_wait": 1_000_000, "inactive_threshold": 60_000_000_000_u64,
        });
        let made = make(&client, stream, consumer).await;
        assert_eq!(made["error"], Value::Null, "{made}");
    }
    for count in 1..=3 {
        client.request("s", "x".into()).await.unwrap();
        // One who subscribes is told.
        let event = next(&mut told).await;
        assert!(event.subject.ends_with(".E.c"));
        assert_eq!(messages_in(&client, "E").await, count);
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_streams_together_may_take_a_share_of_the_memory_and_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    let refused = [
        (stream::StorageType::Memory, "memory"),
        (stream::StorageType::File, "storage"),
    ];
    for (storage, name) in refused {
        let config = stream::Config {
            name: "S".into(),
            storage,
            max_bytes: 1 << 60,
            ..stream::Config::default()
        };
        let error = context.create_stream(config).await.unwrap_err().to_string();
        let reason = format!("insufficient {name} resources available");
        assert!(error.contains(&reason), "{error}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_refused_when_the_share_of_its_storage_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JetStreamSettings {
        max_memory: Some(5_000),
        max_store: Some(20_000),
        ..JetStreamSettings::default()
    };
    let broker = Embedded::start_with(BrokerConfig {
        jetstream: Some(settings),
        ..BrokerConfig::new(dir.path(), Access::Open)
    })
    .await;
    let context = broker.jetstream().await;
    for (name, storage, room) in [
        ("M", stream::StorageType::Memory, 4),
        ("F", stream::StorageType::File, 19),
    ] {
        let config = stream::Config {
            name: name.into(),
            storage,
            ..stream::Config::default()
        };
        let stream = context.create_stream(config).await.unwrap();
        let publish = async || {
            context
                .publish(name, vec![b'x'; 1000].into())
                .await
                .unwrap()
                .await
        };
        for _ in 0..room {
            publish().await.unwrap();
        }
        let error = publish().await.unwrap_err().to_string();
        assert!(error.contains("insufficient resources"), "{error}");
        stream.purge().await.unwrap();
        publish().await.unwrap();
    }
    broker.stop().await;
}
