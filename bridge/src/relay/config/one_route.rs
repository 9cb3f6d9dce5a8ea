//! A relay of one route by flags alone.

use std::collections::BTreeMap;

use bus::NatsFiles;
use clap::Args;

use super::{
    BadRelay, BadSetting, Direction, KafkaCluster, NatsCluster, RelayConfig, RouteSettings, bad,
    cluster::fingerprint,
};

/// A relay of one route by flags alone.
#[derive(Debug, Clone, Default, Args)]
pub struct OneRoute {
    /// Where the route reads: nats://HOST:PORT or kafka://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,

    /// Where it writes: the other one of the two
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,

    /// The subject at the side of NATS, such as films.{id}.updated or films.{rest...}
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,

    /// The topic at the side of Kafka, such as films-{id}
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,

    /// Where the key of a record of Kafka is at the side of NATS: {id}, header:NAME, json:FIELD or none
    /// [default: header:marquee-key]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,

    /// The stream of NATS [default: the one that has the subject]
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
}

impl OneRoute {
    /// Whether any of the flags is given.
    pub fn is_given(&self) -> bool {
        self.from.is_some() || self.to.is_some() || self.subject.is_some() || self.topic.is_some()
    }

    /// The relay of this route.
    ///
    /// # Errors
    ///
    /// Which flag is missing or wrong.
    pub fn relay(&self) -> Result<RelayConfig, BadRelay> {
        let flag = |BadSetting { setting, reason }| BadRelay {
            line: None,
            setting: format!("--{}", setting.replace('_', "-")),
            reason,
        };
        let given = |name: &'static str, value: &Option<String>| match value {
            Some(value) => Ok(value.clone()),
            None => Err(flag(bad(name, "it is needed for a route by flags"))),
        };
        let (from, to) = (given("from", &self.from)?, given("to", &self.to)?);
        let of = |name: &'static str, url: &str| match url.strip_prefix("kafka://") {
            Some(brokers) => KafkaCluster::new("kafka", None, brokers, BTreeMap::new())
                .map(Cluster::Kafka)
                .map_err(|error| flag(bad(name, error.reason))),
            None => NatsCluster::new("nats", None, url, None, &NatsFiles::default())
                .map(Cluster::Nats)
                .map_err(|error| flag(bad(name, error.reason))),
        };
        let (subject, topic) = (
            given("subject", &self.subject)?,
            given("topic", &self.topic)?,
        );
        // The brokers know the route by its name: two routes by flags are two.
        let settings = RouteSettings {
            name: format!("route-{}", fingerprint(&format!("{subject} {topic}"))),
            subject,
            topic,
            key: self.key.clone(),
            stream: self.stream.clone(),
            ..RouteSettings::default()
        };
        let route = match (of("from", &from)?, of("to", &to)?) {
            (Cluster::Kafka(kafka), Cluster::Nats(nats)) => {
                settings.route(Direction::KafkaToNats, &kafka, &nats)
            }
            (Cluster::Nats(nats), Cluster::Kafka(kafka)) => {
                settings.route(Direction::NatsToKafka, &kafka, &nats)
            }
            _ => Err(bad(
                "to",
                "a route leads from Kafka to NATS or from NATS to Kafka",
            )),
        };
        Ok(RelayConfig {
            routes: vec![route.map_err(flag)?],
            is_from_file: false,
        })
    }
}

/// A side of a route.
#[derive(Debug, Clone)]
enum Cluster {
    Kafka(KafkaCluster),
    Nats(NatsCluster),
}
