//! The two directions of a route: what comes in, what goes out, and how the one is made of the other.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{
    flow::{Incoming, Outgoing},
    kafka::ID_HEADER,
    mapping::{self, Mapping},
    record::{KafkaRecord, NatsRecord},
};

/// Why a message is a dead letter, as in the dead letters of the bus.
const REASON_HEADER: &str = "marquee-reason";
/// The id of the input that a dead letter was.
const ORIGIN_HEADER: &str = "marquee-origin";
/// What a dead letter lacks, and why, if it was refused as it was.
const CUT_HEADER: &str = "marquee-cut";
/// All headers that are added to a dead letter.
const OURS: [&str; 3] = [REASON_HEADER, ORIGIN_HEADER, CUT_HEADER];
const MAX_REASON_CHARS: usize = 500;

/// What becomes of an input.
pub(super) enum Mapped<R> {
    /// It is to be written.
    Output(Outgoing<R>),
    /// It comes from where it would go to.
    Loop,
}

/// What flows in one direction.
pub(super) trait Flow: Sized + Unpin + 'static {
    type Input: Send + Sync + Unpin + 'static;
    type Output: Send + Unpin + 'static;

    /// Makes the output of an input.
    ///
    /// # Errors
    ///
    /// Why that can never be done.
    fn map(
        mapping: &Mapping,
        input: &Incoming<Self::Input>,
    ) -> Result<Mapped<Self::Output>, String>;

    /// `input` at the `place` of dead letters, with the reason why it can never be written.
    fn dead_letter(
        input: &Incoming<Self::Input>,
        place: &str,
        reason: &str,
    ) -> Outgoing<Self::Input>;

    /// `input` with nothing but its place and time. What it lacks is said where it is a dead letter.
    fn bare(input: &Incoming<Self::Input>) -> Incoming<Self::Input>;

    /// Adds a header to a dead letter.
    fn add_header(letter: &mut Outgoing<Self::Input>, name: &str, value: String);

    /// A dead letter that was refused for `refusal`, cut down to what any broker takes.
    fn cut_down(
        input: &Incoming<Self::Input>,
        place: &str,
        reason: &str,
        refusal: &str,
    ) -> Outgoing<Self::Input> {
        let mut letter = Self::dead_letter(&Self::bare(input), place, reason);
        let size = Self::size(&input.record);
        let cut = format!(
            "its {size} bytes of key, payload and headers, since they were refused: {refusal}"
        );
        Self::add_header(&mut letter, CUT_HEADER, one_line(&cut));
        letter
    }

    /// The bytes that an input counts for.
    fn size(input: &Self::Input) -> usize;
}

/// From Kafka to NATS.
pub(super) enum KafkaToNats {}

/// From NATS to Kafka.
pub(super) enum NatsToKafka {}

impl Flow for KafkaToNats {
    type Input = KafkaRecord;
    type Output = NatsRecord;

    fn map(mapping: &Mapping, input: &Incoming<KafkaRecord>) -> Result<Mapped<NatsRecord>, String> {
        let order = order(&input.record);
        let mut record = input.record.clone();
        // It names the input of the relay before this one.
        record.headers.retain(|(name, _)| name != ID_HEADER);
        let record = match mapping.to_nats(&record).map_err(|e| e.to_string())? {
            mapping::Mapped::Record(record) => record,
            mapping::Mapped::Skip => return Ok(Mapped::Loop),
        };
        Ok(Mapped::Output(Outgoing {
            id: input.id.clone(),
            order,
            record,
        }))
    }

    fn dead_letter(
        input: &Incoming<KafkaRecord>,
        place: &str,
        reason: &str,
    ) -> Outgoing<KafkaRecord> {
        let mut record = input.record.clone();
        record.topic = place.to_owned();
        record
            .headers
            .retain(|(name, _)| !OURS.contains(&name.as_str()));
        let mut letter = Outgoing {
            id: format!("{}/dead", input.id),
            order: None,
            record,
        };
        Self::add_header(&mut letter, REASON_HEADER, one_line(reason));
        Self::add_header(&mut letter, ORIGIN_HEADER, input.id.clone());
        letter
    }

    fn bare(input: &Incoming<KafkaRecord>) -> Incoming<KafkaRecord> {
        Incoming {
            id: input.id.clone(),
            // Not even its time: a topic may refuse that, too.
            record: KafkaRecord::default(),
        }
    }

    fn add_header(letter: &mut Outgoing<KafkaRecord>, name: &str, value: String) {
        let header = (name.to_owned(), Some(value.into()));
        letter.record.headers.push(header);
    }

    fn size(input: &KafkaRecord) -> usize {
        input.size()
    }
}

impl Flow for NatsToKafka {
    type Input = NatsRecord;
    type Output = KafkaRecord;

    fn map(mapping: &Mapping, input: &Incoming<NatsRecord>) -> Result<Mapped<KafkaRecord>, String> {
        let record = match mapping.to_kafka(&input.record).map_err(|e| e.to_string())? {
            mapping::Mapped::Record(record) => record,
            mapping::Mapped::Skip => return Ok(Mapped::Loop),
        };
        Ok(Mapped::Output(Outgoing {
            id: input.id.clone(),
            order: None,
            record,
        }))
    }

    fn dead_letter(
        input: &Incoming<NatsRecord>,
        place: &str,
        reason: &str,
    ) -> Outgoing<NatsRecord> {
        let mut record = input.record.clone();
        record.subject = place.to_owned();
        let is_ours = |name: &String| OURS.iter().any(|our| our.eq_ignore_ascii_case(name));
        // Orders to the server, such as the id of the message itself, were carried out.
        let is_order = |name: &String| {
            name.get(..5)
                .is_some_and(|n| n.eq_ignore_ascii_case("nats-"))
        };
        record
            .headers
            .retain(|(name, _)| !is_ours(name) && !is_order(name));
        let mut letter = Outgoing {
            id: format!("{}/dead", input.id),
            order: None,
            record,
        };
        Self::add_header(&mut letter, REASON_HEADER, one_line(reason));
        Self::add_header(&mut letter, ORIGIN_HEADER, input.id.clone());
        letter
    }

    fn bare(input: &Incoming<NatsRecord>) -> Incoming<NatsRecord> {
        Incoming {
            id: input.id.clone(),
            record: NatsRecord {
                timestamp_ms: input.record.timestamp_ms,
                ..NatsRecord::default()
            },
        }
    }

    fn add_header(letter: &mut Outgoing<NatsRecord>, name: &str, value: String) {
        letter.record.headers.push((name.to_owned(), value));
    }

    fn size(input: &NatsRecord) -> usize {
        input.size()
    }
}

fn one_line(text: &str) -> String {
    let text = text.chars().take(MAX_REASON_CHARS);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Records of the same key in the same partition stay in order; those without a key have none.
fn order(record: &KafkaRecord) -> Option<u64> {
    let key = record.key.as_ref()?;
    let mut hasher = DefaultHasher::new();
    (&record.topic, record.partition, key).hash(&mut hasher);
    Some(hasher.finish())
}
