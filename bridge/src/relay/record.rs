//! Records of Kafka and messages of NATS as the relay holds them, free of any client.
//!
//! The client `async-nats` keeps headers in a hash map: who fills a [`NatsRecord`] from it sorts them by name, which
//! keeps the order of the values of one name.

use bytes::Bytes;

use super::mapping::MESSAGE_ID_PREFIX;

/// A record of Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KafkaRecord {
    /// The topic that it is in or goes to.
    pub topic: String,
    /// The partition that it was read from; 0 for a record that is still to be written.
    pub partition: i32,
    /// The offset that it was read from; 0 for a record that is still to be written.
    pub offset: i64,
    /// The key. A record without one is not the same as one with an empty key.
    pub key: Option<Bytes>,
    /// The value; none is a tombstone.
    pub value: Option<Bytes>,
    /// The headers in their order; names may repeat, and values may be absent.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// When it was made, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
}

/// A message of NATS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NatsRecord {
    /// The subject that it was published to or goes to.
    pub subject: String,
    /// The headers in their order; names may repeat.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub payload: Bytes,
    /// The sequence in the stream that it was read from; 0 for a message that is still to be published.
    pub sequence: u64,
    /// When the stream stored it, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// Why its headers are not all there: they cannot be read.
    pub flaw: Option<String>,
}

impl KafkaRecord {
    /// Bytes of key, value and headers.
    pub fn size(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter().map(|(n, v)| n.len() + length(v));
        length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }

    /// The partition with its cluster, as the ids of its records begin.
    pub fn lane(cluster: &str, topic: &str, partition: i32) -> String {
        format!("{MESSAGE_ID_PREFIX}{cluster}/{topic}/{partition}")
    }

    /// The `Nats-Msg-Id` by which JetStream drops a second copy of this record. `cluster` is the id of the Kafka
    /// cluster. The time tells a record apart from the one that had its place before the topic was deleted and
    /// created again.
    pub fn message_id(&self, cluster: &str) -> String {
        let Self {
            topic,
            partition,
            offset,
            timestamp_ms,
            ..
        } = self;
        let time = timestamp_ms.unwrap_or(-1);
        format!("{}/{offset}/{time}", Self::lane(cluster, topic, *partition))
    }
}

impl NatsRecord {
    /// Bytes of payload and headers.
    pub fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(n, v)| n.len() + v.len() + 4);
        self.payload.len() + headers.sum::<usize>()
    }

    /// The first value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        let (_, value) = all.find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        Some(value)
    }
}
