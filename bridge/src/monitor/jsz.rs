//! `/jsz`: the streams.

use serde_json::{Value, json};

use super::Monitor;
use super::query::Query;

pub(super) async fn jsz(monitor: &Monitor, _query: &Query) -> Result<Value, String> {
    if monitor.config.jetstream.is_none() {
        return Ok(monitor.answer(json!({
            "disabled": true,
            "config": { "max_memory": 0, "max_storage": 0 },
            "memory": 0,
            "storage": 0,
            "api": { "total": 0, "errors": 0 },
            "streams": 0,
            "consumers": 0,
            "messages": 0,
            "bytes": 0,
        })));
    }
    Ok(monitor.answer(json!({
        "config": config(monitor),
        "api": { "total": 0, "errors": 0 },
        "accounts": 1,
        "streams": monitor.stats.streams(),
        "total": 1,
    })))
}

/// How JetStream is set.
pub(super) fn config(monitor: &Monitor) -> Value {
    let limits = monitor.config.jetstream.unwrap_or_default();
    let number = |limit: Option<u64>| limit.map_or(json!(-1), |limit| json!(limit));
    json!({
        "max_memory": number(limits.max_memory),
        "max_storage": number(limits.max_store),
        "store_dir": monitor.config.data_dir.to_string_lossy(),
        "strict": true,
    })
}
