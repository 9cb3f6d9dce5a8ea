//! The errors of the JetStream API, with the codes that clients know.

use std::borrow::Cow;

use serde::Serialize;

/// An error as it goes into an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::broker) struct ApiError {
    code: u16,
    err_code: u16,
    description: Cow<'static, str>,
}

/// The result of an API request.
pub(in crate::broker) type Result<T> = std::result::Result<T, ApiError>;

const fn fixed(code: u16, err_code: u16, description: &'static str) -> ApiError {
    ApiError {
        code,
        err_code,
        description: Cow::Borrowed(description),
    }
}

pub(super) const INVALID_JSON: ApiError = fixed(400, 10025, "invalid JSON");
pub(super) const STREAM_NOT_FOUND: ApiError = fixed(404, 10059, "stream not found");
pub(super) const STREAM_NAME_IN_USE: ApiError = fixed(
    400,
    10058,
    "stream name already in use with a different configuration",
);
pub(super) const STREAM_MISMATCH: ApiError =
    fixed(400, 10056, "stream name in subject does not match request");
pub(super) const SUBJECTS_OVERLAP: ApiError =
    fixed(400, 10065, "subjects overlap with an existing stream");
pub(super) const TOO_MANY_STREAMS: ApiError =
    fixed(400, 10027, "maximum number of streams reached");
pub(super) const CONSUMER_NOT_FOUND: ApiError = fixed(404, 10014, "consumer not found");
pub(super) const CONSUMER_EXISTS: ApiError = fixed(400, 10148, "consumer already exists");
pub(super) const CONSUMER_DOES_NOT_EXIST: ApiError = fixed(400, 10149, "consumer does not exist");
pub(super) const TOO_MANY_CONSUMERS: ApiError =
    fixed(400, 10026, "maximum consumers limit reached");
pub(super) const BAD_DURABLE_NAME: ApiError =
    fixed(400, 10103, "durable name can not contain `.`, `*`, `>`");
pub(super) const NAME_MISMATCH: ApiError = fixed(
    400,
    10017,
    "consumer name in subject does not match durable name in request",
);
pub(super) const NAMES_DIFFER: ApiError = fixed(
    400,
    10132,
    "consumer durable and name have to be equal if both are provided",
);
pub(super) const FILTER_MISMATCH: ApiError = fixed(
    400,
    10131,
    "consumer create request did not match filtered subject from create subject",
);
pub(super) const TWO_KINDS_OF_FILTER: ApiError = fixed(
    400,
    10136,
    "consumer cannot have both FilterSubject and FilterSubjects specified",
);
pub(super) const FILTERS_OVERLAP: ApiError =
    fixed(400, 10138, "consumer subject filters cannot overlap");
pub(super) const EMPTY_FILTER: ApiError = fixed(
    400,
    10139,
    "consumer filter in FilterSubjects cannot be empty",
);
pub(super) const FILTER_NOT_SUBSET: ApiError = fixed(
    400,
    10093,
    "consumer filter subject is not a valid subset of the interest subjects",
);
pub(super) const BACKOFF_TOO_LONG: ApiError = fixed(
    400,
    10116,
    "max deliver is required to be > length of backoff values",
);
pub(super) const PULL_WITH_RATE_LIMIT: ApiError = fixed(
    400,
    10086,
    "consumer in pull mode can not have rate limit set",
);
pub(super) const NO_MESSAGE: ApiError = fixed(404, 10037, "no message found");
pub(super) const WRONG_LAST_ID: u16 = 10070;
pub(super) const WRONG_LAST_SEQUENCE: u16 = 10071;
pub(super) const EXPECTED_STREAM: ApiError = fixed(400, 10060, "expected stream does not match");
pub(super) const MESSAGE_TOO_BIG: ApiError =
    fixed(400, 10054, "message size exceeds maximum allowed");
pub(super) const TOO_MANY_MESSAGES: ApiError = fixed(400, 10077, "maximum messages exceeded");
pub(super) const TOO_MANY_BYTES: ApiError = fixed(400, 10077, "maximum bytes exceeded");
pub(super) const TOO_MANY_PER_SUBJECT: ApiError =
    fixed(400, 10077, "maximum messages per subject exceeded");
pub(super) const REPLICAS: ApiError = fixed(
    500,
    10074,
    "replicas > 1 not supported in non-clustered mode",
);
pub(super) const BUSY: ApiError = fixed(503, 10008, "JetStream system temporarily unavailable");

pub(super) fn bad_request(why: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError {
        code: 400,
        err_code: 10003,
        description: why.into(),
    }
}

pub(super) fn stream_config(why: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError {
        code: 500,
        err_code: 10052,
        description: why.into(),
    }
}

pub(super) fn consumer_config(why: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError {
        code: 500,
        err_code: 10012,
        description: why.into(),
    }
}

pub(super) fn wrong_last(err_code: u16, what: &str, actual: impl std::fmt::Display) -> ApiError {
    ApiError {
        code: 400,
        err_code,
        description: format!("wrong last {what}: {actual}").into(),
    }
}

pub(super) fn forbidden(err_code: u16, why: &'static str) -> ApiError {
    fixed(400, err_code, why)
}

/// The disk did not take what was to be stored.
pub(super) fn store_failed(error: &std::io::Error) -> ApiError {
    ApiError {
        code: 503,
        err_code: 10077,
        description: format!("cannot store: {error}").into(),
    }
}

pub(super) fn sequence_not_found(seq: u64) -> ApiError {
    ApiError {
        code: 400,
        err_code: 10043,
        description: format!("sequence {seq} not found").into(),
    }
}
