//! What a record of Kafka is as a message of NATS, and the other way round. What goes there and comes back is the same.
//!
//! What NATS can say plainly stays readable: text headers are headers, and a text key is in the header of the bus. What it
//! cannot say travels besides in one envelope (`envelope.rs`), which the way back prefers. Headers that are orders to a NATS
//! server, such as `Nats-Rollup`, act in one broker only: they go to Kafka as they are, and on to NATS in the envelope.

mod headers;

use bytes::Bytes;
use thiserror::Error;

use super::{
    envelope::{Coded, Entry, Envelope, RECORD_HEADER, is_plain_name, plain_value},
    escape::{key_to_token, token_to_key},
    key::{KEY_CAPTURE, KeySource, field, filled},
    record::{KafkaRecord, NatsRecord},
    relay_path::{PATH_HEADER, extended},
    template::{Kind, Template, is_internal, shown},
};

use headers::{envelope, is_ours, ordered, path_of};

/// Begins the `Nats-Msg-Id` of a message that a relay has published.
pub const MESSAGE_ID_PREFIX: &str = "marquee-relay/";
/// The header of JetStream by which it drops duplicates.
pub const MESSAGE_ID_HEADER: &str = "Nats-Msg-Id";

/// Which way a route goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a topic of Kafka to a stream of NATS.
    KafkaToNats,
    /// From a stream of NATS to a topic of Kafka.
    NatsToKafka,
}

/// Why a message cannot be mapped, however often it is tried: it goes to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MappingError {
    /// The subject or the topic is none of the route's.
    #[error("`{0}` is not what the route reads")]
    Foreign(String),
    /// No subject or topic can be made of what was captured.
    #[error("it has no place at the other side: {0}")]
    Place(String),
    /// The key is absent or is none.
    #[error("it has no key: {0}")]
    Key(String),
    /// The envelope is damaged, or was never a relay's.
    #[error("its header `{RECORD_HEADER}` cannot be read: {0}")]
    Envelope(String),
    /// It has headers that are none.
    #[error("its headers cannot be read: {0}")]
    Headers(String),
    /// The path is damaged or too long.
    #[error("its header `{PATH_HEADER}` cannot be used: {0}")]
    Path(&'static str),
}

/// What is wrong with the settings of a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct BadMapping {
    /// The setting: `subject`, `topic` or `key`.
    pub setting: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// What comes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped<T> {
    /// What is to be written at the other side.
    Record(T),
    /// It has been in one of the two clusters before, or is a dead letter of the route; it is acknowledged and goes no
    /// further.
    Skip,
}

/// How a route maps subjects and topics, keys, headers and values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    subject: Template,
    topic: Template,
    key: KeySource,
    key_header: String,
    source: String,
    target: String,
    /// The route's dead letters, which a pattern may match.
    dead_letters: Option<String>,
}

impl Mapping {
    /// A mapping from the templates of a route. Without `key` it is the subject's `{key}`, or else the header of the
    /// bus. `source` and `target` are the ids of the clusters, which a message visits once.
    ///
    /// # Errors
    ///
    /// Which of the settings makes no sense, and why.
    pub fn new(
        direction: Direction,
        subject: &str,
        topic: &str,
        key: Option<&str>,
        source: &str,
        target: &str,
    ) -> Result<Self, BadMapping> {
        let bad = |setting| move |reason| BadMapping { setting, reason };
        let key_setting = key;
        let subject = Template::parse(Kind::Subject, subject).map_err(bad("subject"))?;
        let topic = Template::parse(Kind::Topic, topic).map_err(bad("topic"))?;
        if topic.names().any(|name| name == KEY_CAPTURE) {
            let reason = "`{key}` stands for the key of a record, and can only be in the subject";
            return Err(bad("topic")(reason.into()));
        }
        let key = match key {
            Some(text) => KeySource::parse(text).map_err(bad("key"))?,
            None if subject.names().any(|name| name == KEY_CAPTURE) => KeySource::Token,
            None => KeySource::Header(bus::clients::KEY_HEADER.to_owned()),
        };
        let key_header = match &key {
            KeySource::Header(name) => name.clone(),
            _ => bus::clients::KEY_HEADER.to_owned(),
        };
        let mapping = Self {
            subject,
            topic,
            key,
            key_header,
            source: source.to_owned(),
            target: target.to_owned(),
            dead_letters: None,
        };
        mapping.check(direction, key_setting.is_some())?;
        Ok(mapping)
    }

    /// Checks that everything that has to be written can be read.
    fn check(&self, direction: Direction, has_key_setting: bool) -> Result<(), BadMapping> {
        let bad = |setting, reason| Err(BadMapping { setting, reason });
        let (from, to, side) = match direction {
            Direction::KafkaToNats => (&self.topic, &self.subject, "subject"),
            Direction::NatsToKafka => (&self.subject, &self.topic, "topic"),
        };
        if to.has_wildcard() {
            let reason =
                "a wildcard without a name cannot be written; give it a name, as in `{rest...}`";
            return bad(side, reason.into());
        }
        let is_known = |name: &str| from.names().any(|known| known == name);
        for name in to.names() {
            let is_key = direction == Direction::KafkaToNats && name == KEY_CAPTURE;
            if !is_key && !is_known(name) {
                return bad(
                    side,
                    format!("`{{{name}}}` is not captured at the other side"),
                );
            }
            // A tail may hold dots, and one token may not.
            if from.tail() == Some(name) && to.tail() != Some(name) {
                return bad(
                    side,
                    format!("`{{{name}...}}` of the other side does not fit into `{{{name}}}`"),
                );
            }
        }
        match (direction, &self.key) {
            (Direction::NatsToKafka, key) => match key.names().find(|name| !is_known(name)) {
                Some(name) => bad("key", format!("the subject has no `{{{name}}}`")),
                None => Ok(()),
            },
            (Direction::KafkaToNats, KeySource::Template(_) | KeySource::Field(_))
                if has_key_setting =>
            {
                let reason =
                    "a record of Kafka has a key already; `header:NAME` says which header takes it";
                bad("key", reason.into())
            }
            (Direction::KafkaToNats, _) => Ok(()),
        }
    }

    /// The subjects, with wildcards, that a consumer of NATS filters by.
    pub fn subjects(&self) -> Vec<String> {
        vec![self.subject.subject_filter()]
    }

    /// What a consumer of Kafka subscribes to: names of topics, or a regular expression that begins with `^`.
    pub fn topics(&self) -> Vec<String> {
        vec![self.topic.topic_subscription()]
    }

    /// Whether a topic is one of the route's.
    pub fn has_topic(&self, topic: &str) -> bool {
        self.topic.captures(topic).is_some()
    }

    /// Leaves out what the route itself writes to `place`, where its dead letters go.
    #[must_use]
    pub(super) fn without_dead_letters(mut self, place: &str) -> Self {
        self.dead_letters = Some(place.to_owned());
        self
    }

    /// Whether what stands in `place` is not to be carried, although it may match.
    fn leaves_out(&self, place: &str) -> bool {
        is_internal(place) || self.dead_letters.as_deref() == Some(place)
    }

    /// A record of Kafka as a message of NATS.
    ///
    /// # Errors
    ///
    /// If there can be no such message.
    pub fn to_nats(&self, record: &KafkaRecord) -> Result<Mapped<NatsRecord>, MappingError> {
        if self.leaves_out(&record.topic) {
            return Ok(Mapped::Skip);
        }
        let (path, headers) = path_of(&record.headers)?;
        let Some(path) = extended(path, &self.source, &self.target)? else {
            return Ok(Mapped::Skip);
        };
        let foreign = || MappingError::Foreign(shown(&record.topic));
        let mut captures = self.topic.captures(&record.topic).ok_or_else(foreign)?;
        captures.set(KEY_CAPTURE, key_to_token(record.key.as_deref()));
        let subject = self.subject.fill(&captures).map_err(MappingError::Place)?;

        let mut envelope = Envelope {
            timestamp: record.timestamp_ms,
            tombstone: record.value.is_none(),
            ..Envelope::default()
        };
        let mut plain = Vec::with_capacity(headers.len() + 3);
        if let Some(key) = &record.key {
            match plain_value(key).filter(|_| self.key != KeySource::None) {
                Some(text) => plain.push((self.key_header.clone(), text.to_owned())),
                None => envelope.key = Some(Coded::of(key)),
            }
        }
        let first = plain.len();
        let has_key = first > 0;
        let mut entries = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            match self.plain_header(name, value.as_deref(), has_key) {
                Some(text) => {
                    plain.push((name.clone(), text.to_owned()));
                    entries.push(Entry::Plain(name.clone()));
                }
                None => {
                    let value = value.as_deref().map(Coded::of);
                    entries.push(Entry::Given(name.clone(), value));
                }
            }
        }
        let as_given = plain.get(first..).unwrap_or_default();
        let is_said =
            as_given.len() == entries.len() && as_given.is_sorted_by_key(|(name, _)| name);
        if !is_said {
            envelope.headers = Some(entries);
        }
        let envelope = envelope
            .to_header()
            .map_err(|error| MappingError::Envelope(error.to_string()))?;
        plain.push((RECORD_HEADER.to_owned(), envelope));
        plain.push((PATH_HEADER.to_owned(), path));
        Ok(Mapped::Record(NatsRecord {
            subject,
            headers: plain,
            payload: record.value.clone().unwrap_or_default(),
            timestamp_ms: record.timestamp_ms,
            ..NatsRecord::default()
        }))
    }

    /// The value of a header that can be a plain one of NATS. The header of the key can only be where the key stands
    /// before it.
    fn plain_header<'a>(
        &self,
        name: &str,
        value: Option<&'a [u8]>,
        has_key: bool,
    ) -> Option<&'a str> {
        let is_key = name.eq_ignore_ascii_case(&self.key_header) && !has_key;
        match is_plain_name(name) && !is_key {
            true => plain_value(value?),
            false => None,
        }
    }

    /// A message of NATS as a record of Kafka.
    ///
    /// # Errors
    ///
    /// If there can be no such record.
    pub fn to_kafka(&self, record: &NatsRecord) -> Result<Mapped<KafkaRecord>, MappingError> {
        if self.leaves_out(&record.subject) {
            return Ok(Mapped::Skip);
        }
        if let Some(flaw) = &record.flaw {
            return Err(MappingError::Headers(flaw.clone()));
        }
        let path = extended(record.header(PATH_HEADER), &self.source, &self.target)?;
        let Some(path) = path else {
            return Ok(Mapped::Skip);
        };
        let foreign = || MappingError::Foreign(shown(&record.subject));
        let captures = self.subject.captures(&record.subject).ok_or_else(foreign)?;
        let topic = self.topic.fill(&captures).map_err(MappingError::Place)?;

        let envelope = record.header(RECORD_HEADER).map(envelope).transpose()?;
        let comes_from_kafka = envelope.is_some();
        let Envelope {
            timestamp,
            key,
            tombstone,
            headers: entries,
        } = envelope.unwrap_or_default();
        let others = record.headers.iter().filter(|header| !is_ours(header));
        let mut plain: Vec<_> = others.collect();
        let place = |is_key: fn(&str, &str) -> bool| {
            let mut names = plain.iter().map(|(name, _)| name);
            names.position(|name| is_key(name, &self.key_header))
        };
        let key_place = place(|name, key| name == key).or_else(|| place(str::eq_ignore_ascii_case));
        let written = key_place.and_then(|place| plain.get(place));
        let written = written.map(|(_, value)| Bytes::copy_from_slice(value.as_bytes()));
        let key = match (key.map(Coded::bytes), &self.key) {
            (Some(key), _) => Some(key.map_err(|e| MappingError::Envelope(e.to_string()))?),
            (None, KeySource::Token) => token_to_key(captures.get(KEY_CAPTURE).unwrap_or_default()),
            (None, _) if comes_from_kafka => written.clone(),
            (None, KeySource::Header(_)) => written.clone(),
            (None, KeySource::None) => None,
            (None, KeySource::Field(pointer)) => Some(field(pointer, &record.payload)?),
            (None, KeySource::Template(parts)) => Some(filled(parts, &captures)?),
        };
        if let Some(place) = key_place.filter(|_| key == written) {
            plain.remove(place);
        }
        let mut headers = ordered(&plain, entries.unwrap_or_default())?;
        headers.push((PATH_HEADER.to_owned(), Some(path.into())));
        let is_tombstone = tombstone && record.payload.is_empty();
        Ok(Mapped::Record(KafkaRecord {
            topic,
            partition: 0,
            offset: 0,
            key,
            value: (!is_tombstone).then(|| record.payload.clone()),
            headers,
            timestamp_ms: if comes_from_kafka {
                timestamp
            } else {
                record.timestamp_ms
            },
        }))
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod there_and_back;
