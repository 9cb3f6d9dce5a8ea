//! The settings of `jetstream`: a map, or whether there is JetStream at all.

use super::{Problems, Reading, each, limit, path, quoted_duration};
use crate::cli::settings::JetStreamSettings;
use crate::nats_config::{ConfigError, Node, Value};

pub(super) fn jetstream(
    node: &Node,
    settings: &mut JetStreamSettings,
    problems: &mut Problems,
) -> Result<(), ConfigError> {
    match &node.value {
        Value::Bool(enabled) => settings.enabled = *enabled,
        Value::String(word) => settings.enabled = enabled_word(word, node)?,
        Value::Map(map) => {
            settings.enabled = true;
            each(map, problems, |key, node, _| {
                match key {
                    "store" | "store_dir" | "storedir" => settings.store_dir = Some(path(node)?),
                    "max_memory_store" | "max_mem_store" | "max_mem" => {
                        settings.max_memory = limit(node)?
                    }
                    "max_file_store" | "max_file" => settings.max_store = limit(node)?,
                    "domain" => settings.domain = Some(domain(node)?),
                    "enable" | "enabled" => settings.enabled = node.bool()?,
                    // What is written is synced before it is acknowledged, whatever the interval.
                    "sync" | "sync_interval" => sync_interval(node)?,
                    // Publishers wait for a stream that is behind, so that nothing has to be dropped.
                    "max_buffered_size" | "max_buffered_msgs" => {
                        limit(node)?;
                    }
                    "strict" => {
                        node.bool()?;
                    }
                    "key"
                    | "ek"
                    | "encryption_key"
                    | "prev_key"
                    | "prev_ek"
                    | "prev_encryption_key"
                    | "cipher"
                    | "extension_hint"
                    | "limits"
                    | "tpm"
                    | "unique_tag"
                    | "max_outstanding_catchup"
                    | "request_queue_limit"
                    | "info_queue_limit"
                    | "meta_compact"
                    | "meta_compact_size"
                    | "meta_compact_sync"
                    | "max_concurrent_io" => return Ok(Reading::Unsupported),
                    _ => return Ok(Reading::Unknown),
                }
                Ok(Reading::Done)
            });
        }
        _ => {
            return Err(node
                .place
                .error("expected a map, true, false, `enabled` or `disabled`"));
        }
    }
    Ok(())
}

/// A domain is one word of a subject.
fn domain(node: &Node) -> Result<String, ConfigError> {
    let name = node.string()?;
    if name.is_empty() || name.contains(['.', '*', '>']) || name.contains(char::is_whitespace) {
        return Err(node.place.error("a domain is one word of a subject"));
    }
    Ok(name.to_owned())
}

fn sync_interval(node: &Node) -> Result<(), ConfigError> {
    match node.string() {
        Ok("always") => Ok(()),
        _ => quoted_duration(node).map(drop),
    }
}

pub(super) fn enabled_word(word: &str, node: &Node) -> Result<bool, ConfigError> {
    match word.to_ascii_lowercase().as_str() {
        "enabled" | "enable" => Ok(true),
        "disabled" | "disable" => Ok(false),
        _ => Err(node.place.error("expected `enabled` or `disabled`")),
    }
}
