//! Finds what was published behind the marks that were kept, by the message ids in the streams.

use std::{collections::HashSet, time::Duration};

use async_nats::{
    header::NATS_MESSAGE_ID,
    jetstream::{
        consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull::Config},
        stream::Stream,
    },
};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::{
    super::{
        flow::{Interruption, Marks, Recalled},
        mapping::{MESSAGE_ID_HEADER, MESSAGE_ID_PREFIX},
    },
    connection::{ANSWER_DEADLINE, Connection},
    raw,
};

/// A consumer whose reader is gone is removed after this.
const INACTIVE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    streams: Option<Vec<String>>,
}

/// Reads what stands behind `marks` in the streams that have `subject`, and where they end; one by one if `is_raw` and
/// there may be messages that the client cannot read.
pub(super) async fn recall(
    connection: &Connection,
    subject: &str,
    marks: Option<&Marks>,
    is_raw: bool,
) -> Result<Recalled, Interruption> {
    let mut recalled = Recalled::default();
    let asked = json!({ "subject": subject });
    let names: Names = connection
        .jetstream
        .request("STREAM.NAMES", &asked)
        .await
        .map_err(Interruption::unavailable)?;
    let names = names.streams.unwrap_or_default();
    if names.is_empty() {
        let reason = format!("no stream of NATS has the subject `{subject}`");
        return Err(Interruption::Unavailable(reason));
    }
    for name in names {
        let stream = connection.jetstream.get_stream(&name).await;
        let stream = stream.map_err(Interruption::unavailable)?;
        let last = stream.cached_info().state.last_sequence;
        recalled.marks.advance(&name, last);
        if let Some(marks) = marks {
            // A stream that was not there when marks were kept is read whole.
            let from = marks.0.get(&name).copied().unwrap_or_default() + 1;
            if from <= last {
                let ids = match is_raw {
                    true => read_raw(connection, &name, subject, from, last).await?,
                    false => read(&stream, subject, from, last).await?,
                };
                recalled.ids.extend(ids);
            }
        }
    }
    Ok(recalled)
}

/// The ids of messages that a relay has published, from one sequence to another.
async fn read(
    stream: &Stream,
    subject: &str,
    from: u64,
    last: u64,
) -> Result<HashSet<String>, Interruption> {
    let config = Config {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: from,
        },
        ack_policy: AckPolicy::None,
        filter_subject: subject.to_owned(),
        headers_only: true,
        inactive_threshold: INACTIVE,
        ..Config::default()
    };
    let consumer: PullConsumer = stream
        .create_consumer(config)
        .await
        .map_err(Interruption::unavailable)?;
    let mut ids = HashSet::new();
    let mut reached = from - 1;
    let mut left = consumer.cached_info().num_pending;
    while left > 0 && reached < last {
        let batch = consumer
            .fetch()
            .max_messages(1_000)
            .expires(ANSWER_DEADLINE / 2)
            .messages();
        let mut batch = batch.await.map_err(Interruption::unavailable)?;
        let before = reached;
        while let Ok(Some(message)) = timeout(ANSWER_DEADLINE, batch.next()).await {
            let message = message.map_err(Interruption::unavailable)?;
            let info = message.info().map_err(Interruption::unavailable)?;
            (reached, left) = (info.stream_sequence, info.pending);
            let id = message
                .headers
                .as_ref()
                .and_then(|h| h.get(NATS_MESSAGE_ID));
            ids.extend(ours(id.map(|id| id.as_str())));
        }
        if reached == before {
            return Err(Interruption::unavailable("NATS does not answer in time"));
        }
    }
    let name = consumer.cached_info().name.clone();
    stream.delete_consumer(&name).await.ok();
    Ok(ids)
}

/// The same, message by message.
async fn read_raw(
    connection: &Connection,
    stream: &str,
    subject: &str,
    mut from: u64,
    last: u64,
) -> Result<HashSet<String>, Interruption> {
    let mut ids = HashSet::new();
    while let Some(record) = raw::next(connection, stream, subject, from).await?
        && record.sequence <= last
    {
        from = record.sequence + 1;
        ids.extend(ours(record.header(MESSAGE_ID_HEADER)));
    }
    Ok(ids)
}

/// An id that a relay has given.
fn ours(id: Option<&str>) -> Option<String> {
    let id = id.filter(|id| id.starts_with(MESSAGE_ID_PREFIX));
    id.map(str::to_owned)
}
