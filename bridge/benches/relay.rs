//! How fast the relay carries records between a real Kafka (`TEST_KAFKA_BROKERS`) and a NATS server (`TEST_NATS_URL`; without it the
//! embedded broker), and how much later a record arrives than it would at its own side.
//!
//! `RELAY_RECORDS` says how many records there are. `cargo bench -p bridge --bench relay`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark reports on standard output and stops when something fails"
)]

use std::{
    fs,
    future::pending,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use async_nats::jetstream::{self, consumer::AckPolicy, consumer::pull, stream};
use bridge::{
    broker::{Access, BrokerConfig, serve},
    relay::{config, route},
};
use futures::{StreamExt, future::join_all};
use rdkafka::{
    ClientConfig, Message,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer, StreamConsumer},
    producer::{FutureProducer, FutureRecord},
};
use runtime::{Process, Supervisor};
use tokio::{net::TcpListener, sync::Barrier, time::interval};

const PAYLOAD: usize = 256;
const KEYS: usize = 1_000;
const PARTITIONS: i32 = 3;
/// Records a second, and for how many seconds, while latency is measured.
const RATE: usize = 2_000;
const SECONDS: usize = 10;

fn main() {
    let Ok(brokers) = std::env::var("TEST_KAFKA_BROKERS") else {
        println!("SKIPPED: TEST_KAFKA_BROKERS names no Kafka");
        return;
    };
    let records = std::env::var("RELAY_RECORDS").map_or(300_000, |text| text.parse().unwrap());
    let system = actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    });
    system.block_on(measure(brokers, records));
}

/// Two brokers, and names of this run.
struct Scene {
    brokers: String,
    url: String,
    topic: String,
    subject: String,
    context: jetstream::Context,
}

async fn measure(brokers: String, records: usize) {
    let folder = tempfile::tempdir().unwrap();
    let url = match std::env::var("TEST_NATS_URL") {
        Ok(url) => url,
        Err(_) => {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("nats://{}", listener.local_addr().unwrap());
            let config = BrokerConfig::new(folder.path(), Access::Open);
            tokio::spawn(serve(listener, config, pending()));
            url
        }
    };
    for (from, to) in [("kafka.k", "nats.n"), ("nats.n", "kafka.k")] {
        let scene = Scene::new(&brokers, &url).await;
        scene.throughput(from, to, records).await;
        scene.context.delete_stream(&scene.subject).await.unwrap();
        let scene = Scene::new(&brokers, &url).await;
        scene.latency(from, to).await;
        scene.context.delete_stream(&scene.subject).await.unwrap();
    }
}

impl Scene {
    async fn new(brokers: &str, url: &str) -> Self {
        let name = format!("bench-{:08x}", rand::random::<u32>());
        let context = jetstream::new(async_nats::connect(url).await.unwrap());
        let config = stream::Config {
            name: name.clone(),
            subjects: vec![name.clone()],
            ..stream::Config::default()
        };
        context.create_stream(config).await.unwrap();
        let scene = Self {
            brokers: brokers.to_owned(),
            url: url.to_owned(),
            topic: name.clone(),
            subject: name,
            context,
        };
        let admin: AdminClient<DefaultClientContext> = scene.kafka().create().unwrap();
        let topic = NewTopic::new(&scene.topic, PARTITIONS, TopicReplication::Fixed(1));
        let created = admin.create_topics([&topic], &AdminOptions::new()).await;
        created.unwrap();
        scene
    }

    fn kafka(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", format!("{}-reader", self.topic))
            .set("auto.offset.reset", "earliest")
            .set("linger.ms", "1");
        config
    }

    fn start_relay(&self, from: &str, to: &str) -> Supervisor {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.toml");
        let Self {
            brokers,
            url,
            topic,
            subject,
            ..
        } = self;
        let text = format!(
            "[kafka.k]\nbrokers = \"{brokers}\"\n[nats.n]\nurl = \"{url}\"\n[[routes]]\nname = \"{topic}\"\n\
            from = \"{from}\"\nto = \"{to}\"\ntopic = \"{topic}\"\nsubject = \"{subject}\"\n"
        );
        fs::write(&path, text).unwrap();
        let supervisor = Supervisor::new("relay", &Process::new());
        route::start(&supervisor, &config::read(&path).unwrap());
        supervisor
    }

    async fn send_to_kafka(&self, count: usize, payload: impl Fn() -> Vec<u8>) {
        let producer: FutureProducer = self.kafka().create().unwrap();
        let mut number = 0;
        while number < count {
            let batch = (number..count.min(number + 10_000)).map(|number| {
                let (key, payload) = (format!("key-{}", number % KEYS), payload());
                let record = FutureRecord::to(&self.topic).key(&key).payload(&payload);
                producer.send_result(record).map_err(|(e, _)| e).unwrap()
            });
            for sent in join_all(batch.collect::<Vec<_>>()).await {
                sent.unwrap().map_err(|(error, _)| error).unwrap();
            }
            number += 10_000;
        }
    }

    async fn publish(
        &self,
        number: usize,
        payload: Vec<u8>,
    ) -> jetstream::context::PublishAckFuture {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("marquee-key", format!("key-{}", number % KEYS));
        let sent = self
            .context
            .publish_with_headers(self.subject.clone(), headers, payload.into());
        sent.await.unwrap()
    }

    async fn publish_to_nats(&self, count: usize) {
        let mut number = 0;
        while number < count {
            let mut sent = Vec::new();
            for number in number..count.min(number + 2_000) {
                sent.push(self.publish(number, vec![b'x'; PAYLOAD]).await);
            }
            for sent in sent {
                sent.await.unwrap();
            }
            number += 2_000;
        }
    }

    /// How many records the other side has.
    async fn arrived(&self, to: &str) -> usize {
        if to == "nats.n" {
            let stream = self.context.get_stream(&self.subject).await.unwrap();
            return usize::try_from(stream.cached_info().state.messages).unwrap();
        }
        let (config, topic) = (self.kafka(), self.topic.clone());
        let count = move || {
            let consumer: BaseConsumer = config.create().unwrap();
            let limit = Duration::from_secs(10);
            let ends = (0..PARTITIONS).map(|partition| {
                let (first, end) = consumer.fetch_watermarks(&topic, partition, limit).unwrap();
                usize::try_from(end - first).unwrap()
            });
            ends.sum()
        };
        tokio::task::spawn_blocking(count).await.unwrap()
    }

    async fn throughput(&self, from: &str, to: &str, records: usize) {
        match from {
            "kafka.k" => self.send_to_kafka(records, || vec![b'x'; PAYLOAD]).await,
            _ => self.publish_to_nats(records).await,
        }
        let supervisor = self.start_relay(from, to);
        let mut begun = None;
        let (mut first, mut last) = (0, 0);
        while last < records {
            tokio::time::sleep(Duration::from_millis(20)).await;
            last = self.arrived(to).await;
            if begun.is_none() && last > 0 {
                (begun, first) = (Some(Instant::now()), last);
            }
        }
        let took = begun.unwrap().elapsed().as_secs_f64();
        let rate = (records - first) as f64 / took;
        println!("{from} to {to}: {rate:.0} records/s of {PAYLOAD} bytes");
        supervisor.stop(Duration::from_secs(10)).await;
    }

    async fn latency(&self, from: &str, to: &str) {
        let supervisor = self.start_relay(from, to);
        // The first record waits until the route has begun.
        let count = RATE * SECONDS;
        match from {
            "kafka.k" => self.send_to_kafka(1, now).await,
            _ => drop(self.publish(0, now()).await.await.unwrap()),
        }
        while self.arrived(to).await < 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Joining a group takes seconds, and what is sent meanwhile would seem late.
        let both_read = Barrier::new(3);
        let (mut at_kafka, mut at_nats, ()) = tokio::join!(
            self.times_at_kafka(count, &both_read),
            self.times_at_nats(count, &both_read),
            self.send_steadily(from, count, &both_read),
        );
        for (side, times) in [("kafka.k", &mut at_kafka), ("nats.n", &mut at_nats)] {
            times.sort_unstable();
            let at =
                |part: usize| times.get(times.len() * part / 1_000).unwrap().as_secs_f64() * 1e3;
            println!(
                "{from} to {to} at {RATE}/s, read at {side}: p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms",
                at(500),
                at(990),
                at(999)
            );
        }
        supervisor.stop(Duration::from_secs(10)).await;
    }

    async fn send_steadily(&self, from: &str, count: usize, both_read: &Barrier) {
        let producer: FutureProducer = self.kafka().create().unwrap();
        both_read.wait().await;
        let mut ticks = interval(Duration::from_millis(5));
        for tick in 0..count / (RATE / 200) {
            ticks.tick().await;
            for number in 0..RATE / 200 {
                let number = tick * (RATE / 200) + number;
                let key = format!("key-{}", number % KEYS);
                if from == "kafka.k" {
                    let payload = now();
                    let record = FutureRecord::to(&self.topic).key(&key).payload(&payload);
                    drop(producer.send_result(record).map_err(|(e, _)| e).unwrap());
                } else {
                    drop(self.publish(number, now()).await);
                }
            }
        }
    }

    async fn times_at_kafka(&self, count: usize, both_read: &Barrier) -> Vec<Duration> {
        let mut config = self.kafka();
        config.set("fetch.wait.max.ms", "10");
        let consumer: StreamConsumer = config.create().unwrap();
        consumer.subscribe(&[&self.topic]).unwrap();
        // The first one waited for the route.
        consumer.recv().await.unwrap();
        both_read.wait().await;
        let mut times = Vec::new();
        while times.len() < count {
            let message = consumer.recv().await.unwrap();
            times.push(since(message.payload().unwrap()));
        }
        times
    }

    async fn times_at_nats(&self, count: usize, both_read: &Barrier) -> Vec<Duration> {
        let stream = self.context.get_stream(&self.subject).await.unwrap();
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        messages.next().await.unwrap().unwrap();
        both_read.wait().await;
        let mut times = Vec::new();
        while times.len() < count {
            let message = messages.next().await.unwrap().unwrap();
            times.push(since(&message.payload));
        }
        times
    }
}

/// A payload that begins with the time.
fn now() -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut payload = vec![b'x'; PAYLOAD];
    let nanos = now.as_nanos().to_be_bytes();
    payload.splice(..nanos.len(), nanos);
    payload
}

fn since(payload: &[u8]) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let nanos = u128::from_be_bytes(*payload.first_chunk().unwrap());
    now.saturating_sub(Duration::from_nanos(nanos.try_into().unwrap()))
}
