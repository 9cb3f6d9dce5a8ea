//! What a configuration file holds: values that know where they stand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Where something stands in a file. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    /// A problem at this place.
    pub(crate) fn error(&self, reason: impl fmt::Display) -> ConfigError {
        ConfigError::new(self, reason)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What is wrong in a configuration file, and where. The reason never holds a value: it may be a secret.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{at}: {reason}")]
pub(crate) struct ConfigError {
    at: String,
    reason: String,
}

impl ConfigError {
    /// A problem at a place, or with a whole file.
    pub(super) fn new(at: impl fmt::Display, reason: impl fmt::Display) -> Self {
        ConfigError {
            at: at.to_string(),
            reason: reason.to_string(),
        }
    }
}

/// A value of a configuration file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Array(Vec<Node>),
    Map(Map),
}

impl Value {
    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::String(_) => "a string",
            Value::Integer(_) => "a number",
            Value::Float(_) => "a decimal number",
            Value::Bool(_) => "true or false",
            Value::Array(_) => "an array",
            Value::Map(_) => "a map",
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Value::String(text) => json!(text),
            Value::Integer(number) => json!(number),
            Value::Float(number) => json!(number),
            Value::Bool(is_on) => json!(is_on),
            Value::Array(nodes) => {
                let values = nodes.iter().map(|node| node.value.to_json());
                values.collect()
            }
            Value::Map(map) => map.to_json(),
        }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn size(&self) -> usize {
        const EACH: usize = 64;
        EACH + match self {
            Value::String(text) => text.len(),
            Value::Array(nodes) => nodes.iter().map(|node| node.value.size()).sum(),
            Value::Map(map) => {
                let sizes = map
                    .iter()
                    .map(|(key, node, _)| key.len() + node.value.size());
                sizes.sum()
            }
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) => 0,
        }
    }
}

/// A value and where it stands: for one that has a key, where the key stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

impl Node {
    fn expected(&self, what: &str) -> ConfigError {
        self.place
            .error(format!("expected {what}, not {}", self.value.kind()))
    }

    pub(crate) fn string(&self) -> Result<&str, ConfigError> {
        match &self.value {
            Value::String(text) => Ok(text),
            _ => Err(self.expected("a string")),
        }
    }

    pub(crate) fn bool(&self) -> Result<bool, ConfigError> {
        match self.value {
            Value::Bool(value) => Ok(value),
            _ => Err(self.expected("true or false")),
        }
    }

    pub(crate) fn integer(&self) -> Result<i64, ConfigError> {
        match self.value {
            Value::Integer(value) => Ok(value),
            _ => Err(self.expected("a number")),
        }
    }

    /// A number of at least `least` and at most `most`.
    pub(crate) fn integer_within(&self, least: i64, most: i64) -> Result<i64, ConfigError> {
        let value = self.integer()?;
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        let reason = format!("a number from {least} to {most} is needed");
        Err(self.place.error(reason))
    }

    pub(crate) fn map(&self) -> Result<&Map, ConfigError> {
        match &self.value {
            Value::Map(map) => Ok(map),
            _ => Err(self.expected("a map")),
        }
    }

    pub(crate) fn array(&self) -> Result<&[Node], ConfigError> {
        match &self.value {
            Value::Array(values) => Ok(values),
            _ => Err(self.expected("an array")),
        }
    }

    /// A string, or an array of strings.
    pub(crate) fn strings(&self) -> Result<Vec<String>, ConfigError> {
        match &self.value {
            Value::String(text) => Ok(vec![text.clone()]),
            Value::Array(values) => values
                .iter()
                .map(|value| value.string().map(str::to_owned))
                .collect(),
            _ => Err(self.expected("a string or an array of strings")),
        }
    }
}

/// Settings by their keys, in the order of the file. Of two with the same key the last one counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Map {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    key: String,
    node: Node,
    used_as_variable: bool,
}

impl Map {
    pub(super) fn insert(&mut self, key: String, node: Node) {
        self.entries.retain(|entry| entry.key != key);
        self.entries.push(Entry {
            key,
            node,
            used_as_variable: false,
        });
    }

    /// Takes over what an included file holds.
    pub(super) fn absorb(&mut self, included: Map) {
        for entry in included.entries {
            self.entries.retain(|own| own.key != entry.key);
            self.entries.push(entry);
        }
    }

    pub(super) fn use_as_variable(&mut self, key: &str) -> Option<&Value> {
        let entry = self.entries.iter_mut().find(|entry| entry.key == key)?;
        entry.used_as_variable = true;
        Some(&entry.node.value)
    }

    /// The keys and values. Keys that a variable refers to may be no settings: the flag says so.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node, bool)> {
        self.entries
            .iter()
            .map(|entry| (entry.key.as_str(), &entry.node, entry.used_as_variable))
    }

    /// What tells the settings from others, as nats-server has it: the digest of their JSON as Go writes it.
    pub(crate) fn digest(&self) -> String {
        let mut text = self.to_json().to_string();
        for (from, to) in [
            ("<", "\\u003c"),
            (">", "\\u003e"),
            ("&", "\\u0026"),
            ("\u{2028}", "\\u2028"),
            ("\u{2029}", "\\u2029"),
        ] {
            text = text.replace(from, to);
        }
        text.push('\n');
        let digest = Sha256::digest(text);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }

    fn to_json(&self) -> serde_json::Value {
        let entries = self.entries.iter();
        let sorted: BTreeMap<_, _> = entries
            .map(|entry| (&entry.key, entry.node.value.to_json()))
            .collect();
        json!(sorted)
    }

    #[cfg(test)]
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(&entry.node.value)
    }
}
