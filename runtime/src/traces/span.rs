//! Spans: begun in the traces of the present work, or where a request, a call or an event comes in.

use std::{borrow::Cow, time::SystemTime};

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{Link, Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, TraceId, Tracer},
};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::{
    TRACER,
    context::{TraceContext, Traces},
};

/// A piece of work as a span in each of the sampled traces that it belongs to: mostly one, or none. They end when this is dropped.
#[derive(Debug, Default)]
pub struct Spans {
    spans: Vec<Span>,
    /// Those that the work is in.
    traces: Traces,
}

impl Spans {
    /// Begins work that is a part of the present one.
    pub fn begin(kind: SpanKind, name: impl Into<Cow<'static, str>>) -> Self {
        Self::begin_in(Traces::current(), kind, name)
    }

    fn begin_in(parents: Traces, kind: SpanKind, name: impl Into<Cow<'static, str>>) -> Self {
        let (Some(tracer), [first, further @ ..]) = (TRACER.get(), parents.sampled()) else {
            return Self {
                spans: Vec::new(),
                traces: parents,
            };
        };
        let name = name.into();
        let mut spans = Vec::with_capacity(1 + further.len());
        for parent in further {
            spans.push(child(tracer, parent, kind.clone(), name.clone()));
        }
        spans.push(child(tracer, first, kind, name));
        let of_spans: Vec<_> = spans.iter().map(context).map(Traces::One).collect();
        Self {
            traces: Traces::of_all(&of_spans),
            spans,
        }
    }

    /// Begins work that comes from outside, as a part of that of `parent` if that is known. The sampler decides whether it is traced.
    pub fn enter(
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        parent: Option<TraceContext>,
    ) -> Self {
        Self::enter_linked(kind, name, parent, &[])
    }

    /// Like [`Self::enter`]; the work is done for the sake of `linked`, too.
    pub fn enter_linked(
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
        parent: Option<TraceContext>,
        linked: &[TraceContext],
    ) -> Self {
        let Some(tracer) = TRACER.get() else {
            return Self::default();
        };
        let mut builder = SpanBuilder::from_name(name).with_kind(kind);
        if !linked.is_empty() {
            let links = linked.iter();
            let links = links.map(|linked| Link::new(linked.as_parent(true), Vec::new(), 0));
            builder = builder.with_links(links.collect());
        }
        let parent = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent.as_parent(true)),
            None => Context::new(),
        };
        let span = tracer.build_with_context(builder, &parent);
        let traces = match span.span_context().is_valid() {
            true => Traces::One(context(&span)),
            // The process stops.
            false => Traces::None,
        };
        let is_recording = span.is_recording();
        Self {
            spans: is_recording.then_some(span).into_iter().collect(),
            traces,
        }
    }

    /// Whether there is any.
    pub fn are_recorded(&self) -> bool {
        !self.spans.is_empty()
    }

    /// The traces that the work is in.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// The id of the trace, if there is one that is recorded.
    pub fn trace_id(&self) -> Option<TraceId> {
        let span = self.spans.first()?;
        Some(span.span_context().trace_id())
    }

    /// Says something of the work. Personal data and secrets have no place here.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if self.are_recorded() {
            self.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Like [`Self::set`].
    pub fn set_attribute(&mut self, attribute: KeyValue) {
        let [first, further @ ..] = self.spans.as_mut_slice() else {
            return;
        };
        for span in further {
            span.set_attribute(attribute.clone());
        }
        first.set_attribute(attribute);
    }

    /// Gives the work its name when that is known at last.
    pub fn rename(&mut self, name: impl FnOnce() -> String) {
        if self.spans.is_empty() {
            return;
        }
        let name = name();
        for span in &mut self.spans {
            span.update_name(name.clone());
        }
    }

    /// The work failed; `kind` is one of a few words.
    pub fn fail(&mut self, kind: impl Into<Cow<'static, str>>) {
        if self.spans.is_empty() {
            return;
        }
        let kind = kind.into();
        for span in &mut self.spans {
            span.set_attribute(KeyValue::new("error.type", kind.clone()));
            span.set_status(Status::error(""));
        }
    }

    /// Calls `work` as the work that this is.
    pub fn around_sync<T>(&self, work: impl FnOnce() -> T) -> T {
        self.traces.clone().sync_scope(work)
    }

    /// Runs `work` as the work that this is.
    pub async fn around<T>(&self, work: impl Future<Output = T>) -> T {
        self.traces.clone().scope(work).await
    }
}

/// Records work that is over, as a part of that in `traces`.
pub fn record(
    traces: &Traces,
    kind: SpanKind,
    name: impl Into<Cow<'static, str>>,
    begun: SystemTime,
    attributes: &[KeyValue],
    failure: Option<&'static str>,
) {
    let Some(tracer) = TRACER.get() else {
        return;
    };
    let name = name.into();
    for parent in traces.sampled() {
        let builder = SpanBuilder::from_name(name.clone())
            .with_kind(kind.clone())
            .with_start_time(begun)
            .with_attributes(attributes.to_vec());
        let mut span = tracer.build_with_context(builder, &within(parent));
        if let Some(failure) = failure {
            span.set_attribute(KeyValue::new("error.type", failure));
            span.set_status(Status::error(""));
        }
    }
}

fn child(
    tracer: &SdkTracer,
    parent: &TraceContext,
    kind: SpanKind,
    name: Cow<'static, str>,
) -> Span {
    let builder = SpanBuilder::from_name(name).with_kind(kind);
    tracer.build_with_context(builder, &within(parent))
}

fn within(parent: &TraceContext) -> Context {
    Context::new().with_remote_span_context(parent.as_parent(false))
}

fn context(span: &Span) -> TraceContext {
    TraceContext::of(span.span_context())
}
