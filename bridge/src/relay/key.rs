//! Where the key of a record of Kafka comes from when a message of NATS becomes one.

use bytes::Bytes;
use serde_json::Value;

use super::{
    envelope::is_plain_name,
    mapping::MappingError,
    template::{Captures, shown},
};

/// The name of the capture that stands for the key in the template of a subject.
pub(super) const KEY_CAPTURE: &str = "key";

/// Where the key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeySource {
    /// There is none.
    None,
    /// The first header of this name; without the header there is no key.
    Header(String),
    /// A field of the payload, by JSON pointer; without the field the message cannot be mapped.
    Field(String),
    /// A text with captures of the subject in it.
    Template(Vec<Part>),
    /// The token of the subject that `{key}` stands for.
    Token,
}

/// A part of the template of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Literal(String),
    Capture(String),
}

impl KeySource {
    /// Reads `none`, `header:NAME`, `json:FIELD`, `json:/a/pointer`, or a text with captures.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        if let Some(name) = text.strip_prefix("header:") {
            return match is_plain_name(name) {
                true => Ok(Self::Header(name.to_owned())),
                false => Err(format!(
                    "`{}` is no name of a header for a key",
                    shown(name)
                )),
            };
        }
        if let Some(field) = text.strip_prefix("json:") {
            return match field {
                "" => Err("there is no field behind `json:`".into()),
                pointer if pointer.starts_with('/') => Ok(Self::Field(pointer.to_owned())),
                name => Ok(Self::Field(format!(
                    "/{}",
                    name.replace('~', "~0").replace('/', "~1")
                ))),
            };
        }
        let parts = parts(text)?;
        match parts.iter().any(|part| matches!(part, Part::Capture(_))) {
            true => Ok(Self::Template(parts)),
            false => Err(
                "it is neither `none`, `header:NAME`, `json:FIELD` nor a text with a capture such as `{id}`"
                    .into(),
            ),
        }
    }

    /// The captures that it needs.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let parts = match self {
            Self::Template(parts) => parts.as_slice(),
            _ => &[],
        };
        let token = matches!(self, Self::Token).then_some(KEY_CAPTURE);
        let names = parts.iter().filter_map(|part| match part {
            Part::Capture(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        });
        names.chain(token)
    }
}

fn parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((literal, behind)) = rest.split_once('{') {
        let (name, behind) = behind
            .split_once('}')
            .ok_or_else(|| format!("`{}` has no closing brace", shown(text)))?;
        parts.push(Part::Literal(literal.to_owned()));
        parts.push(Part::Capture(name.trim_end_matches("...").to_owned()));
        rest = behind;
    }
    parts.push(Part::Literal(rest.to_owned()));
    Ok(parts)
}

/// The text of a key's template with what is captured in it.
pub(super) fn filled(parts: &[Part], captures: &Captures) -> Result<Bytes, MappingError> {
    let mut key = String::new();
    for part in parts {
        match part {
            Part::Literal(literal) => key.push_str(literal),
            Part::Capture(name) => match captures.get(name) {
                Some(text) => key.push_str(text),
                None => {
                    let reason = format!("there is nothing for `{{{name}}}`");
                    return Err(MappingError::Key(reason));
                }
            },
        }
    }
    Ok(key.into())
}

/// The field of a JSON payload that is the key: a string, a whole number or a boolean.
pub(super) fn field(pointer: &str, payload: &[u8]) -> Result<Bytes, MappingError> {
    let refuse = |reason: &str| {
        let pointer = shown(pointer);
        MappingError::Key(format!("the field `{pointer}` of the payload {reason}"))
    };
    let value: Value = serde_json::from_slice(payload)
        .map_err(|error| refuse(&format!("cannot be read, for it is no JSON: {error}")))?;
    let text = match value.pointer(pointer) {
        None | Some(Value::Null) => return Err(refuse("is absent")),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(value)) => value.to_string(),
        // Another number may have lost digits when it was read.
        Some(Value::Number(number)) if !number.is_f64() => number.to_string(),
        Some(_) => return Err(refuse("is no string, whole number or boolean")),
    };
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_field() {
        let payload = br#"{"id": 7, "a/b": {"c": ["x", true]}, "f": 1.5, "n": null, "big": 18446744073709551616}"#;
        let read = |text: &str| {
            let KeySource::Field(pointer) = KeySource::parse(text).unwrap() else {
                panic!("{text}");
            };
            field(&pointer, payload).map_err(|error| error.to_string())
        };
        assert_eq!(read("json:id").unwrap(), "7");
        assert_eq!(read("json:/a~1b/c/0").unwrap(), "x");
        assert_eq!(read("json:/a~1b/c/1").unwrap(), "true");
        for text in ["json:a/b", "json:f", "json:n", "json:none", "json:big"] {
            assert!(read(text).unwrap_err().contains("the field"), "{text}");
        }
        assert!(field("/id", b"{").is_err());
    }

    #[test]
    fn a_source_that_makes_no_sense_is_refused() {
        for text in [
            "",
            "id",
            "header:",
            "header:Nats-Msg-Id",
            "header:a b",
            "json:",
            "{id",
        ] {
            assert!(KeySource::parse(text).is_err(), "{text}");
        }
        let template = KeySource::parse("film-{id}").unwrap();
        assert_eq!(template.names().collect::<Vec<_>>(), ["id"]);
    }
}
