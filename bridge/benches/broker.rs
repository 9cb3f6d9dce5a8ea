//! How fast the embedded broker takes in and hands out messages, over loopback and through the client that the bus uses;
//! how much memory a stored message costs, and how long a start takes with the messages stored.
//!
//! Every publish counted here was synced to disk before it was acknowledged. `BROKER_MESSAGES` says how many there are.
//! `cargo bench -p bridge`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark reports on standard output and stops when something fails"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream};
use bridge::broker::{Access, Broker, BrokerConfig, BrokerStats, serve};
use futures::StreamExt;
use tokio::net::TcpListener;

const PAYLOAD: usize = 200;
const PUBLISHERS: usize = 4;
const IN_FLIGHT: usize = 1000;
const CONSUMED: usize = 100_000;

fn main() {
    let messages = std::env::var("BROKER_MESSAGES").map_or(100_000, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure(dir.path(), messages));
    // The broker and its clients end, so that what follows is the broker's memory alone.
    runtime.shutdown_timeout(Duration::from_secs(10));
    let before = resident_bytes();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let begun = Instant::now();
    let broker = runtime.block_on(Broker::open(config(dir.path()), BrokerStats::default()));
    let _broker = broker.unwrap();
    println!(
        "start with {messages} messages: {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    let bytes = resident_bytes().saturating_sub(before);
    println!(
        "memory after the start: {:.1} MB more than before",
        bytes as f64 / 1e6
    );
}

fn config(dir: &Path) -> BrokerConfig {
    BrokerConfig::new(dir, Access::Open)
}

async fn measure(dir: &Path, messages: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let broker = tokio::spawn(serve(listener, config(dir), std::future::pending()));
    let context = jetstream::new(async_nats::connect(&addr).await.unwrap());
    let stream_config = stream::Config {
        name: "bench".into(),
        max_messages: messages.try_into().unwrap(),
        ..stream::Config::default()
    };
    let stream = context.create_stream(stream_config).await.unwrap();

    let before = resident_bytes();
    let rounds = messages.div_ceil(1_000_000);
    for _ in 0..rounds {
        let count = messages / rounds;
        let started = Instant::now();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|_| tokio::spawn(publish(addr.clone(), count / PUBLISHERS)))
            .collect();
        for publisher in publishers {
            publisher.await.unwrap();
        }
        report("published, synced and acknowledged", count, started);
    }
    let bytes = resident_bytes().saturating_sub(before);
    println!(
        "memory after {messages} messages: {:.1} MB more than before",
        bytes as f64 / 1e6
    );

    let durable = pull::Config {
        durable_name: Some("bench".into()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: 10_000,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(durable).await.unwrap();
    let started = Instant::now();
    let mut delivered = consumer
        .stream()
        .max_messages_per_batch(IN_FLIGHT)
        .messages()
        .await
        .unwrap();
    let count = messages.min(CONSUMED);
    for _ in 0..count {
        delivered
            .next()
            .await
            .unwrap()
            .unwrap()
            .ack()
            .await
            .unwrap();
    }
    report("consumed and acknowledged", count, started);
    broker.abort();
    let _ = broker.await;
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

fn report(what: &str, count: usize, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!("{what}: {:.0} messages a second", count as f64 / seconds);
}

/// What of this process is in memory.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.unwrap().split_ascii_whitespace().nth(1).unwrap();
    kilobytes.parse::<usize>().unwrap() * 1024
}
