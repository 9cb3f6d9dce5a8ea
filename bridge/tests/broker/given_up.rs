//! Messages that a consumer was handed as often as may be: nobody waits for them any more, but they are not acknowledged.

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::{AckKind, Context, stream};
use async_nats::{Client, Subscriber};
use serde_json::{Value, json};
use testkit::eventually;

use crate::messages::{durable, fetch, next, publish};
use crate::push::{ask, next as next_event};
use crate::server::{Embedded, on_each_server};

/// A consumer that gives a message up when it is rejected once.
fn once(name: &str) -> pull::Config {
    pull::Config {
        max_deliver: 1,
        ..durable(name)
    }
}

fn kept_for_consumers() -> stream::Config {
    stream::Config {
        retention: stream::RetentionPolicy::Interest,
        ..stream::Config::default()
    }
}

async fn events(client: &Client, stream: &str) -> Subscriber {
    let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{stream}.once");
    client.subscribe(subject).await.unwrap()
}

/// Has the consumer give up messages 1 to 3. Returns where the acknowledgement of the first would go to.
async fn give_up(context: &Context, consumer: &PullConsumer, stream: &str) -> String {
    let mut events = events(&context.client(), stream).await;
    publish(context, &format!("{stream}.a"), 1..=3).await;
    let mut messages = consumer.messages().await.unwrap();
    let mut first = None;
    for _ in 1..=3 {
        let message = next(&mut messages).await;
        message.ack_with(AckKind::Nak(None)).await.unwrap();
        first.get_or_insert_with(|| message.reply.clone().unwrap().to_string());
    }
    for seq in 1..=3 {
        let event: Value = serde_json::from_slice(&next_event(&mut events).await.payload).unwrap();
        assert_eq!(
            (&event["stream_seq"], &event["deliveries"]),
            (&json!(seq), &json!(1))
        );
    }
    first.unwrap()
}

/// How many messages there are, what waits for its acknowledgement, and up to where all is acknowledged.
async fn state(client: &Client, stream: &str) -> [Value; 3] {
    let kept = ask(client, &format!("STREAM.INFO.{stream}"), Value::Null).await;
    let consumer = ask(client, &format!("CONSUMER.INFO.{stream}.once"), Value::Null).await;
    [
        kept["state"]["messages"].clone(),
        consumer["num_ack_pending"].clone(),
        consumer["ack_floor"]["stream_seq"].clone(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_kept_and_may_be_acknowledged() {
    on_each_server(async |server| {
        let (context, stream) = server.stream_with("kept", kept_for_consumers()).await;
        let (client, name) = (context.client(), server.name("kept"));
        let consumer = stream.create_consumer(once("once")).await.unwrap();
        let other = stream.create_consumer(durable("other")).await.unwrap();
        let first = give_up(&context, &consumer, &name).await;
        for message in fetch(&other, 3).await {
            message.double_ack().await.unwrap();
        }
        assert_eq!(state(&client, &name).await, [3, 0, 0]);
        client.publish(first, "+ACK".into()).await.unwrap();
        eventually("the late acknowledgement counts", async || {
            state(&client, &name).await[0] == 2
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_floor_moves_past_what_was_given_up_when_all_else_is_acknowledged() {
    on_each_server(async |server| {
        let (context, stream) = server.stream_with("floor", stream::Config::default()).await;
        let (client, name) = (context.client(), server.name("floor"));
        let consumer = stream.create_consumer(once("once")).await.unwrap();
        let mut events = events(&client, &name).await;
        publish(&context, &format!("{name}.a"), 1..=4).await;
        let mut messages = consumer.messages().await.unwrap();
        for _ in 1..=3 {
            let message = next(&mut messages).await;
            message.ack_with(AckKind::Nak(None)).await.unwrap();
        }
        for _ in 1..=3 {
            next_event(&mut events).await;
        }
        let last = next(&mut messages).await;
        assert_eq!(state(&client, &name).await, [4, 1, 0]);
        last.double_ack().await.unwrap();
        assert_eq!(state(&client, &name).await, [4, 0, 4]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_stays_given_up_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    let config = stream::Config {
        name: "S".into(),
        subjects: vec!["S.a".into()],
        ..kept_for_consumers()
    };
    let stream = context.create_stream(config).await.unwrap();
    let consumer = stream.create_consumer(once("once")).await.unwrap();
    stream.create_consumer(durable("other")).await.unwrap();
    give_up(&context, &consumer, "S").await;
    let before = state(&context.client(), "S").await;
    assert_eq!(before, [3, 0, 0]);
    broker.stop().await;

    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    assert_eq!(state(&context.client(), "S").await, before);
    let stream = context.get_stream("S").await.unwrap();
    let consumer: PullConsumer = stream.get_consumer("once").await.unwrap();
    let other = stream.get_consumer("other").await.unwrap();
    for message in fetch(&other, 3).await {
        message.double_ack().await.unwrap();
    }
    assert_eq!(state(&context.client(), "S").await, before);
    publish(&context, "S.a", [4]).await;
    let mut messages = consumer.messages().await.unwrap();
    let message = next(&mut messages).await;
    assert_eq!(message.info().unwrap().stream_sequence, 4);
    message.double_ack().await.unwrap();
    assert_eq!(state(&context.client(), "S").await, [4, 0, 4]);
    // Only the other consumer has to acknowledge one. A nats-server keeps some of those that were given up.
    stream.delete_consumer("once").await.unwrap();
    let left = ask(&context.client(), "STREAM.INFO.S", Value::Null).await;
    assert_eq!(left["state"]["messages"], 1);
    broker.stop().await;
}
