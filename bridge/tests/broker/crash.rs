//! `kill -9` at any moment loses nothing acknowledged and brings back nothing that was confirmed as done.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, stream};
use bridge::broker::{Access, BrokerConfig, serve};
use futures::StreamExt;
use testkit::eventually;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::server::within;

const DATA_DIR: &str = "BROKER_TEST_DATA_DIR";
/// What is in the message that no consumer takes.
const STUCK: &str = "stays";
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

    /// A context, and a token that is cancelled when the client has read the broker's last word.
    async fn watched_context(&self) -> (jetstream::Context, CancellationToken) {
        let dead = CancellationToken::new();
        let disconnected = dead.clone();
        let options = ConnectOptions::new().event_callback(move |event| {
            if event == async_nats::Event::Disconnected {
                disconnected.cancel();
            }
            std::future::ready(())
        });
        let client = options.connect(&self.addr).await.unwrap();
        (jetstream::new(client), dead)
    }
}

/// The answer of a broker; none if it is dead and has not answered.
async fn unless_dead<T>(dead: &CancellationToken, answer: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        // What it said before it died counts.
        biased;
        answer = answer => Some(answer),
        () = dead.cancelled() => None,
    }
}

async fn prepare(context: &jetstream::Context, retention: stream::RetentionPolicy) -> PullConsumer {
    let config = stream::Config {
        name: "events".into(),
        subjects: vec!["events".into(), "stuck".into()],
        retention,
        ..stream::Config::default()
    };
    let mut stream = context.get_or_create_stream(config).await.unwrap();
    if stream.info().await.unwrap().state.last_sequence == 0 {
        let ack = context.publish("stuck", STUCK.into()).await.unwrap();
        ack.await.unwrap();
    }
    let durable = pull::Config {
        durable_name: Some("d".into()),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    let durable = pull::Config {
        ack_wait: Duration::from_millis(500),
        filter_subject: "events".into(),
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
async fn publish(
    context: jetstream::Context,
    from: u64,
    dead: CancellationToken,
    progress: Arc<AtomicU64>,
) -> Vec<u64> {
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
            match unless_dead(&dead, ack.into_future()).await {
                Some(Ok(_)) => published.push(number),
                _ => return published,
            }
            progress.fetch_add(1, Ordering::Relaxed);
        }
    }
    published
}

/// Consumes until the broker is dead.
async fn consume(
    consumer: PullConsumer,
    mut known: Known,
    dead: CancellationToken,
    progress: Arc<AtomicU64>,
) -> Known {
    let mut messages = consumer.messages().await.unwrap();
    while let Some(Some(Ok(message))) = unless_dead(&dead, messages.next()).await {
        let number = number(&message);
        assert!(
            !known.confirmed.contains(&number),
            "{number} was confirmed as done and came again"
        );
        known.acknowledged.insert(number);
        match unless_dead(&dead, message.double_ack()).await {
            Some(Ok(())) => known.confirmed.insert(number),
            _ => return known,
        };
        progress.fetch_add(1, Ordering::Relaxed);
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
    kill_again_and_again(stream::RetentionPolicy::Limits).await;
}

/// What is done with is taken out of the log's files meanwhile, all around a message that stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_in_a_work_queue_survives_kill_9() {
    kill_again_and_again(stream::RetentionPolicy::WorkQueue).await;
}

async fn kill_again_and_again(retention: stream::RetentionPolicy) {
    let dir = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    for round in 0..4 {
        let broker = BrokerProcess::start(dir.path());
        let (context, dead) = broker.watched_context().await;
        let consumer = prepare(&context, retention).await;
        let [acknowledged, confirmed] = [0, 1].map(|_| Arc::<AtomicU64>::default());
        let publishing = publish(
            context,
            round * 1_000_000,
            dead.clone(),
            acknowledged.clone(),
        );
        let publishing = tokio::spawn(publishing);
        let consuming = tokio::spawn(consume(consumer, known, dead, confirmed.clone()));
        let enough = async || {
            acknowledged.load(Ordering::Relaxed) > 100 + 137 * round
                && confirmed.load(Ordering::Relaxed) > 20 + 17 * round
        };
        eventually("enough is acknowledged and confirmed", enough).await;
        broker.kill();
        let published = within(publishing).await.unwrap();
        known = within(consuming).await.unwrap();
        known.published.extend(published);
    }

    let broker = BrokerProcess::start(dir.path());
    let consumer = prepare(&broker.context().await, retention).await;
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
    let stream = broker.context().await.get_stream("events").await.unwrap();
    let first = stream.get_raw_message(1).await.unwrap();
    assert_eq!(first.payload, STUCK);
    broker.kill();
}
