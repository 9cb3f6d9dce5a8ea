//! The spans of queries and transactions. A transaction that is shared by the writes of several requests is a span in the trace of each of
//! them, which says how many writes shared it.

use std::time::SystemTime;

use runtime::{
    supervision::RequestScope,
    traces::{self, KeyValue, SpanKind, Spans},
};

use crate::DatabaseUrl;

/// What the spans of a database say of it.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseSpans {
    system: &'static str,
    name: String,
}

impl DatabaseSpans {
    /// Those of the database at `url`, whose actors have names that begin with `name`.
    pub(crate) fn new(name: &str, url: &DatabaseUrl) -> Self {
        Self {
            system: match url {
                DatabaseUrl::Sqlite(_) => "sqlite",
                DatabaseUrl::Mysql(_) => "mysql",
            },
            name: name.trim_end_matches("-database").to_owned(),
        }
    }

    /// Begins a query, which waits for its turn first.
    pub(crate) fn query(&self) -> Spans {
        let mut spans = Spans::begin(SpanKind::Client, "query");
        if spans.are_recorded() {
            spans.rename(|| format!("query {}", self.name));
            for attribute in self.attributes("query") {
                spans.set_attribute(attribute);
            }
        }
        spans
    }

    /// Records a transaction that began at `begun` and is over, for the write of each of `scopes`.
    pub(crate) fn transaction<'s>(
        &self,
        scopes: impl ExactSizeIterator<Item = &'s RequestScope>,
        begun: SystemTime,
        failure: Option<&'static str>,
    ) {
        let writes = scopes.len();
        for scope in scopes.filter(|scope| scope.traces().are_sampled()) {
            let mut attributes = self.attributes("transaction").to_vec();
            if writes > 1 {
                let writes = i64::try_from(writes).unwrap_or(i64::MAX);
                attributes.push(KeyValue::new("db.operation.batch.size", writes));
            }
            let name = format!("transaction {}", self.name);
            let kind = SpanKind::Client;
            traces::record(scope.traces(), kind, name, begun, &attributes, failure);
        }
    }

    fn attributes(&self, operation: &'static str) -> [KeyValue; 3] {
        [
            KeyValue::new("db.system.name", self.system),
            KeyValue::new("db.namespace", self.name.clone()),
            KeyValue::new("db.operation.name", operation),
        ]
    }
}
