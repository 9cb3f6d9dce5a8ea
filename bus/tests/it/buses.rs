//! The buses that the suite runs over, and how each of them is interrupted.

use std::{cell::RefCell, future, net::SocketAddr};

use bridge::broker::{Access, Broker as EmbeddedBroker, BrokerConfig, BrokerError, BrokerStats};
use bus::BusUrl;
use futures::TryStreamExt;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    mocking::MockCluster,
    producer::DefaultProducerContext,
};
use tempfile::TempDir;
use testkit::{Proxy, eventually, server};
use tokio::{net::TcpListener, task::JoinHandle};

/// A bus to test against.
pub(crate) struct Bus {
    pub(crate) url: BusUrl,
    broker: Broker,
}

enum Broker {
    Mock(MockCluster<'static, DefaultProducerContext>),
    Embedded(Embedded),
    /// A real NATS server behind an address that can be made unreachable.
    Nats(Proxy),
    /// Its brokers tell clients their own addresses, so that none of them can be made unreachable.
    Kafka,
    Elsewhere,
}

impl Bus {
    pub(crate) fn kafka_mock() -> Self {
        let cluster = MockCluster::new(3).unwrap();
        let url = format!("kafka://{}", cluster.bootstrap_servers());
        Self {
            url: url.parse().unwrap(),
            broker: Broker::Mock(cluster),
        }
    }

    pub(crate) fn kafka_real() -> Option<Self> {
        let brokers = server("TEST_KAFKA_BROKERS")?;
        Some(Self {
            url: format!("kafka://{brokers}").parse().unwrap(),
            broker: Broker::Kafka,
        })
    }

    pub(crate) async fn embedded() -> Self {
        let embedded = Embedded::start().await;
        Self {
            url: format!("nats://{}", embedded.address).parse().unwrap(),
            broker: Broker::Embedded(embedded),
        }
    }

    pub(crate) async fn nats_real() -> Option<Self> {
        let url = server("TEST_NATS_URL")?;
        let address = url.trim_start_matches("nats://").to_owned();
        let proxy = Proxy::to(address).await.unwrap();
        Some(Self {
            url: format!("nats://{}", proxy.address()).parse().unwrap(),
            broker: Broker::Nats(proxy),
        })
    }

    /// A NATS broker that another part of the test runs.
    pub(crate) fn of(url: BusUrl) -> Self {
        Self {
            url,
            broker: Broker::Elsewhere,
        }
    }

    /// Makes a topic on the one broker that cannot be asked to make it.
    pub(crate) fn provide(&self, topic: &str) {
        if let Broker::Mock(cluster) = &self.broker {
            cluster.create_topic(topic, 3, 1).unwrap();
            cluster.create_topic(&format!("{topic}.dlq"), 3, 1).unwrap();
        }
    }

    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.broker, Broker::Embedded(_))
    }

    /// The mock cluster, to have it fail.
    pub(crate) fn mock(&self) -> &MockCluster<'static, DefaultProducerContext> {
        match &self.broker {
            Broker::Mock(cluster) => cluster,
            _ => panic!("the bus is no mock cluster"),
        }
    }

    pub(crate) fn can_be_unavailable(&self) -> bool {
        !matches!(self.broker, Broker::Kafka | Broker::Elsewhere)
    }

    /// The mock cluster has no such request.
    pub(crate) fn can_delete_events(&self) -> bool {
        !matches!(self.broker, Broker::Mock(_) | Broker::Elsewhere)
    }

    /// Deletes all events of a topic that are there, as its limits do.
    pub(crate) async fn delete_events(&self, topic: &str) {
        match &self.broker {
            Broker::Mock(_) | Broker::Elsewhere => panic!("events cannot be deleted here"),
            Broker::Kafka => self.delete_records(topic).await,
            Broker::Embedded(_) | Broker::Nats(_) => {
                let client = async_nats::connect(self.url.to_string()).await.unwrap();
                let jetstream = async_nats::jetstream::new(client);
                let name = jetstream.stream_by_subject(topic).await.unwrap();
                let stream = jetstream.get_stream(name).await.unwrap();
                let mut config = stream.cached_info().config.clone();
                let limits = (config.max_messages, config.max_bytes);
                // The smallest event has more bytes than this.
                config.max_bytes = 1;
                jetstream.update_stream(&config).await.unwrap();
                eventually("the stream is empty", async || {
                    stream.get_info().await.unwrap().state.messages == 0
                })
                .await;
                (config.max_messages, config.max_bytes) = limits;
                jetstream.update_stream(&config).await.unwrap();
            }
        }
    }

    /// Waits until no request of a consumer that has ended waits at a NATS server. One that has many subscriptions may take it for
    /// wanted until its next heartbeat and hand out what comes next to nobody; what is deleted before it is handed out again
    /// counts as settled there, so that no client can tell that it was missed.
    pub(crate) async fn are_requests_gone(&self, topic: &str) {
        let (Broker::Embedded(_) | Broker::Nats(_)) = &self.broker else {
            return;
        };
        let client = async_nats::connect(self.url.to_string()).await.unwrap();
        let jetstream = async_nats::jetstream::new(client);
        let name = jetstream.stream_by_subject(topic).await.unwrap();
        let stream = jetstream.get_stream(name).await.unwrap();
        eventually("no request waits", async || {
            let all: Vec<_> = stream.consumers().try_collect().await.unwrap();
            all.iter().all(|info| info.num_waiting == 0)
        })
        .await;
    }

    async fn delete_records(&self, topic: &str) {
        let BusUrl::Kafka(brokers) = &self.url else {
            panic!("the bus is no Kafka")
        };
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers.hosts().join(","));
        let admin: AdminClient<_> = config.create().unwrap();
        let mut offsets = TopicPartitionList::new();
        for partition in 0..3 {
            // Up to the end of the partition.
            let all = offsets.add_partition_offset(topic, partition, Offset::End);
            all.unwrap();
        }
        let deleted = admin.delete_records(&offsets, &AdminOptions::new()).await;
        deleted.unwrap();
    }

    pub(crate) async fn become_unavailable(&self) {
        match &self.broker {
            Broker::Mock(cluster) => cluster.broker_down(-1).unwrap(),
            Broker::Embedded(embedded) => embedded.crash().await,
            Broker::Nats(proxy) => proxy.down(),
            Broker::Kafka | Broker::Elsewhere => panic!("it cannot be made unreachable"),
        }
    }

    pub(crate) async fn come_back(&self) {
        match &self.broker {
            Broker::Mock(cluster) => cluster.broker_up(-1).unwrap(),
            Broker::Embedded(embedded) => embedded.restart().await,
            Broker::Nats(proxy) => proxy.up(),
            Broker::Kafka | Broker::Elsewhere => {}
        }
    }
}

/// The embedded broker with a data folder of its own.
struct Embedded {
    data: TempDir,
    address: SocketAddr,
    running: RefCell<Option<JoinHandle<()>>>,
}

impl Embedded {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let embedded = Self {
            data: tempfile::tempdir().unwrap(),
            address: listener.local_addr().unwrap(),
            running: RefCell::default(),
        };
        embedded.serve(listener).await;
        embedded
    }

    async fn serve(&self, listener: TcpListener) {
        let mut opened = None;
        eventually("the data folder is free", async || {
            let config = BrokerConfig::new(self.data.path(), Access::Open);
            match EmbeddedBroker::open(config, BrokerStats::default()).await {
                Ok(broker) => opened = Some(broker),
                // The threads of one that crashed may still be about to end.
                Err(BrokerError::InUse(_)) => {}
                Err(error) => panic!("the broker does not start: {error}"),
            }
            opened.is_some()
        })
        .await;
        let serving = opened.unwrap().serve(listener, future::pending());
        let running = tokio::spawn(async move { serving.await.unwrap() });
        self.running.replace(Some(running));
    }

    async fn crash(&self) {
        let running = self.running.take().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }

    async fn restart(&self) {
        let mut bound = None;
        // The thread of one that crashed may still be about to end.
        eventually("the address is free", async || {
            bound = TcpListener::bind(self.address).await.ok();
            bound.is_some()
        })
        .await;
        self.serve(bound.unwrap()).await;
    }
}
