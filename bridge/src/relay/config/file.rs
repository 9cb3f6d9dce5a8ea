//! The relay's TOML file. What is wrong in it is told with its line and its name, and never with its value, which may be
//! a secret in the wrong place.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    path::Path,
};

use bus::NatsFiles;
use runtime::settings::{read_plain_text, secret_file, size, warn_of_exposed_file};
use serde::Deserialize;
use toml::Spanned;

use super::{
    BadRelay, BadSetting, Direction, KafkaCluster, MAX_ROUTES, NatsCluster, RelayConfig,
    RouteConfig, RouteLimits, RouteSettings, bad, cluster::unreadable, shown,
};

/// The largest file.
const MAX_FILE_BYTES: u64 = 1 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRelay {
    #[serde(default)]
    kafka: BTreeMap<String, RawKafka>,
    #[serde(default)]
    nats: BTreeMap<String, RawNats>,
    #[serde(default)]
    routes: Vec<RawRoute>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKafka {
    id: Option<Spanned<String>>,
    brokers: Spanned<String>,
    password_file: Option<Spanned<String>>,
    #[serde(default)]
    properties: Option<Spanned<BTreeMap<String, Scalar>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNats {
    id: Option<Spanned<String>>,
    url: Spanned<String>,
    token_file: Option<Spanned<String>>,
    creds_file: Option<Spanned<String>>,
    nkey_file: Option<Spanned<String>>,
    ca_file: Option<Spanned<String>>,
    cert_file: Option<Spanned<String>>,
    key_file: Option<Spanned<String>>,
}

/// A property, which librdkafka takes as text.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(i64),
    Flag(bool),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoute {
    name: Spanned<String>,
    from: Spanned<String>,
    to: Spanned<String>,
    subject: Spanned<String>,
    topic: Spanned<String>,
    key: Option<Spanned<String>>,
    stream: Option<Spanned<String>>,
    dead_letters: Option<Spanned<String>>,
    #[serde(default)]
    create: bool,
    max_in_flight: Option<Spanned<i64>>,
    max_in_flight_bytes: Option<Spanned<Scalar>>,
}

/// The file that is read, to find the line of what is wrong.
struct Source<'a>(&'a str);

impl Source<'_> {
    fn line(&self, place: usize) -> usize {
        let before = self.0.get(..place).unwrap_or(self.0);
        before.matches('\n').count() + 1
    }

    fn wrong(&self, place: Option<Range<usize>>, setting: &str, reason: String) -> BadRelay {
        BadRelay {
            line: place.map(|place| self.line(place.start)),
            setting: setting.to_owned(),
            reason,
        }
    }
}

/// Reads the routes of a relay from a TOML file.
///
/// # Errors
///
/// If it cannot be read; otherwise the line and the name of what is wrong.
pub fn read(path: &Path) -> Result<RelayConfig, BadRelay> {
    let unreadable = |reason: String| BadRelay {
        line: None,
        setting: String::new(),
        reason: format!("cannot read `{}`: {reason}", path.display()),
    };
    let text =
        read_plain_text(path, MAX_FILE_BYTES).map_err(|error| unreadable(error.to_string()))?;
    parse(&text, path.parent().unwrap_or(Path::new("")))
}

/// Reads the text of a file in `folder`.
pub(super) fn parse(text: &str, folder: &Path) -> Result<RelayConfig, BadRelay> {
    let source = Source(text);
    let raw: RawRelay = toml::from_str(text)
        .map_err(|error| source.wrong(error.span(), "", without_value(error.message())))?;
    let mut kafka = BTreeMap::new();
    for (name, raw) in &raw.kafka {
        let cluster = raw.cluster(name, folder);
        let cluster = cluster.map_err(|BadSetting { setting, reason }| {
            source.wrong(
                raw.place(setting),
                &format!("kafka.{name}.{setting}"),
                reason,
            )
        })?;
        kafka.insert(name.as_str(), cluster);
    }
    let mut nats = BTreeMap::new();
    for (name, raw) in &raw.nats {
        let cluster = raw.cluster(name, folder);
        let cluster = cluster.map_err(|BadSetting { setting, reason }| {
            source.wrong(
                raw.place(setting),
                &format!("nats.{name}.{setting}"),
                reason,
            )
        })?;
        nats.insert(name.as_str(), cluster);
    }
    let mut ids = HashSet::new();
    let all = kafka
        .values()
        .map(|k| &k.id)
        .chain(nats.values().map(|n| &n.id));
    for id in all {
        if !ids.insert(id) {
            let reason = format!("two clusters have the id `{id}`");
            return Err(source.wrong(None, "id", reason));
        }
    }
    if raw.routes.is_empty() || raw.routes.len() > MAX_ROUTES {
        let reason = format!("1 to {MAX_ROUTES} routes are needed");
        return Err(source.wrong(None, "routes", reason));
    }
    let mut routes: Vec<RouteConfig> = Vec::new();
    for raw in &raw.routes {
        let route = raw.route(&kafka, &nats).and_then(|route| {
            match routes.iter().find(|other| is_same(other, &route)) {
                None => Ok(route),
                Some(other) if other.name == route.name => {
                    Err(bad("name", "another route has this name"))
                }
                Some(other) => Err(bad(
                    "name",
                    format!(
                        "the route `{}` carries the same messages to the same place",
                        other.name
                    ),
                )),
            }
        });
        routes.push(route.map_err(|BadSetting { setting, reason }| {
            let name = format!("routes.{setting}");
            source.wrong(raw.place(setting), &name, reason)
        })?);
    }
    Ok(RelayConfig {
        routes,
        is_from_file: true,
    })
}

/// Whether two routes cannot stand beside one another.
fn is_same(one: &RouteConfig, other: &RouteConfig) -> bool {
    let carries = |route: &RouteConfig| {
        let sides = (route.kafka.id.clone(), route.nats.id.clone());
        (sides, route.mapping.subjects(), route.mapping.topics())
    };
    one.name == other.name || one.direction == other.direction && carries(one) == carries(other)
}

/// A sentence of the parser without the value that it may quote.
fn without_value(message: &str) -> String {
    match message.rsplit_once(", expected ") {
        // A word that begins like one of these was taken for it.
        Some((_, "`true`" | "`false`" | "`inf`" | "`nan`")) => {
            "a text is needed in quotes, such as \"films\"".to_owned()
        }
        Some((what, expected)) if what.starts_with("invalid ") => format!("{expected} is needed"),
        _ => message.lines().next().unwrap_or_default().to_owned(),
    }
}

fn text(value: &Option<Spanned<String>>) -> Option<String> {
    value.as_ref().map(|value| value.get_ref().clone())
}

fn place<T>(value: &Option<Spanned<T>>) -> Option<Range<usize>> {
    value.as_ref().map(Spanned::span)
}

impl RawKafka {
    fn cluster(&self, name: &str, folder: &Path) -> Result<KafkaCluster, BadSetting> {
        let properties = self.properties.as_ref().map(Spanned::get_ref);
        let properties = properties.into_iter().flatten().map(|(name, value)| {
            let value = match value {
                Scalar::Text(text) => text.clone(),
                Scalar::Number(number) => number.to_string(),
                Scalar::Flag(flag) => flag.to_string(),
            };
            (name.clone(), value)
        });
        let mut properties: BTreeMap<_, _> = properties.collect();
        if let Some(file) = text(&self.password_file) {
            let file = folder.join(file);
            let password = secret_file(&file)
                .map_err(|error| bad("password_file", unreadable(&file, &error)))?;
            warn_of_exposed_file(&format!("kafka.{name}.password_file"), &file);
            properties.insert("sasl.password".to_owned(), password);
        }
        KafkaCluster::new(
            name,
            text(&self.id).as_deref(),
            self.brokers.get_ref(),
            properties,
        )
    }

    fn place(&self, setting: &str) -> Option<Range<usize>> {
        match setting {
            "id" => place(&self.id),
            "password_file" => place(&self.password_file),
            "properties" => place(&self.properties),
            _ => Some(self.brokers.span()),
        }
    }
}

impl RawNats {
    fn cluster(&self, name: &str, folder: &Path) -> Result<NatsCluster, BadSetting> {
        let file = |name: &Option<Spanned<String>>| text(name).map(|file| folder.join(file));
        let files = NatsFiles {
            nats_creds_file: file(&self.creds_file),
            nats_nkey_file: file(&self.nkey_file),
            nats_ca_file: file(&self.ca_file),
            nats_cert_file: file(&self.cert_file),
            nats_key_file: file(&self.key_file),
        };
        NatsCluster::new(
            name,
            text(&self.id).as_deref(),
            self.url.get_ref(),
            file(&self.token_file).as_deref(),
            &files,
        )
    }

    fn place(&self, setting: &str) -> Option<Range<usize>> {
        match setting {
            "id" => place(&self.id),
            "token_file" => place(&self.token_file),
            "creds_file" => place(&self.creds_file),
            "nkey_file" => place(&self.nkey_file),
            "ca_file" => place(&self.ca_file),
            "cert_file" => place(&self.cert_file),
            "key_file" => place(&self.key_file),
            _ => Some(self.url.span()),
        }
    }
}

impl RawRoute {
    fn route(
        &self,
        kafka: &BTreeMap<&str, KafkaCluster>,
        nats: &BTreeMap<&str, NatsCluster>,
    ) -> Result<RouteConfig, BadSetting> {
        let kafka_of = |setting, text: &str| match text.strip_prefix("kafka.") {
            Some(name) => kafka
                .get(name)
                .map(Some)
                .ok_or_else(|| absent(setting, text)),
            None => Ok(None),
        };
        let nats_of = |setting, text: &str| match text.strip_prefix("nats.") {
            Some(name) => nats
                .get(name)
                .map(Some)
                .ok_or_else(|| absent(setting, text)),
            None => Ok(None),
        };
        let (from, to) = (self.from.get_ref(), self.to.get_ref());
        let sides = (
            (kafka_of("from", from)?, nats_of("from", from)?),
            (kafka_of("to", to)?, nats_of("to", to)?),
        );
        let settings = RouteSettings {
            name: self.name.get_ref().clone(),
            subject: self.subject.get_ref().clone(),
            topic: self.topic.get_ref().clone(),
            key: text(&self.key),
            stream: text(&self.stream),
            dead_letters: text(&self.dead_letters),
            creates: self.create,
            limits: self.limits()?,
        };
        match sides {
            ((Some(kafka), _), (_, Some(nats))) => {
                settings.route(Direction::KafkaToNats, kafka, nats)
            }
            ((_, Some(nats)), (Some(kafka), _)) => {
                settings.route(Direction::NatsToKafka, kafka, nats)
            }
            ((None, None), _) => Err(absent("from", from)),
            (_, (None, None)) => Err(absent("to", to)),
            _ => Err(bad(
                "to",
                "a route leads from Kafka to NATS or from NATS to Kafka",
            )),
        }
    }

    fn limits(&self) -> Result<RouteLimits, BadSetting> {
        let mut limits = RouteLimits::default();
        if let Some(number) = &self.max_in_flight {
            limits.max_in_flight = usize::try_from(*number.get_ref()).unwrap_or(0);
        }
        if let Some(bytes) = &self.max_in_flight_bytes {
            let bytes = match bytes.get_ref() {
                Scalar::Text(text) => size(text).map_err(|e| bad("max_in_flight_bytes", e))?,
                Scalar::Number(number) => u64::try_from(*number).unwrap_or(0),
                Scalar::Flag(_) => 0,
            };
            limits.max_in_flight_bytes = usize::try_from(bytes).unwrap_or(0);
        }
        Ok(limits)
    }

    fn place(&self, setting: &str) -> Option<Range<usize>> {
        let own = match setting {
            "name" => Some(self.name.span()),
            "from" => Some(self.from.span()),
            "to" => Some(self.to.span()),
            "subject" => Some(self.subject.span()),
            "topic" => Some(self.topic.span()),
            "key" => place(&self.key),
            "stream" => place(&self.stream),
            "dead_letters" => place(&self.dead_letters),
            "max_in_flight" => place(&self.max_in_flight),
            "max_in_flight_bytes" => place(&self.max_in_flight_bytes),
            _ => None,
        };
        // What follows from other settings is told where the route begins.
        own.or_else(|| Some(self.name.span()))
    }
}

fn absent(setting: &'static str, text: &str) -> BadSetting {
    bad(
        setting,
        format!(
            "`{}` is no cluster of this file; give `kafka.NAME` or `nats.NAME`",
            shown(text)
        ),
    )
}
