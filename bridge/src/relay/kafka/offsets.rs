//! Offsets as a route commits them: the metadata of each has the marks of the output, so that whoever has the partition
//! next knows where to look for what was written and not committed.

use rdkafka::{
    Offset, TopicPartitionList, error::KafkaError, topic_partition_list::TopicPartitionListElem,
};

use super::super::flow::{Interruption, Marks};

/// More metadata a broker does not take with an offset.
const MAX_METADATA: usize = 4_000;
/// The digits of the largest mark.
const MAX_DIGITS: usize = 19;

/// Whether marks of these parts can be kept, however large they become.
pub(super) fn have_room<'a>(parts: impl IntoIterator<Item = &'a str>) -> bool {
    // Of each there are quotes, colon and comma, too.
    let lengths = parts.into_iter().map(|part| part.len() + MAX_DIGITS + 4);
    2 + lengths.sum::<usize>() <= MAX_METADATA
}

/// Marks as they are kept with an offset.
pub(super) fn metadata(marks: &Marks) -> Result<String, Interruption> {
    let text = serde_json::to_string(marks).map_err(Interruption::unavailable)?;
    if text.len() > MAX_METADATA {
        let reason = format!(
            "the route writes to {} partitions or streams, more than can be kept with an offset",
            marks.0.len()
        );
        return Err(Interruption::Unavailable(reason));
    }
    Ok(text)
}

/// The marks that were kept with a committed offset. Another program may have committed here: then there are none.
pub(super) fn kept(committed: &TopicPartitionListElem<'_>) -> Option<Marks> {
    serde_json::from_str(committed.metadata()).ok()
}

/// Adds an offset with what [`metadata`] made of marks.
pub(super) fn add(
    offsets: &mut TopicPartitionList,
    topic: &str,
    partition: i32,
    offset: i64,
    metadata: &str,
) -> Result<(), KafkaError> {
    let mut element = offsets.add_partition(topic, partition);
    element.set_offset(Offset::Offset(offset))?;
    element.set_metadata(metadata);
    Ok(())
}
