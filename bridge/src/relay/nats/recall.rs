//! Finds what was published behind the marks that were kept, by the message ids in the streams.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

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

/// What was read of each stream, also by a recall that was given up: the next one goes on behind it.
#[derive(Default)]
pub(super) struct Progress(HashMap<String, Found>);

/// What a stream has.
struct Found {
    /// The first sequence and the last one that were looked at.
    from: u64,
    reached: u64,
    ids: HashSet<String>,
}

impl Progress {
    /// What is known of a stream from one sequence to another, at most.
    fn of(&mut self, stream: &str, from: u64, last: u64) -> &mut Found {
        let nothing = || Found {
            from,
            reached: from - 1,
            ids: HashSet::new(),
        };
        let found = self.0.entry(stream.to_owned()).or_insert_with(nothing);
        // Older marks were kept, or it is another stream of this name.
        if found.from > from || found.reached > last {
            *found = nothing();
        }
        found
    }
}

/// Reads what stands behind `marks` in the streams that have `subject`, and where they end; one by one if `is_raw` and
/// there may be messages that the client cannot read. Goes on behind `progress`, which is over when this is done.
pub(super) async fn recall(
    connection: &Connection,
    subject: &str,
    marks: Option<&Marks>,
    is_raw: bool,
    progress: &mut Progress,
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
    progress.0.retain(|stream, _| names.contains(stream));
    for name in names {
        let stream = connection.jetstream.get_stream(&name).await;
        let stream = stream.map_err(Interruption::unavailable)?;
        let last = stream.cached_info().state.last_sequence;
        recalled.marks.advance(&name, last);
        if let Some(marks) = marks {
            // A stream that was not there when marks were kept is read whole.
            let from = marks.0.get(&name).copied().unwrap_or_default() + 1;
            let found = progress.of(&name, from, last.max(from - 1));
            if found.reached < last {
                match is_raw {
                    true => read_raw(connection, &name, subject, last, found).await?,
                    false => read(&stream, subject, last, found).await?,
                }
            }
        }
    }
    let found = std::mem::take(progress);
    recalled.ids = found.0.into_values().flat_map(|f| f.ids).collect();
    Ok(recalled)
}

/// Finds the ids of messages that a relay has published, up to a sequence.
async fn read(
    stream: &Stream,
    subject: &str,
    last: u64,
    found: &mut Found,
) -> Result<(), Interruption> {
    let config = Config {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: found.reached + 1,
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
    let mut left = consumer.cached_info().num_pending;
    while left > 0 && found.reached < last {
        let batch = consumer
            .fetch()
            .max_messages(1_000)
            .expires(ANSWER_DEADLINE / 2)
            .messages();
        let mut batch = batch.await.map_err(Interruption::unavailable)?;
        let before = found.reached;
        while let Ok(Some(message)) = timeout(ANSWER_DEADLINE, batch.next()).await {
            let message = message.map_err(Interruption::unavailable)?;
            let info = message.info().map_err(Interruption::unavailable)?;
            let id = message
                .headers
                .as_ref()
                .and_then(|h| h.get(NATS_MESSAGE_ID));
            found.ids.extend(ours(id.map(|id| id.as_str())));
            (found.reached, left) = (info.stream_sequence, info.pending);
        }
        if found.reached == before {
            return Err(Interruption::unavailable("NATS does not answer in time"));
        }
    }
    let name = consumer.cached_info().name.clone();
    stream.delete_consumer(&name).await.ok();
    Ok(())
}

/// The same, message by message.
async fn read_raw(
    connection: &Connection,
    stream: &str,
    subject: &str,
    last: u64,
    found: &mut Found,
) -> Result<(), Interruption> {
    while let Some(record) = raw::next(connection, stream, subject, found.reached + 1).await?
        && record.sequence <= last
    {
        found.ids.extend(ours(record.header(MESSAGE_ID_HEADER)));
        found.reached = record.sequence;
    }
    Ok(())
}

/// An id that a relay has given.
fn ours(id: Option<&str>) -> Option<String> {
    let id = id.filter(|id| id.starts_with(MESSAGE_ID_PREFIX));
    id.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::future;

    use async_nats::HeaderMap;
    use bus::BusUrl;
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        broker::{Access, Broker, BrokerConfig, BrokerStats},
        relay::config::NatsCluster,
    };

    const MESSAGES: usize = 500;

    #[actix::test]
    async fn a_recall_goes_on_where_it_was_given_up() {
        let data = tempfile::tempdir().unwrap();
        let config = BrokerConfig::new(data.path(), Access::Open);
        let broker = Broker::open(config, BrokerStats::default()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(broker.serve(listener, future::pending()));
        let url = format!("nats://{address}");
        let Ok(BusUrl::Nats(servers)) = url.parse() else {
            panic!("{url}")
        };
        let cluster = NatsCluster {
            name: "main".into(),
            id: "main".into(),
            servers,
        };
        let connection = Connection::open(&cluster, "test").await.unwrap();
        connection.stream("films", true).await.unwrap();
        for is_raw in [true, false] {
            let id = |number: usize| format!("{MESSAGE_ID_PREFIX}{is_raw}/{number}");
            let mut confirmations = Vec::new();
            for number in 0..MESSAGES {
                let mut headers = HeaderMap::new();
                headers.insert(MESSAGE_ID_HEADER, id(number));
                let sent = connection
                    .jetstream
                    .publish_with_headers("films", headers, "".into());
                confirmations.push(sent.await.unwrap());
            }
            for confirmation in confirmations {
                confirmation.await.unwrap();
            }
            let stream = connection.jetstream.get_stream("films").await.unwrap();
            let mut progress = Progress::default();
            let mut patience = Duration::ZERO;
            let recalled = loop {
                patience += Duration::from_millis(10);
                let marks = Marks::default();
                let recalling = recall(&connection, "films", Some(&marks), is_raw, &mut progress);
                if let Ok(recalled) = timeout(patience, recalling).await {
                    break recalled.unwrap();
                }
                // What was read is not there a second time.
                let reached = progress.0.values().map(|found| found.reached).sum::<u64>();
                stream.purge().sequence(reached + 1).await.unwrap();
            };
            assert_eq!(recalled.ids, (0..MESSAGES).map(id).collect());
            assert!(progress.0.is_empty());
            stream.purge().await.unwrap();
        }
    }
}
