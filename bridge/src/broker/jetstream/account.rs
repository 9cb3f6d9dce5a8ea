//! What the API says of accounts: one has streams, with the limits of the server; the others are told that they have none.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::Streams;
use super::api::API_LEVEL;
use super::domain::{Domain, mark};
use super::error::{self, Result};
use super::operations::split_operation;
use crate::broker::protocol::Message;
use crate::broker::router::Router;

/// The account with what its streams take. No stream is asked: one that is busy would hold the answer up.
pub(super) fn account_info(streams: &Streams, domain: Option<&Domain>) -> Result<Value> {
    let usage = &streams.usage;
    let mut info = json!({
        "memory": usage.memory.used(),
        "storage": usage.disk.used(),
        "reserved_memory": usage.memory.reserved(),
        "reserved_storage": usage.disk.reserved(),
        "streams": streams.list(None).len(),
        "consumers": usage.consumers.load(Ordering::Relaxed),
        "limits": {
            // What there is room for is the server's limit, and not the account's.
            "max_memory": -1,
            "max_storage": -1,
            "max_streams": -1,
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
    });
    mark(domain, &mut info);
    Ok(info)
}

/// Answers a request to the API from an account that has no streams. Whether it was one.
pub(in crate::broker) fn refuse_account(router: &Router, message: &Message) -> bool {
    let Some(request) = message.subject.strip_prefix("$JS.API.") else {
        return false;
    };
    // These are asked of a consumer and of a stream, and there is none.
    if request.starts_with("CONSUMER.MSG.NEXT.") || request.starts_with("DIRECT.GET") {
        return false;
    }
    if let Some(inbox) = &message.reply {
        let kind = match split_operation(request).0 {
            "INFO" => "account_info".to_owned(),
            "CONSUMER.DURABLE.CREATE" => "consumer_create".to_owned(),
            operation => operation.to_ascii_lowercase().replace('.', "_"),
        };
        let answer = json!({
            "type": format!("io.nats.jetstream.api.v1.{kind}_response"),
            "error": error::NOT_FOR_ACCOUNT,
        });
        router.answer(inbox, &[], answer.to_string().as_bytes());
    }
    true
}
