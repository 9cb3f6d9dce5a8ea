//! The HTTP edge of a process: what every server limits, and what every response carries.

use std::{fmt, io, net::TcpListener, time::Duration};

use actix_web::{
    Error, HttpMessage, HttpServer,
    body::{BoxBody, MessageBody},
    dev::{AppConfig, Response, Server, Service, ServiceFactory, ServiceRequest, ServiceResponse},
    http::header::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
};
use clap::Args;
use tracing::Instrument;

use crate::request_id::{REQUEST_ID_HEADER, RequestId};

/// How long the head of a request may take to arrive.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// How long a client may take to close its side of a connection that ends.
const DISCONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Everything comes from this host, nothing is written into the pages themselves, and no page is put
/// into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(&str, &str); 5] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// The settings of the pages' connections.
#[derive(Debug, Clone, Copy, Args)]
pub struct HttpSettings {
    /// For how many seconds an idle connection to the pages is kept: longer than a proxy in front of
    /// them keeps it, so that the proxy never sends a request into a connection that is closing
    #[arg(
        long,
        env,
        value_name = "SECONDS",
        default_value_t = 80,
        value_parser = clap::value_parser!(u64).range(1..=3_600)
    )]
    pub http_keep_alive: u64,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            http_keep_alive: 80,
        }
    }
}

/// How much an HTTP server takes on at once.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// How many threads serve.
    pub workers: usize,
    /// How many connections there are; further ones wait in the listener's backlog.
    pub connections: usize,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
}

/// A server of the application that `factory` makes. It does not listen to signals: the process does.
///
/// # Errors
///
/// If the listener cannot be used.
pub fn server<F, I, S, B>(
    factory: F,
    listener: TcpListener,
    limits: HttpLimits,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: actix_service::IntoServiceFactory<S, actix_http::Request>,
    S: ServiceFactory<actix_http::Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<actix_http::Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let server = HttpServer::new(factory)
        .workers(limits.workers)
        // The server counts the connections of each worker.
        .max_connections((limits.connections / limits.workers).max(1))
        .keep_alive(limits.keep_alive)
        .client_request_timeout(HEAD_DEADLINE)
        .client_disconnect_timeout(DISCONNECT_DEADLINE)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)?;
    Ok(server.run())
}

/// Adds the headers that protect a visitor.
pub fn secure(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
}

/// What every request goes through: it is in a tracing span with its id, and its response carries the
/// id and the headers that protect a visitor.
///
/// # Errors
///
/// What the application returns instead of a response.
pub async fn edge(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let given = request.headers().get(REQUEST_ID_HEADER);
    let id = given
        .and_then(|value| RequestId::parse(value.to_str().ok()?))
        .unwrap_or_else(RequestId::random);
    request.extensions_mut().insert(id.clone());
    // The path is not part of it: it may hold what a user follows.
    let span = tracing::info_span!("request", method = %request.method(), request_id = %id);
    let answer = id.clone().scope(next.call(request)).instrument(span).await;
    let mut response = answer?.map_into_boxed_body();
    let headers = response.headers_mut();
    secure(headers);
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), value);
    }
    Ok(response)
}
