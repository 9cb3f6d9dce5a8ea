//! For whose sake a row waits in an outbox, or an event is on its way: what is kept with it, so that whoever goes on with the work does
//! so in the trace and in the name of the request.

use std::borrow::Cow;

use opentelemetry::trace::SpanKind;

use super::{Spans, TRACEPARENT_HEADER, TraceContext, Traces};
use crate::{
    request_id::{REQUEST_ID_HEADER, RequestId},
    supervision::RequestScope,
};

/// The request that led to something, and its place in the trace of it, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    request_id: Option<RequestId>,
    trace: Option<TraceContext>,
}

impl Origin {
    /// That of the present work. Work for several requests has none.
    pub fn current() -> Self {
        Self::of(&RequestScope::current())
    }

    /// That of the work in `scope`.
    pub fn of(scope: &RequestScope) -> Self {
        Self {
            request_id: scope.request_id().cloned(),
            trace: scope.traces().only().copied(),
        }
    }

    /// What was kept; whatever is not what it has to be is left out.
    pub fn read(request_id: Option<&str>, traceparent: Option<&str>) -> Self {
        Self {
            request_id: request_id.and_then(RequestId::parse),
            trace: traceparent.and_then(TraceContext::parse),
        }
    }

    /// The id of the request, to be kept.
    pub fn request_id(&self) -> Option<String> {
        self.request_id.as_ref().map(ToString::to_string)
    }

    /// The place in the trace, to be kept.
    pub fn traceparent(&self) -> Option<String> {
        self.trace.as_ref().map(ToString::to_string)
    }

    /// Whether anything is known.
    pub fn is_known(&self) -> bool {
        self.request_id.is_some() || self.trace.is_some()
    }

    /// The headers of an event that has this origin.
    pub fn headers(&self) -> impl Iterator<Item = (String, String)> {
        let request_id = self.request_id().map(|id| (REQUEST_ID_HEADER.into(), id));
        let traceparent = self.traceparent();
        let traceparent = traceparent.map(|trace| (TRACEPARENT_HEADER.into(), trace));
        request_id.into_iter().chain(traceparent)
    }

    /// Begins work for the sake of this, if it is known to be in a trace, and for that of `others`.
    pub fn begin<'o>(
        &self,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        others: impl IntoIterator<Item = &'o Self>,
    ) -> Spans {
        /// More than these nobody reads.
        const MOST_LINKS: usize = 8;
        if self.trace.is_none() {
            return Spans::default();
        }
        let others = others.into_iter().filter_map(|other| other.trace);
        let linked: Vec<_> = others
            .filter(|other| other.is_sampled() && Some(*other) != self.trace)
            .take(MOST_LINKS)
            .collect();
        Spans::enter_linked(kind, name, self.trace, &linked)
    }

    /// The scope of the work that `spans` are, with the name `what` in the log.
    pub fn scope(&self, spans: &Spans) -> RequestScope {
        let request_id = self.request_id.as_ref().map(tracing::field::display);
        let trace_id = spans.trace_id().map(tracing::field::display);
        let span = match self.is_known() {
            true => tracing::error_span!("for", request_id, trace_id),
            false => tracing::Span::none(),
        };
        let traces: Traces = spans.traces().clone();
        RequestScope::new(self.request_id.clone(), span, traces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_kept_is_read_again() {
        let origin = Origin::read(Some("a"), Some(TRACEPARENT));
        let (request_id, traceparent) = (origin.request_id(), origin.traceparent());
        assert_eq!(request_id.as_deref(), Some("a"));
        assert_eq!(traceparent.as_deref(), Some(TRACEPARENT));
        let again = Origin::read(request_id.as_deref(), traceparent.as_deref());
        assert_eq!(again, origin);
        let headers: Vec<_> = origin.headers().collect();
        assert_eq!(
            headers,
            [
                ("x-request-id".to_owned(), "a".to_owned()),
                ("traceparent".to_owned(), TRACEPARENT.to_owned())
            ]
        );
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let origin = Origin::read(Some("a\nb"), Some("00-x"));
        assert!(!origin.is_known());
        assert_eq!(origin.headers().count(), 0);
    }

    #[test]
    fn the_work_goes_on_in_the_name_of_the_request() {
        let origin = Origin::read(Some("a"), None);
        let scope = origin.scope(&origin.begin(SpanKind::Internal, "work", []));
        scope.run(|| assert_eq!(Origin::current(), origin));
        assert_eq!(Origin::current(), Origin::default());
    }
}
