//! The HTTP edge of a process: what every server limits, and what every response carries.
//!
//! The server is actix-web's but for the socket of a connection, which is ours: it bounds how many
//! requests of a client wait, and gives the parser's own answers their headers.

mod bare_answer;
mod connection;
pub(crate) mod foreign_host;
mod request_framing;

use std::{fmt, io, net::TcpListener, rc::Rc, time::Duration};

use actix_http::{HttpService, Request};
use actix_service::{ServiceFactoryExt, apply_fn_factory, fn_service, map_config};
use actix_web::{
    Error, HttpMessage,
    body::{BoxBody, MessageBody},
    dev::{AppConfig, Response, Server, Service, ServiceFactory, ServiceRequest, ServiceResponse},
    http::header::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
};
use clap::Args;
use connection::{Connection, RequestGate};
pub use foreign_host::is_foreign;
use tokio::net::TcpStream;
use tracing::Instrument;

use crate::request_id::{REQUEST_ID_HEADER, RequestId};

/// How long the head of a request may take to arrive.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// How long a client may take to close its side of a connection that ends.
const DISCONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long the clients of a server may take nothing of their answers.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(30);

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
    /// How long a client may take nothing of its answers, until it is cut off.
    pub write_deadline: Duration,
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
    I: actix_service::IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let address = listener.local_addr()?;
    let builder = Server::build();
    let stopping = builder.graceful_shutdown_signal();
    let service = move || {
        let stopping = stopping.clone();
        // This is what `HttpServer` of actix-web does, which takes no socket but its own.
        let config = AppConfig::__priv_test_new(false, address.to_string(), address);
        let application = map_config(factory().into_factory(), move |()| config.clone())
            .map_err(|error| error.into().error_response());
        let application = apply_fn_factory(application, |request: Request, service| {
            if let Some(gate) = request.conn_data::<Rc<RequestGate>>() {
                gate.take();
            }
            service.call(request)
        });
        let http = HttpService::build()
            .keep_alive(limits.keep_alive)
            .client_request_timeout(HEAD_DEADLINE)
            .client_disconnect_timeout(DISCONNECT_DEADLINE)
            .local_addr(address)
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .on_connect_ext(|connection: &Connection<TcpStream>, data| {
                data.insert(connection.gate());
            })
            .h1(application);
        fn_service(move |socket: TcpStream| async move {
            let peer = socket.peer_addr().ok();
            Ok((Connection::new(socket, limits.write_deadline), peer))
        })
        .and_then(http)
    };
    let server = builder
        .workers(limits.workers)
        // The server counts the connections of each worker.
        .max_concurrent_connections((limits.connections / limits.workers).max(1))
        .disable_signals()
        .shutdown_timeout(1)
        .listen("http", listener, service)?;
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
