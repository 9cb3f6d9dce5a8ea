use bridge::bus::BusUrl;
use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

use crate::proxy::Proxy;

/// A bus to test against.
pub(crate) struct Bus {
    pub(crate) url: BusUrl,
    broker: Broker,
}

enum Broker {
    Mock(MockCluster<'static, DefaultProducerContext>),
    /// A real NATS server, or the embedded broker, behind an address that can be taken away.
    Nats(Proxy),
    /// Its brokers tell clients their own addresses, so that none of them can be taken away.
    Kafka,
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

    pub(crate) async fn nats_real() -> Option<Self> {
        let url = server("TEST_NATS_URL")?;
        Some(Self::nats_at(url.trim_start_matches("nats://")).await)
    }

    async fn nats_at(address: &str) -> Self {
        let proxy = Proxy::to(address.to_owned()).await.unwrap();
        Self {
            url: format!("nats://{}", proxy.address()).parse().unwrap(),
            broker: Broker::Nats(proxy),
        }
    }

    pub(crate) fn can_go_away(&self) -> bool {
        !matches!(self.broker, Broker::Kafka)
    }

    pub(crate) fn go_away(&self) {
        match &self.broker {
            Broker::Mock(cluster) => cluster.broker_down(-1).unwrap(),
            Broker::Nats(proxy) => proxy.down(),
            Broker::Kafka => panic!("a real cluster cannot be taken away"),
        }
    }

    pub(crate) fn come_back(&self) {
        match &self.broker {
            Broker::Mock(cluster) => cluster.broker_up(-1).unwrap(),
            Broker::Nats(proxy) => proxy.up(),
            Broker::Kafka => {}
        }
    }
}

/// The server that the environment names; without one the test is skipped, which CI forbids.
fn server(variable: &str) -> Option<String> {
    let server = std::env::var(variable).ok();
    if server.is_none() {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        assert!(
            std::env::var_os("CI_REQUIRE_SERVERS").is_none(),
            "{variable} is not set"
        );
        eprintln!("SKIPPED {test}: {variable} is not set");
    }
    server
}
