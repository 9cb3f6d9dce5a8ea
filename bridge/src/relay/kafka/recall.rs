//! Finds what a producer that is gone has written behind the marks that were kept: its records name their inputs.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};

use super::{
    super::{
        config::KafkaCluster,
        flow::{Marks, Recalled},
    },
    client::{Quiet, settings},
};

/// Header: the id of the input that a record was made of.
pub(in super::super) const ID_HEADER: &str = "Marquee-Relay-Id";

const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// How long reading may take; then the route begins anew.
const READ_DEADLINE: Duration = Duration::from_secs(50);

/// The name of a partition in [`Marks`].
pub(super) fn part(topic: &str, partition: i32) -> String {
    format!("{topic}/{partition}")
}

/// Reads what stands behind `marks` in the topics that match, and where they end. Blocks.
pub(super) fn recall(
    cluster: &KafkaCluster,
    name: &str,
    is_target: impl Fn(&str) -> bool,
    marks: Option<&Marks>,
) -> Result<Recalled, KafkaError> {
    let mut config = settings(cluster, &format!("{name}-recall"), &[]);
    // Nothing is committed: librdkafka wants the name of a group all the same.
    config
        .set("group.id", format!("marquee-relay-recall-{name}"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        // What is behind an open transaction of another producer was written all the same.
        .set("isolation.level", "read_uncommitted")
        .set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet::default())?;
    let metadata = consumer.fetch_metadata(None, ANSWER_DEADLINE)?;
    let mut recalled = Recalled::default();
    let until = Instant::now() + READ_DEADLINE;
    for topic in metadata.topics().iter().filter(|t| is_target(t.name())) {
        for partition in topic.partitions() {
            let (topic, partition) = (topic.name(), partition.id());
            let (first, end) = consumer.fetch_watermarks(topic, partition, ANSWER_DEADLINE)?;
            let part = part(topic, partition);
            let at_end = u64::try_from(end).unwrap_or_default();
            recalled.marks.advance(&part, at_end);
            let Some(marks) = marks else {
                continue;
            };
            // A partition that was not there when marks were kept is read whole.
            let mark = marks.0.get(&part).copied().unwrap_or_default();
            let from = i64::try_from(mark).unwrap_or(i64::MAX).max(first);
            if from < end {
                let mut behind = TopicPartitionList::new();
                behind.add_partition_offset(topic, partition, Offset::Offset(from))?;
                consumer.assign(&behind)?;
                read(&consumer, end, until, &mut recalled.ids)?;
            }
        }
    }
    Ok(recalled)
}

/// Reads the partition that is assigned up to `end`.
fn read(
    consumer: &BaseConsumer<Quiet>,
    end: i64,
    until: Instant,
    ids: &mut HashSet<String>,
) -> Result<(), KafkaError> {
    while Instant::now() < until {
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            // The last offsets may be no records, but marks of transactions.
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) => return Err(error),
            Some(Ok(message)) => {
                if message.offset() < end {
                    ids.extend(id(&message));
                }
                if message.offset() + 1 >= end {
                    return Ok(());
                }
            }
        }
    }
    Err(KafkaError::Canceled)
}

fn id(message: &BorrowedMessage<'_>) -> Option<String> {
    let mut headers = message.headers()?.iter();
    let header = headers.find(|header| header.key == ID_HEADER)?;
    String::from_utf8(header.value?.to_vec()).ok()
}
