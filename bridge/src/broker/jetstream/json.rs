//! Small things about the API's JSON: times, requests with nulls, and what counts as not set.

use chrono::{DateTime, SecondsFormat, TimeDelta};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::{Result, invalid_json};

/// A second in the nanoseconds of the API.
pub(super) const SECOND: i64 = 1_000_000_000;

/// Nanoseconds since 1970 as RFC 3339 with nanoseconds; 0 is the API's way to say "never".
pub(super) fn time(nanos: i64) -> String {
    if nanos == 0 {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    (DateTime::UNIX_EPOCH + TimeDelta::nanoseconds(nanos))
        .to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// RFC 3339 as nanoseconds since 1970.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text)
        .ok()?
        .timestamp_nanos_opt()
}

/// The time now, in nanoseconds since 1970.
pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}

/// Reads the body of a request. An empty body, `null` and `[]` mean no parameters; a null member means an absent one.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let value = if body.trim_ascii().is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body).map_err(invalid_json)?
    };
    let value = match value {
        Value::Null => Value::Object(Map::new()),
        Value::Array(items) if items.is_empty() => Value::Object(Map::new()),
        other => without_nulls(other),
    };
    serde_json::from_value(value).map_err(invalid_json)
}

/// Whether a body says nothing: the forms in which clients say so are several.
pub(super) fn is_empty(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    match body {
        b"" | b"null" => true,
        [b'{', rest @ .., b'}'] | [b'[', rest @ .., b']'] => rest.trim_ascii().is_empty(),
        _ => false,
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, member)| !member.is_null());
            Value::Object(
                members
                    .map(|(name, member)| (name, without_nulls(member)))
                    .collect(),
            )
        }
        other => other,
    }
}

/// How many bytes something takes as JSON.
pub(super) fn size(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}

/// Adds a member to an object.
pub(super) fn set(object: &mut Value, name: &str, member: impl Into<Value>) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), member.into());
    }
}

/// Whether a setting says no more than its absence would.
pub(super) fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => matches!(
            text.as_str(),
            "" | "none" | "default" | "0001-01-01T00:00:00Z"
        ),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_unset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_without_parameters_come_in_many_forms() {
        for body in ["", " ", "null", "[]", "{}", r#"{"offset":null}"#] {
            assert!(
                parse::<Map<String, Value>>(body.as_bytes())
                    .unwrap()
                    .is_empty(),
                "{body}"
            );
        }
        for wrong in ["{", "[1]"] {
            assert!(parse::<Map<String, Value>>(wrong.as_bytes()).is_err());
        }
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        let nanos = 1_700_000_000_123_456_789;
        assert_eq!(time(nanos), "2023-11-14T22:13:20.123456789Z");
        assert_eq!(parse_time(&time(nanos)), Some(nanos));
        assert_eq!(
            parse_time("2023-11-14T23:13:20.123456789+01:00"),
            Some(nanos)
        );
        assert_eq!(time(0), "0001-01-01T00:00:00Z");
    }
}
