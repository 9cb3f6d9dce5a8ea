//! Where a trace is at, within a process and from one to the next: the W3C trace context. What vendors add to it (`tracestate`) is not
//! passed on.

use std::{fmt, sync::Arc};

use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// The header of requests, calls and events that carries a [`TraceContext`].
pub const TRACEPARENT_HEADER: &str = "traceparent";

tokio::task_local! {
    static CURRENT: Traces;
}

/// A place in a trace: the span under which further ones are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    is_sampled: bool,
}

impl TraceContext {
    /// Reads the value of a header `traceparent`, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let context =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Value(text));
        let context = context.span().span_context().clone();
        context.is_valid().then(|| Self::of(&context))
    }

    /// Whether the spans of the trace are sent to the collector.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// The id of the trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    pub(super) fn of(context: &SpanContext) -> Self {
        Self {
            trace_id: context.trace_id(),
            span_id: context.span_id(),
            is_sampled: context.is_sampled(),
        }
    }

    /// As the parent of a span of this process, whether it is one of this process itself or of another.
    pub(super) fn as_parent(&self, is_remote: bool) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(self.is_sampled);
        let state = TraceState::default();
        SpanContext::new(self.trace_id, self.span_id, flags, is_remote, state)
    }
}

/// The value of the header `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{}-{}-{flags:02x}", self.trace_id, self.span_id)
    }
}

/// A header `traceparent` and no other.
struct Value<'a>(&'a str);

impl Extractor for Value<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT_HEADER).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT_HEADER]
    }
}

/// The traces that work belongs to.
#[derive(Debug, Clone, Default)]
pub enum Traces {
    /// No trace.
    #[default]
    None,
    /// One trace, which may not be sampled.
    One(TraceContext),
    /// Several sampled traces, of requests for which the work is done at once.
    Many(Arc<[TraceContext]>),
}

impl Traces {
    /// Those of the present task.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// Those of work that is done for the sake of all of these.
    pub(crate) fn of_all<'t>(all: impl IntoIterator<Item = &'t Self>) -> Self {
        let all = all.into_iter();
        let sampled: Vec<_> = all.flat_map(Self::sampled).copied().collect();
        match sampled.as_slice() {
            [] => Self::None,
            [one] => Self::One(*one),
            _ => Self::Many(sampled.into()),
        }
    }

    /// Those that are sampled.
    pub(crate) fn sampled(&self) -> &[TraceContext] {
        match self {
            Self::One(one) if one.is_sampled => std::slice::from_ref(one),
            Self::None | Self::One(_) => &[],
            Self::Many(many) => many,
        }
    }

    /// Whether any of them is sampled.
    pub fn are_sampled(&self) -> bool {
        !self.sampled().is_empty()
    }

    /// The only trace, if it is one.
    pub fn only(&self) -> Option<&TraceContext> {
        match self {
            Self::One(one) => Some(one),
            Self::None | Self::Many(_) => None,
        }
    }

    /// Calls `work` with these as the current ones.
    pub(crate) fn sync_scope<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }

    /// Runs `work` with these as the current ones.
    pub(crate) async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_is_written() {
        for text in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        ] {
            let context = TraceContext::parse(text).unwrap();
            assert_eq!(context.to_string(), text);
            assert_eq!(context.is_sampled(), text.ends_with('1'));
        }
    }

    #[test]
    fn what_is_no_trace_context_is_none() {
        for text in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            &"0".repeat(10_000),
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[test]
    fn work_for_several_requests_is_in_the_traces_that_are_sampled() {
        let trace = |digit: char, flags| {
            let id = digit.to_string();
            let text = format!("00-{}-{}-{flags}", id.repeat(32), id.repeat(16));
            Traces::One(TraceContext::parse(&text).unwrap())
        };
        let (a, b, unsampled) = (trace('a', "01"), trace('b', "01"), trace('c', "00"));
        let all = Traces::of_all([&a, &Traces::None, &unsampled, &b]);
        assert_eq!(all.sampled().len(), 2);
        assert!(all.only().is_none());
        let one = Traces::of_all([&unsampled, &b]);
        assert_eq!(one.only(), b.only());
        assert!(unsampled.only().is_some() && unsampled.sampled().is_empty());
    }
}
