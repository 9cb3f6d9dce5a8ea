//! Push consumers: to whom they deliver, when they do not, heartbeats and flow control.

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PushConsumer, push};
use async_nats::jetstream::stream;
use async_nats::{Client, Message, Subscriber};
use futures::StreamExt;
use serde_json::{Value, json};
use testkit::eventually;

use crate::messages::publish;
use crate::server::{on_each_server, settle, within};

/// Asks the API; null is no body.
pub(crate) async fn ask(client: &Client, subject: &str, body: Value) -> Value {
    let body = Some(body).filter(|body| !body.is_null());
    let body = body.map_or(String::new(), |body| body.to_string());
    let answer = client.request(format!("$JS.API.{subject}"), body.into());
    serde_json::from_slice(&within(answer).await.unwrap().payload).unwrap()
}

/// Makes a consumer of this configuration, and returns the answer.
pub(crate) async fn make(client: &Client, stream: &str, config: Value) -> Value {
    let name = config["durable_name"]
        .as_str()
        .or(config["name"].as_str())
        .unwrap()
        .to_owned();
    let body = json!({"stream_name": stream, "config": config});
    ask(client, &format!("CONSUMER.CREATE.{stream}.{name}"), body).await
}

async fn info(client: &Client, stream: &str, consumer: &str) -> Value {
    ask(
        client,
        &format!("CONSUMER.INFO.{stream}.{consumer}"),
        Value::Null,
    )
    .await
}

pub(crate) async fn next(messages: &mut Subscriber) -> Message {
    within(messages.next()).await.unwrap()
}

fn number(message: &Message) -> u32 {
    std::str::from_utf8(&message.payload)
        .unwrap()
        .parse()
        .unwrap()
}

async fn acknowledge(client: &Client, message: &Message) {
    let ack = message.reply.clone().unwrap();
    within(client.request(ack, "+ACK".into())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_and_what_comes_is_delivered_and_acknowledged() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("push").await;
        let subject = format!("{}.a", server.name("push"));
        publish(&context, &subject, 0..5).await;
        let config = push::Config {
            durable_name: Some("d".into()),
            deliver_subject: context.client().new_inbox(),
            ack_policy: AckPolicy::Explicit,
            ..push::Config::default()
        };
        let mut consumer: PushConsumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        publish(&context, &subject, 5..10).await;
        for expected in 0..10_u32 {
            let message = within(messages.next()).await.unwrap().unwrap();
            assert_eq!(message.payload, expected.to_string());
            let info = message.info().unwrap();
            assert_eq!(
                (info.consumer_sequence, info.delivered),
                (u64::from(expected) + 1, 1)
            );
            message.double_ack().await.unwrap();
        }
        let info = consumer.info().await.unwrap();
        assert!(info.push_bound);
        assert_eq!((info.ack_floor.stream_sequence, info.num_pending), (10, 0));
        assert_eq!((info.num_waiting, info.config.max_waiting), (0, 0));
    })
    .await;
}

/// Nothing else happens that could have the stream look at its consumers.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_has_in_memory_alone_is_delivered_at_once() {
    on_each_server(async |server| {
        let config = stream::Config {
            storage: stream::StorageType::Memory,
            ..stream::Config::default()
        };
        let (context, _) = server.stream_with("memory", config).await;
        let (client, name) = (context.client(), server.name("memory"));
        let subject = format!("{name}.a");
        publish(&context, &subject, 0..1).await;
        let inbox = client.new_inbox();
        let mut pushed = client.subscribe(inbox.clone()).await.unwrap();
        settle(&client).await;
        let config = json!({"durable_name": "pushed", "deliver_subject": inbox});
        make(&client, &name, config).await;
        assert_eq!(number(&next(&mut pushed).await), 0);
        make(
            &client,
            &name,
            json!({"durable_name": "pulled", "ack_policy": "explicit"}),
        )
        .await;
        let inbox = client.new_inbox();
        let mut pulled = client.subscribe(inbox.clone()).await.unwrap();
        let pull = format!("$JS.API.CONSUMER.MSG.NEXT.{name}.pulled");
        let request = json!({"batch": 9, "expires": 120_000_000_000_u64}).to_string();
        client
            .publish_with_reply(pull, inbox, request.into())
            .await
            .unwrap();
        assert_eq!(number(&next(&mut pulled).await), 0);
        for expected in 1..4 {
            publish(&context, &subject, expected..expected + 1).await;
            assert_eq!(number(&next(&mut pushed).await), expected);
            assert_eq!(number(&next(&mut pulled).await), expected);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_delivered_while_nobody_listens() {
    on_each_server(async |server| {
        let (context, _) = server.stream("bound").await;
        let (client, name) = (context.client(), server.name("bound"));
        let inbox = client.new_inbox();
        let config =
            json!({"durable_name": "d", "deliver_subject": inbox, "ack_policy": "explicit"});
        make(&client, &name, config).await;
        publish(&context, &format!("{name}.a"), 0..3).await;
        // A nats-server counts a little later.
        let until = async |pending: u32, bound: Value| {
            let expected = [json!(pending), bound];
            eventually("the messages wait", async || {
                let info = info(&client, &name, "d").await;
                [&info["num_pending"], &info["push_bound"]] == expected.each_ref()
            })
            .await;
        };
        until(3, Value::Null).await;

        let listener = server.client().await;
        let mut messages = listener.subscribe(inbox.clone()).await.unwrap();
        for expected in 0..3 {
            let message = next(&mut messages).await;
            assert_eq!(number(&message), expected);
            acknowledge(&listener, &message).await;
        }
        until(0, true.into()).await;

        messages.unsubscribe().await.unwrap();
        until(0, Value::Null).await;
        publish(&context, &format!("{name}.a"), 3..5).await;
        until(2, Value::Null).await;
        let after = info(&client, &name, "d").await;
        assert_eq!(after["delivered"]["stream_seq"], 3);

        let mut messages = listener.subscribe(inbox).await.unwrap();
        assert_eq!(number(&next(&mut messages).await), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_members_of_a_group_share_the_messages() {
    on_each_server(async |server| {
        let (context, _) = server.stream("group").await;
        let (client, name) = (context.client(), server.name("group"));
        let inbox = client.new_inbox();
        let one = client.queue_subscribe(inbox.clone(), "g".into()).await.unwrap();
        let two = client.queue_subscribe(inbox.clone(), "g".into()).await.unwrap();
        settle(&client).await;
        let config = json!({
            "durable_name": "d", "deliver_subject": inbox, "deliver_group": "g", "ack_policy": "none",
        });
        let made = make(&client, &name, config).await;
        assert_eq!(made["config"]["deliver_group"], "g");
        publish(&context, &format!("{name}.a"), 0..100).await;
        let both = futures::stream::select(one.map(|message| (0, message)), two.map(|message| (1, message)));
        let got: Vec<_> = within(both.take(100).collect()).await;
        let mut numbers: Vec<_> = got.iter().map(|(_, message)| number(message)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        let first = got.iter().filter(|(who, _)| *who == 0).count();
        assert!((10..=90).contains(&first), "{first}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unused_ephemeral_consumer_is_deleted_when_its_client_is_gone() {
    on_each_server(async |server| {
        let (context, _) = server.stream("unused").await;
        let (client, name) = (context.client(), server.name("unused"));
        let listener = server.client().await;
        let inbox = listener.new_inbox();
        let messages = listener.subscribe(inbox.clone()).await.unwrap();
        settle(&listener).await;
        let config =
            json!({"name": "e", "deliver_subject": inbox, "inactive_threshold": 200_000_000});
        make(&client, &name, config).await;
        // Longer than it may be unused.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        assert_eq!(info(&client, &name, "e").await["push_bound"], true);
        drop((messages, listener));
        while info(&client, &name, "e").await["error"]["err_code"] != 10014 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_consumer_sees_everything_in_order() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("ordered").await;
        let subject = format!("{}.a", server.name("ordered"));
        publish(&context, &subject, 0..50).await;
        let config = push::OrderedConfig {
            deliver_subject: context.client().new_inbox(),
            ..push::OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        publish(&context, &subject, 50..100).await;
        for expected in 0..100_u32 {
            let message = within(messages.next()).await.unwrap().unwrap();
            assert_eq!(message.payload, expected.to_string());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_message_of_each_subject_comes_first_and_then_all_that_is_new() {
    on_each_server(async |server| {
        let config = stream::Config {
            max_messages_per_subject: 5,
            ..stream::Config::default()
        };
        let (context, stream) = server.stream_with("last", config).await;
        let name = server.name("last");
        for (number, subject) in [
            (1, "a"),
            (2, "b"),
            (3, "a"),
            (4, "c"),
            (5, "b"),
            (6, "other.x"),
        ] {
            publish(&context, &format!("{name}.{subject}"), [number]).await;
        }
        let config = push::Config {
            deliver_subject: context.client().new_inbox(),
            deliver_policy: DeliverPolicy::LastPerSubject,
            filter_subject: format!("{name}.*"),
            ..push::Config::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        assert_eq!(consumer.cached_info().num_pending, 3);
        let mut messages = consumer.messages().await.unwrap();
        for (expected, left) in [("3", 2), ("4", 1), ("5", 0)] {
            let message = within(messages.next()).await.unwrap().unwrap();
            assert_eq!(message.payload, expected);
            assert_eq!(message.info().unwrap().pending, left);
        }
        publish(&context, &format!("{name}.a"), [7, 8]).await;
        for expected in ["7", "8"] {
            let message = within(messages.next()).await.unwrap().unwrap();
            assert_eq!(message.payload, expected);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_replayed_as_they_came_in() {
    on_each_server(async |server| {
        let (context, _) = server.stream("replay").await;
        let (client, name) = (context.client(), server.name("replay"));
        publish(&context, &format!("{name}.a"), 0..2).await;
        // The gap that the replay is to have too.
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        publish(&context, &format!("{name}.a"), 2..4).await;
        let inbox = client.new_inbox();
        let mut messages = client.subscribe(inbox.clone()).await.unwrap();
        let config =
            json!({"durable_name": "d", "deliver_subject": inbox, "replay_policy": "original"});
        make(&client, &name, config).await;
        let mut arrivals = Vec::new();
        for expected in 0..4 {
            assert_eq!(number(&next(&mut messages).await), expected);
            arrivals.push(std::time::Instant::now());
        }
        let gap = arrivals[2] - arrivals[1];
        assert!(gap >= std::time::Duration::from_millis(300), "{gap:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_tell_how_far_the_consumer_is() {
    on_each_server(async |server| {
        let (context, _) = server.stream("heart").await;
        let (client, name) = (context.client(), server.name("heart"));
        let inbox = client.new_inbox();
        let mut messages = client.subscribe(inbox.clone()).await.unwrap();
        publish(&context, &format!("{name}.a"), 0..2).await;
        let config =
            json!({"durable_name": "d", "deliver_subject": inbox, "idle_heartbeat": 100_000_000});
        make(&client, &name, config).await;
        assert_eq!(number(&next(&mut messages).await), 0);
        assert_eq!(number(&next(&mut messages).await), 1);
        for _ in 0..2 {
            let heartbeat = next(&mut messages).await;
            assert_eq!(heartbeat.status.unwrap().as_u16(), 100);
            assert_eq!(heartbeat.description.as_deref(), Some("Idle Heartbeat"));
            let headers = heartbeat.headers.unwrap();
            assert_eq!(headers.get("Nats-Last-Consumer").unwrap().as_str(), "2");
            assert_eq!(headers.get("Nats-Last-Stream").unwrap().as_str(), "2");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_answer_flow_control_gets_so_much_and_no_more() {
    on_each_server(async |server| {
        let (context, _) = server.stream("flow").await;
        let (client, name) = (context.client(), server.name("flow"));
        for _ in 0..6 {
            let payload = vec![b'x'; 900_000];
            let ack = context.publish(format!("{name}.a"), payload.into()).await;
            within(ack.unwrap().into_future()).await.unwrap();
        }
        let inbox = client.new_inbox();
        let mut messages = client.subscribe(inbox.clone()).await.unwrap();
        let config = json!({
            "durable_name": "d", "deliver_subject": inbox, "flow_control": true, "idle_heartbeat": 200_000_000,
        });
        make(&client, &name, config).await;
        let (mut got, mut request, mut stalled) = (0, None, None);
        while stalled.is_none() {
            let message = next(&mut messages).await;
            match message.description.as_deref() {
                Some("FlowControl Request") => request = message.reply,
                Some("Idle Heartbeat") => {
                    let headers = message.headers.unwrap();
                    stalled = headers.get("Nats-Consumer-Stalled").cloned();
                }
                _ => got += 1,
            }
        }
        assert!((2..6).contains(&got), "{got} of 6");
        let request = request.unwrap();
        assert_eq!(stalled.unwrap().as_str(), request.as_str());
        client.publish(request, "".into()).await.unwrap();
        while got < 6 {
            let message = next(&mut messages).await;
            got += u32::from(message.status.is_none());
            if let Some(request) = message.reply.filter(|_| message.status.is_some()) {
                client.publish(request, "".into()).await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_without_acknowledgements_has_nobody_to_confirm_one() {
    on_each_server(async |server| {
        let (context, _) = server.stream("none").await;
        let (client, name) = (context.client(), server.name("none"));
        publish(&context, &format!("{name}.a"), [1]).await;
        let inbox = client.new_inbox();
        let mut messages = client.subscribe(inbox.clone()).await.unwrap();
        let config = json!({"durable_name": "d", "deliver_subject": inbox});
        make(&client, &name, config).await;
        let ack = next(&mut messages).await.reply.unwrap();
        let error = within(client.request(ack, "+ACK".into()))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no responders"), "{error}");
    })
    .await;
}
