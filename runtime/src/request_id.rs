//! The id of a request, by which its log lines are found in every service that it passes through.
//!
//! It comes in the header or metadata `x-request-id`, is made where that is absent, and is passed on
//! with every call. Within a task it is the [current](RequestId::current) one, and a message to an
//! actor takes it along.

use std::{fmt, sync::Arc};

use tonic::codegen::http::{HeaderMap, HeaderValue};

/// The header and metadata that carries the id.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// The longest id that is taken over from outside.
const MAX_LEN: usize = 128;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of a request: 1 to 128 printable ASCII characters without white space.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new id.
    pub fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()).into())
    }

    /// The id of the request that this task works on.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// An id that came from outside, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid =
            (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_valid.then(|| Self(text.into()))
    }

    /// The id that a gRPC call came with, or a new one.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Self {
        let value = headers.get(REQUEST_ID_HEADER);
        value
            .and_then(|value| Self::parse(value.to_str().ok()?))
            .unwrap_or_else(Self::random)
    }

    /// The id as the value of a header.
    pub(crate) fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("an id is printable ASCII")
    }

    /// Calls `work` with this id as the current one.
    pub(crate) fn sync_scope<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }

    /// Runs `work` with this id as the current one.
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_outside_is_taken_over_if_it_is_harmless() {
        assert_eq!(RequestId::parse("a-1").unwrap().to_string(), "a-1");
        for text in ["", "a b", "a\n", "é", &"x".repeat(129)] {
            assert!(RequestId::parse(text).is_none(), "{text:?}");
        }
        let made = RequestId::random();
        assert_eq!(RequestId::parse(&made.to_string()), Some(made));
    }
}
