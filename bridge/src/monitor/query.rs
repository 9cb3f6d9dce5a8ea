//! The query of a request: which of the many, and how much of each.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// How many entries an answer has unless the request says otherwise.
const DEFAULT_LIMIT: usize = 1024;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Query {
    given: BTreeMap<String, String>,
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Page {
    pub(super) offset: usize,
    pub(super) limit: usize,
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let given = actix_web::web::Query::<BTreeMap<String, String>>::from_query(text);
        let given = given.map_err(|_| "the query is not understood".to_owned())?;
        Ok(Query {
            given: given.into_inner(),
        })
    }

    /// The parameters of a request that came as a message, whose names are others here and there.
    ///
    /// # Errors
    ///
    /// If one is more than a word or a number.
    pub(super) fn of_message(asked: &Map<String, Value>, operation: &str) -> Result<Self, String> {
        let mut query = Query::default();
        for (name, value) in asked {
            let text = match value {
                Value::Null | Value::Array(_) => continue,
                Value::Bool(is_on) => is_on.to_string(),
                Value::Number(number) => number.to_string(),
                Value::String(text) => text.clone(),
                Value::Object(_) => return Err(format!("`{name}` is no object")),
            };
            let (name, text) = match (name.as_str(), text.as_str()) {
                ("subscriptions", _) => ("subs", text),
                ("subscriptions_detail", "true") => ("subs", "detail".to_owned()),
                ("account", _) if operation != "HEALTHZ" => ("acc", text),
                ("state", "0") => ("state", "open".to_owned()),
                ("state", "1") => ("state", "closed".to_owned()),
                ("state", "2") => ("state", "any".to_owned()),
                (name, _) => (name, text),
            };
            query.given.insert(name.to_owned(), text);
        }
        Ok(query)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.given
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// A switch; it is off when it is not given.
    ///
    /// # Errors
    ///
    /// If it is neither true nor false.
    pub(super) fn switch(&self, name: &str) -> Result<bool, String> {
        match self.text(name) {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some(_) => Err(format!("`{name}` is either true or false")),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let number = text.parse().map_err(|_| format!("`{name}` is a number"))?;
        Ok(Some(number))
    }

    pub(super) fn page(&self) -> Result<Page, String> {
        let number = |name| -> Result<usize, String> {
            Ok(usize::try_from(self.number(name)?.unwrap_or(0)).unwrap_or(usize::MAX))
        };
        let limit = match number("limit")? {
            0 => DEFAULT_LIMIT,
            limit => limit,
        };
        Ok(Page {
            offset: number("offset")?,
            limit,
        })
    }
}
