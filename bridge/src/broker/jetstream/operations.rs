//! What the subjects of the API say: an operation, and the names of what it is about.

use bytes::Bytes;

use super::answers;
use super::consumer_requests::about_consumer;
use super::error::{self, ApiError, Result};
use super::requests::Request;

/// Splits a subject into the operation, as many words of it as there are operations of, and the names behind it.
pub(super) fn split_operation(subject: &str) -> (&str, &str) {
    const THREE_WORDS: [&str; 3] = [
        "STREAM.MSG.GET",
        "STREAM.MSG.DELETE",
        "CONSUMER.DURABLE.CREATE",
    ];
    let words = if THREE_WORDS
        .iter()
        .any(|operation| subject.starts_with(operation))
    {
        3
    } else {
        2
    };
    match subject.match_indices('.').nth(words - 1) {
        Some((dot, _)) => (
            subject.get(..dot).unwrap_or_default(),
            subject.get(dot + 1..).unwrap_or_default(),
        ),
        None => (subject, ""),
    }
}

/// Whether an operation has a place for each of these names. What has not is another subject, about which permissions say other things.
pub(super) fn takes_names(operation: &str, names: &str) -> bool {
    let most = match operation {
        "STREAM.NAMES" | "STREAM.LIST" => 0,
        "CONSUMER.NAMES" | "CONSUMER.LIST" => 1,
        // The subject that is wanted stands behind the names.
        "CONSUMER.CREATE" => usize::MAX,
        consumers if consumers.starts_with("CONSUMER.") => 2,
        _ => 1,
    };
    names.split_terminator('.').count() <= most
}

/// The stream that a request is about, the type of its answer, and the request.
pub(super) fn about_stream<'a>(
    operation: &str,
    names: &'a str,
    body: Bytes,
) -> Result<(&'a str, &'static str, Request)> {
    let (stream, rest) = names.split_once('.').unwrap_or((names, ""));
    let (kind, request) = match operation {
        "STREAM.INFO" => ("stream_info_response", Request::Info(body)),
        "STREAM.PURGE" => ("stream_purge_response", Request::Purge(body)),
        "STREAM.MSG.GET" => (answers::MESSAGE, Request::GetMessage(body)),
        "STREAM.MSG.DELETE" => ("stream_msg_delete_response", Request::DeleteMessage(body)),
        _ => match about_consumer(operation, rest, body) {
            Some(about) => about,
            None => return Err(not_supported(operation)),
        },
    };
    Ok((stream, kind, request))
}

pub(super) fn not_supported(operation: &str) -> ApiError {
    error::bad_request(format!(
        "`$JS.API.{operation}` is not supported by this server"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_of_the_api_are_taken_apart() {
        for (subject, operation, names) in [
            ("INFO", "INFO", ""),
            ("STREAM.NAMES", "STREAM.NAMES", ""),
            ("STREAM.INFO.S", "STREAM.INFO", "S"),
            ("STREAM.MSG.GET.S", "STREAM.MSG.GET", "S"),
            ("CONSUMER.CREATE.S.d.ev.>", "CONSUMER.CREATE", "S.d.ev.>"),
            (
                "CONSUMER.DURABLE.CREATE.S.d",
                "CONSUMER.DURABLE.CREATE",
                "S.d",
            ),
        ] {
            assert_eq!(split_operation(subject), (operation, names), "{subject}");
        }
        let (stream, _, request) =
            about_stream("CONSUMER.CREATE", "S.d.ev.>", Bytes::new()).unwrap();
        assert_eq!(stream, "S");
        let Request::CreateConsumer { names, .. } = request else {
            panic!("{request:?}")
        };
        assert_eq!(
            (names.consumer.as_deref(), names.filter.as_deref()),
            (Some("d"), Some("ev.>"))
        );
    }
}
