//! The consumers of the sessions of a route, of which each has one.

use std::time::Duration;

use async_nats::jetstream::{
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull::Config},
    stream::{RetentionPolicy, Stream},
};
use futures::StreamExt;

use super::{super::flow::Interruption, source::Reading};

/// A message that is not acknowledged is handed out again after this: longer than a batch may take.
const ACK_WAIT: Duration = Duration::from_secs(12);

/// The consumers of sessions before this one.
pub(super) struct Earlier {
    names: Vec<String>,
    /// The highest number among their names.
    number: u64,
    /// Acknowledged up to here.
    pub(super) floor: u64,
    /// Handed out up to here.
    pub(super) delivered: u64,
}

impl Earlier {
    pub(super) async fn find(stream: &Stream, durable: &str) -> Result<Self, Interruption> {
        let mut earlier = Self {
            names: Vec::new(),
            number: 0,
            floor: 0,
            delivered: 0,
        };
        let mut names = stream.consumer_names();
        while let Some(name) = names.next().await {
            let name = name.map_err(Interruption::unavailable)?;
            let suffix = name.strip_prefix(durable);
            let suffix = suffix.and_then(|suffix| suffix.strip_prefix('-')?.parse::<u64>().ok());
            if let Some(suffix) = suffix {
                earlier.number = suffix.max(earlier.number);
                earlier.names.push(name);
            }
        }
        for name in &earlier.names {
            let info = stream.consumer_info(name).await;
            let info = info.map_err(Interruption::unavailable)?;
            earlier.floor = info.ack_floor.stream_sequence.max(earlier.floor);
            earlier.delivered = info.delivered.stream_sequence.max(earlier.delivered);
        }
        Ok(earlier)
    }

    /// The name of the last one.
    pub(super) fn latest(&self, durable: &str) -> Option<String> {
        let is_known = !self.names.is_empty();
        is_known.then(|| format!("{durable}-{}", self.number))
    }

    /// Makes the consumer of a session, which begins behind `floor`, and deletes those before it: what they were handed
    /// out is for this one. The messages `raw` of those are durable at the other side.
    pub(super) async fn replace(
        &self,
        stream: &Stream,
        reading: &Reading,
        floor: u64,
        raw: &[u64],
    ) -> Result<PullConsumer, Interruption> {
        // Such a stream has one consumer for a message, and what it has is not acknowledged.
        let is_queue = stream.cached_info().config.retention == RetentionPolicy::WorkQueue;
        if is_queue {
            delete(stream, &self.names).await?;
            for sequence in raw {
                let deleted = stream.delete_message(*sequence).await;
                deleted.map_err(Interruption::unavailable)?;
            }
        }
        let (filter_subject, filter_subjects) = match reading.subjects.as_slice() {
            [only] => (only.clone(), Vec::new()),
            several => (String::new(), several.to_vec()),
        };
        let config = Config {
            durable_name: Some(format!("{}-{}", reading.durable, self.number + 1)),
            deliver_policy: match floor {
                floor if floor > 0 && !is_queue => DeliverPolicy::ByStartSequence {
                    start_sequence: floor + 1,
                },
                _ => DeliverPolicy::All,
            },
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            filter_subject,
            filter_subjects,
            max_ack_pending: i64::try_from(reading.limits.max_in_flight).unwrap_or(i64::MAX),
            ..Config::default()
        };
        let made = stream.create_consumer(config).await;
        let made = made.map_err(Interruption::unavailable)?;
        if !is_queue {
            delete(stream, &self.names).await?;
        }
        Ok(made)
    }
}

async fn delete(stream: &Stream, consumers: &[String]) -> Result<(), Interruption> {
    for name in consumers {
        let deleted = stream.delete_consumer(name).await;
        deleted.map_err(Interruption::unavailable)?;
    }
    Ok(())
}
