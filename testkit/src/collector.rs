//! A collector of traces, in memory: what an OpenTelemetry collector would be sent.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use tonic::{Request, Response, Status, transport::Server};

use crate::{UNPOISONED, server::FakeServer};

/// The collector. Clones are the same.
#[derive(Clone)]
pub struct FakeCollector {
    spans: Spans,
    server: FakeServer,
}

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<CollectedSpan>>>);

/// A span as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectedSpan {
    /// The name of the service that sent it.
    pub service: String,
    /// What else the process says of itself, each value as text.
    pub resource: BTreeMap<String, String>,
    /// Its own name.
    pub name: String,
    /// `Server`, `Client`, `Producer`, `Consumer` or `Internal`.
    pub kind: &'static str,
    /// The trace, in hexadecimal digits.
    pub trace: String,
    /// Its id, in hexadecimal digits.
    pub id: String,
    /// The id of the span that it is a part of; empty if there is none.
    pub parent: String,
    /// The ids of the traces that it is linked to.
    pub links: Vec<String>,
    /// What it says of the work, each value as text.
    pub attributes: BTreeMap<String, String>,
    /// Whether the work failed.
    pub has_failed: bool,
}

impl FakeCollector {
    /// A collector that takes spans.
    pub fn new() -> Self {
        let collector = Self::absent();
        collector.serve();
        collector
    }

    /// A collector at whose address nothing answers yet.
    pub fn absent() -> Self {
        Self {
            spans: Spans::default(),
            server: FakeServer::new(),
        }
    }

    /// Begins to take spans.
    pub fn serve(&self) {
        let service = TraceServiceServer::new(self.spans.clone());
        self.server.serve(Server::builder().add_service(service));
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Where it is, as the setting `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// All spans that have come so far.
    pub fn spans(&self) -> Vec<CollectedSpan> {
        self.spans.0.lock().expect(UNPOISONED).clone()
    }

    /// Forgets all spans that have come so far, and tells how many those were.
    pub fn forget(&self) -> usize {
        std::mem::take(&mut *self.spans.0.lock().expect(UNPOISONED)).len()
    }

    /// Ends, with all connections.
    pub fn leave(&self) {
        self.server.leave();
    }
}

impl Default for FakeCollector {
    fn default() -> Self {
        Self::new()
    }
}

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().expect(UNPOISONED);
        for of_service in request.into_inner().resource_spans {
            let resource = of_service.resource.unwrap_or_default();
            let mut facts = texts(resource.attributes);
            let service = facts.remove("service.name").unwrap_or_default();
            let of_scopes = of_service.scope_spans.into_iter();
            let sent = of_scopes.flat_map(|of_scope| of_scope.spans);
            spans.extend(sent.map(|span| collected(service.clone(), facts.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn collected(service: String, resource: BTreeMap<String, String>, span: Span) -> CollectedSpan {
    CollectedSpan {
        service,
        resource,
        kind: match span.kind() {
            SpanKind::Server => "Server",
            SpanKind::Client => "Client",
            SpanKind::Producer => "Producer",
            SpanKind::Consumer => "Consumer",
            SpanKind::Internal | SpanKind::Unspecified => "Internal",
        },
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
        attributes: texts(span.attributes),
        has_failed: span
            .status
            .is_some_and(|status| status.code() == StatusCode::Error),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let attributes = attributes.into_iter();
    attributes
        .map(|attribute| (attribute.key, text(attribute.value)))
        .collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    }
}
