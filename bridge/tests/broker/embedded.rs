//! What only the embedded broker promises: restarts, refusals, bounds.

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream;
use bridge::broker::{Access, BrokerConfig, BrokerError, serve};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::messages::publish;
use crate::push::{ask, make, next};
use crate::server::{Embedded, settle, within};

fn events() -> stream::Config {
    stream::Config {
        name: "events".into(),
        subjects: vec!["events.>".into()],
        ..stream::Config::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_consumers_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    // Small segments, so that recovery goes over many.
    let config = BrokerConfig {
        segment_bytes: 2000,
        ..BrokerConfig::new(dir.path(), Access::Open)
    };
    let broker = Embedded::start_with(config.clone()).await;
    let context = broker.jetstream().await;
    let stream = context.create_stream(events()).await.unwrap();
    let durable = pull::Config {
        durable_name: Some("d".into()),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(durable).await.unwrap();
    for number in 0..100 {
        context
            .publish("events.a", format!("{number}").into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    let fetched: Vec<_> = consumer
        .fetch()
        .max_messages(50)
        .messages()
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    for message in fetched
        .iter()
        .filter(|message| message.info().unwrap().stream_sequence != 7)
    {
        message.ack().await.unwrap();
    }
    settle(&context.client()).await;
    drop((fetched, consumer, stream, context));
    broker.stop().await;

    let broker = Embedded::start_with(config).await;
    let context = broker.jetstream().await;
    let mut stream = context.get_stream("events").await.unwrap();
    let state = stream.info().await.unwrap().state.clone();
    assert_eq!((state.messages, state.last_sequence), (100, 100));
    let mut consumer: PullConsumer = stream.get_consumer("d").await.unwrap();
    let info = consumer.info().await.unwrap();
    assert_eq!(
        (
            info.num_ack_pending,
            info.num_pending,
            info.delivered.stream_sequence
        ),
        (1, 50, 50)
    );
    assert_eq!(info.ack_floor.stream_sequence, 6);
    let rest: Vec<_> = consumer
        .fetch()
        .max_messages(100)
        .messages()
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(rest.first().unwrap().payload, "50");
    assert_eq!(rest.len(), 50);
    assert_eq!(
        context
            .publish("events.a", "x".into())
            .await
            .unwrap()
            .await
            .unwrap()
            .sequence,
        101
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_ends_consumers_that_are_in_memory_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig::new(dir.path(), Access::Open);
    let broker = Embedded::start_with(config.clone()).await;
    let context = broker.jetstream().await;
    context.create_stream(events()).await.unwrap();
    for (name, settings) in [
        ("kept", json!({"name": "kept"})),
        (
            "forgotten",
            json!({"name": "forgotten", "mem_storage": true}),
        ),
        (
            "durable",
            json!({"durable_name": "durable", "mem_storage": true}),
        ),
    ] {
        let made = make(&context.client(), "events", settings).await;
        assert_eq!(made["name"], name, "{made}");
    }
    broker.stop().await;

    let broker = Embedded::start_with(config).await;
    let client = broker.client().await;
    let names =
        async || ask(&client, "CONSUMER.NAMES.events", Value::Null).await["consumers"].clone();
    testkit::eventually("the consumer is gone", async || {
        names().await == json!(["durable", "kept"])
    })
    .await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_have_a_name_of_255_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig::new(dir.path(), Access::Open);
    let broker = Embedded::start_with(config.clone()).await;
    let client = broker.client().await;
    let names = ["a".repeat(255), format!("{}b", "a".repeat(254))];
    for name in &names {
        let config = json!({"name": name, "subjects": [format!("{}.x", &name[250..])]});
        let made = ask(&client, &format!("STREAM.CREATE.{name}"), config).await;
        assert_eq!(made["config"]["name"], *name, "{made}");
    }
    let deleted = ask(&client, &format!("STREAM.DELETE.{}", names[0]), Value::Null).await;
    assert_eq!(deleted["success"], true, "{deleted}");
    broker.stop().await;
    let broker = Embedded::start_with(config).await;
    let client = broker.client().await;
    let there = ask(&client, "STREAM.NAMES", Value::Null).await;
    assert_eq!(there["streams"], json!([names[1]]));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_space_comes_back_when_messages_go() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start_with(BrokerConfig {
        segment_bytes: 10_000,
        ..BrokerConfig::new(dir.path(), Access::Open)
    })
    .await;
    let context = broker.jetstream().await;
    context
        .create_stream(stream::Config {
            max_messages: 20,
            ..events()
        })
        .await
        .unwrap();
    for _ in 0..200 {
        context
            .publish("events.a", vec![b'x'; 1000].into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    // A segment may go while the folder is read.
    let bytes = || -> u64 {
        let files = std::fs::read_dir(dir.path().join("streams/events")).unwrap();
        files
            .filter_map(|file| Some(file.unwrap().metadata().ok()?.len()))
            .sum()
    };
    let few = "less than 60,000 bytes for 20 messages of 1,000";
    testkit::eventually(few, async || bytes() < 60_000).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_has_one_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    broker.client().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = within(serve(
        listener,
        BrokerConfig::new(dir.path(), Access::Open),
        std::future::pending(),
    ))
    .await;
    assert!(matches!(second, Err(BrokerError::InUse(_))), "{second:?}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_supported_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    for (config, named) in [
        (
            stream::Config {
                num_replicas: 3,
                ..events()
            },
            "replicas",
        ),
        (
            stream::Config {
                sources: Some(vec![stream::Source::default()]),
                ..events()
            },
            "sources are not supported",
        ),
    ] {
        let error = context.create_stream(config).await.unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    context.create_stream(events()).await.unwrap();
    let error = context
        .request::<_, _, serde_json::Value>("STREAM.SNAPSHOT.events", &())
        .await
        .unwrap();
    assert_eq!(error["error"]["err_code"], 10003, "{error}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_clients_have_what_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let client = broker.client().await;
    let mut messages = client.subscribe("a").await.unwrap();
    for _ in 0..100 {
        client.publish("a", "x".into()).await.unwrap();
    }
    settle(&client).await;
    broker.stop().await;
    for _ in 0..100 {
        within(messages.next()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_listen_for_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    context.create_stream(events()).await.unwrap();
    for (number, subject) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
        publish(&context, &format!("events.{subject}"), [number]).await;
    }
    let client = context.client();
    let last = json!({
        "durable_name": "last", "deliver_policy": "last_per_subject", "filter_subject": "events.>",
        "deliver_subject": "listen.last", "ack_policy": "explicit", "max_ack_pending": 1,
    });
    make(&client, "events", last).await;
    let held = json!({"durable_name": "held", "deliver_subject": "listen.held"});
    make(&client, "events", held).await;
    let until = json!({"pause_until": "2100-01-01T00:00:00Z"});
    ask(&client, "CONSUMER.PAUSE.events.held", until).await;
    let mut messages = client.subscribe("listen.last").await.unwrap();
    let first = next(&mut messages).await;
    assert_eq!(first.payload, "2");
    let ack = first.reply.unwrap();
    client.request(ack, "+ACK".into()).await.unwrap();
    assert_eq!(next(&mut messages).await.payload, "3");
    drop((messages, client, context));
    broker.stop().await;

    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    let client = context.client();
    let info = ask(&client, "CONSUMER.INFO.events.held", Value::Null).await;
    assert_eq!(
        (&info["paused"], &info["num_pending"]),
        (&json!(true), &json!(4))
    );
    let info = ask(&client, "CONSUMER.INFO.events.last", Value::Null).await;
    assert_eq!(
        (&info["num_ack_pending"], &info["num_pending"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(info["ack_floor"]["stream_seq"], 2);
    let ask_again = client.subscribe("listen.last").await.unwrap();
    ask(&client, "CONSUMER.RESET.events.last", Value::Null).await;
    publish(&context, "events.a", [5]).await;
    let mut messages = ask_again;
    for expected in ["3", "4", "5"] {
        let message = next(&mut messages).await;
        assert_eq!(message.payload, expected);
        client
            .publish(message.reply.unwrap(), "+ACK".into())
            .await
            .unwrap();
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_finds_its_consumer_after_a_restart_although_nothing_else_happens() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    context.create_stream(events()).await.unwrap();
    publish(&context, "events.a", [1]).await;
    // Not durable, since the lag of durable ones is looked after all the time.
    let config =
        json!({"name": "e", "deliver_subject": "listen", "inactive_threshold": 60_000_000_000_i64});
    make(&context.client(), "events", config).await;
    drop(context);
    broker.stop().await;

    let broker = Embedded::start(dir.path()).await;
    let mut messages = broker.client().await.subscribe("listen").await.unwrap();
    assert_eq!(next(&mut messages).await.payload, "1");
    broker.stop().await;
}
