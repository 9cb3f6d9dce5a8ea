use std::{sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::FromClientConfigAndContext,
    error::{KafkaError, RDKafkaErrorCode},
    metadata::MetadataTopic,
};

use super::client::{Listener, blocking, config, drop_elsewhere, unavailable};
use crate::{BusError, Condition};

/// Partitions of a topic that is made: so many consumers of a group can share it.
const PARTITIONS: i32 = 3;
/// As many replicas as the cluster has as its default.
const DEFAULT_REPLICATION: i32 = -1;
const DEADLINE: Duration = Duration::from_secs(5);

/// Makes those of `topics` that are absent.
pub(super) async fn make_topics(
    brokers: &[String],
    name: &str,
    condition: &Arc<Condition>,
    topics: &[String],
) -> Result<(), BusError> {
    let mut config = config(brokers, &format!("{name}-admin"));
    // To ask for a topic must not make it, with who knows how many partitions.
    config.set("allow.auto.create.topics", "false");
    let client = AdminClient::from_config_and_context(&config, Listener::new(condition));
    let client = Arc::new(client.map_err(unavailable)?);
    let made = make_absent(&client, topics).await;
    drop_elsewhere(client);
    if made.is_ok() {
        condition.broker_back();
    }
    made
}

async fn make_absent(
    client: &Arc<AdminClient<Listener>>,
    topics: &[String],
) -> Result<(), BusError> {
    let (asked, all) = (client.clone(), topics.to_vec());
    let absent = blocking(move || absent(&asked, all)).await?;
    match absent.map_err(unavailable)? {
        absent if absent.is_empty() => Ok(()),
        absent => ask_for(client, &absent).await,
    }
}

async fn ask_for(client: &AdminClient<Listener>, topics: &[String]) -> Result<(), BusError> {
    let new_topic = |topic| {
        NewTopic::new(
            topic,
            PARTITIONS,
            TopicReplication::Fixed(DEFAULT_REPLICATION),
        )
    };
    let new: Vec<_> = topics.iter().map(|topic| new_topic(topic)).collect();
    let options = AdminOptions::new()
        .request_timeout(Some(DEADLINE))
        .operation_timeout(Some(DEADLINE));
    let results = client
        .create_topics(&new, &options)
        .await
        .map_err(refused)?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => {
                return Err(unavailable(format!(
                    "the topic `{topic}` cannot be made: {error}"
                )));
            }
        }
    }
    Ok(())
}

fn refused(error: KafkaError) -> BusError {
    match error.rdkafka_error_code() {
        Some(code) => unavailable(format!("topics cannot be made: {code}")),
        None => unavailable(error),
    }
}

/// Those of `topics` that the broker does not have. Blocks.
fn absent(client: &AdminClient<Listener>, topics: Vec<String>) -> Result<Vec<String>, KafkaError> {
    let mut absent = Vec::new();
    for topic in topics {
        let metadata = client.inner().fetch_metadata(Some(&topic), DEADLINE)?;
        let is_it = |found: &MetadataTopic| found.name() == topic && found.error().is_none();
        if !metadata.topics().iter().any(is_it) {
            absent.push(topic);
        }
    }
    Ok(absent)
}
