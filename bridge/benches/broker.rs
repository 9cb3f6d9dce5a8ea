//! How fast the embedded broker takes in and hands out messages, over loopback and through the client that the bus uses.
//! Every publish counted here was synced to disk before it was acknowledged. `cargo bench -p bridge`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark reports to whoever runs it and stops when something fails"
)]

use std::time::Instant;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream};
use bridge::broker::{Access, BrokerConfig, serve};
use futures::StreamExt;
use tokio::net::TcpListener;

const MESSAGES: usize = 100_000;
const PAYLOAD: usize = 200;
const PUBLISHERS: usize = 4;
const IN_FLIGHT: usize = 1000;

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let broker = tokio::spawn(serve(
        listener,
        BrokerConfig::new(dir.path(), Access::Open),
        std::future::pending(),
    ));
    let context = jetstream::new(async_nats::connect(&addr).await.unwrap());
    let config = stream::Config {
        name: "bench".into(),
        ..stream::Config::default()
    };
    let stream = context.create_stream(config).await.unwrap();

    let started = Instant::now();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|_| tokio::spawn(publish(addr.clone(), MESSAGES / PUBLISHERS)))
        .collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    report("published, synced and acknowledged", started);

    let durable = pull::Config {
        durable_name: Some("bench".into()),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    let durable = pull::Config {
        max_ack_pending: 10_000,
        ..durable
    };
    let consumer = stream.create_consumer(durable).await.unwrap();
    let started = Instant::now();
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(IN_FLIGHT)
        .messages()
        .await
        .unwrap();
    for _ in 0..MESSAGES {
        messages.next().await.unwrap().unwrap().ack().await.unwrap();
    }
    report("consumed and acknowledged", started);
    broker.abort();
}

async fn publish(addr: String, count: usize) {
    let context = jetstream::new(async_nats::connect(addr).await.unwrap());
    let acks = futures::stream::iter(0..count).map(async |_| {
        context
            .publish("bench", vec![b'x'; PAYLOAD].into())
            .await
            .unwrap()
            .await
            .unwrap();
    });
    acks.buffer_unordered(IN_FLIGHT).collect::<()>().await;
}

fn report(what: &str, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!("{what}: {:.0} messages a second", MESSAGES as f64 / seconds);
}
