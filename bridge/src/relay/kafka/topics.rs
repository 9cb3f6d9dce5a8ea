//! Makes the topics that a route needs and that nobody else makes.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    error::RDKafkaErrorCode,
};

use super::{
    super::{config::KafkaCluster, flow::Interruption},
    client::{Quiet, blocking, settings},
};

const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// As many replicas as the cluster has as its default.
const DEFAULT_REPLICATION: TopicReplication<'_> = TopicReplication::Fixed(-1);

/// Makes those of `topics` that are absent, each with its number of partitions.
pub(super) async fn provide_topics(
    cluster: &KafkaCluster,
    name: &str,
    topics: &[(String, i32)],
) -> Result<(), Interruption> {
    if topics.is_empty() {
        return Ok(());
    }
    let mut config = settings(cluster, &format!("{name}-admin"), &[]);
    config.set("allow.auto.create.topics", "false");
    let client: AdminClient<Quiet> = config
        .create_with_context(Quiet)
        .map_err(Interruption::unavailable)?;
    let client = Arc::new(client);
    let provided = provide(&client, topics).await;
    bus::clients::drop_elsewhere(client);
    provided
}

async fn provide(
    client: &Arc<AdminClient<Quiet>>,
    topics: &[(String, i32)],
) -> Result<(), Interruption> {
    let (asked, all) = (client.clone(), topics.to_vec());
    let absent = blocking(move || {
        let mut absent = Vec::new();
        for (topic, partitions) in all {
            let metadata = asked
                .inner()
                .fetch_metadata(Some(&topic), ANSWER_DEADLINE)?;
            let mut found = metadata.topics().iter();
            if !found.any(|found| found.error().is_none() && !found.partitions().is_empty()) {
                absent.push((topic, partitions));
            }
        }
        Ok(absent)
    });
    let absent = absent.await?;
    if absent.is_empty() {
        return Ok(());
    }
    let options = AdminOptions::new()
        .request_timeout(Some(ANSWER_DEADLINE))
        .operation_timeout(Some(ANSWER_DEADLINE));
    let new: Vec<_> = absent
        .iter()
        .map(|(topic, partitions)| NewTopic::new(topic, *partitions, DEFAULT_REPLICATION))
        .collect();
    let created = client.create_topics(&new, &options).await;
    for created in created.map_err(Interruption::unavailable)? {
        match created {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => {
                let reason = format!("the topic `{topic}` cannot be created: {error}");
                return Err(Interruption::Unavailable(reason));
            }
        }
    }
    Ok(())
}
