//! The query of a request: which of the many, and how much of each.

use std::collections::BTreeMap;

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
