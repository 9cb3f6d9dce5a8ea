//! The clusters at the ends of routes, and what the operator may set for their clients.

use std::{collections::BTreeMap, fmt, fs::File, io, path::Path};

use bus::{BusUrl, KafkaBrokers, NatsFiles, NatsServers};
use rdkafka::{ClientConfig, error::KafkaError};
use runtime::settings::{open_plain, secret_file, warn_of_exposed_file};
use sha2::{Digest, Sha256};

use super::{BadSetting, bad, check_name, shown};
use crate::relay::relay_path::{MAX_ID_BYTES, is_cluster_id};

/// Properties of librdkafka that the relay's promise depends on, and that no setting changes.
const RESERVED_PROPERTIES: [&str; 23] = [
    "acks",
    "allow.auto.create.topics",
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "bootstrap.servers",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "heartbeat.interval.ms",
    "isolation.level",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "request.required.acks",
    "session.timeout.ms",
    "statistics.interval.ms",
    "transactional.id",
];

/// A Kafka cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaCluster {
    /// What routes call it.
    pub name: String,
    /// What a message that came through it says of it; no other cluster that messages come through may have it.
    pub id: String,
    /// Brokers to begin with, and what the relay shows them.
    pub brokers: KafkaBrokers,
    /// Further properties of librdkafka.
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
            // librdkafka opens them when it connects. It looks for authorities itself if told to.
            if property.ends_with(".location") && value != "probe" {
                let path = Path::new(value);
                // One of them may be a folder with authorities.
                let opened = match path.is_dir() {
                    true => File::open(path),
                    false => open_plain(path),
                };
                opened.map_err(|error| {
                    let reason = format!("`{property}`: {}", unreadable(path, &error));
                    bad("properties", reason)
                })?;
            }
        }
        // The value may be a password, so that only the name is told.
        let config = ClientConfig::from_iter(properties.clone());
        if let Err(error) = config.create_native_config() {
            let property = match error {
                KafkaError::ClientConfig(_, _, property, _) => property,
                other => other.to_string(),
            };
            let reason = format!(
                "`{}` is no property of librdkafka as it is built here, or cannot have this value",
                shown(&property)
            );
            return Err(bad("properties", reason));
        }
        let id = cluster_id(id, name, &brokers.hosts().join(","))?;
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
        files: &NatsFiles,
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
        let called = |file: &str| format!("nats.{name}.{file}");
        if let Some(file) = token_file {
            if servers.has_credentials() {
                return Err(bad("token_file", "the URL has credentials already"));
            }
            let token = secret_file(file);
            let token = token.map_err(|error| bad("token_file", unreadable(file, &error)))?;
            if token.trim().is_empty() {
                let reason = format!("`{}` holds no token", file.display());
                return Err(bad("token_file", reason));
            }
            warn_of_exposed_file(&called("token_file"), file);
            servers = servers.with_token_file(file.to_owned());
        }
        let servers = servers
            .with_files(files, called)
            .map_err(|error| bad(error.file, error.reason))?;
        Self::of(name, id, servers)
    }

    /// The cluster of `servers`.
    pub(super) fn of(
        name: &str,
        id: Option<&str>,
        servers: NatsServers,
    ) -> Result<Self, BadSetting> {
        // Whether they are encrypted is no part of where they are.
        let addresses = BusUrl::Nats(servers.clone()).to_string();
        let addresses = addresses.replace("tls://", "nats://");
        let id = cluster_id(id, name, &addresses)?;
        Ok(Self {
            name: name.to_owned(),
            id,
            servers,
        })
    }
}

/// Says why a file that a setting names cannot be used.
pub(super) fn unreadable(file: &Path, error: &io::Error) -> String {
    format!("cannot read `{}`: {error}", file.display())
}

/// Tells a text from others in eight characters.
pub(crate) fn fingerprint(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(4).map(|b| format!("{b:02x}")).collect()
}

/// The id of a cluster. Names repeat from one relay to the next, so that the addresses are in it, as a fingerprint: a
/// message carries the id to other clusters, which need not know them.
fn cluster_id(id: Option<&str>, name: &str, addresses: &str) -> Result<String, BadSetting> {
    let Some(id) = id else {
        return Ok(format!("{name}-{}", fingerprint(addresses)));
    };
    match is_cluster_id(id) {
        true => Ok(id.to_owned()),
        false => Err(bad(
            "id",
            format!("1 to {MAX_ID_BYTES} printable characters without comma and space are needed"),
        )),
    }
}
