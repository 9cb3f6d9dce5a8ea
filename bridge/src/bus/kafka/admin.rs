use std::{sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::FromClientConfigAndContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use tokio::time::sleep;

use super::client::{Listener, blocking, config, drop_elsewhere, unavailable};
use crate::bus::{BusError, Condition};

/// Partitions of a topic that is made: so many consumers of a group can share it.
const PARTITIONS: i32 = 3;
/// As many replicas as the cluster has as its default.
const DEFAULT_REPLICATION: i32 = -1;
const DEADLINE: Duration = Duration::from_secs(5);
/// A broker that makes topics when they are asked for needs a moment for it.
const QUESTIONS: usize = 10;
const QUESTION_INTERVAL: Duration = Duration::from_millis(200);

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
    let mut made = ask_for(&client, topics).await;
    if made.is_err() && !condition.is_broker_suspected() && all_exist(&client, topics).await? {
        // Whoever may not make topics, or whose broker cannot be asked to, can still use them.
        made = Ok(());
    }
    drop_elsewhere(client);
    if made.is_ok() {
        condition.broker_back();
    }
    made
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

/// Whether the broker has all of `topics`, perhaps only now that it is asked for them.
async fn all_exist(
    client: &Arc<AdminClient<Listener>>,
    topics: &[String],
) -> Result<bool, BusError> {
    for topic in topics {
        let mut questions = 0;
        loop {
            let (asked, name) = (client.clone(), topic.clone());
            match blocking(move || exists(&asked, &name)).await? {
                Ok(true) => break,
                Ok(false) if questions < QUESTIONS => questions += 1,
                Ok(false) | Err(_) => return Ok(false),
            }
            sleep(QUESTION_INTERVAL).await;
        }
    }
    Ok(true)
}

/// Blocks.
fn exists(client: &AdminClient<Listener>, topic: &str) -> Result<bool, KafkaError> {
    let metadata = client.inner().fetch_metadata(Some(topic), DEADLINE)?;
    let topic = metadata.topics().iter().find(|t| t.name() == topic);
    Ok(topic.is_some_and(|t| t.error().is_none() && !t.partitions().is_empty()))
}
