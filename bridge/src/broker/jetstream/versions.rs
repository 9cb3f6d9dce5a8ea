//! What the metadata of streams and consumers say of the server: its version, the level of its API, and the level that the
//! stream or consumer needs. It is in answers alone; what clients send of it is left out.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::api::API_LEVEL;
use super::json::is_unset;
use crate::broker::greeting::SERVER_VERSION;
use crate::broker::headers;

const VERSION: &str = "_nats.ver";
const LEVEL: &str = "_nats.level";
const REQUIRED: &str = "_nats.req.level";

/// Which settings need a level.
const NEEDS: [(&str, u32); 9] = [
    ("allow_msg_ttl", 1),
    ("subject_delete_marker_ttl", 1),
    ("pause_until", 1),
    ("priority_policy", 1),
    ("allow_msg_counter", 2),
    ("allow_atomic", 2),
    ("allow_msg_schedules", 2),
    ("persist_mode", 2),
    ("allow_batched", 4),
];

/// The header of a request, or of a message of a batch, that says which level it needs.
const REQUIRED_HEADER: &str = "Nats-Required-Api-Level";

/// Whether a client asks for features that this server does not have.
pub(super) fn needs_another_level(block: &[u8]) -> bool {
    let level = headers::value(block, REQUIRED_HEADER).filter(|level| !level.is_empty());
    level.is_some_and(|level| {
        !level
            .parse()
            .is_ok_and(|level: i64| level <= API_LEVEL.into())
    })
}

/// The headers that are stored of a message of a batch.
pub(super) fn without_level(block: &Bytes) -> Bytes {
    match headers::value(block, REQUIRED_HEADER) {
        Some(_) => headers::without(block, |name| name == REQUIRED_HEADER),
        None => block.clone(),
    }
}

/// Leaves out what only the server says.
pub(super) fn strip(metadata: &mut BTreeMap<String, String>) {
    metadata.retain(|name, _| ![VERSION, LEVEL, REQUIRED].contains(&name.as_str()));
}

/// Adds it to the configurations in an answer.
pub(super) fn mark(answer: &mut Map<String, Value>) {
    mark_config(answer);
    for name in ["streams", "consumers"] {
        let listed = answer.get_mut(name).and_then(Value::as_array_mut);
        for info in listed.into_iter().flatten() {
            if let Some(info) = info.as_object_mut() {
                mark_config(info);
            }
        }
    }
}

fn mark_config(info: &mut Map<String, Value>) {
    let Some(Value::Object(config)) = info.get_mut("config") else {
        return;
    };
    let needs = NEEDS.iter().filter(|(setting, _)| {
        let value = config.get(*setting);
        value.is_some_and(|value| !is_unset(value))
    });
    let required = needs.map(|(_, level)| *level).max().unwrap_or(0);
    let metadata = config.entry("metadata").or_insert_with(|| json!({}));
    if let Value::Object(metadata) = metadata {
        metadata.insert(VERSION.to_owned(), SERVER_VERSION.into());
        metadata.insert(LEVEL.to_owned(), API_LEVEL.to_string().into());
        metadata.insert(REQUIRED.to_owned(), required.to_string().into());
    }
}
