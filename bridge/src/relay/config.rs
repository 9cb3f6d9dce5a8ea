//! The routes of the relay: from a TOML file, from flags for a single one, or the documented topics both ways. All of it is
//! checked before anything starts.
//!
//! `file.rs` reads the file; what a route may be is decided here, the same for all three.

mod documented;
mod file;

use std::{collections::BTreeMap, fmt, path::Path};

use bus::{BusUrl, NatsServers};
use clap::Args;
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use super::mapping::Direction;
pub use documented::{DOCUMENTED_TOPICS, documented, documented_between};
pub use file::read;

use super::{
    mapping::{BadMapping, Mapping},
    relay_path::{MAX_ID_BYTES, is_cluster_id},
    template::{Kind, check_subject, check_topic, shown},
};

/// The most routes of a relay.
pub const MAX_ROUTES: usize = 256;
/// The longest name of a cluster or a route.
const MAX_NAME_BYTES: usize = 60;

/// Properties of librdkafka that the relay's promise depends on, and that no setting changes.
const RESERVED_PROPERTIES: [&str; 12] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "group.instance.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "isolation.level",
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "transactional.id",
];

/// How often the other side may see a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Once in effect, also after a crash of the relay.
    #[default]
    ExactlyOnce,
    /// At least once; after a crash some messages may come twice.
    AtLeastOnce,
}

/// A Kafka cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaCluster {
    /// What routes call it.
    pub name: String,
    /// What a message that came through it says of it; no other cluster that messages come through may have it.
    pub id: String,
    /// Brokers to begin with, each as `host:port`.
    pub brokers: Vec<String>,
    /// Further properties of librdkafka, as for TLS and SASL.
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for KafkaCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of properties may be passwords.
        let properties: Vec<_> = self.properties.keys().collect();
        f.debug_struct("KafkaCluster")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("brokers", &self.brokers)
            .field("properties", &properties)
            .finish()
    }
}

/// A NATS server or cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsCluster {
    /// What routes call it.
    pub name: String,
    /// What a message that came through it says of it; no other cluster that messages come through may have it.
    pub id: String,
    /// Where it is, and what the relay shows it.
    pub servers: NatsServers,
}

/// How much of a route may be on its way, and how often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteLimits {
    /// The most messages that were read and are not acknowledged yet.
    pub max_in_flight: usize,
    /// The most bytes of them.
    pub max_in_flight_bytes: usize,
    /// How often the other side may refuse a message before it goes to the dead letters. A side that is unavailable
    /// does not count.
    pub max_attempts: u32,
}

impl Default for RouteLimits {
    fn default() -> Self {
        Self {
            max_in_flight: 8_192,
            max_in_flight_bytes: 16 << 20,
            max_attempts: 5,
        }
    }
}

/// A route: what is read at one side and written at the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteConfig {
    /// Its name, by which it is known in reports and to the brokers.
    pub name: String,
    /// Which way it goes.
    pub direction: Direction,
    /// Its Kafka cluster.
    pub kafka: KafkaCluster,
    /// Its NATS server or cluster.
    pub nats: NatsCluster,
    /// What becomes of a message.
    pub mapping: Mapping,
    /// How often the other side may see a message.
    pub delivery: Delivery,
    /// The stream of NATS; none for the one that has the subject.
    pub stream: Option<String>,
    /// Where messages go that the other side can never have: a topic or subject of the side that they come from.
    pub dead_letters: String,
    /// Whether a topic or stream that is absent is made.
    pub creates: bool,
    /// How much may be on its way.
    pub limits: RouteLimits,
}

/// All routes of a relay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelayConfig {
    /// The routes.
    pub routes: Vec<RouteConfig>,
}

/// What is wrong with a relay's settings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct BadRelay {
    /// The line of the file, counted from 1.
    pub line: Option<usize>,
    /// The setting, such as `routes.subject` or `--subject`; empty where the reason names it.
    pub setting: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for BadRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.setting.is_empty() {
            write!(f, "`{}`: ", self.setting)?;
        }
        f.write_str(&self.reason)
    }
}

/// A route as its settings have it, of which each may be wrong.
#[derive(Debug, Clone, Default)]
pub(super) struct RouteSettings {
    pub(super) name: String,
    pub(super) subject: String,
    pub(super) topic: String,
    pub(super) key: Option<String>,
    pub(super) delivery: Option<String>,
    pub(super) stream: Option<String>,
    pub(super) dead_letters: Option<String>,
    pub(super) creates: bool,
    pub(super) limits: RouteLimits,
}

/// What is wrong with a setting of a route or a cluster.
#[derive(Debug)]
pub(super) struct BadSetting {
    setting: &'static str,
    reason: String,
}

fn bad(setting: &'static str, reason: impl Into<String>) -> BadSetting {
    let reason = reason.into();
    BadSetting { setting, reason }
}

impl RouteSettings {
    /// The route, checked.
    pub(super) fn route(
        self,
        direction: Direction,
        kafka: &KafkaCluster,
        nats: &NatsCluster,
    ) -> Result<RouteConfig, BadSetting> {
        check_name(&self.name).map_err(|reason| bad("name", reason))?;
        if kafka.id == nats.id {
            return Err(bad("to", format!("both sides have the id `{}`", kafka.id)));
        }
        let (source, target) = match direction {
            Direction::KafkaToNats => (&kafka.id, &nats.id),
            Direction::NatsToKafka => (&nats.id, &kafka.id),
        };
        let key = self.key.as_deref();
        let mapping = Mapping::new(direction, &self.subject, &self.topic, key, source, target);
        let mapping =
            mapping.map_err(|BadMapping { setting, reason }| BadSetting { setting, reason })?;
        let delivery = match self.delivery.as_deref() {
            None => Delivery::default(),
            Some("exactly-once") => Delivery::ExactlyOnce,
            Some("at-least-once") => Delivery::AtLeastOnce,
            Some(other) => {
                let other = shown(other);
                let reason = format!("`{other}` is neither `exactly-once` nor `at-least-once`");
                return Err(bad("delivery", reason));
            }
        };
        if let Some(stream) = &self.stream {
            check_stream(stream).map_err(|reason| bad("stream", reason))?;
        }
        let dead_letters = self.dead_letters(direction)?;
        let mapping = mapping.without_dead_letters(&dead_letters);
        self.limits.check()?;
        Ok(RouteConfig {
            name: self.name,
            direction,
            kafka: kafka.clone(),
            nats: nats.clone(),
            mapping,
            delivery,
            stream: self.stream,
            dead_letters,
            creates: self.creates,
            limits: self.limits,
        })
    }

    /// Where dead letters go. Unless that is set it is `<topic>.dlq` of a single topic or subject, as for the bus, and
    /// `relay.<name>.dlq` of several.
    fn dead_letters(&self, direction: Direction) -> Result<String, BadSetting> {
        let (kind, source) = match direction {
            Direction::KafkaToNats => (Kind::Topic, &self.topic),
            Direction::NatsToKafka => (Kind::Subject, &self.subject),
        };
        let name = match &self.dead_letters {
            Some(name) => name.clone(),
            None if source.contains(['{', '*', '>']) => format!("relay.{}.dlq", self.name),
            None => format!("{source}.dlq"),
        };
        let checked = match kind {
            Kind::Topic => check_topic(&name),
            Kind::Subject => check_subject(&name),
        };
        checked.map_err(|reason| bad("dead_letters", reason))?;
        if *source == name {
            let reason = format!("`{name}` is read by the route itself; set another one");
            return Err(bad("dead_letters", reason));
        }
        Ok(name)
    }
}

impl RouteLimits {
    fn check(&self) -> Result<(), BadSetting> {
        if !(1..=65_536).contains(&self.max_in_flight) {
            return Err(bad("max_in_flight", "a number from 1 to 65536 is needed"));
        }
        if !(65_536..=1 << 30).contains(&self.max_in_flight_bytes) {
            return Err(bad(
                "max_in_flight_bytes",
                "a size from 64KiB to 1GiB is needed",
            ));
        }
        if !(1..=1_000).contains(&self.max_attempts) {
            return Err(bad("max_attempts", "a number from 1 to 1000 is needed"));
        }
        Ok(())
    }
}

impl KafkaCluster {
    /// A cluster from its settings. Without an id it is made of name and brokers.
    pub(super) fn new(
        name: &str,
        id: Option<&str>,
        brokers: &str,
        properties: BTreeMap<String, String>,
    ) -> Result<Self, BadSetting> {
        check_name(name).map_err(|reason| bad("name", reason))?;
        let url = format!("kafka://{brokers}");
        let brokers = match url.parse() {
            Ok(BusUrl::Kafka(brokers)) => brokers,
            Ok(BusUrl::Nats(_)) => return Err(bad("brokers", "it is no broker of Kafka")),
            Err(error) => return Err(bad("brokers", error.to_string())),
        };
        for (property, value) in &properties {
            if RESERVED_PROPERTIES.contains(&property.as_str()) {
                let reason =
                    format!("`{property}` is for the relay to set, whose promise depends on it");
                return Err(bad("properties", reason));
            }
            if property.contains('\0') || value.contains('\0') {
                return Err(bad("properties", "a property holds a zero byte"));
            }
        }
        let id = cluster_id(id, name, &brokers.join(","))?;
        Ok(Self {
            name: name.to_owned(),
            id,
            brokers,
            properties,
        })
    }
}

impl NatsCluster {
    /// A cluster from its settings. Without an id it is made of name and servers.
    pub(super) fn new(
        name: &str,
        id: Option<&str>,
        url: &str,
        token_file: Option<&Path>,
    ) -> Result<Self, BadSetting> {
        check_name(name).map_err(|reason| bad("name", reason))?;
        let parsed: BusUrl = url
            .parse()
            .map_err(|error: bus::BusUrlError| bad("url", error.to_string()))?;
        let BusUrl::Nats(mut servers) = parsed else {
            return Err(bad(
                "url",
                "it is no server of NATS; give `nats://host:port`",
            ));
        };
        if let Some(file) = token_file {
            if servers.has_credentials() {
                return Err(bad("token_file", "the URL has credentials already"));
            }
            servers = servers.with_token_file(file.to_owned());
        }
        Self::of(name, id, servers)
    }

    /// The cluster of `servers`.
    pub(super) fn of(
        name: &str,
        id: Option<&str>,
        servers: NatsServers,
    ) -> Result<Self, BadSetting> {
        let addresses = BusUrl::Nats(servers.clone()).to_string();
        let id = cluster_id(id, name, &addresses)?;
        Ok(Self {
            name: name.to_owned(),
            id,
            servers,
        })
    }
}

/// The id of a cluster. Names repeat from one relay to the next, so that the addresses are in it, as a fingerprint: a
/// message carries the id to other clusters, which need not know them.
fn cluster_id(id: Option<&str>, name: &str, addresses: &str) -> Result<String, BadSetting> {
    let Some(id) = id else {
        let digest = Sha256::digest(addresses.as_bytes());
        let fingerprint: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
        return Ok(format!("{name}-{fingerprint}"));
    };
    match is_cluster_id(id) {
        true => Ok(id.to_owned()),
        false => Err(bad(
            "id",
            format!("1 to {MAX_ID_BYTES} printable characters without comma and space are needed"),
        )),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_legal) {
        true => Ok(()),
        false => Err(format!(
            "a name is 1 to {MAX_NAME_BYTES} letters, digits, `-` and `_`, unlike `{}`",
            shown(name)
        )),
    }
}

fn check_stream(name: &str) -> Result<(), String> {
    let is_illegal = |c: char| c.is_control() || c.is_whitespace() || "./\\*>".contains(c);
    match (1..=255).contains(&name.len()) && !name.contains(is_illegal) {
        true => Ok(()),
        false => Err(format!("`{}` is no name of a stream", shown(name))),
    }
}

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

    /// exactly-once or at-least-once [default: exactly-once]
    #[arg(long, value_name = "DELIVERY")]
    pub delivery: Option<String>,

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
            None => NatsCluster::new("nats", None, url, None)
                .map(Cluster::Nats)
                .map_err(|error| flag(bad(name, error.reason))),
        };
        let settings = RouteSettings {
            name: "route".into(),
            subject: given("subject", &self.subject)?,
            topic: given("topic", &self.topic)?,
            key: self.key.clone(),
            delivery: self.delivery.clone(),
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
        })
    }
}

/// A side of a route.
#[derive(Debug, Clone)]
enum Cluster {
    Kafka(KafkaCluster),
    Nats(NatsCluster),
}

#[cfg(test)]
mod tests;
