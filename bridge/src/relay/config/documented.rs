//! The routes that are shipped: the documented topics, each both ways, in routes of their own so that one that is stuck
//! holds up no other.

use std::collections::BTreeMap;

use bus::NatsServers;

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

/// The documented topics between the brokers of Kafka (`host:port`, several separated by commas) and the servers of NATS.
///
/// # Errors
///
/// What is wrong with one of the two.
pub fn documented_between(brokers: &str, servers: NatsServers) -> Result<RelayConfig, BadRelay> {
    let wrong = |BadSetting { setting, reason }| BadRelay {
        line: None,
        setting: setting.into(),
        reason,
    };
    let kafka = KafkaCluster::new("kafka", None, brokers, BTreeMap::new()).map_err(wrong)?;
    let nats = NatsCluster::of("nats", None, servers).map_err(wrong)?;
    documented(&kafka, &nats)
}

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
                creates: true,
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
    Ok(RelayConfig {
        routes,
        is_from_file: false,
    })
}
