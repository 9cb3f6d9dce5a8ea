//! Headers on their way from one kind of broker to the other: which are the relay's own, and in which order they were.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::{
    super::{
        envelope::{Coded, Entry, Envelope, RECORD_HEADER},
        relay_path::PATH_HEADER,
    },
    MESSAGE_ID_HEADER, MESSAGE_ID_PREFIX, MappingError,
};

/// Whether a header of NATS is the relay's own, and is no header of the message.
pub(super) fn is_ours((name, value): &(String, String)) -> bool {
    name.eq_ignore_ascii_case(RECORD_HEADER)
        || name.eq_ignore_ascii_case(PATH_HEADER)
        || name.eq_ignore_ascii_case(MESSAGE_ID_HEADER) && value.starts_with(MESSAGE_ID_PREFIX)
}

/// A header of Kafka: a name and perhaps a value.
pub(super) type KafkaHeader = (String, Option<Bytes>);

/// The path among headers of Kafka, and the others.
pub(super) fn path_of(
    headers: &[KafkaHeader],
) -> Result<(Option<&str>, Vec<&KafkaHeader>), MappingError> {
    let is_path = |(name, _): &&KafkaHeader| name.eq_ignore_ascii_case(PATH_HEADER);
    let (paths, others): (Vec<_>, Vec<_>) = headers.iter().partition(is_path);
    let path = match paths.last() {
        Some((_, Some(bytes))) => {
            let text = std::str::from_utf8(bytes);
            Some(text.map_err(|_| MappingError::Path("it is no text"))?)
        }
        _ => None,
    };
    Ok((path, others))
}

/// Reads the envelope.
pub(super) fn envelope(text: &str) -> Result<Envelope, MappingError> {
    serde_json::from_str(text).map_err(|error| MappingError::Envelope(error.to_string()))
}

/// Headers in the order that the envelope says, and behind them those that it does not know.
pub(super) fn ordered(
    plain: &[&(String, String)],
    entries: Vec<Entry>,
) -> Result<Vec<KafkaHeader>, MappingError> {
    let mut headers = Vec::with_capacity(plain.len() + entries.len() + 1);
    let mut places: HashMap<&str, VecDeque<usize>> = HashMap::new();
    if !entries.is_empty() {
        for (place, (name, _)) in plain.iter().enumerate() {
            places.entry(name).or_default().push_back(place);
        }
    }
    let mut is_used = vec![false; plain.len()];
    for entry in entries {
        match entry {
            Entry::Plain(name) => {
                let place = places.get_mut(name.as_str()).and_then(VecDeque::pop_front);
                let place = place.and_then(|at| Some((plain.get(at)?, is_used.get_mut(at)?)));
                if let Some((plain, is_used)) = place {
                    headers.push(kafka_header(plain));
                    *is_used = true;
                }
            }
            Entry::Given(name, value) => {
                let value = value.map(Coded::bytes).transpose();
                let value = value.map_err(|error| MappingError::Envelope(error.to_string()))?;
                headers.push((name, value));
            }
        }
    }
    let unused = plain.iter().zip(is_used).filter(|(_, is_used)| !is_used);
    headers.extend(unused.map(|(plain, _)| kafka_header(plain)));
    Ok(headers)
}

fn kafka_header((name, value): &(String, String)) -> KafkaHeader {
    (name.clone(), Some(Bytes::copy_from_slice(value.as_bytes())))
}
