//! The routes that are shipped: the documented topics, each both ways, in routes of their own so that one that is stuck
//! holds up no other.

use super::{
    BadRelay, BadSetting, Direction, KafkaCluster, NatsCluster, RelayConfig, RouteSettings,
};

/// The topics of the wire contract, which are also the subjects.
pub const DOCUMENTED_TOPICS: [&str; 5] = [
    "film_recommendation_status_updates",
    "ratings",
    "recommendations",
    "movieverse.events",
    "notifications",
];

/// The documented topics between two clusters, both ways.
///
/// # Errors
///
/// If both clusters have the same id.
pub fn documented(kafka: &KafkaCluster, nats: &NatsCluster) -> Result<RelayConfig, BadRelay> {
    let mut routes = Vec::new();
    for topic in DOCUMENTED_TOPICS {
        for (direction, side) in [
            (Direction::KafkaToNats, "to-nats"),
            (Direction::NatsToKafka, "to-kafka"),
        ] {
            let settings = RouteSettings {
                name: format!("{}-{side}", topic.replace('.', "-")),
                subject: topic.into(),
                topic: topic.into(),
                ..RouteSettings::default()
            };
            let route = settings.route(direction, kafka, nats);
            routes.push(route.map_err(|BadSetting { setting, reason }| BadRelay {
                line: None,
                setting: setting.into(),
                reason,
            })?);
        }
    }
    Ok(RelayConfig { routes })
}
