//! Durable pull consumers: fetching, acknowledging, redelivery.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{AckKind, ErrorCode, stream};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::messages::{durable, fetch, next, publish, text, texts};
use crate::push::make;
use crate::server::on_each_server;

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_fetched_acknowledged_and_gone() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("fetch").await;
        publish(&context, &format!("{}.a", server.name("fetch")), 1..=10).await;
        let mut consumer = stream.create_consumer(durable("worker")).await.unwrap();
        let first = fetch(&consumer, 4).await;
        assert_eq!(texts(&first), ["1", "2", "3", "4"]);
        let info = first[3].info().unwrap();
        assert_eq!(
            (
                info.stream_sequence,
                info.consumer_sequence,
                info.delivered,
                info.pending
            ),
            (4, 4, 1, 6)
        );
        let info = consumer.info().await.unwrap().clone();
        assert_eq!(
            (
                info.num_ack_pending,
                info.num_pending,
                info.ack_floor.stream_sequence
            ),
            (4, 6, 0)
        );
        for message in &first {
            message.double_ack().await.unwrap();
        }
        assert_eq!(consumer.info().await.unwrap().ack_floor.stream_sequence, 4);
        let rest = fetch(&consumer, 100).await;
        assert_eq!(rest.len(), 6, "a fetch ends when there is nothing more");
        assert!(fetch(&consumer, 1).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_messages_goes_on_as_they_are_published() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("live").await;
        let subject = format!("{}.a", server.name("live"));
        let consumer = stream.create_consumer(durable("live")).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let sender = tokio::spawn(async move {
            for chunk in 0..10 {
                publish(&context, &subject, chunk * 100..(chunk + 1) * 100).await;
            }
        });
        for expected in 0..1000 {
            let message = next(&mut messages).await;
            assert_eq!(text(&message), expected.to_string());
            message.ack().await.unwrap();
        }
        sender.await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_messages_come_again() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("nak").await;
        publish(&context, &format!("{}.a", server.name("nak")), 1..=2).await;
        let consumer = stream.create_consumer(durable("nak")).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let first = next(&mut messages).await;
        next(&mut messages).await.ack().await.unwrap();
        first.ack_with(AckKind::Nak(None)).await.unwrap();
        let again = next(&mut messages).await;
        assert_eq!(
            (text(&again).as_str(), again.info().unwrap().delivered),
            ("1", 2)
        );
        let delay = Duration::from_millis(300);
        let rejected = Instant::now();
        again.ack_with(AckKind::Nak(Some(delay))).await.unwrap();
        let third = next(&mut messages).await;
        assert_eq!(
            (text(&third).as_str(), third.info().unwrap().delivered),
            ("1", 3)
        );
        assert!(rejected.elapsed() >= delay, "{:?}", rejected.elapsed());
        third.ack_with(AckKind::Term).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_messages_come_again_so_many_times() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("wait").await;
        publish(&context, &format!("{}.a", server.name("wait")), 1..=1).await;
        let config = pull::Config {
            ack_wait: Duration::from_millis(300),
            max_deliver: 3,
            ..durable("wait")
        };
        let mut consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        for delivered in 1..=3 {
            let started = Instant::now();
            let message = next(&mut messages).await;
            assert_eq!(message.info().unwrap().delivered, delivered);
            assert!(delivered == 1 || started.elapsed() > Duration::from_millis(200));
        }
        let fourth = tokio::time::timeout(Duration::from_millis(900), messages.next()).await;
        assert!(fourth.is_err(), "{fourth:?}");
        drop(messages);
        assert_eq!(consumer.info().await.unwrap().num_pending, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_in_progress_is_not_redelivered() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("progress").await;
        publish(&context, &format!("{}.a", server.name("progress")), 1..=1).await;
        let config = pull::Config {
            ack_wait: Duration::from_millis(600),
            ..durable("slow")
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let message = next(&mut messages).await;
        for _ in 0..4 {
            let early = tokio::time::timeout(Duration::from_millis(300), messages.next()).await;
            assert!(early.is_err(), "{early:?}");
            message.ack_with(AckKind::Progress).await.unwrap();
        }
        message.double_ack().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_messages_hold_up_the_next() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("hold").await;
        publish(&context, &format!("{}.a", server.name("hold")), 1..=3).await;
        let consumer = stream
            .create_consumer(pull::Config {
                max_ack_pending: 1,
                ..durable("one")
            })
            .await
            .unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let first = next(&mut messages).await;
        let early = tokio::time::timeout(Duration::from_millis(200), messages.next()).await;
        assert!(early.is_err());
        first.ack().await.unwrap();
        assert_eq!(text(&next(&mut messages).await), "2");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_consumer_goes_on_where_it_was() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("durable").await;
        let subject = format!("{}.a", server.name("durable"));
        publish(&context, &subject, 1..=3).await;
        let consumer = stream.create_consumer(durable("worker")).await.unwrap();
        for message in fetch(&consumer, 2).await {
            message.double_ack().await.unwrap();
        }
        let (_, stream) = server.stream("durable").await;
        let consumer: PullConsumer = stream.get_consumer("worker").await.unwrap();
        assert_eq!(texts(&fetch(&consumer, 10).await), ["3"]);
        let again: PullConsumer = stream
            .get_or_create_consumer("worker", durable("worker"))
            .await
            .unwrap();
        assert_eq!(again.cached_info().name, "worker");
        let names: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
        assert_eq!(names, ["worker"]);
        let infos: Vec<_> = stream.consumers().try_collect().await.unwrap();
        assert_eq!(infos.len(), 1);
        assert!(stream.delete_consumer("worker").await.unwrap().success);
        assert!(stream.consumer_info("worker").await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_start_where_they_are_told_and_see_what_they_want() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("start").await;
        let name = server.name("start");
        for (number, subject) in [(1, "a"), (2, "b"), (3, "a"), (4, "b.c")] {
            publish(&context, &format!("{name}.{subject}"), [number]).await;
        }
        let filter = |filter: &str| format!("{name}.{filter}");
        for (label, policy, filters, expected) in [
            ("all", DeliverPolicy::All, vec![], vec!["1", "2", "3", "4"]),
            ("new", DeliverPolicy::New, vec![], vec![]),
            ("last", DeliverPolicy::Last, vec![], vec!["4"]),
            (
                "sequence",
                DeliverPolicy::ByStartSequence { start_sequence: 3 },
                vec![],
                vec!["3", "4"],
            ),
            ("one", DeliverPolicy::All, vec![filter("a")], vec!["1", "3"]),
            ("wild", DeliverPolicy::All, vec![filter("b.>")], vec!["4"]),
            (
                "two",
                DeliverPolicy::All,
                vec![filter("b"), filter("b.c")],
                vec!["2", "4"],
            ),
            ("lasta", DeliverPolicy::Last, vec![filter("a")], vec!["3"]),
        ] {
            let mut config = pull::Config {
                deliver_policy: policy,
                ..durable(label)
            };
            match filters.as_slice() {
                [one] => config.filter_subject.clone_from(one),
                many => config.filter_subjects = many.to_vec(),
            }
            let consumer = stream.create_consumer(config).await.unwrap();
            assert_eq!(
                consumer.cached_info().num_pending,
                expected.len() as u64,
                "{label}"
            );
            assert_eq!(texts(&fetch(&consumer, 10).await), expected, "{label}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_wrongly_is_refused_with_its_code() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("refuse").await;
        let two_kinds = pull::Config {
            filter_subject: "a".into(),
            filter_subjects: vec!["b".into()],
            ..durable("x")
        };
        stream.create_consumer(two_kinds).await.unwrap_err();
        let missing: Result<PullConsumer, _> = stream.get_consumer("missing").await;
        missing.unwrap_err();
        let consumer = stream.create_consumer(durable("limits")).await.unwrap();
        let changed = pull::Config {
            ack_policy: AckPolicy::None,
            ..durable("limits")
        };
        stream.create_consumer(changed).await.unwrap_err();
        let strict = stream
            .create_consumer_strict(pull::Config {
                max_deliver: 9,
                ..durable("limits")
            })
            .await
            .unwrap_err();
        assert!(strict.to_string().contains("already exists"), "{strict}");
        drop(consumer);
        let error = context
            .publish(format!("nobody.{}", server.name("x")), "x".into())
            .await
            .unwrap()
            .await
            .unwrap_err();
        assert!(error.to_string().contains("stream"), "{error}");
        let error = context.get_stream("missing").await.unwrap_err();
        let async_nats::jetstream::context::GetStreamErrorKind::JetStream(error) = error.kind()
        else {
            panic!("{error}")
        };
        assert_eq!(error.error_code(), ErrorCode::STREAM_NOT_FOUND);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_a_consumer() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("share").await;
        let subject = format!("{}.a", server.name("share"));
        let mut consumer = stream.create_consumer(durable("share")).await.unwrap();
        let second: PullConsumer = server
            .stream("share")
            .await
            .1
            .get_consumer("share")
            .await
            .unwrap();
        let (one, two) = (
            consumer.messages().await.unwrap(),
            second.messages().await.unwrap(),
        );
        let both = futures::stream::select(
            one.map(|message| (0, message)),
            two.map(|message| (1, message)),
        );
        let worked = tokio::spawn(
            both.take(200)
                .map(async |(who, message)| {
                    let message = message.unwrap();
                    message.ack().await.unwrap();
                    (who, text(&message).parse::<u32>().unwrap())
                })
                .buffered(1)
                .collect::<Vec<(usize, u32)>>(),
        );
        testkit::eventually("both ask", async || {
            consumer.info().await.unwrap().num_waiting == 2
        })
        .await;
        publish(&context, &subject, 0..200).await;
        let (mut counts, mut numbers) = ([0, 0], Vec::new());
        for (who, number) in worked.await.unwrap() {
            counts[who] += 1;
            numbers.push(number);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        assert!(counts[0] > 20 && counts[1] > 20, "{counts:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_of_a_work_queue_is_for_one_consumer() {
    on_each_server(async |server| {
        let config = stream::Config {
            retention: stream::RetentionPolicy::WorkQueue,
            ..stream::Config::default()
        };
        let (context, _) = server.stream_with("queue", config).await;
        let (client, name) = (context.client(), server.name("queue"));
        let explicit = |filter: &str| {
            let filter = format!("{name}.{filter}");
            json!({"durable_name": filter.replace(['.', '*'], "_"), "ack_policy": "explicit", "filter_subject": filter})
        };
        for (config, code) in [
            (json!({"durable_name": "d", "ack_policy": "none"}), 10084),
            (json!({"durable_name": "d", "ack_policy": "none", "deliver_subject": "x"}), 10098),
            (json!({"durable_name": "d", "ack_policy": "all"}), 10098),
            (
                json!({"durable_name": "d", "ack_policy": "explicit", "deliver_policy": "new"}),
                10101,
            ),
        ] {
            let refused = make(&client, &name, config.clone()).await;
            assert_eq!(refused["error"]["err_code"], code, "{config}: {refused}");
        }
        let made = make(&client, &name, explicit("a")).await;
        assert_eq!(made["error"], Value::Null);
        let unfiltered = json!({"durable_name": "d", "ack_policy": "explicit"});
        for (config, code) in [(unfiltered, 10099), (explicit("*"), 10100)] {
            let refused = make(&client, &name, config.clone()).await;
            assert_eq!(refused["error"]["err_code"], code, "{config}: {refused}");
        }
        for filter in ["a", "b"] {
            let made = make(&client, &name, explicit(filter)).await;
            assert_eq!(made["error"], Value::Null, "{made}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_deleted_is_not_brought_back_by_what_is_asked_of_it_just_then() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("deleted").await;
        let (client, name) = (context.client(), server.name("deleted"));
        for _ in 0..10 {
            make(
                &client,
                &name,
                json!({"durable_name": "d", "ack_policy": "explicit"}),
            )
            .await;
            let inbox = client.new_inbox();
            let mut answers = client.subscribe(inbox.clone()).await.unwrap();
            let pause = r#"{"pause_until": "2099-01-01T00:00:00Z"}"#;
            for (operation, body) in [("DELETE", ""), ("PAUSE", pause)] {
                let subject = format!("$JS.API.CONSUMER.{operation}.{name}.d");
                let sent = client.publish_with_reply(subject, inbox.clone(), body.into());
                sent.await.unwrap();
            }
            for _ in 0..2 {
                assert!(answers.next().await.is_some());
            }
            let names: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
            assert_eq!(names, Vec::<String>::new());
        }
    })
    .await;
}
