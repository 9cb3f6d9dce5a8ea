//! What the API says of the account: there is one, with the limits of the server.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::Streams;
use super::api::{API_LEVEL, MAX_STREAMS};
use super::error::Result;

/// The account with what its streams take. No stream is asked: one that is busy would hold the answer up.
pub(super) fn account_info(streams: &Streams) -> Result<Value> {
    let usage = &streams.usage;
    Ok(json!({
        "memory": usage.memory.used(),
        "storage": usage.disk.used(),
        "reserved_memory": usage.memory.reserved(),
        "reserved_storage": usage.disk.reserved(),
        "streams": streams.list(None).len(),
        "consumers": usage.consumers.load(Ordering::Relaxed),
        "limits": {
            "max_memory": usage.memory.max(),
            "max_storage": usage.disk.max(),
            "max_streams": MAX_STREAMS,
            "max_consumers": -1,
            "max_ack_pending": -1,
            "memory_max_stream_bytes": -1,
            "storage_max_stream_bytes": -1,
            "max_bytes_required": false,
        },
        "api": {
            "level": API_LEVEL,
            "total": usage.requests.load(Ordering::Relaxed),
            "errors": usage.refusals.load(Ordering::Relaxed),
        },
    }))
}
