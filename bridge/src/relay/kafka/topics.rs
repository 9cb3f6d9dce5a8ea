//! Creates the topics that a route needs and that nothing else creates.

use bus::clients::KafkaListener;

use super::{
    super::{config::KafkaCluster, flow::Interruption},
    client::settings,
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
    let listener = KafkaListener::default();
    bus::clients::create_absent_topics(&config, &listener, topics, &[]).await?;
    Ok(())
}
