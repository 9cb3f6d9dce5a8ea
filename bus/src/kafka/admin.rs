//! Creates topics, and sets their limits. Kafka counts bytes for each partition and deletes whole
//! segments, so both follow from the size of the topic.

use std::{collections::HashMap, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{
        AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewTopic,
        ResourceSpecifier, TopicReplication,
    },
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    metadata::MetadataTopic,
};
use tokio::time::timeout;

use super::client::{Listener, blocking, config, drop_elsewhere, unavailable};
use crate::{BusError, Condition, KafkaBrokers, Retention};

/// Partitions of a topic that is created: so many consumers of a group can share it.
const PARTITIONS: i32 = 3;
/// As many replicas as the cluster has as its default.
const DEFAULT_REPLICATION: i32 = -1;
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a client listens for more of what librdkafka reports.
const HEARING: Duration = Duration::from_millis(20);
/// How many segments a partition has when it is full.
const SEGMENTS: u64 = 4;
/// The sizes of a segment that brokers accept.
const SEGMENT_BYTES: (u64, u64) = (1 << 20, 1 << 30);

/// Creates those of `topics` that are absent, and limits the others.
pub(super) async fn make_topics(
    brokers: &KafkaBrokers,
    limits: Retention,
    name: &str,
    condition: &Condition,
    listener: &Listener,
    topics: &[String],
) -> Result<(), BusError> {
    let config = config(brokers, &format!("{name}-admin"));
    let all: Vec<_> = topics.iter().map(|t| (t.clone(), PARTITIONS)).collect();
    let settings = Settings::new(&limits, None, None, PARTITIONS.unsigned_abs() as usize);
    let present = create_absent_topics(&config, listener, &all, &settings.0).await?;
    condition.broker_available();
    let client = admin_client(&config, listener)?;
    // Events flow without it, and not every broker answers.
    tokio::spawn(async move {
        let limiting = limit_all(&client, limits, present);
        if timeout(DEADLINE, limiting).await.is_err() {
            tracing::debug!("the broker does not tell what limits its topics have");
        }
        drop_elsewhere(client);
    });
    Ok(())
}

/// Whether the brokers have `topic`; asked with the credentials of all clients.
pub(crate) async fn has_topic(brokers: &KafkaBrokers, topic: &str) -> Result<bool, BusError> {
    let (config, listener) = (config(brokers, "doctor"), Listener::default());
    let (heard, topics) = (listener.clone(), vec![topic.to_owned()]);
    let found = blocking(move || partitions(&config, &heard, topics)).await?;
    // While a broker refuses the client, the answer is merely late.
    let found = found.map_err(|error| match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::OperationTimedOut) => unavailable(listener.unreachable()),
        _ => unavailable(listener.explain(&error)),
    });
    Ok(!found?.is_empty())
}

fn admin_client(
    config: &ClientConfig,
    listener: &Listener,
) -> Result<AdminClient<Listener>, BusError> {
    AdminClient::from_config_and_context(config, listener.clone()).map_err(unavailable)
}

/// Creates those of `topics` that are absent, each with its number of partitions and all with `settings`. Returns the
/// others with how many partitions they have.
///
/// # Errors
///
/// If the broker does not answer, or refuses to create one of them.
pub async fn create_absent_topics(
    config: &ClientConfig,
    listener: &Listener,
    topics: &[(String, i32)],
    settings: &[(&str, String)],
) -> Result<HashMap<String, usize>, BusError> {
    let (asked, heard) = (config.clone(), listener.clone());
    let names: Vec<_> = topics.iter().map(|(topic, _)| topic.clone()).collect();
    let present = blocking(move || partitions(&asked, &heard, names)).await?;
    let present = present.map_err(|error| BusError::Unavailable(listener.explain(&error)))?;
    let mut new = Vec::new();
    for (topic, partitions) in topics {
        if !present.contains_key(topic) {
            let replication = TopicReplication::Fixed(DEFAULT_REPLICATION);
            let mut topic = NewTopic::new(topic, *partitions, replication);
            for (name, value) in settings {
                topic = topic.set(name, value);
            }
            new.push(topic);
        }
    }
    if new.is_empty() {
        return Ok(present);
    }
    let client = admin_client(config, listener)?;
    let created = client.create_topics(&new, &options()).await;
    drop_elsewhere(client);
    for created in created.map_err(refused)? {
        match created {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => {
                let reason = format!("the topic `{topic}` cannot be created: {error}");
                return Err(BusError::Unavailable(reason));
            }
        }
    }
    Ok(present)
}

async fn limit_all(
    client: &AdminClient<Listener>,
    limits: Retention,
    topics: HashMap<String, usize>,
) {
    for (topic, partitions) in topics {
        if let Err(error) = limit(client, limits, &topic, partitions).await {
            // Not every broker lets every client do this.
            tracing::debug!(topic, %error, "the limits of the topic `{topic}` are left as they are: {error}");
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(DEADLINE))
        .operation_timeout(Some(DEADLINE))
}

fn refused(error: KafkaError) -> BusError {
    match error.rdkafka_error_code() {
        Some(code) => unavailable(format!("topics cannot be created: {code}")),
        None => unavailable(error),
    }
}

/// How many partitions each of `topics` has that the broker has. Blocks.
///
/// A consumer asks: an `AdminClient` lets no one hear why it has no connection.
fn partitions(
    config: &ClientConfig,
    listener: &Listener,
    topics: Vec<String>,
) -> Result<HashMap<String, usize>, KafkaError> {
    let mut config = config.clone();
    // A question about a topic must not create it with an unknown number of partitions.
    config.set("allow.auto.create.topics", "false");
    let client = BaseConsumer::from_config_and_context(&config, listener.clone())?;
    let mut partitions = HashMap::new();
    for topic in topics {
        let metadata = client.fetch_metadata(Some(&topic), DEADLINE);
        if metadata.is_err() {
            // The listener hears what is waiting to be heard.
            while client.poll(HEARING).is_some() {}
        }
        let metadata = metadata?;
        let is_it = |found: &&MetadataTopic| found.name() == topic && found.error().is_none();
        if let Some(found) = metadata.topics().iter().find(is_it) {
            partitions.insert(topic, found.partitions().len());
        }
    }
    Ok(partitions)
}

/// Settings of a topic, by their Kafka names.
struct Settings(Vec<(&'static str, String)>);

impl Settings {
    fn new(
        limits: &Retention,
        age: Option<Duration>,
        bytes: Option<u64>,
        partitions: usize,
    ) -> Self {
        let age = limits.max_age(age).map(|age| age.as_millis().to_string());
        let bytes = limits.max_bytes(bytes);
        let share = bytes.map(|bytes| bytes / (partitions.max(1) as u64));
        let text =
            |number: Option<u64>| number.map_or("-1".to_owned(), |number| number.to_string());
        let mut settings = vec![
            ("retention.ms", age.unwrap_or_else(|| "-1".into())),
            ("retention.bytes", text(share)),
        ];
        if let Some(share) = share {
            let segment = (share / SEGMENTS).clamp(SEGMENT_BYTES.0, SEGMENT_BYTES.1);
            settings.push(("segment.bytes", segment.to_string()));
        }
        Self(settings)
    }
}

/// Sets the limits of a topic that has none, or that an operator sets.
async fn limit(
    client: &AdminClient<Listener>,
    limits: Retention,
    topic: &str,
    partitions: usize,
) -> Result<(), BusError> {
    let specifier = ResourceSpecifier::Topic(topic);
    let described = client.describe_configs([&specifier], &options()).await;
    let described = described.map_err(unavailable)?.into_iter().next();
    let Some(Ok(current)) = described else {
        return Err(unavailable("the topic cannot be described"));
    };
    // 0 stands for no limit, which an operator has chosen.
    let number = |name| chosen(&current, name).map(|value| value.parse().unwrap_or(0));
    let age = number("retention.ms").map(Duration::from_millis);
    let bytes = number("retention.bytes").map(|bytes: u64| bytes * (partitions as u64));
    let settings = Settings::new(&limits, age, bytes, partitions);
    let differs = |(name, value): &(&str, String)| {
        current.get(name).and_then(|entry| entry.value.as_ref()) != Some(value)
    };
    let is_settled = age.is_some() && bytes.is_some() && !limits.is_set();
    if is_settled || !settings.0.iter().any(differs) {
        return Ok(());
    }
    // What is not named here would go back to its default.
    let own = current
        .entries
        .iter()
        .filter(|entry| entry.source == ConfigSource::DynamicTopic);
    let own = own.filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?)));
    let mut change = own.fold(AlterConfig::new(specifier), |change, (name, value)| {
        change.set(name, value)
    });
    for (name, value) in &settings.0 {
        change = change.set(name, value);
    }
    let altered = client.alter_configs([&change], &options()).await;
    match altered.map_err(unavailable)?.into_iter().next() {
        Some(Err((_, code))) => Err(unavailable(code)),
        _ => {
            tracing::info!(topic, "the topic `{topic}` has new limits");
            Ok(())
        }
    }
}

/// A setting that is not just Kafka's default.
fn chosen<'a>(current: &'a ConfigResource, name: &str) -> Option<&'a str> {
    let entry = current.get(name)?;
    entry
        .value
        .as_deref()
        .filter(|_| entry.source != ConfigSource::Default)
}
