//! The routes of the relay: from a TOML file, from flags for a single one, or the documented topics both ways. All of it is
//! checked before anything starts.
//!
//! `file.rs` reads the file, `one_route.rs` the flags; what a route may be is decided here, the same for all three.

mod cluster;
mod documented;
mod file;
mod one_route;

use std::{collections::BTreeMap, fmt};

use bus::kafka_certificate_files;
use runtime::tls::CertificateFile;
use thiserror::Error;

pub use super::mapping::Direction;
pub(super) use cluster::fingerprint;
pub use cluster::{KafkaCluster, NatsCluster};
pub use documented::{DOCUMENTED_TOPICS, documented, documented_between};
pub use file::read;
pub use one_route::OneRoute;

use super::{
    mapping::{BadMapping, Mapping},
    template::{Kind, check_subject, check_topic, shown},
};

/// The most routes of a relay.
pub const MAX_ROUTES: usize = 256;
/// The longest name of a cluster or a route.
const MAX_NAME_BYTES: usize = 60;

/// How much of a route may be on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteLimits {
    /// The most messages that were read and are not acknowledged yet.
    pub max_in_flight: usize,
    /// The most bytes of them.
    pub max_in_flight_bytes: usize,
}

impl Default for RouteLimits {
    fn default() -> Self {
        Self {
            max_in_flight: 8_192,
            max_in_flight_bytes: 16 << 20,
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
    /// Whether they are from a file, in which each cluster has settings of its own.
    pub is_from_file: bool,
}

impl RelayConfig {
    /// The routes in a few words, for a log.
    pub fn summary(&self) -> String {
        match self.routes.len() {
            1 => "1 route between Kafka and NATS".to_owned(),
            routes => format!("{routes} routes between Kafka and NATS"),
        }
    }

    /// The files of certificates that brokers and servers are shown and judged by.
    pub fn certificate_files(&self) -> Vec<CertificateFile> {
        let mut files = Vec::new();
        for RouteConfig { kafka, nats, .. } in &self.routes {
            let name = &kafka.name;
            let called = |property: &str| format!("kafka.{name}.properties.{property}");
            files.extend(kafka_certificate_files(&kafka.properties, called));
            files.extend(kafka.brokers.certificate_files());
            let called = |file: &str| match self.is_from_file {
                true => format!("nats.{}.{file}", nats.name),
                false => format!("NATS_{}", file.to_uppercase()),
            };
            files.extend(nats.servers.certificate_files(called));
        }
        // Most routes share their clusters.
        files.sort_by(|one, other| one.setting.cmp(&other.setting));
        files.dedup();
        files
    }

    /// Shows the brokers of Kafka what these properties of librdkafka say.
    pub fn secure_kafka(&mut self, properties: &BTreeMap<String, String>) {
        for route in &mut self.routes {
            route.kafka.brokers.secure(properties.clone());
        }
    }
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
        Ok(())
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

#[cfg(test)]
mod tests;
