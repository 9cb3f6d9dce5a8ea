//! `kill -9` at any moment loses nothing acknowledged and brings back nothing that was confirmed as done.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, stream};
use bridge::broker::{Access, BrokerConfig, serve};
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

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
    serve(
        listener,
        BrokerConfig {
            segment_bytes: 20_000,
            ..BrokerConfig::new(dir, Access::Open)
        },
        std::future::pending(),
    )
    .await
    .unwrap();
}

struct BrokerProcess {
    child: Child,
    addr: String,
}

impl BrokerProcess {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "crash::broker_process",
                "--ignored",
                "--nocapture",
            ])
            .env(DATA_DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix(ADDRESS).map(str::to_owned))
            .unwrap();
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
    let config = stream::Config {
        name: "events".into(),
        ..stream::Config::default()
    };
    let stream = context.get_or_create_stream(config).await.unwrap();
    let durable = pull::Config {
        durable_name: Some("d".into()),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    let durable = pull::Config {
        ack_wait: Duration::from_millis(500),
        ..durable
    };
    stream.get_or_create_consumer("d", durable).await.unwrap()
}

/// What the clients know of their messages, by number.
#[derive(Default)]
struct Known {
    published: HashSet<u64>,
    /// Whose acknowledgement was sent, whether or not the confirmation arrived.
    acknowledged: HashSet<u64>,
    confirmed: HashSet<u64>,
}

/// Publishes until the broker is dead. Returns the numbers that were acknowledged.
async fn publish(context: jetstream::Context, from: u64, dead: CancellationToken) -> Vec<u64> {
    let mut published = Vec::new();
    for start in (from..).step_by(10) {
        let mut acks = Vec::new();
        for number in start..start + 10 {
            acks.push((
                number,
                context
                    .publish("events", number.to_string().into())
                    .await
                    .unwrap(),
            ));
        }
        for (number, ack) in acks {
            match dead.run_until_cancelled(ack.into_future()).await {
                Some(Ok(_)) => published.push(number),
                _ => return published,
            }
        }
    }
    published
}

/// Consumes until the broker is dead.
async fn consume(consumer: PullConsumer, mut known: Known, dead: CancellationToken) -> Known {
    let mut messages = consumer.messages().await.unwrap();
    while let Some(Some(Ok(message))) = dead.run_until_cancelled(messages.next()).await {
        let number = number(&message);
        assert!(
            !known.confirmed.contains(&number),
            "{number} was confirmed as done and came again"
        );
        known.acknowledged.insert(number);
        if let Some(Ok(())) = dead.run_until_cancelled(message.double_ack()).await {
            known.confirmed.insert(number);
        }
    }
    known
}

fn number(message: &jetstream::Message) -> u64 {
    std::str::from_utf8(&message.payload)
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    for round in 0..4 {
        let broker = BrokerProcess::start(dir.path());
        let context = broker.context().await;
        let consumer = prepare(&context).await;
        let dead = CancellationToken::new();
        let publishing = tokio::spawn(publish(context, round * 1_000_000, dead.clone()));
        let consuming = tokio::spawn(consume(consumer, known, dead.clone()));
        tokio::time::sleep(Duration::from_millis(300 + 137 * round)).await;
        broker.kill();
        // What the broker said last still gets to be heard.
        tokio::time::sleep(Duration::from_millis(300)).await;
        dead.cancel();
        let published = within(publishing).await.unwrap();
        known = within(consuming).await.unwrap();
        known.published.extend(published);
    }
    let counts = (known.published.len(), known.confirmed.len());
    assert!(
        counts.0 > 100 && counts.1 > 20,
        "{counts:?} were published and confirmed"
    );

    let broker = BrokerProcess::start(dir.path());
    let consumer = prepare(&broker.context().await).await;
    let mut messages = consumer.messages().await.unwrap();
    let mut missing: HashSet<u64> = known
        .published
        .difference(&known.acknowledged)
        .copied()
        .collect();
    while !missing.is_empty() {
        let message = within(messages.next()).await.unwrap().unwrap();
        let number = number(&message);
        assert!(
            !known.confirmed.contains(&number),
            "{number} was confirmed as done and came again"
        );
        missing.remove(&number);
        message.ack().await.unwrap();
    }
    broker.kill();
}
