//! The spans of events: one for the publication and one for the handling of each, although many are published and handled at once. An event
//! carries the place of its publication in the trace to whoever consumes it.

use runtime::{
    supervision::RequestScope,
    traces::{Origin, SpanKind, Spans},
};

use super::{BusUrl, Event};

/// What spans call the kind of broker.
#[derive(Debug, Clone, Copy)]
pub(super) struct MessagingSystem(&'static str);

impl MessagingSystem {
    pub(super) fn of(url: &BusUrl) -> Self {
        Self(match url {
            BusUrl::Nats(_) => "nats",
            BusUrl::Kafka(_) => "kafka",
        })
    }

    /// Begins to publish `events`, which say so from now on.
    pub(super) fn publish(self, events: &mut [Event]) -> Vec<Spans> {
        let mut all = Vec::new();
        for event in events {
            let spans = self.begin("send", SpanKind::Producer, &event.origin(), &event.topic);
            if let Some(trace) = spans.traces().only() {
                event.set_trace(trace);
            }
            if spans.are_recorded() {
                all.push(spans);
            }
        }
        all
    }

    /// Begins to handle each of `events`, in the scope of the requests that led to them.
    pub(super) fn handle(self, events: &[Event]) -> (Vec<Spans>, RequestScope) {
        let (mut all, mut scopes) = (Vec::new(), Vec::new());
        for event in events {
            let origin = event.origin();
            if !origin.is_known() {
                all.push(Spans::default());
                continue;
            }
            let spans = self.begin("process", SpanKind::Consumer, &origin, &event.topic);
            scopes.push(origin.scope(&spans));
            all.push(spans);
        }
        (all, RequestScope::of_all(&scopes))
    }

    fn begin(self, operation: &'static str, kind: SpanKind, origin: &Origin, topic: &str) -> Spans {
        let mut spans = origin.begin(kind, operation, []);
        if spans.are_recorded() {
            spans.rename(|| format!("{operation} {topic}"));
            spans.set("messaging.system", self.0);
            spans.set("messaging.destination.name", topic.to_owned());
            spans.set("messaging.operation.name", operation);
            spans.set("messaging.operation.type", operation);
        }
        spans
    }
}
