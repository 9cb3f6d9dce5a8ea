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

impl ApiError {
    pub(super) fn description(&self) -> &str {
        &self.description
    }
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
    fixed(400, 10103, "durable name can not contain '.', '*', '>'");
pub(super) const NAME_MISMATCH: ApiError = fixed(
    400,
    10017,
    "consumer name in subject does not match durable name in request",
);
pub(super) const NAMES_DIFFER: ApiError = fixed(
    400,
    10132,
    "Consumer Durable and Name have to be equal if both are provided",
);
pub(super) const FILTER_MISMATCH: ApiError = fixed(
    400,
    10131,
    "Consumer create request did not match filtered subject from create subject",
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
pub(super) const NAME_WITH_PATH_SEPARATORS: ApiError =
    fixed(400, 10127, "Consumer name can not contain path separators");
pub(super) const NAME_IN_USE: ApiError = fixed(400, 10013, "consumer name already in use");
pub(super) const DURABLE_NOT_IN_SUBJECT: ApiError = fixed(
    400,
    10016,
    "consumer expected to be durable but no durable name set in subject",
);
pub(super) const DURABLE_NOT_SET: ApiError = fixed(
    400,
    10018,
    "consumer expected to be durable but a durable name was not set",
);
pub(super) const EPHEMERAL_WITH_DURABLE: ApiError = fixed(
    400,
    10020,
    "consumer expected to be ephemeral but a durable name was set in request",
);
pub(super) const FILTERS_IN_SUBJECT: ApiError = fixed(
    400,
    10137,
    "consumer with multiple subject filters cannot use subject based API",
);
pub(super) const DELIVER_TO_WILDCARDS: ApiError =
    fixed(400, 10079, "consumer deliver subject has wildcards");
pub(super) const BAD_DELIVER_SUBJECT: ApiError =
    fixed(400, 10112, "invalid push consumer deliver subject");
pub(super) const DELIVER_CYCLE: ApiError =
    fixed(400, 10081, "consumer deliver subject forms a cycle");
pub(super) const PUSH_WITH_MAX_WAITING: ApiError =
    fixed(400, 10080, "consumer in push mode can not set max waiting");
pub(super) const MAX_ACK_PENDING_WITHOUT_ACKS: ApiError = fixed(
    400,
    10082,
    "consumer requires ack policy for max ack pending",
);
pub(super) const SMALL_HEARTBEAT: ApiError =
    fixed(400, 10083, "consumer idle heartbeat needs to be >= 100ms");
pub(super) const PULL_WITH_HEARTBEAT: ApiError = fixed(
    400,
    10088,
    "consumer idle heartbeat requires a push based consumer",
);
pub(super) const PULL_WITH_FLOW_CONTROL: ApiError = fixed(
    400,
    10089,
    "consumer flow control requires a push based consumer",
);
pub(super) const FLOW_CONTROL_WITHOUT_HEARTBEAT: ApiError = fixed(
    400,
    10108,
    "consumer with flow control also needs heartbeats",
);
pub(super) const DIRECT_PULL: ApiError =
    fixed(400, 10090, "consumer direct requires a push based consumer");
pub(super) const DIRECT_DURABLE: ApiError =
    fixed(400, 10091, "consumer direct requires an ephemeral consumer");
pub(super) const SMALL_MAX_EXPIRES: ApiError = fixed(
    400,
    10115,
    "consumer max request expires needs to be >= 1ms",
);
pub(super) const NEGATIVE_ACK_WAIT: ApiError =
    fixed(400, 10183, "consumer ack wait needs to be positive");
pub(super) const NEGATIVE_BACKOFF: ApiError =
    fixed(400, 10184, "consumer backoff needs to be positive");
pub(super) const PRIORITY_WITHOUT_GROUP: ApiError = fixed(
    400,
    10159,
    "Setting PriorityPolicy requires at least one PriorityGroup to be set",
);
pub(super) const UNKNOWN_GROUP: ApiError = fixed(
    400,
    10160,
    "Provided priority group does not exist for this consumer",
);
pub(super) const EMPTY_GROUP: ApiError = fixed(400, 10161, "Group name cannot be an empty string");
pub(super) const BAD_GROUP: ApiError = fixed(
    400,
    10162,
    "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters",
);
pub(super) const PUSH_WITH_GROUPS: ApiError = fixed(
    400,
    10178,
    "priority groups can not be used with push consumers",
);
pub(super) const GROUPS_WITHOUT_PRIORITY: ApiError = fixed(
    400,
    10196,
    "consumer can not have priority groups when policy is none",
);
pub(super) const TIMEOUT_WITHOUT_PRIORITY: ApiError = fixed(
    400,
    10197,
    "PinnedTTL cannot be set when PriorityPolicy is none",
);
pub(super) const METADATA_TOO_LONG: ApiError = fixed(
    400,
    10135,
    "consumer metadata exceeds maximum size of 128KB",
);
pub(super) const WORKQUEUE_WITHOUT_ACKS: ApiError =
    fixed(400, 10098, "workqueue stream requires explicit ack");
pub(super) const WORKQUEUE_PULL_WITHOUT_ACKS: ApiError = fixed(
    400,
    10084,
    "consumer in pull mode requires explicit ack policy on workqueue stream",
);
pub(super) const WORKQUEUE_UNFILTERED: ApiError = fixed(
    400,
    10099,
    "multiple non-filtered consumers not allowed on workqueue stream",
);
pub(super) const WORKQUEUE_NOT_UNIQUE: ApiError = fixed(
    400,
    10100,
    "filtered consumer not unique on workqueue stream",
);
pub(super) const WORKQUEUE_NOT_ALL: ApiError = fixed(
    400,
    10101,
    "consumer must be deliver all on workqueue stream",
);
pub(super) const NO_MESSAGE: ApiError = fixed(404, 10037, "no message found");
pub(super) const EXPECTED_STREAM: ApiError = fixed(400, 10060, "expected stream does not match");
pub(super) const MESSAGE_TOO_BIG: ApiError =
    fixed(400, 10054, "message size exceeds maximum allowed");
pub(super) const TOO_MANY_MESSAGES: ApiError = fixed(503, 10077, "maximum messages exceeded");
pub(super) const TOO_MANY_BYTES: ApiError = fixed(503, 10077, "maximum bytes exceeded");
pub(super) const TOO_MANY_PER_SUBJECT: ApiError =
    fixed(503, 10077, "maximum messages per subject exceeded");
pub(super) const REPLICAS: ApiError = fixed(
    500,
    10074,
    "replicas > 1 not supported in non-clustered mode",
);
pub(super) const NEGATIVE_REPLICAS: ApiError =
    fixed(400, 10133, "replicas count cannot be negative");
pub(super) const BAD_REQUEST: ApiError = fixed(400, 10003, "bad request");
pub(super) const NOT_EMPTY: ApiError = fixed(400, 10038, "expected an empty request payload");
pub(super) const SEALED: ApiError = fixed(400, 10109, "invalid operation on sealed stream");
pub(super) const PATH_IN_NAME: ApiError =
    fixed(400, 10128, "Stream name can not contain path separators");
pub(super) const NO_RESOURCES: ApiError = fixed(503, 10023, "insufficient resources");
pub(super) const NO_MEMORY: ApiError = fixed(500, 10028, "insufficient memory resources available");
pub(super) const NO_STORAGE: ApiError =
    fixed(500, 10047, "insufficient storage resources available");
pub(super) const SUBJECT_WITHOUT_SEQUENCE: ApiError = fixed(
    400,
    10193,
    "missing sequence for expected last sequence per subject",
);
pub(super) const HEADERS_TOO_BIG: ApiError =
    fixed(400, 10097, "header size exceeds maximum allowed of 64k");
pub(super) const TTL_DISABLED: ApiError = fixed(400, 10166, "per-message TTL is disabled");
pub(super) const TTL_INVALID: ApiError = fixed(400, 10165, "invalid per-message TTL");
pub(super) const API_LEVEL: ApiError = fixed(412, 10185, "JetStream minimum api level required");
pub(super) const COUNTERS_DISABLED: ApiError = fixed(400, 10168, "message counters is disabled");
pub(super) const COUNTER_MISSING: ApiError =
    fixed(400, 10169, "message counter increment is missing");
pub(super) const COUNTER_WITH_PAYLOAD: ApiError = fixed(400, 10170, "message counter has payload");
pub(super) const COUNTER_INVALID: ApiError =
    fixed(400, 10171, "message counter increment is invalid");
pub(super) const COUNTER_BROKEN: ApiError = fixed(400, 10172, "message counter is broken");
pub(super) const SCHEDULES_DISABLED: ApiError = fixed(400, 10188, "message schedules is disabled");
pub(super) const SCHEDULE_PATTERN: ApiError =
    fixed(400, 10189, "message schedules pattern is invalid");
pub(super) const SCHEDULE_TARGET: ApiError =
    fixed(400, 10190, "message schedules target is invalid");
pub(super) const SCHEDULE_TTL: ApiError =
    fixed(400, 10191, "message schedules invalid per-message TTL");
pub(super) const SCHEDULE_ROLLUP: ApiError = fixed(400, 10192, "message schedules invalid rollup");
pub(super) const SCHEDULE_SOURCE: ApiError =
    fixed(400, 10203, "message schedules source is invalid");
pub(super) const SCHEDULE_SCHEDULER: ApiError =
    fixed(400, 10212, "message schedules invalid scheduler");
pub(super) const SCHEDULE_ZONE: ApiError =
    fixed(400, 10223, "message schedules time zone is invalid");
pub(super) const BATCHES_DISABLED: ApiError = fixed(400, 10174, "atomic publish is disabled");
pub(super) const BATCH_WITHOUT_SEQUENCE: ApiError =
    fixed(400, 10175, "atomic publish sequence is missing");
pub(super) const BATCH_INCOMPLETE: ApiError =
    fixed(400, 10176, "atomic publish batch is incomplete");
pub(super) const BATCH_ID: ApiError = fixed(400, 10179, "atomic publish batch ID is invalid");
pub(super) const BATCH_COMMIT: ApiError =
    fixed(400, 10200, "atomic publish batch commit is invalid");
pub(super) const BATCH_WITH_DUPLICATE: ApiError = fixed(
    400,
    10201,
    "atomic publish batch contains duplicate message id",
);
pub(super) const TOO_MANY_BATCHES: ApiError = fixed(429, 10210, "atomic publish too many inflight");
pub(super) const INGEST_DISABLED: ApiError = fixed(400, 10205, "batch publish is disabled");
pub(super) const INGEST_PATTERN: ApiError = fixed(400, 10206, "batch publish pattern is invalid");
pub(super) const INGEST_ID: ApiError = fixed(400, 10207, "batch publish ID is invalid");
pub(super) const INGEST_UNKNOWN: ApiError = fixed(400, 10208, "batch publish ID unknown");
pub(super) const TOO_MANY_INGESTS: ApiError = fixed(429, 10211, "batch publish too many inflight");
pub(super) const SOURCE_HEADER: ApiError =
    fixed(400, 10227, "message stream source header is not allowed");
pub(super) const WRONG_LAST_SEQUENCE: ApiError = fixed(400, 10164, "wrong last sequence");
pub(super) const NOT_FOR_ACCOUNT: ApiError = fixed(503, 10039, "JetStream not enabled for account");
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

fn of_consumer(err_code: u16, description: String) -> ApiError {
    ApiError {
        code: 400,
        err_code,
        description: description.into(),
    }
}

/// What a request leaves to the server that asks it to leave nothing.
pub(super) fn pedantic(why: String) -> ApiError {
    of_consumer(10157, format!("pedantic mode: {why}"))
}

pub(super) fn too_many_unacknowledged(limit: i64) -> ApiError {
    let why = format!("consumer max ack pending exceeds system limit of {limit}");
    of_consumer(10121, why)
}

pub(super) fn inactive_too_long(limit: &str) -> ApiError {
    let why = format!("consumer inactive threshold exceeds system limit of {limit}");
    of_consumer(10153, why)
}

/// Where a consumer is to start and what else it says about that do not go together.
pub(super) fn bad_policy(why: String) -> ApiError {
    of_consumer(10094, why)
}

pub(super) fn bad_reset(why: &str) -> ApiError {
    of_consumer(10204, format!("invalid reset: {why}"))
}

pub(super) fn bad_sampling(frequency: &str) -> ApiError {
    of_consumer(
        10095,
        format!(
            "failed to parse consumer sampling configuration: strconv.Atoi: parsing \"{frequency}\": invalid syntax"
        ),
    )
}

pub(super) fn description_too_long(max: usize) -> ApiError {
    of_consumer(
        10107,
        format!("consumer description is too long, maximum allowed is {max}"),
    )
}

pub(super) fn wrong_last_sequence(actual: u64) -> ApiError {
    ApiError {
        code: 400,
        err_code: 10071,
        description: format!("wrong last sequence: {actual}").into(),
    }
}

pub(super) fn batch_too_large(max: u64) -> ApiError {
    of_consumer(10199, format!("atomic publish batch is too large: {max}"))
}

pub(super) fn unsupported_in_batch(header: &str) -> ApiError {
    of_consumer(
        10177,
        format!("atomic publish unsupported header used: {header}"),
    )
}

pub(super) fn wrong_last_id(actual: &str) -> ApiError {
    ApiError {
        code: 400,
        err_code: 10070,
        description: format!("wrong last msg ID: {actual}").into(),
    }
}

/// Something that the stream's configuration forbids.
pub(super) fn forbidden(err_code: u16, why: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError {
        code: 500,
        err_code,
        description: why.into(),
    }
}

/// A request that is no JSON, or not of the kind that is expected.
pub(super) fn invalid_json(why: impl std::fmt::Display) -> ApiError {
    ApiError {
        description: format!("invalid JSON: {why}").into(),
        ..INVALID_JSON
    }
}

pub(super) fn transform_source(source: &str) -> ApiError {
    ApiError {
        code: 400,
        err_code: 10155,
        description: format!("stream transform source: invalid subject {source}").into(),
    }
}

pub(super) fn transform(why: String) -> ApiError {
    ApiError {
        code: 400,
        err_code: 10156,
        description: format!("stream transform: {why}").into(),
    }
}

/// The disk did not take what was to be stored.
pub(super) fn store_failed(error: &std::io::Error) -> ApiError {
    ApiError {
        code: 503,
        err_code: 10077,
        description: format!("cannot store: {error}").into(),
    }
}

/// The disk did not give what is stored.
pub(super) fn read_failed(error: &std::io::Error) -> ApiError {
    ApiError {
        description: format!("cannot read: {error}").into(),
        ..store_failed(error)
    }
}

pub(super) fn sequence_not_found(seq: u64) -> ApiError {
    ApiError {
        code: 400,
        err_code: 10043,
        description: format!("sequence {seq} not found").into(),
    }
}
