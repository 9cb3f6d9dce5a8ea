//! `kill -9` at any moment loses nothing acknowledged and brings back nothing that was confirmed as done.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, stream};
use bridge::broker::{BrokerConfig, serve};
use futures::StreamExt;
use tokio::net::TcpListener;

use crate::server::within;

const DATA_DIR: &str = "BROKER_TEST_DATA_DIR";
const ADDRESS: &str = "broker listens on ";

/// Not a test: the broker that the tests below kill, in a process of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by other tests"]
async fn broker_process() {
    let dir = std::env::var(DATA_DIR).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("\n{ADDRESS}{}", listener.local_addr().unwrap());
    serve(listener, BrokerConfig { segment_bytes: 20_000, ..BrokerConfig::new(dir) }, std::future::pending()).await.unwrap();
}

struct BrokerProcess {
    child: Child,
    addr: String,
}

impl BrokerProcess {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::broker_process", "--ignored", "--nocapture"])
            .env(DATA_DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = lines.map_while(Result::ok).find_map(|line| line.strip_prefix(ADDRESS).map(str::to_owned)).unwrap();
        BrokerProcess { child, addr }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn context(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(&self.addr).await.unwrap())
    }
}

async fn prepare(context: &jetstream::Context) -> PullConsumer {
    let config = stream::Config { name: "events".into(), ..stream::Config::default() };
    let stream = context.get_or_create_stream(config).await.unwrap();
    let durable = pull::Config { durable_name: Some("d".into()), ack_policy: AckPolicy::Explicit, ..pull::Config::default() };
    let durable = pull::Config { ack_wait: Duration::from_millis(500), ..durable };
    stream.get_or_create_consumer("d", durable).await.unwrap()
}

/// Publishes until the broker is gone. Returns the numbers that were acknowledged.
async fn publish_until_dead(context: jetstream::Context, from: u64) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    for start in (from..).step_by(10) {
        let mut acks = Vec::new();
        for number in start..start + 10 {
            if let Ok(ack) = context.publish("events", number.to_string().into()).await {
                acks.push((number, ack));
            }
        }
        for (number, ack) in acks {
            match ack.await {
                Ok(_) => acknowledged.push(number),
                Err(_) => return acknowledged,
            }
        }
    }
    acknowledged
}

/// Consumes until the broker is gone. Returns the numbers whose acknowledgement was confirmed.
async fn consume_until_dead(consumer: PullConsumer) -> Vec<u64> {
    let mut confirmed = Vec::new();
    let mut messages = consumer.messages().await.unwrap();
    while let Some(Ok(message)) = messages.next().await {
        let number = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
        match tokio::time::timeout(Duration::from_secs(1), message.double_ack()).await {
            Ok(Ok(())) => confirmed.push(number),
            _ => break,
        }
    }
    confirmed
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let (mut published, mut confirmed): (HashSet<u64>, HashSet<u64>) = Default::default();
    for round in 0..4 {
        let broker = BrokerProcess::start(dir.path());
        let context = broker.context().await;
        context.client().flush().await.unwrap();
        let consumer = prepare(&context).await;
        let publishing = tokio::spawn(publish_until_dead(context, round * 1_000_000));
        let consuming = tokio::spawn(consume_until_dead(consumer));
        tokio::time::sleep(Duration::from_millis(300 + 137 * round)).await;
        broker.kill();
        published.extend(within(publishing).await.unwrap());
        let newly = within(consuming).await.unwrap();
        for number in newly {
            assert!(confirmed.insert(number), "{number} was confirmed as done and came again");
        }
    }
    assert!(published.len() > 100 && confirmed.len() > 20, "{} published, {} confirmed", published.len(), confirmed.len());

    let broker = BrokerProcess::start(dir.path());
    let consumer = prepare(&broker.context().await).await;
    let mut messages = consumer.messages().await.unwrap();
    let mut missing: HashSet<u64> = published.difference(&confirmed).copied().collect();
    while !missing.is_empty() {
        let message = within(messages.next()).await.unwrap().unwrap();
        let number = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
        assert!(!confirmed.contains(&number), "{number} was confirmed as done and came again");
        missing.remove(&number);
        message.ack().await.unwrap();
    }
    broker.kill();
}
