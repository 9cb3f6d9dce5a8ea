//! Kafka as the tests have it: a mock cluster in this process, or a real one that the environment names.

use std::time::Duration;

use bytes::Bytes;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{Header, Headers, OwnedHeaders},
    mocking::MockCluster,
    producer::{DefaultProducerContext, FutureProducer, FutureRecord},
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use testkit::eventually;

/// How many partitions the topics of tests have.
pub(crate) const PARTITIONS: i32 = 3;

/// A Kafka.
pub(crate) struct Kafka {
    pub(crate) brokers: String,
    mock: Option<MockCluster<'static, DefaultProducerContext>>,
}

/// A record as a test reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: Vec<(String, Option<Bytes>)>,
    pub(crate) timestamp: Option<i64>,
}

impl Kafka {
    pub(crate) fn mock() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        // It cannot be asked to make a topic.
        cluster.create_topic("marquee-relay-leases", 1, 1).unwrap();
        Self {
            brokers: cluster.bootstrap_servers(),
            mock: Some(cluster),
        }
    }

    pub(crate) fn real(brokers: String) -> Self {
        Self {
            brokers,
            mock: None,
        }
    }

    /// A real one obeys no test, and tells clients its own addresses, so that none of them can be made unreachable.
    pub(crate) fn is_mock(&self) -> bool {
        self.mock.is_some()
    }

    /// Has the mock cluster refuse those of the next requests, as if one of their records was too large.
    pub(crate) fn refuse_requests(&self, are_refused: &[bool]) {
        let answer = |is_refused: &bool| match is_refused {
            true => RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
            false => RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
        };
        if let Some(mock) = &self.mock {
            let answers: Vec<_> = are_refused.iter().map(answer).collect();
            mock.request_errors(RDKafkaApiKey::Produce, &answers);
        }
    }

    /// Has the mock cluster answer every request late.
    pub(crate) fn answer_late(&self) {
        let mock = self.mock.as_ref().unwrap();
        mock.broker_round_trip_time(-1, Duration::from_millis(100))
            .unwrap();
    }

    pub(crate) fn become_unavailable(&self) {
        self.mock.as_ref().unwrap().broker_down(-1).unwrap();
    }

    pub(crate) fn come_back(&self) {
        self.mock.as_ref().unwrap().broker_up(-1).unwrap();
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    pub(crate) async fn create_topic(&self, topic: &str) {
        let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
        self.create(topic, new).await;
    }

    /// A topic whose records have 2,000 bytes at most; the mock cluster does not look at that.
    pub(crate) async fn create_topic_of_small_records(&self, topic: &str) {
        let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
        let new = new.set("max.message.bytes", "2000");
        self.create(topic, new).await;
    }

    /// Deletes a topic, and makes another one of its name as soon as the broker lets it.
    pub(crate) async fn make_again(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let options = AdminOptions::new();
        let deleted = admin.delete_topics(&[topic], &options).await;
        deleted.unwrap()[0].as_ref().unwrap();
        let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
        eventually("the topic is made again", async || {
            let made = admin.create_topics([&new], &options).await;
            made.is_ok_and(|made| made[0].is_ok())
        })
        .await;
    }

    async fn create(&self, name: &str, topic: NewTopic<'_>) {
        if let Some(mock) = &self.mock {
            return mock.create_topic(name, PARTITIONS, 1).unwrap();
        }
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let created = admin.create_topics([&topic], &AdminOptions::new()).await;
        created.unwrap()[0].as_ref().unwrap();
    }

    pub(crate) fn producer(&self) -> FutureProducer {
        let mut config = self.config();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("message.max.bytes", "2000000");
        config.create().unwrap()
    }

    /// The names of all topics that begin so.
    pub(crate) async fn topics_of(&self, prefix: &str) -> Vec<String> {
        let (config, prefix) = (self.config(), prefix.to_owned());
        let asked = move || {
            let consumer: BaseConsumer = config.create().unwrap();
            let limit = Duration::from_secs(10);
            let metadata = consumer.fetch_metadata(None, limit).unwrap();
            let names = metadata.topics().iter().map(|topic| topic.name());
            let names = names.filter(|name| name.starts_with(&prefix));
            names.map(str::to_owned).collect()
        };
        tokio::task::spawn_blocking(asked).await.unwrap()
    }

    /// How many records of a topic the instances of a route have acknowledged.
    pub(crate) async fn committed(&self, route: String, topic: String) -> i64 {
        let mut config = self.config();
        let asked = move || {
            let limit = Duration::from_secs(10);
            let consumer: BaseConsumer = config.create().unwrap();
            let groups = consumer.fetch_group_list(None, limit).unwrap();
            let mut groups = groups.groups().iter().map(|group| group.name());
            let is_of_route = |group: &&str| group.starts_with(&format!("marquee-relay-{route}-"));
            let group = groups.find(is_of_route).unwrap();
            let member: BaseConsumer = config.set("group.id", group).create().unwrap();
            let mut partitions = TopicPartitionList::new();
            partitions.add_partition_range(&topic, 0, PARTITIONS - 1);
            let committed = member.committed_offsets(partitions, limit).unwrap();
            let offsets = committed.elements().into_iter();
            offsets
                .filter_map(|element| element.offset().to_raw())
                .sum()
        };
        tokio::task::spawn_blocking(asked).await.unwrap()
    }

    /// All records of a topic, those of each partition in order.
    pub(crate) async fn read(&self, topic: &str) -> Vec<Read> {
        let mut all = None;
        // A broker hears of a topic a little later than the one that made it, and connections are lost.
        eventually("the topic can be read", async || {
            let (config, topic) = (self.config(), topic.to_owned());
            let read = tokio::task::spawn_blocking(move || read(config, &topic));
            all = read.await.unwrap().ok();
            all.is_some()
        })
        .await;
        all.unwrap()
    }
}

fn read(mut config: ClientConfig, topic: &str) -> Result<Vec<Read>, KafkaError> {
    config
        .set("group.id", "test-reader")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "10")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create()?;
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let limit = Duration::from_secs(10);
        let (first, end) = consumer.fetch_watermarks(topic, partition, limit)?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, partition, Offset::Offset(first))?;
        consumer.assign(&from)?;
        let mut at = first;
        while at < end {
            match consumer.poll(limit) {
                Some(Ok(message)) => {
                    at = message.offset() + 1;
                    all.push(of(&message));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => return Err(error),
                None => return Err(KafkaError::NoMessageReceived),
            }
        }
    }
    Ok(all)
}

fn of(message: &impl Message) -> Read {
    let copy = Bytes::copy_from_slice;
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    Read {
        key: message.key().map(copy),
        value: message.payload().map(copy),
        headers: headers
            .map(|header| (header.key.to_owned(), header.value.map(copy)))
            .collect(),
        timestamp: message.timestamp().to_millis(),
    }
}

/// Sends a record and waits until the broker has it.
pub(crate) async fn send(producer: &FutureProducer, topic: &str, record: &Read) {
    let headers = record.headers.iter();
    let headers = headers.fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: value.as_deref(),
        })
    });
    let record: FutureRecord<'_, [u8], [u8]> = FutureRecord {
        topic,
        partition: None,
        payload: record.value.as_deref(),
        key: record.key.as_deref(),
        timestamp: record.timestamp,
        headers: Some(headers),
    };
    let sent = producer.send(record, Duration::from_secs(20)).await;
    sent.map_err(|(error, _)| error).unwrap();
}
