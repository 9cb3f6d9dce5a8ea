//! Creates the topics that a route needs and that nothing else creates.

use std::sync::Arc;

use rdkafka::admin::AdminClient;

use super::{
    super::{config::KafkaCluster, flow::Interruption},
    client::{Quiet, producer, settings},
};

/// Creates those of `topics` that are absent, each with its number of partitions.
pub(super) async fn provide_topics(
    cluster: &KafkaCluster,
    name: &str,
    topics: &[(String, i32)],
) -> Result<(), Interruption> {
    if topics.is_empty() {
        return Ok(());
    }
    let config = settings(cluster, &format!("{name}-admin"), &[]);
    let client: AdminClient<Quiet> = config
        .create_with_context(Quiet::default())
        .map_err(Interruption::unavailable)?;
    let client = Arc::new(client);
    let created = bus::clients::create_absent_topics(&client, topics, &[]).await;
    bus::clients::drop_elsewhere(client);
    if let Err(error) = created {
        // Such a client does not hear why it is not let in.
        bus::clients::drop_elsewhere(producer(&config).await?);
        return Err(error.into());
    }
    Ok(())
}
