//! Kinds of streams: in memory, work queues, those that keep what is wanted, those that transform and publish again.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{self, Republish, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, AckKind};
use futures::StreamExt;
use testkit::eventually;

use crate::messages::{durable, fetch, publish, texts};
use crate::server::{Embedded, on_each_server, settle, within};

async fn messages(stream: &mut stream::Stream) -> u64 {
    stream.info().await.unwrap().state.messages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_work_queue_lets_go_of_what_is_acknowledged() {
    on_each_server(async |server| {
        let config = stream::Config {
            retention: RetentionPolicy::WorkQueue,
            ..stream::Config::default()
        };
        let (context, mut stream) = server.stream_with("queue", config).await;
        publish(&context, &format!("{}.a", server.name("queue")), 1..=5).await;
        assert_eq!(messages(&mut stream).await, 5, "it waits for a consumer");
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        let batch = fetch(&consumer, 3).await;
        batch[0].ack().await.unwrap();
        batch[1].ack_with(AckKind::Term).await.unwrap();
        batch[2].double_ack().await.unwrap();
        eventually("what is acknowledged is gone", async || {
            messages(&mut stream).await == 2
        })
        .await;
        assert_eq!(stream.info().await.unwrap().state.first_sequence, 4);
        stream.delete_consumer("worker").await.unwrap();
        assert_eq!(messages(&mut stream).await, 2, "they wait for the next");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_wants_is_not_kept() {
    on_each_server(async |server| {
        let config = stream::Config {
            retention: RetentionPolicy::Interest,
            ..stream::Config::default()
        };
        let (context, mut stream) = server.stream_with("interest", config).await;
        let name = server.name("interest");
        publish(&context, &format!("{name}.a"), 1..=2).await;
        let state = stream.info().await.unwrap().state.clone();
        assert_eq!((state.messages, state.last_sequence), (0, 2));

        let all = stream.create_consumer(durable("all")).await.unwrap();
        let some = pull::Config {
            filter_subject: format!("{name}.b"),
            ..durable("some")
        };
        let some = stream.create_consumer(some).await.unwrap();
        publish(&context, &format!("{name}.a"), [3]).await;
        publish(&context, &format!("{name}.b"), [4]).await;
        for message in fetch(&all, 2).await {
            message.double_ack().await.unwrap();
        }
        eventually("what one consumer wants is gone", async || {
            messages(&mut stream).await == 1
        })
        .await;
        let last = fetch(&some, 1).await;
        assert_eq!(texts(&last), ["4"]);
        last[0].double_ack().await.unwrap();
        eventually("what both want is gone", async || {
            messages(&mut stream).await == 0
        })
        .await;

        publish(&context, &format!("{name}.b"), [5]).await;
        stream.delete_consumer("all").await.unwrap();
        assert_eq!(messages(&mut stream).await, 1);
        stream.delete_consumer("some").await.unwrap();
        eventually("nobody is left who wants it", async || {
            messages(&mut stream).await == 0
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_never_acknowledges_is_done_with_what_it_got() {
    on_each_server(async |server| {
        let config = stream::Config {
            retention: RetentionPolicy::Interest,
            ..stream::Config::default()
        };
        let (context, mut stream) = server.stream_with("once", config).await;
        let none = pull::Config {
            ack_policy: AckPolicy::None,
            ..durable("none")
        };
        let consumer = stream.create_consumer(none).await.unwrap();
        publish(&context, &format!("{}.a", server.name("once")), 1..=3).await;
        assert_eq!(texts(&fetch(&consumer, 2).await), ["1", "2"]);
        eventually("what was delivered is gone", async || {
            messages(&mut stream).await == 1
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_in_memory_is_as_any_other() {
    on_each_server(async |server| {
        let config = stream::Config {
            storage: StorageType::Memory,
            max_messages_per_subject: 2,
            allow_direct: true,
            ..stream::Config::default()
        };
        let (context, mut stream) = server.stream_with("memory", config).await;
        let subject = format!("{}.a", server.name("memory"));
        publish(&context, &subject, 1..=4).await;
        let state = stream.info().await.unwrap().state.clone();
        let size = 2 * (subject.len() as u64 + 1 + 16);
        assert_eq!((state.messages, state.bytes), (2, size));
        let last = stream.direct_get_last_for_subject(&subject).await.unwrap();
        assert_eq!((last.sequence, last.payload), (4, "4".into()));
        let consumer = stream.create_consumer(durable("d")).await.unwrap();
        let batch = fetch(&consumer, 2).await;
        assert_eq!(texts(&batch), ["3", "4"]);
        batch[1].double_ack().await.unwrap();
        assert!(stream.delete_message(3).await.unwrap());
        stream.get_raw_message(3).await.unwrap_err();
        assert_eq!(stream.purge().await.unwrap().purged, 1);
        context.delete_stream(server.name("memory")).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_change_their_subject_and_are_published_again() {
    on_each_server(async |server| {
        let name = server.name("changed");
        let again = format!("{name}_again");
        let config = stream::Config {
            subject_transform: Some(stream::SubjectTransform {
                source: format!("{name}.*.*"),
                destination: format!("{name}.{{{{wildcard(2)}}}}.$1.{{{{partition(10,1)}}}}"),
            }),
            republish: Some(Republish {
                source: format!("{name}.>"),
                destination: format!("{again}.>"),
                headers_only: false,
            }),
            ..stream::Config::default()
        };
        let (context, stream) = server.stream_with("changed", config).await;
        let client = server.client().await;
        let mut copies = client.subscribe(format!("{again}.>")).await.unwrap();
        settle(&client).await;
        publish(&context, &format!("{name}.baz.x"), 1..=2).await;
        let stored = stream.get_raw_message(2).await.unwrap();
        assert_eq!(stored.subject.as_str(), format!("{name}.x.baz.0"));
        for (seq, last) in [("1", "0"), ("2", "1")] {
            let copy = within(copies.next()).await.unwrap();
            assert_eq!(copy.subject.as_str(), format!("{again}.x.baz.0"));
            assert_eq!(copy.payload, seq);
            let headers = copy.headers.unwrap();
            let header = |name: &str| headers.get(name).unwrap().to_string();
            assert_eq!(header("Nats-Stream"), name);
            assert_eq!(header("Nats-Subject"), format!("{name}.x.baz.0"));
            assert_eq!(header("Nats-Sequence"), seq);
            assert_eq!(header("Nats-Last-Sequence"), last);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn advisories_tell_of_streams() {
    on_each_server(async |server| {
        let client = server.client().await;
        let name = server.name("told");
        let mut told = client
            .subscribe(format!("$JS.EVENT.ADVISORY.STREAM.*.{name}"))
            .await
            .unwrap();
        settle(&client).await;
        let (context, mut stream) = server.stream("told").await;
        let config = stream.info().await.unwrap().config.clone();
        context.update_stream(config).await.unwrap();
        context.delete_stream(&name).await.unwrap();
        for (verb, action) in [
            ("CREATED", "create"),
            ("UPDATED", "modify"),
            ("DELETED", "delete"),
        ] {
            let advisory = within(told.next()).await.unwrap();
            assert_eq!(
                advisory.subject.as_str(),
                format!("$JS.EVENT.ADVISORY.STREAM.{verb}.{name}")
            );
            let body: serde_json::Value = serde_json::from_slice(&advisory.payload).unwrap();
            assert_eq!(body["type"], "io.nats.jetstream.advisory.v1.stream_action");
            assert_eq!(
                (&body["action"], &body["stream"]),
                (&action.into(), &name.as_str().into())
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_take_what_the_broker_itself_publishes() {
    on_each_server(async |server| {
        let (from, to) = (server.name("from"), server.name("to"));
        let (context, mut taken) = server.stream("to").await;
        let advisories = stream::Config {
            name: server.name("advised"),
            subjects: vec![format!("$JS.EVENT.ADVISORY.STREAM.*.{from}")],
            ..stream::Config::default()
        };
        let mut advised = context.create_stream(advisories).await.unwrap();
        let config = stream::Config {
            republish: Some(Republish {
                source: format!("{from}.>"),
                destination: format!("{to}.>"),
                headers_only: false,
            }),
            ..stream::Config::default()
        };
        let (context, _) = server.stream_with("from", config).await;
        publish(&context, &format!("{from}.a"), 1..=1000).await;
        eventually("all are taken by the other stream", async || {
            messages(&mut taken).await == 1000
        })
        .await;
        let last = taken.get_raw_message(1000).await.unwrap();
        assert_eq!(last.payload, "1000");
        assert_eq!(last.headers.get("Nats-Sequence").unwrap().as_str(), "1000");
        eventually("the advisory is kept", async || {
            messages(&mut advised).await == 1
        })
        .await;
    })
    .await;
}

/// What a restart finds of streams whose messages go for other reasons than their limits.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_what_was_released_gone_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    let make = async |name: &str, config: stream::Config| {
        let config = stream::Config {
            name: name.into(),
            subjects: vec![format!("{name}.>")],
            ..config
        };
        context.create_stream(config).await.unwrap()
    };
    for (name, retention) in [
        ("queue", RetentionPolicy::WorkQueue),
        ("wanted", RetentionPolicy::Interest),
    ] {
        let config = stream::Config {
            retention,
            ..stream::Config::default()
        };
        let stream = make(name, config).await;
        let consumer = stream.create_consumer(durable("d")).await.unwrap();
        publish(&context, &format!("{name}.a"), 1..=5).await;
        let batch = fetch(&consumer, 3).await;
        batch[0].double_ack().await.unwrap();
        batch[2].double_ack().await.unwrap();
    }
    let unwanted = stream::Config {
        retention: RetentionPolicy::Interest,
        ..stream::Config::default()
    };
    make("unwanted", unwanted).await;
    publish(&context, "unwanted.a", 1..=7).await;
    let rolled = stream::Config {
        allow_rollup: true,
        ..stream::Config::default()
    };
    make("rolled", rolled).await;
    publish(&context, "rolled.a", 1..=3).await;
    publish(&context, "rolled.b", [4]).await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Rollup", "sub");
    let rollup = context.publish_with_headers("rolled.a", headers, "5".into());
    rollup.await.unwrap().await.unwrap();
    let memory = stream::Config {
        storage: StorageType::Memory,
        ..stream::Config::default()
    };
    make("memory", memory).await;
    publish(&context, "memory.a", [1]).await;
    broker.stop().await;

    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    for (name, state) in [
        ("queue", (3, 2, 5)),
        ("wanted", (3, 2, 5)),
        ("unwanted", (0, 8, 7)),
        ("rolled", (2, 4, 5)),
    ] {
        let mut stream = context.get_stream(name).await.unwrap();
        let found = stream.info().await.unwrap().state.clone();
        let found = (found.messages, found.first_sequence, found.last_sequence);
        assert_eq!(found, state, "{name}");
    }
    context.get_stream("memory").await.unwrap_err();
    let queue = context.get_stream("queue").await.unwrap();
    let consumer = queue.get_consumer::<pull::Config>("d").await.unwrap();
    let left = consumer
        .fetch()
        .max_messages(2)
        .expires(Duration::from_secs(5));
    let left: Vec<_> = left.messages().await.unwrap().collect().await;
    let left: Vec<_> = left.into_iter().map(|message| message.unwrap()).collect();
    assert_eq!(
        texts(&left),
        ["4", "5"],
        "the second waits for its acknowledgement"
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_puts_nothing_out_for_what_was_released() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    let config = stream::Config {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        retention: RetentionPolicy::Interest,
        max_messages: 10,
        ..stream::Config::default()
    };
    let mut stream = context.create_stream(config).await.unwrap();
    let once = pull::Config {
        ack_policy: AckPolicy::None,
        filter_subject: "s.a".into(),
        ..durable("once")
    };
    let once = stream.create_consumer(once).await.unwrap();
    let late = pull::Config {
        filter_subject: "s.b".into(),
        ..durable("late")
    };
    stream.create_consumer(late).await.unwrap();
    publish(&context, "s.b", 1..=5).await;
    for _ in 0..3 {
        publish(&context, "s.a", 1..=4).await;
        fetch(&once, 4).await;
        eventually("what was delivered is gone", async || {
            messages(&mut stream).await == 5
        })
        .await;
    }
    broker.stop().await;

    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    let stream = context.get_stream("S").await.unwrap();
    let state = stream.get_info().await.unwrap().state;
    assert_eq!((state.messages, state.first_sequence), (5, 1));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_consumer_releases_nothing_at_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let client = broker.client().await;
    let context = jetstream::new(client.clone());
    let config = stream::Config {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        retention: RetentionPolicy::WorkQueue,
        ..stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
    publish(&context, "s.a", [1]).await;
    let mut delivered = client.subscribe("beside").await.unwrap();
    let request = r#"{"stream_name":"S","config":{"name":"beside","direct":true,
        "deliver_subject":"beside","ack_policy":"explicit"}}"#;
    let answer = client.request("$JS.API.CONSUMER.CREATE.S.beside", request.into());
    let answer = within(answer).await.unwrap().payload;
    assert!(
        !String::from_utf8_lossy(&answer).contains("\"error\""),
        "{answer:?}"
    );
    let message = within(delivered.next()).await.unwrap();
    let acknowledged = client.request(message.reply.unwrap(), "+ACK".into());
    within(acknowledged).await.unwrap();
    broker.stop().await;

    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    let mut stream = context.get_stream("S").await.unwrap();
    assert_eq!(messages(&mut stream).await, 1, "a worker has yet to see it");
    broker.stop().await;
}
