//! What the API says of the account: there is one, with the limits of the server.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Streams;
use super::api::{API_LEVEL, MAX_STREAMS};
use super::error::Result;
use super::requests::Request;

/// The account with what its streams take.
pub(super) async fn account_info(streams: &Streams) -> Result<Value> {
    let (mut names, mut consumers) = (0_usize, 0);
    for stream in streams.list(None) {
        // A stream that has just been deleted is none.
        let Ok(info) = streams.ask(&stream.name, Request::Info(Bytes::new())).await else {
            continue;
        };
        names += 1;
        consumers += info
            .pointer("/state/consumer_count")
            .and_then(Value::as_u64)
            .unwrap_or(0);
    }
    let usage = &streams.usage;
    Ok(json!({
        "memory": usage.memory.used(),
        "storage": usage.disk.used(),
        "reserved_memory": usage.memory.reserved(),
        "reserved_storage": usage.disk.reserved(),
        "streams": names,
        "consumers": consumers,
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
