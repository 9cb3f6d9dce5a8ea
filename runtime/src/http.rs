//! The HTTP edge of a process: what every server limits, and what every response carries.
//!
//! The server is actix-web's but for the socket of a connection, which is ours: it bounds how many
//! requests of a client wait, gives the parser's own answers their headers, and ends an idle connection
//! whose place another client needs.

mod bare_answer;
mod connection;
pub(crate) mod foreign_host;
mod request_framing;
mod tracked_body;

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use actix_http::{HttpService, Request};
use actix_service::{ServiceFactoryExt, apply_fn_factory, fn_service, map_config};
use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{AppConfig, Response, Server, Service, ServiceFactory, ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        Method, StatusCode,
        header::{FORWARDED, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};
use clap::Args;
use connection::{Connection, RequestGate};
pub use foreign_host::{is_foreign, refuse as refuse_foreign};
use tokio::net::TcpStream;
use tracing::Instrument;
use tracked_body::TrackedBody;

use crate::{
    connection_limit::ConnectionLimit,
    metrics,
    process::{Fault, Process},
    request_id::{REQUEST_ID_HEADER, RequestId},
    settings,
    supervision::ActorRegistry,
    tls::{Plaintext, ServerStream, ServerTls},
    traces::{SpanKind, Spans, TRACE_ID_HEADER},
};

/// How long the head of a request may take to arrive, and before it the handshake of TLS.
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
#[derive(Debug, Clone, Args)]
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
    /// The certificate of the pages, in PEM, with those that lead to its authority: they are served over TLS only
    #[arg(long, env, value_name = "FILE")]
    pub http_cert_file: Option<PathBuf>,
    /// The private key of that certificate, in PEM
    #[arg(long, env, value_name = "FILE")]
    pub http_key_file: Option<PathBuf>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            http_keep_alive: 80,
            http_cert_file: None,
            http_key_file: None,
        }
    }
}

impl HttpSettings {
    /// Checks the files of TLS once, before they are used. The log tells of a private key that others can read.
    ///
    /// # Errors
    ///
    /// Those of [`Self::tls`].
    pub fn check(&self) -> Result<(), Fault> {
        self.tls()?;
        if let Some(key) = &self.http_key_file {
            settings::warn_of_exposed_file("HTTP_KEY_FILE", key);
        }
        Ok(())
    }

    /// Reads the files of TLS; nothing if none is named.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] if one of them is not named, or cannot be used.
    pub fn tls(&self) -> Result<Option<ServerTls>, Fault> {
        const FLAGS: [&str; 2] = ["http-cert-file", "http-key-file"];
        let [cert, key] = FLAGS.map(settings::name);
        match (&self.http_cert_file, &self.http_key_file) {
            (None, None) => Ok(None),
            (Some(cert_file), Some(key_file)) => {
                let read = ServerTls::of_pages(cert_file.clone(), key_file.clone());
                read.map(Some).map_err(|error| {
                    let is_of_key = error.path() == key_file;
                    Fault::bad_setting(if is_of_key { key } else { cert }, error.in_full())
                })
            }
            (Some(_), None) => Err(Fault::bad_setting(
                key,
                format!("is needed too, because {cert} is given"),
            )),
            (None, Some(_)) => Err(Fault::bad_setting(
                cert,
                format!("is needed too, because {key} is given"),
            )),
        }
    }

    /// By which scheme the pages are asked.
    pub fn scheme(&self) -> &'static str {
        match self.http_cert_file {
            Some(_) => "https",
            None => "http",
        }
    }
}

/// How much an HTTP server takes on at once.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// How many threads serve.
    pub workers: usize,
    /// How many connections there are. When there is one more, the one that has been idle for longest ends; if none is idle,
    /// the new one waits.
    pub connections: usize,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// How long a client may take nothing of its answers, until it is cut off.
    pub write_deadline: Duration,
}

/// A server of the application that `factory` makes, over TLS if there is a certificate. It does not listen to signals: the process does.
///
/// # Errors
///
/// If the listener cannot be used.
pub fn server<F, I, S, B>(
    tls: Option<ServerTls>,
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
    // The server counts the connections of each worker.
    let connections = (limits.connections / limits.workers).max(1);
    let builder = Server::build();
    let stopping = builder.graceful_shutdown_signal();
    let service = move || {
        let (stopping, tls) = (stopping.clone(), tls.clone());
        // This is what `HttpServer` of actix-web does, which takes no socket but its own. The address in this configuration is not the
        // server's, and only `HttpServer` can set it: `bound_to` tells the right one.
        let application = map_config(factory().into_factory(), |()| AppConfig::default())
            .map_err(|error| error.into().error_response());
        let application = apply_fn_factory(application, |mut request: Request, service| {
            if request.conn_data::<OverTls>().is_some() {
                tell_scheme(request.headers_mut());
            }
            let gate = request.conn_data::<Rc<RequestGate>>();
            let under_way = gate.and_then(|gate| gate.take());
            let answer = service.call(request);
            async move {
                let response: Response<B> = answer.await?.into();
                Ok(response.map_body(|_, body| TrackedBody::new(body, under_way)))
            }
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
            .on_connect_ext(move |connection: &Connection<ServerStream>, data| {
                if connection.socket().has_tls() {
                    data.insert(OverTls);
                }
                data.insert(connection.gate());
                data.insert(BoundTo(address.ip()));
            })
            .h1(application);
        let places = ConnectionLimit::new(connections);
        fn_service(move |socket: TcpStream| {
            let (places, tls) = (places.clone(), tls.clone());
            async move {
                let peer = socket.peer_addr().ok();
                let place = places.take().await;
                let socket =
                    ServerStream::new(socket, tls.as_ref(), Plaintext::Http1, HEAD_DEADLINE);
                Ok((Connection::new(socket, place, limits.write_deadline), peer))
            }
        })
        .and_then(http)
    };
    let server = builder
        .workers(limits.workers)
        // The one that waits for a place has an idle one leave; others wait in the listener's backlog.
        .max_concurrent_connections(connections + 1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen("http", listener, service)?;
    Ok(server.run())
}

/// Runs a server until the process stops its service; `what` says in a failure whose server it is.
///
/// # Errors
///
/// If the server ends by itself.
pub async fn run_until_stopped(server: Server, process: &Process, what: &str) -> Result<(), Fault> {
    let handle = server.handle();
    let mut server = actix_web::rt::spawn(server);
    tokio::select! {
        () = process.shutdown.begun() => {
            handle.stop(false).await;
            Ok(())
        }
        _ = &mut server => Err(Fault::Failed(format!("the server for {what} has ended"))),
    }
}

/// The connection of a request has TLS.
#[derive(Debug, Clone, Copy)]
struct OverTls;

/// Tells the application that it is asked by https, unless a proxy tells by what itself was asked: the configuration that would say so can
/// be set by actix-web's own server alone.
fn tell_scheme(headers: &mut actix_http::header::HeaderMap) {
    const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    if !headers.contains_key(FORWARDED) && !headers.contains_key(&FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
    }
}

/// The address that a server listens on.
#[derive(Debug, Clone, Copy)]
struct BoundTo(IpAddr);

/// The address that the server of a request listens on, which may stand for all of the machine. Without a server it
/// is that of the machine for itself.
pub fn bound_to(request: &HttpRequest) -> IpAddr {
    let bound = request.conn_data::<BoundTo>();
    bound.map_or(Ipv4Addr::LOCALHOST.into(), |bound| bound.0)
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

/// What every request goes through: it is in a tracing span with its id and counted by its route, and its response carries the
/// id and the headers that protect a visitor.
///
/// # Errors
///
/// What the application returns instead of a response, with the response that it stands for.
pub async fn edge(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let given = request.headers().get(REQUEST_ID_HEADER);
    let id = given
        .and_then(|value| RequestId::parse(value.to_str().ok()?))
        .unwrap_or_else(RequestId::random);
    request.extensions_mut().insert(id.clone());
    // Whoever asks may say anything: a trace begins here, and only our sampler decides which ones are sent.
    let mut spans = match is_for_operators(request.path()) {
        true => Spans::default(),
        false => Spans::enter(SpanKind::Server, "HTTP", None),
    };
    let trace_id = spans.trace_id();
    // The path is not part of it: it may hold what a user follows.
    let span = tracing::error_span!(
        "request",
        method = %request.method(),
        request_id = %id,
        trace_id = trace_id.map(tracing::field::display)
    );
    let registry = request.app_data::<Data<ActorRegistry>>().cloned();
    let (method, begun) = (request.method().clone(), Instant::now());
    let scheme = match request.request().conn_data::<OverTls>() {
        Some(_) => "https",
        None => "http",
    };
    let work = spans.around(next.call(request)).instrument(span.clone());
    let answer = id.clone().scope(work).await;
    let (route, code) = match &answer {
        Ok(response) => (response.request().match_pattern(), response.status()),
        Err(error) => (None, error.as_response_error().status_code()),
    };
    describe(&mut spans, &method, scheme, route.as_deref(), code);
    span.in_scope(|| {
        let (route, code, took) = (
            route.as_deref().unwrap_or("no route"),
            code.as_u16(),
            begun.elapsed(),
        );
        tracing::debug!(route, code, ?took, "answered {method} {route} with {code}");
    });
    if let Some(registry) = registry {
        let metrics = registry.metrics();
        metrics.http_answered(&method, route.as_deref(), code.as_u16(), begun.elapsed());
    }
    let complete = |headers: &mut HeaderMap| {
        secure(headers);
        if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
            headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), value);
        }
        if let Some(trace_id) = trace_id
            && let Ok(value) = HeaderValue::from_str(&trace_id.to_string())
        {
            headers.insert(HeaderName::from_static(TRACE_ID_HEADER), value);
        }
    };
    match answer {
        Ok(response) => {
            let mut response = response.map_into_boxed_body();
            complete(response.headers_mut());
            Ok(response)
        }
        Err(error) => {
            // What becomes a response outside of the span, as after a panic, would have neither the id nor the headers.
            let respond = || error.as_response_error().error_response();
            let mut response = span.in_scope(|| id.clone().sync_scope(respond));
            complete(response.headers_mut());
            Err(InternalError::from_response(error, response).into())
        }
    }
}

/// Whether a path is one of those that are asked for again and again, by probes and collectors, and for nobody's sake.
fn is_for_operators(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics") || path.starts_with("/system")
}

/// Says of what request to which route `spans` are, and how it was answered.
fn describe(
    spans: &mut Spans,
    method: &Method,
    scheme: &'static str,
    route: Option<&str>,
    code: StatusCode,
) {
    if !spans.are_recorded() {
        return;
    }
    // Methods that clients make up are one value.
    let method = metrics::known_method(method).unwrap_or("_OTHER");
    spans.rename(|| match (method, route) {
        ("_OTHER", Some(route)) => format!("HTTP {route}"),
        ("_OTHER", None) => "HTTP".to_owned(),
        (method, Some(route)) => format!("{method} {route}"),
        (method, None) => method.to_owned(),
    });
    spans.set("http.request.method", method);
    if let Some(route) = route {
        spans.set("http.route", route.to_owned());
    }
    spans.set("url.scheme", scheme);
    spans.set("http.response.status_code", i64::from(code.as_u16()));
    if code.is_server_error() {
        spans.fail(code.as_str().to_owned());
    }
}
