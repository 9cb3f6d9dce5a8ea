//! What every gRPC call goes through: a place among those that are worked on, a deadline, a tracing
//! span with the id of its request, and the user on whose behalf it is made. Its connection keeps its place
//! until the whole answer has been given.
//!
//! Health and reflection need no place: they answer while a server is overloaded or drains.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    metadata::MetadataValue,
};
use tower_layer::Layer;
use tracing::Instrument;

use super::{
    GrpcLimits, acting, answer_body::AnswerBody, balancer::NOT_BEGUN_HEADER, call_token::ServiceKey,
};
use crate::{
    connection_limit::Activity,
    metrics::{Metrics, known_call},
    process::Shutdown,
    request_id::{REQUEST_ID_HEADER, RequestId},
    supervision::Reporter,
    tls::{GrpcTls, ServerTls},
    traces::{SpanKind, Spans, TRACE_ID_HEADER, TRACEPARENT_HEADER, TraceContext},
};

/// The calls that a gRPC server works on. None are taken any more once the shutdown begins.
#[derive(Debug, Clone)]
pub struct Calls {
    pub(super) limits: GrpcLimits,
    /// The certificate of their server, if it has one.
    pub(super) tls: Option<ServerTls>,
    /// What the tokens of calls are checked with, if they need one.
    key: Option<ServiceKey>,
    places: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Calls {
    /// No calls yet.
    pub fn new(limits: GrpcLimits, shutdown: Shutdown) -> Self {
        Self {
            limits,
            tls: None,
            key: None,
            places: Arc::new(Semaphore::new(limits.calls as usize)),
            shutdown,
        }
    }

    /// The same calls, over TLS if that is spoken between services.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<&GrpcTls>) -> Self {
        self.tls = tls.map(GrpcTls::server);
        self
    }

    /// The same calls, each with a token if there is a key.
    #[must_use]
    pub fn with_key(mut self, key: Option<&ServiceKey>) -> Self {
        self.key = key.cloned();
        self
    }

    /// Waits until no call is worked on, for at most half of the time that is left for stopping.
    /// A service drains while everything that its calls need is still there.
    pub async fn drain(&self) {
        let all = self.places.acquire_many(self.limits.calls);
        let deadline = self.shutdown.time_left() / 2;
        match tokio::time::timeout(deadline, all).await {
            Ok(Ok(all)) => all.forget(),
            Ok(Err(_)) => {}
            Err(_) => tracing::warn!("some gRPC calls were not answered before the stop"),
        }
    }

    /// Whether no more calls are begun.
    pub(super) fn have_ended(&self) -> bool {
        self.shutdown.is_begun()
    }

    /// The layer of one server, whose answered calls `reporter` counts.
    pub(super) fn counted_by(&self, reporter: Reporter, metrics: &Metrics) -> CallLayer {
        CallLayer {
            calls: self.clone(),
            reporter,
            metrics: metrics.clone(),
        }
    }

    fn place(&self, path: &str) -> Result<Option<OwnedSemaphorePermit>, Status> {
        if is_of_the_server(path) {
            return Ok(None);
        }
        if self.shutdown.is_begun() {
            let mut stopping = Status::unavailable("the service is stopping; try again");
            let not_begun = MetadataValue::from_static("1");
            stopping.metadata_mut().insert(NOT_BEGUN_HEADER, not_begun);
            return Err(stopping);
        }
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted("too many calls are being worked on; try again later")
        })?;
        Ok(Some(place))
    }
}

/// Makes a server limit and count its calls.
#[derive(Debug, Clone)]
pub(super) struct CallLayer {
    calls: Calls,
    reporter: Reporter,
    metrics: Metrics,
}

impl<S> Layer<S> for CallLayer {
    type Service = LimitedCalls<S>;

    fn layer(&self, inner: S) -> LimitedCalls<S> {
        LimitedCalls {
            calls: self.calls.clone(),
            reporter: self.reporter.clone(),
            metrics: self.metrics.clone(),
            inner,
        }
    }
}

/// A gRPC service whose calls are limited and counted.
#[derive(Debug, Clone)]
pub(super) struct LimitedCalls<S> {
    calls: Calls,
    reporter: Reporter,
    metrics: Metrics,
    inner: S,
}

impl<S> Service<http::Request<Body>> for LimitedCalls<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let id = RequestId::of_headers(request.headers());
        let under_way = request.extensions().get().map(Activity::begin);
        let path = request.uri().path();
        let is_of_server = is_of_the_server(path);
        let known = known_call(path);
        let counters = (!is_of_the_server(path)).then(|| {
            let count = self.metrics.grpc_served().begin(known);
            (self.reporter.clone(), count)
        });
        let begun = Instant::now();
        let mut spans = match is_of_the_server(path) {
            true => Spans::default(),
            false => Spans::enter(SpanKind::Server, "gRPC", parent(request.headers())),
        };
        if spans.are_recorded() {
            // Paths that clients make up are one name.
            describe(&mut spans, known.unwrap_or("unknown"));
        }
        let trace_id = spans.trace_id();
        let span = tracing::error_span!(
            "call",
            rpc = path,
            request_id = %id,
            trace_id = trace_id.map(tracing::field::display)
        );
        let admitted = self.calls.place(path).and_then(|place| {
            if !is_of_server {
                acting::admit(&mut request, self.calls.key.as_ref())?;
            }
            request.extensions_mut().insert(id.clone());
            // What a service does before it gives its future away belongs to the call, too.
            Ok((place, spans.around_sync(|| self.inner.call(request))))
        });
        let (deadline, id_value) = (self.calls.limits.deadline, id.header_value());
        let answer = async move {
            let mut response = match admitted {
                Ok((_place, answer)) => {
                    match tokio::time::timeout(deadline, spans.around(answer)).await {
                        Ok(answer) => blame_caller(answer?),
                        Err(_) => late(deadline).into_http(),
                    }
                }
                Err(status) => status.into_http(),
            };
            // Of a stream this is its beginning: what may go on for days is no span.
            end(&mut spans, response.headers());
            response.headers_mut().insert(REQUEST_ID_HEADER, id_value);
            if let Some(trace_id) = trace_id
                && let Ok(value) = http::HeaderValue::from_str(&trace_id.to_string())
            {
                response.headers_mut().insert(TRACE_ID_HEADER, value);
            }
            let count = counters.map(|(reporter, mut count)| {
                reporter.handled(1);
                let (code, took) = (status_of(response.headers()), begun.elapsed());
                tracing::debug!(?code, ?took, "answered a call with {code:?}");
                count.answered(response.headers());
                count
            });
            Ok(response.map(|body| Body::new(AnswerBody::new(body, under_way, count))))
        };
        Box::pin(id.scope(answer).instrument(span))
    }
}

/// The trace of which a call says that it is a part. Only the other services reach a gRPC service, so that it is believed.
fn parent(headers: &http::HeaderMap) -> Option<TraceContext> {
    TraceContext::parse(headers.get(TRACEPARENT_HEADER)?.to_str().ok()?)
}

/// Says which call `spans` are.
pub(super) fn describe(spans: &mut Spans, path: &str) {
    let name = path.trim_start_matches('/');
    let (service, method) = name.split_once('/').unwrap_or((name, ""));
    spans.rename(|| name.to_owned());
    spans.set("rpc.system", "grpc");
    spans.set("rpc.service", service.to_owned());
    spans.set("rpc.method", method.to_owned());
}

/// The status in the headers of an answer; one that tells none there goes well.
fn status_of(headers: &http::HeaderMap) -> Code {
    let status = headers.get("grpc-status");
    status.map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()))
}

/// Says with which status a call ended whose answer has these headers, and ends the spans.
pub(super) fn end(spans: &mut Spans, headers: &http::HeaderMap) {
    if !spans.are_recorded() {
        return;
    }
    let code = status_of(headers);
    spans.set("rpc.grpc.status_code", i64::from(i32::from(code)));
    if code != Code::Ok {
        spans.fail(format!("{code:?}"));
    }
    drop(std::mem::take(spans));
}

/// Whether a call is one of health or reflection, which every server answers.
fn is_of_the_server(path: &str) -> bool {
    path.starts_with("/grpc.")
}

/// Answers a request that is no message of its type with `INVALID_ARGUMENT`: tonic says `INTERNAL`, which callers take for a fault of the
/// service. tonic tells no cause besides the words. A handler that passed on such an `INTERNAL` of another service would blame its caller, too;
/// none does: handlers make their answers from errors of their own.
fn blame_caller(response: http::Response<Body>) -> http::Response<Body> {
    const UNREADABLE: &str = "failed to decode Protobuf message";
    match Status::from_header_map(response.headers()) {
        Some(status)
            if status.code() == Code::Internal && status.message().starts_with(UNREADABLE) =>
        {
            Status::invalid_argument(status.message()).into_http()
        }
        _ => response,
    }
}

fn late(deadline: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "there was no answer within {} s; the call may still take effect",
        deadline.as_secs()
    ))
}
