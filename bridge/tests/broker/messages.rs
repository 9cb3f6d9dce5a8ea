//! Publishing and consuming in a line.

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{Context, Message};
use futures::StreamExt;

pub(crate) fn durable(name: &str) -> pull::Config {
    pull::Config {
        durable_name: Some(name.into()),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    }
}

pub(crate) async fn publish(
    context: &Context,
    subject: &str,
    payloads: impl IntoIterator<Item = u32>,
) {
    let mut acks = Vec::new();
    for payload in payloads {
        acks.push(
            context
                .publish(subject.to_owned(), payload.to_string().into())
                .await
                .unwrap(),
        );
    }
    for ack in acks {
        ack.await.unwrap();
    }
}

pub(crate) async fn fetch(consumer: &PullConsumer, count: usize) -> Vec<Message> {
    let messages = consumer
        .fetch()
        .max_messages(count)
        .messages()
        .await
        .unwrap();
    messages.map(|message| message.unwrap()).collect().await
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8(message.payload.to_vec()).unwrap()
}

pub(crate) fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(text).collect()
}

pub(crate) async fn next(messages: &mut pull::Stream) -> Message {
    messages.next().await.unwrap().unwrap()
}
