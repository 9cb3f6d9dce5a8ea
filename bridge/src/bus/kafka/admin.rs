use std::{sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::FromClientConfigAndContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use super::client::{Listener, blocking, config, drop_elsewhere, unavailable};
use crate::bus::{BusError, Condition};

/// Partitions of a topic that is made: so many consumers of a group can share it.
const PARTITIONS: i32 = 3;
/// As many replicas as the cluster has as its default.
const DEFAULT_REPLICATION: i32 = -1;
const DEADLINE: Duration = Duration::from_secs(10);

/// Makes those of `topics` that are absent.
pub(super) async fn make_topics(
    brokers: &[String],
    name: &str,
    condition: &Arc<Condition>,
    topics: &[String],
) -> Result<(), BusError> {
    let config = config(brokers, &format!("{name}-admin"));
    let client = AdminClient::from_config_and_context(&config, Listener::new(condition));
    let client = Arc::new(client.map_err(unavailable)?);
    let made = ask_for(&client, topics).await;
    let made = match made {
        Ok(()) => Ok(()),
        Err(refusal) => {
            // Whoever may not make topics, or whose broker cannot be asked to, can still use them
            // if they are there, or if the broker makes them when they are asked for.
            let (asked, topics) = (client.clone(), topics.to_vec());
            let all_exist = move || topics.iter().all(|topic| exists(&asked, topic));
            if blocking(all_exist).await? { Ok(()) } else { Err(refusal) }
        }
    };
    drop_elsewhere(client);
    if made.is_ok() {
        condition.broker_back();
    }
    made
}

async fn ask_for(client: &AdminClient<Listener>, topics: &[String]) -> Result<(), BusError> {
    let new_topic = |topic| {
        NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(DEFAULT_REPLICATION))
    };
    let new: Vec<_> = topics.iter().map(|topic| new_topic(topic)).collect();
    let options = AdminOptions::new()
        .request_timeout(Some(DEADLINE))
        .operation_timeout(Some(DEADLINE));
    let results = client.create_topics(&new, &options).await.map_err(refused)?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => {
                return Err(unavailable(format!("the topic `{topic}` cannot be made: {error}")));
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

/// Whether the broker has `topic`, perhaps only now that it is asked. Blocks.
fn exists(client: &AdminClient<Listener>, topic: &str) -> bool {
    let is_there = || {
        let metadata = client.inner().fetch_metadata(Some(topic), DEADLINE).ok()?;
        let topic = metadata.topics().iter().find(|t| t.name() == topic)?;
        Some(topic.error().is_none() && !topic.partitions().is_empty())
    };
    // The first question may only have it made.
    (0..3).any(|_| is_there() == Some(true))
}
