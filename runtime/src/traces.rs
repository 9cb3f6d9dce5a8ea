//! Traces: how long each part of the work for a request took, in all services, as spans of OpenTelemetry.
//!
//! Nothing is done for a trace that is not sampled but to pass its ids on, and nothing at all unless a collector is named. A span has
//! nothing in it of what users write or who they are: names of routes, calls, topics and databases, codes and counts.

mod context;
mod export;
mod origin;
mod settings;
mod span;

pub use context::{TRACEPARENT_HEADER, TraceContext, Traces};
pub use opentelemetry::{KeyValue, trace::SpanKind};
pub use origin::Origin;
pub(crate) use settings::TraceSettings;
pub use span::{Spans, record};

use std::sync::OnceLock;

use opentelemetry_sdk::trace::SdkTracer;

/// What makes spans, once it is known where they are sent: as the log, one for the process.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The header that has the id of the trace of a request that is traced.
pub const TRACE_ID_HEADER: &str = "x-trace-id";
