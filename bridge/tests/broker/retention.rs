//! What streams keep that set no limit of their own, and that no consumer loses messages in silence.

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, stream};
use bridge::broker::{Access, Broker, BrokerConfig, BrokerStats, Retention};
use futures::StreamExt;
use testkit::{LIMIT, eventually};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

struct Running {
    dir: tempfile::TempDir,
    stats: BrokerStats,
    context: jetstream::Context,
    serving: JoinHandle<()>,
}

impl Running {
    async fn start(retention: Retention, segment_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = BrokerConfig {
            retention,
            segment_bytes,
            ..BrokerConfig::new(dir.path(), Access::Open)
        };
        let stats = BrokerStats::default();
        let broker = Broker::open(config, stats.clone()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let serving = tokio::spawn(async move {
            broker
                .serve(listener, std::future::pending())
                .await
                .unwrap();
        });
        let context = jetstream::new(async_nats::connect(addr).await.unwrap());
        Running {
            dir,
            stats,
            context,
            serving,
        }
    }

    async fn stream(&self) -> (stream::Stream, PullConsumer) {
        let config = stream::Config {
            name: "S".into(),
            ..stream::Config::default()
        };
        let stream = self.context.create_stream(config).await.unwrap();
        let durable = pull::Config {
            durable_name: Some("d".into()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: 10_000,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(durable).await.unwrap();
        (stream, consumer)
    }

    async fn publish(&self, count: usize) {
        let acks = futures::stream::iter(0..count).map(async |_| {
            let ack = self.context.publish("S", vec![b'x'; 1000].into()).await;
            ack.unwrap().await.unwrap();
        });
        acks.buffer_unordered(100).collect::<()>().await;
    }

    fn disk_bytes(&self) -> u64 {
        bytes_in(&self.dir.path().join("streams/S"))
    }
}

fn bytes_in(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap();
    let len = |file: std::io::Result<std::fs::DirEntry>| {
        file.unwrap().metadata().map_or(0, |meta| meta.len())
    };
    files.map(len).sum()
}

async fn acknowledge(consumer: &PullConsumer, count: usize) {
    // Takes no more than these: what is taken and not acknowledged is not delivered again for half a minute.
    let batch = consumer.batch().max_messages(count).expires(LIMIT);
    let mut messages = batch.messages().await.unwrap();
    for _ in 0..count {
        messages.next().await.unwrap().unwrap().ack().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_keeps_so_many_bytes_and_gives_the_disk_back() {
    let retention = Retention {
        max_bytes: 100_000,
        ..Retention::UNLIMITED
    };
    let broker = Running::start(retention, 10_000).await;
    let (mut stream, _) = broker.stream().await;
    broker.publish(1000).await;
    let state = stream.info().await.unwrap().state.clone();
    assert!(state.bytes <= 100_000 && state.bytes > 90_000, "{state:?}");
    assert_eq!(state.last_sequence, 1000);
    assert_eq!(
        stream.info().await.unwrap().config.max_bytes,
        -1,
        "what it asked for"
    );
    // Of a megabyte: what is kept, and the rest of its oldest segment, which holds as much as was published at once.
    let kept_and_as_much_again = 100_000 + 100 * 1_100 + 10_000;
    eventually("the disk is given back", async || {
        broker.disk_bytes() < kept_and_as_much_again
    })
    .await;
    broker.serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_durable_consumer_has_acknowledged_goes_after_a_while() {
    let retention = Retention {
        keep_acknowledged: Duration::from_millis(10),
        ..Retention::UNLIMITED
    };
    let broker = Running::start(retention, 16 << 20).await;
    let (mut stream, consumer) = broker.stream().await;
    let late = pull::Config {
        durable_name: Some("late".into()),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    let late = stream.create_consumer(late).await.unwrap();
    broker.publish(2000).await;
    acknowledge(&consumer, 2000).await;
    acknowledge(&late, 500).await;
    eventually("what both have acknowledged is gone", async || {
        stream.info().await.unwrap().state.messages == 1500
    })
    .await;
    acknowledge(&late, 1500).await;
    eventually("the disk is given back", async || {
        stream.info().await.unwrap().state.messages == 0 && broker.disk_bytes() < 300_000
    })
    .await;
    assert_eq!(broker.stats.lagging_streams(), 0);
    broker.publish(1).await;
    assert_eq!(stream.info().await.unwrap().state.last_sequence, 2001);
    broker.serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_consumer_that_is_behind_is_told_of_before_it_loses_anything() {
    let retention = Retention {
        max_bytes: 100_000,
        ..Retention::UNLIMITED
    };
    let broker = Running::start(retention, 10_000).await;
    let (mut stream, consumer) = broker.stream().await;
    broker.publish(90).await;
    eventually("the lag is reported", async || {
        broker.stats.lagging_streams() == 1
    })
    .await;
    assert_eq!(stream.info().await.unwrap().state.messages, 90);
    acknowledge(&consumer, 90).await;
    eventually("no lag is reported", async || {
        broker.stats.lagging_streams() == 0
    })
    .await;
    broker.publish(200).await;
    eventually("the loss is reported", async || {
        broker.stats.lagging_streams() == 1
    })
    .await;
    acknowledge(&consumer, 96).await;
    broker.context.delete_stream("S").await.unwrap();
    eventually("the stream is gone", async || {
        broker.stats.lagging_streams() == 0
    })
    .await;
    broker.serving.abort();
}
